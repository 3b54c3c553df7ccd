"""Secrets out of what comes back: a server that echoes a key must not get it into a journal, a report or a message.

What is short is left alone: a word that is also a key of a local server ("none", "test") stands in good answers, too.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from deepswarm.core.errors import CallError

SHORTEST: Final = 8
"""Fewest characters of a secret that is looked for."""
STARS: Final = b"***"


class Scrubber:
    """Replaces secrets, however they are spelt: as they are, JSON-escaped, URL-encoded, or within base64."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Make the spellings; what is shorter than SHORTEST has none."""
        found = {form for secret in secrets if len(secret) >= SHORTEST for form in _spellings(secret)}
        self._forms = tuple(sorted(found, key=lambda form: (-len(form), form)))

    def __repr__(self) -> str:
        return f"Scrubber({len(self._forms)} spellings)"

    def __call__(self, data: bytes) -> bytes:
        """The bytes with stars for every secret; the same object when there is none."""
        for form in self._forms:
            if form in data:
                data = data.replace(form, STARS)
        return data

    def text(self, text: str) -> str:
        """The text with stars for every secret."""
        return self(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def error(self, error: CallError) -> None:
        """Take secrets out of an error's message and body."""
        error.args = tuple(self.text(part) if isinstance(part, str) else part for part in error.args)
        error.body = self(error.body)


def _spellings(secret: str) -> Iterator[bytes]:
    raw = secret.encode("utf-8", "surrogatepass")
    yield raw
    for escaped in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        inner = escaped[1:-1]
        yield inner.encode("utf-8", "surrogatepass")
        yield inner.replace("/", "\\/").encode("utf-8", "surrogatepass")
    for quoted in (quote(raw, safe=""), quote(raw, safe="/")):
        yield quoted.encode()
        yield quoted.replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d").encode()
    for before in range(3):
        yield from _within_base64(raw, before)


def _within_base64(raw: bytes, before: int) -> Iterator[bytes]:
    """What a secret is in base64 with so many bytes before it (modulo 3): the letters that depend on it alone."""
    letters = b64encode(b"\0" * before + raw)
    first = (before * 8 + 5) // 6
    last = (before + len(raw)) * 8 // 6
    inner = letters[first:last]
    yield inner
    yield inner.replace(b"+", b"-").replace(b"/", b"_")
