r"""The mistakes in JSON that have one reading, set right without a loss and without a guess.

    {'a': True, b: "he said "hi"", /* so */ }    becomes    {"a": true, "b": "he said \"hi\""}

Whatever else is wrong is left to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from deepswarm.core.jsontext import loads
from deepswarm.filters.candidates import Kind, Part

_WORDS: Final = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
_WORD: Final = re.compile(r"[A-Za-z_$][\w$]*+")
_NAME_GOES_ON: Final = re.compile(r"\s*+:")
_TO_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)|[\"\x00-\x1f]", re.DOTALL)
_LAST_COMMA: Final = re.compile(r",\s*+\Z")

COMMA: Final = "repaired: a comma too many"
COMMENT: Final = "repaired: comments"
LITERAL: Final = "repaired: Python's True, False or None"
NAME: Final = "repaired: names without quotation marks"
QUOTES: Final = "repaired: quotation marks"
CONTROL: Final = "repaired: line breaks or tabs within text"


class _Unknown(Exception):
    """There is a mistake of another kind."""


def mended(parts: Sequence[Part]) -> tuple[str, list[str]] | None:
    """The text with these mistakes set right, and which they were; None when there is a mistake of another kind.

    Even then it need not be JSON: whoever asks reads it strictly.
    """
    notes: dict[str, None] = {}
    text: list[str] = []
    try:
        for part in parts:
            if part.kind is Kind.COMMENT:
                notes[COMMENT] = None
                text.append(" ")
            elif part.kind is Kind.STRING:
                text.append(_string(part.text, notes))
            elif part.kind is Kind.BARE:
                text.append("".join(_bare(part.text, notes)))
            else:
                if part.text in {"}", "]"}:
                    _drop_comma(text, notes)
                text.append(part.text)
    except _Unknown:
        return None
    return "".join(text), list(notes)


def _drop_comma(text: list[str], notes: dict[str, None]) -> None:
    """Take away a comma before a closing bracket, also when a comment stands between them."""
    last = next((place for place in range(len(text) - 1, -1, -1) if text[place].strip()), 0)
    shorter = _LAST_COMMA.sub("", text[last])
    if shorter != text[last]:
        notes[COMMA] = None
        text[last] = shorter


def _string(string: str, notes: dict[str, None]) -> str:
    inner = string[1:-1]
    if string[0] == string[-1] == '"':
        try:
            loads(string)
        except ValueError:
            pass
        else:
            return string
    else:
        notes[QUOTES] = None

    def escaped(found: re.Match[str]) -> str:
        if found[1] is not None:
            if found[1] == "'":
                return "'"
            if found[1] in '"\\/bfnrt' or len(found[1]) == 5:
                return found[0]
            raise _Unknown
        notes[QUOTES if found[0] == '"' else CONTROL] = None
        return '\\"' if found[0] == '"' else f"\\u{ord(found[0]):04x}"

    return f'"{_TO_ESCAPE.sub(escaped, inner)}"'


def _bare(text: str, notes: dict[str, None]) -> Iterator[str]:
    """What stands between strings and brackets: words are names or literals, all else stays."""
    pos = 0
    for word in _WORD.finditer(text):
        if word.start() and (text[word.start() - 1].isalnum() or text[word.start() - 1] in ".+-"):
            continue  # the exponent of a number
        yield text[pos : word.start()]
        pos = word.end()
        if _NAME_GOES_ON.match(text, pos):
            notes[NAME] = None
            yield f'"{word[0]}"'
        elif word[0] in _WORDS:
            if _WORDS[word[0]] != word[0]:
                notes[LITERAL] = None
            yield _WORDS[word[0]]
        else:
            raise _Unknown
    yield text[pos:]
