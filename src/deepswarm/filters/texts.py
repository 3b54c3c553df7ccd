"""What filters read of a record: the text of a field, its words, and the shingles by which texts are compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from deepswarm.core.records import Json, Record

_WORD: Final = re.compile(r"\w+")
_TOKENS: Final = re.compile(r"([A-Za-z]+)|(\d+)|([^\W\d_]+)|\s*?(\n)|[ \t\r]+|(.)", re.DOTALL)
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Letters of scripts that put no space between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


def text_of(record: Record, field: str) -> str | None:
    """The text of a field; None when it holds none.

    Args:
        record: Any record.
        field: A field's name, or names with points between them that lead into objects, such as "seed.prompt".
    """
    value: Json = record
    for name in field.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value if isinstance(value, str) else None


def missing(field: str) -> str:
    """Why a record without this text is dropped."""
    return "there is no answer" if field == "answer" else f"there is no text in '{field}'"


def leaves(value: Json) -> Iterator[str]:
    """All texts within a value, without the names of fields, in their order."""
    pending = [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, Mapping):
            pending += reversed(list(inner.values()))
        elif isinstance(inner, list):
            pending += reversed(inner)


def words(text: str) -> list[str]:
    """The words of a text in lower case; each letter is one where the script has no spaces."""
    lower = text.lower()
    if not lower.isascii() and _UNSPACED.search(lower):
        lower = _UNSPACED.sub(r" \g<0> ", lower)
    return _WORD.findall(lower)


def shingles(text: str, size: int) -> set[str]:
    """All runs of `size` words; the whole text when it has fewer. Empty for a text without words."""
    found = words(text)
    if len(found) <= size:
        return {" ".join(found)} if found else set()
    return set(map(" ".join, zip(*(found[start:] for start in range(size)), strict=False)))


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: an estimate, since no model's own vocabulary is at hand offline.

    A word of Latin letters counts one token for every six letters begun, digits one for every three, a letter of
    another script one each for Chinese and its like and one for every two elsewhere, every other sign and line break
    one. English prose comes to about 0.75 words for a token.

    Source: OpenAI, "What are tokens and how to count them" (a token is about 3/4 of an English word), checked 2026-11.
    """
    count = 0
    for found in _TOKENS.finditer(text):
        latin, digits, other, line, sign = found.groups()
        if latin:
            count += -(-len(latin) // 6)
        elif digits:
            count += -(-len(digits) // 3)
        elif other:
            unspaced = len(_UNSPACED.findall(other))
            count += unspaced + -(-(len(other) - unspaced) // 2)
        elif line or sign:
            count += 1
    return count
