"""Text <-> JSON values: the fast library first, the standard one for what that cannot do.

The fast one refuses lone surrogates, refuses to write integers beyond 64 bits, reads them as rounded floats without a
word, and writes NaN as null. Models and seeds produce all of these, so:
    - integers keep every digit, and lone surrogates go through as escapes;
    - NaN and Infinity are not JSON: they are refused in both directions, as are numbers too large for a float;
    - of a name that stands twice in an object the last one counts;
    - nesting that is too deep (some hundred levels) is a ValueError.

Cost beyond the fast library: about 1 us for a flat object of 700 bytes, either way (CPython 3.11, November 2026).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn

import orjson

from deepswarm.core.records import Json


class NotJson(ValueError):
    """A text that is not JSON.

    Attributes:
        what: What is wrong, without the place.
        line: From 1; 0 when unknown.
        column: In characters, from 1; 0 when unknown.
    """

    def __init__(self, what: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{what} (line {line}, column {column})" if line else what)
        self.what = what
        self.line = line
        self.column = column


# --- reading ---------------------------------------------------------------------------------------------------------


_DIGITS: Final = bytes(ord("0") if chr(byte) in "-0123456789" else byte for byte in range(256))
_LONG: Final = b"0" * 20
"""19 digits and a sign, or 20 digits: the shortest integers that may need more than 64 bits."""
_LONG_INTEGER: Final = re.compile(rb"(?<![0-9.])-?[0-9]{19,}+(?![0-9.eE])")
_ROUNDED: Final = float(1 << 63)
"""Integers that became floats are not smaller than this."""
_SHORT: Final = 16
"""Longest list within an object whose members are looked at one by one."""

_WORDS: Final[Mapping[str, str]] = {
    "Expecting value": "a value is missing here, or is not JSON",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing here",
    "Expecting ':' delimiter": "a ':' is missing here",
    "Expecting ',' delimiter": "a ',' is missing here",
    "Illegal trailing comma": "there is a ',' too many here",  # from Python 3.13 on
    "Unterminated string": "the text that begins here has no closing quote",
    "Invalid control character": "a control character must be written as an escape, such as \\n",
    "Invalid \\escape": "there is no such escape",
    "Invalid \\uXXXX": "\\u needs four hexadecimal digits",
    "Extra data": "the JSON value has ended before here, and something follows it",
}
"""How the standard library's messages begin (Lib/json/decoder.py and Modules/_json.c of CPython 3.11), in our words."""


def loads(text: bytes | str, most_depth: int | None = None) -> Json:
    """The value of a JSON text.

    Args:
        text: Bytes are UTF-8; a byte order mark at the beginning is passed over (RFC 8259, 8.1).
        most_depth: How many lists and objects may stand within one another, the outermost included; None leaves it to
            the libraries, which stop at some hundred.

    Raises:
        NotJson: (A ValueError) if it is not JSON; says line and column where they are known.
    """
    try:
        value: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _loads_slowly(text)
    else:
        if _is_plain(value):
            return value
        if _has_long_integer(text):
            value = _loads_slowly(text)
    if most_depth is not None and _is_deeper(value, most_depth):
        raise NotJson(f"it is nested deeper than {most_depth} levels")
    return value


def _is_plain(value: Json) -> bool:
    """True for most seeds and records, at less than the cost of looking through their text.

    They are objects of texts and small numbers, with short lists and objects of the same in them.
    """
    if type(value) is not dict:
        return type(value) is str
    for inner in value.values():
        kind = type(inner)
        if kind is str or kind is int:
            continue
        if kind is list or kind is dict:
            if len(inner) > _SHORT or not all(map(_is_small, _members(inner))):  # type: ignore[arg-type]
                return False
        elif not _is_small(inner):
            return False
    return True


def _is_small(value: Json) -> bool:
    kind = type(value)
    if kind is float:
        return -_ROUNDED < value < _ROUNDED  # type: ignore[operator]
    return kind is not list and kind is not dict


def _is_deeper(value: Json, most_depth: int) -> bool:
    level: list[dict[str, Json] | list[Json]] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most_depth):
        if not level:
            return False
        level = [inner for outer in level for inner in _members(outer) if isinstance(inner, (dict, list))]
    return bool(level)


def _members(value: dict[str, Json] | list[Json]) -> Iterable[Json]:
    return value.values() if isinstance(value, dict) else value


def _has_long_integer(text: bytes | str) -> bool:
    raw = text if isinstance(text, bytes) else text.encode()
    return _LONG in raw.translate(_DIGITS) and _LONG_INTEGER.search(raw) is not None


def loads_message(text: bytes | str) -> Json:
    """As `loads`, for what providers send around an answer, in a third of the time.

    Integers beyond 64 bits, which have no meaning there, may come back as rounded floats.

    Raises:
        NotJson: As `loads`.
    """
    try:
        value: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _loads_slowly(text)
    return value


fast_loads: Final[Callable[[bytes], Any]] = orjson.loads
"""The fast library itself, for whoever reads thousands of small texts and asks `loads_message` about those it refuses.

Raises ValueError, also for texts with lone surrogates, which are JSON.
"""


