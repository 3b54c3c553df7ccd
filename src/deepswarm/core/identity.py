"""What makes two seeds, or two tasks, the same.

A seed is its given id; without one it is its content, and equal contents are told apart by their number in the file.
Never its position, never the text of its prompt: a hundred equal prompts are a hundred seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from deepswarm.core.jsontext import canonical
from deepswarm.core.records import Json

_NOTHING: Final = blake2b(digest_size=16)
"""A copy of it costs half of what a new one does."""


def content_of(fields: Mapping[str, Json]) -> bytes:
    """Hash of a seed's fields, 16 bytes; the order of names and white space in the file do not matter."""
    content = _NOTHING.copy()
    content.update(canonical(fields))
    return content.digest()


def given_id(fields: Mapping[str, Json]) -> str | None:
    """The seed's own id, None when it has none. The id 7 and the id "7" are the same.

    Raises:
        ValueError: If it has one that cannot be an id.
    """
    if "id" not in fields:
        return None
    given = fields["id"]
    if type(given) is str and given and not given.isspace():
        if not given.isascii():
            _refuse_lone_surrogates(given)
        return given
    if type(given) is int:
        return str(given)
    raise ValueError(f"the id must be a text that is not empty, or a whole number, not {_shown(given)}")


def content_key(content: bytes, occurrence: int) -> str:
    """The key of a seed without an id; `occurrence` counts equal contents in file order, from 1."""
    return f"c-{content.hex()}-{occurrence}"


def fingerprint(asked: Mapping[str, Json]) -> str:
    """What makes two tasks ask the same: 16 hexadecimal digits over everything that changes what is asked."""
    return blake2b(canonical(asked), digest_size=8).hexdigest()


def _refuse_lone_surrogates(given: str) -> None:
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueError("the id holds half a character (a lone surrogate), which no file can keep") from None


def _shown(given: Json) -> str:
    if given is None or isinstance(given, bool):
        return {None: "null", True: "true", False: "false"}[given]
    if isinstance(given, str):
        return "empty text"
    return f"the number {given}" if isinstance(given, float) else "a list" if isinstance(given, list) else "an object"
