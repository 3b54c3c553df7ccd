r"""The mistakes in JSON that have one reading, set right without a loss and without a guess.

    {'a': True, b: "he said "hi"" /* so */ "c": .5,}    becomes    {"a": true, "b": "he said \"hi\"", "c": 0.5}

A text is a row of signs (brackets, commas, colons) and values (texts, numbers, literals). Signs may be added or taken
away only where JSON allows nothing else: a comma between two values, a comma before a closing bracket. Values may
change their way of writing, never what they say. Whatever else is wrong is refused, so what comes out holds every value
that went in, in the same order: `kept_whole` proves it for each text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from deepswarm.core.jsontext import loads
from deepswarm.core.records import Json
from deepswarm.filters.candidates import Kind, Part, Unsound

_SIGNS: Final = frozenset("{}[]:")
_BETWEEN: Final = frozenset({",", ":"})
_WORDS: Final = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
_TOKEN: Final = re.compile(r"\s*+(?:([,:])|([^\s,:]++))")
_NAME: Final = re.compile(r"[A-Za-z_$][\w$]*+\Z")
_NUMBER: Final = re.compile(r"([-+]?)(\.?\d[\d.eE+-]*+)\Z")
_NO_NUMBER: Final = re.compile(r"[+-]?(?:NaN|nan|Infinity|inf|undefined)\Z")
_ELIDED: Final = re.compile(r"\.\.\.|\u2026")
_ELIDING: Final = re.compile(
    r"\.\.\.|\u2026|\b(?:and so on|abbreviat|continue|etc|for brevity|more|omit|other|remain|rest|same as|similar|snip"
    r"|truncat)",
    re.IGNORECASE,
)
"""Comments that stand for values."""

_TO_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)|[\"\x00-\x1f]", re.DOTALL)
_UNKNOWN_ESCAPE: Final = re.compile(r"(?<!\\)(?:\\\\)*+\\[^\"\\/bfnrtu']", re.DOTALL)
_NO_TEXT_ESCAPE: Final = re.compile(r"(?<!\\)(?:\\\\)*+\\(?:u(?![0-9A-Fa-f]{4})|x[0-9A-Fa-f]{2}|[0-7])")
_TWO_READINGS: Final = re.compile(
    r"""
      (?<!\\)(?:\\\\)*+ \\ (?:
          n (?: abla|atural|earrow|e|eg|eq|exists|geq|i|leq|mid|ot|otin|u|warrow ) (?![a-z])
        | r (?: angle|brace|brack|ceil|floor|ho|ight\w*|m|ef|vert ) (?![a-z])
        | t (?: an|anh|au|ext\w*|frac|herefore|heta|ilde|imes|o|op|riangle\w*|fence ) (?![a-z])
      )
    | [\w:\\] \\ [nrt] [a-z]     # C:\new, or a line that ends within a sentence
    """,
    re.VERBOSE,
)
r"""Where other backslashes were not doubled, `\nu` is a letter of Greek or the beginning of a line."""
_LETTER_AFTER: Final = re.compile(r"\\(?=[bf][A-Za-z])|(\\.)", re.DOTALL)

_INNER: Final = {
    '"': re.compile(r'\\.|(")', re.DOTALL),
    "'": re.compile(r"\\.|((?<![^\W_])'|'(?![^\W_]))", re.DOTALL),  # not the apostrophe between two letters
    "\u201c": re.compile(r"\\.|([\u201c\u201d\"])", re.DOTALL),
}
_LIKE_A_BEGINNING: Final = re.compile(r"[,:\[{]\s*+\Z")
_AFTER_AN_END: Final = frozenset("[]{}:,")
_ASIDE: Final = 60
"""How many characters before a quotation mark are looked at."""

COMMA: Final = "repaired: a comma too many"
NO_COMMA: Final = "repaired: a comma was missing"
COMMENT: Final = "repaired: comments"
LITERAL: Final = "repaired: Python's True, False or None"
NAME: Final = "repaired: names without quotation marks"
NUMBER: Final = "repaired: numbers that began with a sign or a point"
QUOTES: Final = "repaired: quotation marks"
SPACE: Final = "repaired: white space that JSON does not know"
CONTROL: Final = "repaired: line breaks or tabs within text"
ESCAPE: Final = "repaired: backslashes that were not doubled"


def mended(parts: Sequence[Part]) -> tuple[Json, list[str]]:
    """The value of a text in parts, and the mistakes that were set right in it.

    Raises:
        Unsound: If there is a mistake of another kind; the text names it.
    """
    notes: dict[str, None] = {}
    tokens = list(_with_commas(list(_tokens(parts, notes)), notes))
    try:
        value = loads("".join(tokens))
    except ValueError as error:
        raise Unsound(f"broken JSON with more than one reading: {getattr(error, 'what', error)}") from error
    if not kept_whole(value, tokens):
        raise Unsound("a name stands twice in one object: one of its values would be lost")
    return value, list(notes) or [SPACE]


def kept_whole(value: Json, tokens: Sequence[str]) -> bool:
    """Whether a value says all that its tokens say, in the same order."""
    wanted = [each if each in _SIGNS else loads(each) for each in tokens if each != ","]
    said = list(_said(value))
    return said == wanted and list(map(type, said)) == list(map(type, wanted))


def _said(value: Json) -> Iterator[Json]:
    """A value's signs and scalars, without commas."""
    if isinstance(value, dict):
        yield "{"
        for name, inner in value.items():
            yield name
            yield ":"
            yield from _said(inner)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for inner in value:
            yield from _said(inner)
        yield "]"
    else:
        yield value


