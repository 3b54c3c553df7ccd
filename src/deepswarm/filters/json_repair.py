"""The filter `json_repair`: the answer is JSON, or can be made JSON without a guess.

    strictly valid? ── yes ──▶ kept as it is
        │ no
    reasoning tags, fences, prose around it: taken away ──▶ the one candidate that is left
        │
    strictly valid? ── yes ──▶ amended
        │ no
    mistakes with one reading (commas, quotation marks, comments, Python's literals) set right ──▶ amended
        │ other mistakes
    the json-repair library (bounded in size and depth) ──▶ amended, with what it did; or dropped

Dropped, and never repaired: prose without JSON, text that was cut off, two answers of which none can be chosen, NaN and
Infinity, places where the model wrote "..." instead of the rest, repairs that would lose text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from deepswarm.core import jsontext
from deepswarm.core.records import Amend, Drop, Json, Record, Verdict
from deepswarm.filters.candidates import MOST_DEPTH, Kind, Place, Region, Unsound, candidates, without_reasoning
from deepswarm.filters.mending import mended
from deepswarm.filters.schema import Schema

CUT_OFF: Final = frozenset({"length", "max_tokens"})
"""Finish reasons that say so."""
MOST_NOTES: Final = 3
"""Most repairs that are listed by their names."""
_LOST: Final = 0.05
"""Share of letters that a repair may take away: those of signs that stand for others."""

_ELIDED: Final = re.compile(r"\.\.\.|\u2026")
_NO_NUMBER: Final = re.compile(r"(?<![\w$])(?:NaN|[+-]?Infinity|undefined)(?![\w$])(?!\s*:)")
_PUT_TOGETHER: Final = re.compile(r"""(?<!\\)(["'])\s*+\+\s*+\1""")
_NUMBER: Final = re.compile(r"(?<![\w.+-])[-+]?\.?[0-9]")
_ESCAPE: Final = re.compile(r"\\u[0-9A-Fa-f]{4}|\\.", re.DOTALL)
_LATEX: Final = re.compile(r"(?<!\\)(?:\\\\)*\\[bf][a-z]")


@dataclass(frozen=True, slots=True)
class JsonRepair:
    r"""Keep answers that are JSON, amend what can be made JSON, drop the rest.

    The value goes into the record's `answer_json`; `answer` stays text: as it was when it was strictly valid, otherwise
    the value's compact form. What was done is noted.

    Legal JSON is never changed, even where it looks wrong: `"\frac"` holds a form feed, and the note says so.

    Attributes:
        schema: A JSON Schema that chooses when an answer holds several values: the only one that fits is taken. In a
            task file it is that of `structure` when none is given.
        most_chars: Longest text that is handed to the repairing library, whose time grows faster than its text.
    """

    schema: Mapping[str, Json] | None = None
    most_chars: int = 50_000
    _compiled: Schema | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the schema.

        Raises:
            ValueError: If it is no JSON Schema, or a bound is below 1.
        """
        if self.most_chars < 1:
            raise ValueError(f"'most_chars' must be 1 or more, not {self.most_chars}")
        try:
            compiled = None if self.schema is None else Schema(self.schema)
        except ValueError as error:
            raise ValueError(f"'schema' is no JSON Schema: {error}") from error
        object.__setattr__(self, "_compiled", compiled)

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        answer = record.get("answer")
        if not isinstance(answer, str):
            return Drop("there is no answer")
        if record.get("finish_reason") in CUT_OFF:
            return Drop(f"cut off: finish reason {record['finish_reason']}")
        try:
            text, value, notes = self._read(answer)
        except Unsound as unsound:
            return Drop(str(unsound))
        if _LATEX.search(text):
            notes = (*notes, r"holds \b or \f before a letter: LaTeX with single backslashes?")
        return Amend({**record, "answer": text, "answer_json": value}, notes)

    def _read(self, answer: str) -> tuple[str, Json, tuple[str, ...]]:
        """The answer's text, its value and what was done to get it.

        Raises:
            Unsound: If there is no value that can be taken.
        """
        text = answer.strip("\ufeff \t\r\n")
        try:
            return answer, _strict(text), ()
        except ValueError:
            pass
        rest = without_reasoning(text)
        notes = ["removed the reasoning"] if rest != text else []
        try:
            value = _strict(rest.strip())
        except ValueError:
            value, more = self._chosen(rest)
            notes += more
        return jsontext.dumps(value).decode(), value, tuple(notes)

    def _chosen(self, text: str) -> tuple[Json, list[str]]:
        """The one value of a text that holds more than JSON, or broken JSON."""
        regions = candidates(text)
        if not regions:
            raise Unsound("no JSON" if text.strip() else "no JSON: the answer is empty")
        read: dict[bytes, tuple[Json, list[str]]] = {}  # the same value twice is one
        flaw: Unsound | None = None
        for region in regions:
            try:
                value, notes = self._value(region)
                read.setdefault(jsontext.canonical(value), (value, [*_around(region, text), *notes]))
            except Unsound as unsound:
                flaw = unsound
        if len(read) == 1 and not flaw:
            return next(iter(read.values()))
        fitting = [each for each in read.values() if self._compiled and self._compiled.allows(each[0])]
        if len(fitting) == 1 and len(regions) > 1:
            value, notes = fitting[0]
            return value, [*notes, f"chosen among {len(regions)} values: the only one that fits the schema"]
        if flaw and len(regions) == 1:
            raise flaw
        which = "no schema to choose" if not self._compiled else f"{len(fitting)} of them fit the schema"
        raise Unsound(f"ambiguous: {len(regions)} JSON values, {which}")

    def _value(self, region: Region) -> tuple[Json, list[str]]:
        """The value of a candidate, and how it was repaired.

        Raises:
            Unsound: If it cannot be repaired without a guess.
        """
        try:
            return _strict(region.text), []
        except ValueError:
            pass
        if _ELIDED.search(region.bare):
            raise Unsound("the model left something out and wrote '...' in its place")
        if found := _NO_NUMBER.search(region.bare):
            raise Unsound(f"{found[0]} is not JSON")
        if any(
            part.kind is Kind.STRING and _PUT_TOGETHER.search(part.text, 1, len(part.text) - 1) for part in region.parts
        ):
            raise Unsound("texts that are put together with +, as in a program, are not JSON")
        try:
            text, notes = mended(region.parts) or ("", [])
            return _whole(_strict(text), region), notes
        except ValueError:
            pass
        if len(region.text) > self.most_chars:
            raise Unsound(
                f"broken JSON of {len(region.text):,} characters, more than {self.most_chars:,}: not repaired"
            )
        return _repaired(region)


def _strict(text: str) -> Json:
    """The value of a text that is JSON and nothing else.

    Raises:
        ValueError: If it is something else.
        Unsound: If it is nested so deeply that what comes after us could not write it.
    """
    value = jsontext.loads(text)
    if text.count("[") + text.count("{") > MOST_DEPTH and _depth(value) > MOST_DEPTH:
        raise Unsound(f"nested more than {MOST_DEPTH} deep")
    return value


def _depth(value: Json) -> int:
    """How deeply lists and objects are nested, without recursion."""
    level, depth = [value], 0
    while level := [item for outer in level for item in _members(outer)]:
        depth += 1
    return depth


def _members(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _repaired(region: Region) -> tuple[Json, list[str]]:
    """What the repairing library makes of a candidate, if nothing of it is lost.

    It loses, without a word, empty strings in lists and all but the last of equal names, for example.
    """
    import json_repair

    text = region.text
    try:
        value, log = cast("tuple[Json, Any]", json_repair.loads(text, skip_json_loads=True, logging=True))
    except (RecursionError, ValueError, IndexError) as error:  # it is written for broken text, and still
        raise Unsound(f"broken JSON that cannot be repaired ({type(error).__name__})") from error
    if not isinstance(value, dict if text[0] == "{" else list):
        raise Unsound("broken JSON that cannot be repaired")
    if not _finite(value):
        raise Unsound("a number is beyond the range of floating point")
    _whole(value, region)
    return jsontext.loads(jsontext.dumps(value)), list(_notes(log))  # escaped halves of a character become one


def _whole(value: Json, region: Region) -> Json:
    """The value, if nothing of the candidate is missing in it.

    Raises:
        Unsound: If it holds fewer texts (names included) or numbers, or markedly fewer letters.
    """
    leaves = list(_leaves(value))
    texts = sum(isinstance(leaf, str) for leaf in leaves)
    numbers = sum(isinstance(leaf, (int, float)) and not isinstance(leaf, bool) for leaf in leaves)
    letters = sum(_letters("null" if leaf is None else str(leaf)) for leaf in leaves)
    original = "".join(part.text for part in region.parts if part.kind is not Kind.COMMENT)
    if (
        texts < sum(part.kind is Kind.STRING for part in region.parts)
        or numbers < len(_NUMBER.findall(region.bare))
        or letters < (1 - _LOST) * _letters(_ESCAPE.sub("", original))
    ):
        raise Unsound("broken JSON whose repair would lose a part of it")
    return value


def _notes(log: list[dict[str, str]]) -> Iterator[str]:
    """What the library says that it did; small things, such as a comma too many, it does not mention."""
    kinds = list(dict.fromkeys(" ".join(str(entry.get("text", "")).split())[:120] for entry in log))
    if not kinds:
        yield "repaired: commas, quotation marks or literals"
    yield from (f"repaired: {kind}" for kind in kinds[:MOST_NOTES])
    if len(kinds) > MOST_NOTES:
        yield f"repaired: {len(kinds) - MOST_NOTES} more kinds of mistakes"


def _around(region: Region, text: str) -> Iterator[str]:
    """What is left out when only this candidate is taken."""
    if region.place is Place.FENCED:
        yield "removed a Markdown fence"
        before, _, after = text.partition(region.text)
        outside = re.sub(r"(?:```|~~~)[ \t]*[\w+.-]*", "", f"{before} {after}")
    else:
        outside = text.replace(region.text, "", 1)
    if outside.strip():
        yield "removed text around the JSON"


def _finite(value: Json) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return all(_finite(item) for item in _members(value))


def _leaves(value: Json) -> Iterator[Json]:
    """All names, texts, numbers, truths and nulls."""
    if isinstance(value, (dict, list)):
        if isinstance(value, dict):
            yield from value
        for item in _members(value):
            yield from _leaves(item)
    else:
        yield value


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