def _loads_slowly(text: bytes | str) -> Json:
    """The value, or the place of the mistake."""
    decoded = (text if isinstance(text, str) else _decoded(text)).removeprefix("\ufeff")
    if not decoded.strip(" \t\r\n"):
        raise NotJson("it is empty")
    try:
        value: Json = _SLOW.decode(decoded)
    except json.JSONDecodeError as error:
        what = next((ours for theirs, ours in _WORDS.items() if error.msg.startswith(theirs)), error.msg)
        raise NotJson(what, error.lineno, error.colno) from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except NotJson:
        raise
    except ValueError:  # CPython converts no more digits than sys.get_int_max_str_digits()
        raise NotJson("it holds a whole number of more than 4,300 digits") from None
    return value


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = len(text[: error.start].rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        raise NotJson(f"it is not UTF-8: byte 0x{text[error.start]:02x}", line, column) from None


def _refuse(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON; unknown values are written as null")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise NotJson(f"the number {digits[:40]} is too large")
    return value


_SLOW: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


# --- writing ---------------------------------------------------------------------------------------------------------


_PLAIN_ONLY: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_SORTED: Final = _PLAIN_ONLY | orjson.OPT_SORT_KEYS
_BREAKS: Final = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def dumps(value: Any) -> bytes:
    """Compact UTF-8; lone surrogates as escapes.

    Two surrogates in a row that make up a character are, once written, that character.

    Raises:
        ValueError: If it holds NaN or Infinity, or is nested too deeply.
        TypeError: If it holds what is not a JSON value.
    """
    try:
        text = orjson.dumps(value, option=_PLAIN_ONLY)
    except TypeError:
        return _dumps_slowly(value, sort=False)
    if b"null" in text:
        _refuse_unreal(value)
    return text


def canonical(value: Any) -> bytes:
    """The one text of a value, for hashing: compact, names sorted by code point, numbers as Python writes them.

    Hashes of it are kept, so it must be the same in every version: it is what the standard library writes, and where
    the fast one writes something else (1e-7 for 1e-07, in some versions 1e16 for 1e+16) it is not asked. 1 and 1.0 are
    different values.

    Raises:
        ValueError: As `dumps`.
        TypeError: As `dumps`.
    """
    if not _holds_odd_floats(value):
        try:
            return orjson.dumps(value, option=_SORTED)
        except TypeError:
            pass
    return _dumps_slowly(value, sort=True)


def _holds_odd_floats(value: Any) -> bool:
    """Whether a float is in it that Python writes with an exponent, or that is NaN or infinite."""
    left: list[Any] = [(value,)]
    while left:
        here = left.pop()
        for inner in here.values() if isinstance(here, dict) else here:
            kind = type(inner)
            if kind is str or kind is int:
                continue
            if kind is float:
                if inner and not 1e-4 <= abs(inner) < 1e16:
                    return True
            elif kind is dict or kind is list or kind is tuple:
                left.append(inner)
    return False


def dumps_line(value: Any) -> bytes:
    """As `dumps`, as one line of a file."""
    return one_line(dumps(value))


def dumps_around(value: dict[str, Any], name: str, text: bytes) -> bytes:
    """The object with the JSON text `text` as its member `name`, which must be there; the text goes in unread."""
    value[name] = orjson.Fragment(text)
    try:
        return orjson.dumps(value)
    except TypeError:
        return dumps({**value, name: loads(text)})


def one_line(text: bytes) -> bytes:
    """JSON text as one line, with its end: nothing in it that any reader takes for the end of a line."""
    # The search for a single byte is some twenty times as fast as one for two: most texts end it here.
    if (b"\xe2" in text and b"\xe2\x80" in text) or (b"\xc2" in text and b"\xc2\x85" in text):
        for raw, escape in _BREAKS:
            text = text.replace(raw, escape)
    if b"\r" in text or b"\n" in text:  # within JSON they stand only between values
        text = text.replace(b"\r", b" ").replace(b"\n", b" ")
    return text + b"\n"


def _dumps_slowly(value: Any, *, sort: bool) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _refuse_odd_names(value)
    return text.encode("utf-8", "backslashreplace")  # the same escape as JSON's


def _refuse_odd_names(value: Any) -> None:
    """The standard library writes a name that is a number as text, and so changes it."""
    left = [value]
    while left:
        here = left.pop()
        if isinstance(here, dict):
            if not all(isinstance(name, str) for name in here):
                raise TypeError("the names in a JSON object must be text")
            left.extend(here.values())
        elif isinstance(here, (list, tuple)):
            left.extend(here)


_REAL: Final = frozenset({str, int, bool, type(None)})


def _refuse_unreal(value: Any) -> None:
    """The fast library writes NaN and Infinity as null, and so loses that there was something."""
    left: list[Iterable[Any]] = [(value,)]
    while left:
        for here in left.pop():
            kind = type(here)
            if kind in _REAL:
                continue
            if kind is float:
                if not math.isfinite(here):
                    raise ValueError(f"{here} is not JSON")
            elif kind is dict:
                inner = here.values()
                if not _REAL.issuperset(map(type, inner)):
                    left.append(inner)
            elif kind is list or kind is tuple:
                if not _REAL.issuperset(map(type, here)):
                    left.append(here)
            elif isinstance(here, dict):
                left.append(here.values())
            elif isinstance(here, (float, list, tuple)):
                left.append([float(here)] if isinstance(here, float) else here)