# --- signs and values ------------------------------------------------------------------------------------------------


def _tokens(parts: Sequence[Part], notes: dict[str, None]) -> Iterator[str]:
    for part in parts:
        if part.kind is Kind.BRACKET:
            yield part.text
        elif part.kind is Kind.STRING:
            yield from _strings(part.text, notes)
        elif part.kind is Kind.BARE:
            yield from _bare(part.text, notes)
        elif _ELIDING.search(part.text):
            raise Unsound("the model left something out and wrote a comment in its place")
        else:
            notes[COMMENT] = None


def _with_commas(tokens: Sequence[str], notes: dict[str, None]) -> Iterator[str]:
    """The tokens with the commas that must be there, and without those that must not."""
    for place, sign in enumerate(tokens):
        before = tokens[place - 1] if place else "["
        after = tokens[place + 1] if place + 1 < len(tokens) else "]"
        if sign == ",":
            if before in ",[{:" or after in ",:":
                raise Unsound("a value is missing before or after a comma")
            if after in "]}":
                notes[COMMA] = None
                continue
        elif before not in ",:[{" and sign not in ":]}":
            notes[NO_COMMA] = None
            yield ","
        yield sign


def _bare(text: str, notes: dict[str, None]) -> Iterator[str]:
    """What stands between strings and brackets: signs, numbers, literals, and names without quotation marks."""
    if (alone := text.strip()) in _BETWEEN:
        yield alone
        return
    found = list(_TOKEN.finditer(text))
    for place, token in enumerate(found):
        sign, word = token[1], token[2]
        if sign:
            yield sign
        elif place + 1 < len(found) and found[place + 1][1] == ":" and _NAME.match(word):
            notes[NAME] = None
            yield f'"{word}"'
        else:
            yield _scalar(word, notes)


def _scalar(word: str, notes: dict[str, None]) -> str:
    if word in _WORDS:
        if _WORDS[word] != word:
            notes[LITERAL] = None
        return _WORDS[word]
    if _ELIDED.search(word):
        raise Unsound("the model left something out and wrote '...' in its place")
    if _NO_NUMBER.match(word):
        raise Unsound(f"{word} is not JSON")
    number = _NUMBER.match(word)
    if not number:
        raise Unsound(f"a value without quotation marks: {word[:40]}")
    sign, digits = number.groups()
    spelt = f"{'-' if sign == '-' else ''}{'0' if digits[0] == '.' else ''}{digits}"
    try:
        loads(spelt)
    except ValueError as error:
        raise Unsound(f"not a number of JSON: {word[:40]}") from error
    if spelt != word:
        notes[NUMBER] = None
    return spelt


# --- text ------------------------------------------------------------------------------------------------------------


def _strings(string: str, notes: dict[str, None]) -> Iterator[str]:
    """One string as JSON writes it; two where only the comma between them is missing."""
    if string[0] == string[-1] == '"':
        try:
            loads(string)
        except ValueError:
            pass
        else:
            yield string
            return
    for piece in _pieces(string):
        yield _string(piece, notes)


def _pieces(string: str) -> Iterator[str]:
    """The string, or the strings of which only white space stands between the end and the beginning.

    Raises:
        Unsound: If a quotation mark within may be the end of the text, or the beginning of another.
    """
    marks = [found.start() for found in _INNER[string[0]].finditer(string, 1, len(string) - 1) if found[1]]
    if len(marks) % 2:
        raise Unsound("a quotation mark is missing or too many")
    begin = 0
    for one, other in zip(marks[::2], marks[1::2], strict=True):
        between = string[one + 1 : other]
        if between.strip() == "+":
            raise Unsound("texts that are put together with +, as in a program, are not JSON")
        if between.isspace() and string[0] == '"':
            yield string[begin : one + 1]
            begin = other
        elif not (between and one > begin + 1 and _opens(string, one) and not string[other - 1].isspace()):
            raise Unsound("a quotation mark within text may be its end")
    yield string[begin:]


def _opens(string: str, at: int) -> bool:
    """Whether a quotation mark within text looks like the first of two, and not like the beginning of the next text."""
    if string[at - 1].isalnum() or string[at + 1].isspace() or string[at + 1] in _AFTER_AN_END:
        return False
    return not _LIKE_A_BEGINNING.search(string, max(0, at - _ASIDE), at)


def _string(string: str, notes: dict[str, None]) -> str:
    inner = string[1:-1]
    if string[0] != '"' or string[-1] != '"':
        notes[QUOTES] = None
    if _NO_TEXT_ESCAPE.search(inner):
        raise Unsound("an escape that JSON does not know")
    if _UNKNOWN_ESCAPE.search(inner):
        if _TWO_READINGS.search(inner):
            raise Unsound("backslashes that are not doubled, and one of them may begin a line or a name")
        inner = _LETTER_AFTER.sub(lambda found: found[1] or "\\\\", inner)

    def escaped(found: re.Match[str]) -> str:
        if found[1] is not None:
            if found[1] == "'":
                notes[QUOTES] = None
                return "'"
            if found[1] in '"\\/bfnrt' or len(found[1]) == 5:
                return found[0]
            notes[ESCAPE] = None
            return f"\\\\{_inside(found[1])}"
        notes[QUOTES if found[0] == '"' else CONTROL] = None
        return '\\"' if found[0] == '"' else f"\\u{ord(found[0]):04x}"

    return f'"{_TO_ESCAPE.sub(escaped, inner)}"'


def _inside(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if letter < " " else letter
