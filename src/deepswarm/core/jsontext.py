"""Text <-> JSON values: the fast library first, the standard one for what that refuses.

The fast one refuses integers beyond 64 bits and lone surrogates, which models and seeds do produce; nothing of that may
be lost. NaN and Infinity are not JSON and are refused by both.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from deepswarm.core.records import Json

MOST_DEPTH = 200
"""Deepest nesting that the slow path reads; the fast one has a limit of its own, about 1,000."""

_BREAKS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def loads(text: bytes | str) -> Json:
    """The value of a JSON text.

    Raises:
        ValueError: If it is not JSON; the message names line and column where they are known.
    """
    try:
        value: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _loads_slowly(text)
    return value


def _loads_slowly(text: bytes | str) -> Json:
    try:
        value: Json = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def dumps(value: Any) -> bytes:
    """Compact UTF-8; lone surrogates become escapes."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def dumps_around(value: dict[str, Any], name: str, text: bytes) -> bytes:
    """The object with the JSON text `text` as its member `name`, which must be there; the text goes in unread."""
    value[name] = orjson.Fragment(text)
    try:
        return orjson.dumps(value)
    except TypeError:
        return dumps({**value, name: loads(text)})


def one_line(text: bytes) -> bytes:
    """JSON text as a line: U+2028, U+2029 and U+0085, at which some readers break lines, are escaped."""
    # The search for a single byte is some twenty times as fast as one for two: most texts end it here.
    if (b"\xe2" in text and b"\xe2\x80" in text) or (b"\xc2" in text and b"\xc2\x85" in text):
        for raw, escape in _BREAKS:
            text = text.replace(raw, escape)
    return text + b"\n"


def canonical(value: Any) -> bytes:
    """The one text of a value: compact, keys sorted."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False).encode(
            "ascii"
        )
