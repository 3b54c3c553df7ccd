"""Where the JSON lies in a text that holds more than JSON: behind reasoning tags, in fences, between sentences.

Two rules stand above all others. What was cut off is never taken for whole: a bracket or a string that stays open,
anywhere JSON begins, refuses the text. And nothing is guessed: what could be two answers is returned as two.

Broken JSON is read with a tolerant idea of strings: a quotation mark ends a string only where JSON could go on after
it (before a comma, colon, closing bracket or comment), so that `"he said "hi" to"` is one string. For strictly valid
JSON that is the same as the standard's rule.

Every search here takes time in proportion to the text, whatever the text is: patterns do not go back (`*+`).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

MOST_DEPTH: Final = 200
"""Deepest nesting that is read; deeper values break the tools that come after us."""

_TAGS: Final = "think|thinking|thought|reasoning"
_REASONING: Final = re.compile(rf"\s*<({_TAGS})>(?:(.*?)</\1>)?", re.DOTALL | re.IGNORECASE)
_LONE_END: Final = re.compile(rf"\s*[^\s\[{{`].*?</(?:{_TAGS})>", re.DOTALL | re.IGNORECASE)
"""Templates of some models open the tag before the answer begins."""

_ANCHOR: Final = re.compile(
    r"""
    \s*+ (?= \{ \s*+ (?: ["'\u201c}] | /[/*] | \#\ | [A-Za-z_$][\w$]*+ \s*+ : )
           | \[ \s*+ (?: [\[{"'\u201c\]] | (?: -?\d[\w.+-]*+ | true | false | null | True | False | None ) \s*+ , ) )
    """,
    re.VERBOSE,
)
"""A text that begins with JSON; not with `[1] Smith` or `[Note: ...]`."""
_FENCE: Final = re.compile(r"(?:```|~~~)[ \t]*+[\w+.-]*+\s*+(?=[\[{])")
_FENCE_END: Final = re.compile(r"```|~~~")
_IN_PROSE: Final = re.compile(
    r"""
      \{ (?= \s*+ (?: ["'\u201c] | /[/*] | [A-Za-z_]\w*+ \s*+ : \s*+ ["'\[{\d] ))  # {"key" or {key: "value"
    | (?<! [\w)\]\\] ) \[ (?= \s*+ [\[{"'\u201c] )                                # [{ or ["text", but not d["x"] or \[
    | (?<! [^\n] ) [ \t]*+ \[ (?= \s*+ (?: -?\d[\w.+-]*+ | true | false | null ) \s*+ , )  # [1, where a line begins
    """,
    re.VERBOSE,
)
"""Where JSON begins in prose. There `[1]` is a footnote, `[0, 1]` an interval, and `{}` a way of speaking."""
_NEXT_VALUE: Final = re.compile(r"\s*+,?\s*+(?=[\[{])")
_LEFT_OVER: Final = re.compile(r"""\s*+(?:[\]}:"]|,\s*+[^\s`~])""")
_CLOSING: Final = re.compile(r"\s*+[\]}]")
_MEMBER_NAME: Final = re.compile(r"""["']\s*:\s*\Z""")

_SIGN: Final = re.compile(r"""[\[\]{}"'\u201c/\#]""")
"""One set of signs and no alternatives: the search for it is some ten times as fast."""
_COMMENT: Final = re.compile(r"//[^\n]*+|(?<=[\s,{\[])\#[ ][^\n]*+|/\*")
_PAIR: Final = {"{": "}", "[": "]"}
_STRING_SIGN: Final = {
    '"': re.compile(r'\\.|"', re.DOTALL),
    "'": re.compile(r"\\.|'", re.DOTALL),
    "\u201c": re.compile(r'\\.|[\u201d"]', re.DOTALL),
}
_PLAIN_STRING: Final = re.compile(r'"[^"\\]*+"(?=[,:\]}])')
_GOES_ON: Final = re.compile(r"\s*+(?:[,:\]}]|//|/\*|\#[ ]|\Z)")


class Unsound(Exception):
    """There is something, but it cannot be taken. The text is the reason, for people."""


class Place(Enum):
    """How a candidate stands in its text."""

    FIRST = "first"
    FENCED = "fenced"
    IN_PROSE = "in prose"


class Kind(Enum):
    """What a part of a region is."""

    BRACKET = "bracket"
    STRING = "string"
    COMMENT = "comment"
    BARE = "bare"


class Part(NamedTuple):
    """A part of a region: a bracket, a string with its marks, a comment, or whatever stands between those."""

    kind: Kind
    text: str


class Region(NamedTuple):
    """A balanced piece of text that should be a JSON object or array.

    Attributes:
        text: From bracket to bracket.
        parts: The same text in parts, in order.
        place: How it stands in the whole text.
    """

    text: str
    parts: tuple[Part, ...]
    place: Place

    @property
    def bare(self) -> str:
        """What stands outside of its brackets, strings and comments."""
        return " ".join(part.text for part in self.parts if part.kind is Kind.BARE)


def without_reasoning(text: str) -> str:
    """The text without reasoning tags, and what is between them, at its beginning.

    Raises:
        Unsound: If the reasoning never ends.
    """
    while found := _REASONING.match(text):
        if found[2] is None:
            raise Unsound(f"cut off: <{found[1]}> never ends")
        text = text[found.end() :]
    lone = _LONE_END.match(text)
    return text[lone.end() :] if lone else text


def candidates(text: str) -> list[Region]:
    """The pieces of a text that should be JSON, in their order; none when there is no JSON in it.

    JSON in fences is preferred to JSON in prose, since the fence is the model's own mark; but when the text begins with
    JSON, everything counts.

    Raises:
        Unsound: If JSON begins and does not end, goes on after its end, has no beginning, or is nested too deeply.
    """
    found: list[Region] = []
    end = unclosed = 0
    anchor = _ANCHOR.match(text)
    start = (anchor.end(), Place.FIRST) if anchor else _next(text, 0)
    while start:
        at, place = start
        unclosed += _opened(text[end:at])
        region, end = _region(text, at, place)
        found.append(region)
        following = _NEXT_VALUE.match(text, end) if place is not Place.IN_PROSE else None
        if following:
            start = (following.end(), place)
            continue
        if (_CLOSING if place is Place.IN_PROSE else _LEFT_OVER).match(text, end):
            raise Unsound("the brackets close before the JSON ends: it is broken, or its beginning is missing")
        if place is Place.IN_PROSE and (unclosed > 0 or _MEMBER_NAME.search(text[max(0, at - 50) : at])):
            raise Unsound("a piece of some JSON without its beginning")
        close = _FENCE_END.search(text, end) if place is Place.FENCED else None
        start = _next(text, close.end() if close else end)
    if found and found[-1].place is Place.IN_PROSE and unclosed + _opened(text[end:]) < 0:
        raise Unsound("a bracket behind the JSON was never opened: a piece of some JSON without its beginning")
    fenced = [region for region in found if region.place is Place.FENCED]
    return fenced if fenced and found[0].place is not Place.FIRST else found


def _opened(prose: str) -> int:
    """How many more brackets are opened than closed; JSON behind them may be a part of something larger."""
    return prose.count("[") + prose.count("{") - prose.count("]") - prose.count("}")


def _next(text: str, pos: int) -> tuple[int, Place] | None:
    """Where the next candidate behind `pos` begins, and how it stands."""
    fence, prose = _FENCE.search(text, pos), _IN_PROSE.search(text, pos)
    if fence and (not prose or fence.start() < prose.end()):
        return fence.end(), Place.FENCED
    return (prose.end() - 1, Place.IN_PROSE) if prose else None


def _region(text: str, at: int, place: Place) -> tuple[Region, int]:
    """The balanced piece that begins at `at`, and where it ends.

    Raises:
        Unsound: If it does not end, or is nested too deeply.
    """
    expected: list[str] = []
    parts: list[Part] = []
    pos = done = at
    while sign := _SIGN.search(text, pos):
        mark, begin, pos = sign[0], sign.start(), sign.end()
        kind = Kind.BRACKET
        if mark == "'" and not _may_begin(text, begin):
            continue
        if mark in {"/", "#"}:
            comment = _COMMENT.match(text, begin)
            if not comment:
                continue
            mark, pos = comment[0], comment.end()
        if mark in _PAIR:
            expected.append(_PAIR[mark])
            if len(expected) > MOST_DEPTH:
                raise Unsound(f"nested more than {MOST_DEPTH} deep")
        elif mark in {"}", "]"}:
            if expected.pop() != mark:
                break
        elif mark in _STRING_SIGN:
            kind, pos = Kind.STRING, _string_end(text, pos, _STRING_SIGN[mark])
        else:
            kind, pos = Kind.COMMENT, text.find("*/", pos) + 2 if mark == "/*" else pos
        if pos <= begin:
            break
        if text[done:begin].strip():
            parts.append(Part(Kind.BARE, text[done:begin]))
        parts.append(Part(kind, text[begin:pos]))
        done = pos
        if not expected:
            return Region(text[at:pos], tuple(parts), place), pos
    raise Unsound("brackets or quotation marks stay open: cut off or broken")


def _may_begin(text: str, at: int) -> bool:
    """Whether a single quotation mark here begins a string; elsewhere it is an apostrophe."""
    before = at - 1
    while text[before].isspace():
        before -= 1
    return text[before] in "{[,:"


def _string_end(text: str, pos: int, sign: re.Pattern[str]) -> int:
    """Where the string that began before `pos` ends; -1 when it does not."""
    if plain := _PLAIN_STRING.match(text, pos - 1):
        return plain.end()
    for found in sign.finditer(text, pos):
        if found[0][0] != "\\" and _GOES_ON.match(text, found.end()):
            return found.end()
    return -1
