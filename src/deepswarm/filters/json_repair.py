"""The filter `json_repair`: the answer is JSON, or can be made JSON without a guess.

    strictly valid? ── yes ──▶ kept as it is (what was encoded twice is decoded)
        │ no
    reasoning tags, fences, prose around it: taken away ──▶ the one candidate that is left
        │
    strictly valid? ── yes ──▶ amended
        │ no
    mistakes with one reading (commas, quotation marks, comments, Python's literals) set right ──▶ amended
        │ other mistakes
        ▼ dropped

Dropped, and never repaired: prose without JSON, text that was cut off, two answers of which none can be chosen, NaN and
Infinity, places where the model wrote "..." instead of the rest, values without quotation marks.

Why no repairing library stands at the end: what it may do without changing a value (every text, number and name stays,
in the same order) is what `mending.py` does; all else that it did in `tests/data/broken_replies.jsonl` was a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from deepswarm.core import jsontext
from deepswarm.core.records import Amend, Drop, Json, Record, Verdict
from deepswarm.filters.candidates import MOST_DEPTH, Place, Region, Unsound, candidates, without_reasoning
from deepswarm.filters.mending import mended
from deepswarm.filters.schema import Schema

CUT_OFF: Final = frozenset({"length", "max_tokens"})
"""Finish reasons that say so."""
DECODED: Final = "decoded: it was encoded twice"
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
MOST_ENCODED: Final = 3
"""How often JSON is looked for within the text of JSON."""

_FENCED: Final = re.compile(r"```[\w+.-]*\s*([\[{\"].*)```\Z", re.DOTALL)
_ENCODED: Final = re.compile(r'[\[{](?:\\[nrt]|\s)*+\\"')
_LATEX: Final = re.compile(
    r"(?<!\\)(?:\\\\)*\\(?:[bf][a-z]|(?:t(?:heta|imes|ext|au|an)|n(?:abla|eq|u)|r(?:ho|ight))(?![a-z]))"
)


@dataclass(frozen=True, slots=True)
class JsonRepair:
    r"""Keep answers that are JSON, amend what can be made JSON, drop the rest.

    The value goes into the record's `answer_json`; `answer` stays text: as it was when it was strictly valid, otherwise
    the value's compact form. What was done is noted.

    Legal JSON is never changed, even where it looks wrong: `"\frac"` holds a form feed, and the note says so.

    Attributes:
        schema: A JSON Schema that chooses when an answer holds several values: the only one that fits is taken. In a
            task file it is that of `structure` when none is given.
        most_chars: Longest broken text that is repaired. Strictly valid JSON may be longer.
    """

    schema: Mapping[str, Json] | None = None
    most_chars: int = 1_000_000
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
        if "\\" in text and _LATEX.search(text):
            notes = (*notes, r"holds \b, \f, \n, \r or \t where LaTeX has a command: single backslashes?")
        return Amend({**record, "answer": text, "answer_json": value}, notes)

    def _read(self, answer: str) -> tuple[str, Json, tuple[str, ...]]:
        """The answer's text, its value and what was done to get it.

        Raises:
            Unsound: If there is no value that can be taken.
        """
        text = answer.strip("\ufeff \t\r\n")
        try:
            value = _strict(text)
        except ValueError:
            pass
        else:
            inner, done = self._decoded(value)
            return (jsontext.dumps(inner).decode() if done else answer), inner, (*done, *_twice(text, value))
        rest = without_reasoning(text).strip()
        notes = ["removed the reasoning"] if rest != text else []
        if (fenced := _FENCED.match(rest)) and "```" not in fenced[1]:
            rest = fenced[1].strip()
            notes.append("removed a Markdown fence")
        try:
            if rest == text:
                raise ValueError("it was read above, and is not JSON")
            value = _strict(rest)
        except ValueError:
            value, more = _escaped(rest) or self._chosen(rest)
        else:
            twice = _twice(rest, value)
            value, done = self._decoded(value)
            more = [*done, *twice]
        return jsontext.dumps(value).decode(), value, (*notes, *more)

    def _decoded(self, value: Json) -> tuple[Json, list[str]]:
        """The object or list that a JSON text holds as its text, unless the schema wants the text."""
        inner = value
        for _ in range(MOST_ENCODED):
            if not isinstance(inner, str) or (self._compiled and self._compiled.allows(inner)):
                break
            try:
                inner = _strict(inner)
            except (ValueError, Unsound):
                break
        return (inner, [DECODED]) if isinstance(inner, (dict, list)) and inner is not value else (value, [])

    def _chosen(self, text: str) -> tuple[Json, list[str]]:
        """The one value of a text that holds more than JSON, or broken JSON."""
        if len(text) > self.most_chars:
            raise Unsound(f"broken JSON of {len(text):,} characters, more than {self.most_chars:,}: not repaired")
        regions = candidates(text)
        if not regions:
            raise Unsound("no JSON" if text.strip() else "no JSON: the answer is empty")
        read: dict[bytes, tuple[Json, list[str]]] = {}  # the same value twice is one
        flaw: Unsound | None = None
        for region in regions:
            try:
                value, notes = mended(region.parts) if region.text == text else _value(region)
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


def _value(region: Region) -> tuple[Json, list[str]]:
    """The value of a candidate, and how it was repaired.

    Raises:
        Unsound: If it cannot be repaired without a guess.
    """
    try:
        value = _strict(region.text)
    except ValueError:
        pass
    else:
        return value, list(_twice(region.text, value))
    return mended(region.parts)


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


def _escaped(text: str) -> tuple[Json, list[str]] | None:
    r"""The value of {\"a\": 1}, JSON as it stands within a JSON text; None for everything else."""
    if not _ENCODED.match(text):
        return None
    try:
        inner = jsontext.loads(f'"{text}"')
        return (_strict(inner), [DECODED]) if isinstance(inner, str) else None
    except ValueError:
        return None


def _twice(text: str, value: Json) -> list[str]:
    """Names that stand twice in one object of a JSON text: the last value counts, and that is not left unsaid."""
    signs = text.count(":")
    if (type(value) is dict and signs <= len(value)) or signs <= _names(value):
        return []
    found: dict[str, None] = {}

    def paired(members: list[tuple[str, Json]]) -> dict[str, Json]:
        seen: dict[str, Json] = {}
        for name, inner in members:
            if name in seen and seen[name] != inner:
                found[name] = None
            seen[name] = inner
        return seen

    json.loads(text, object_pairs_hook=paired)
    names = ", ".join(name[:40] for name in list(found)[:3])
    return [f"legal, but a name stands twice in one object, of which the last counts: {names}"] if found else []


def _names(value: Json) -> int:
    """How many names all objects have together."""
    count, level = 0, _holders((value,))
    while level:
        count += sum(len(here) for here in level if type(here) is dict)
        level = [inner for outer in level for inner in _holders(_members(outer))]
    return count


def _depth(value: Json) -> int:
    """How deeply lists and objects are nested, without recursion."""
    level, depth = _holders((value,)), 0
    while level:
        level = [inner for outer in level for inner in _holders(_members(outer))]
        depth += 1
    return depth


def _holders(values: Iterable[Json]) -> list[dict[str, Json] | list[Json]]:
    """The objects and lists among values."""
    if _SCALARS.issuperset(map(type, values)):
        return []
    return [inner for inner in values if isinstance(inner, (dict, list))]


def _members(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


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
