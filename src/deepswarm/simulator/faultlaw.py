"""What can go wrong with an admitted request, and the keys that say so in a law file. Data only."""

# ruff: noqa: RUF009 - the functions of lawfile.py that stand as defaults make dataclass fields
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from deepswarm.simulator.lawfile import choice, names, number, rate, text, whole, wholes


class FaultKind(StrEnum):
    """What can go wrong with an admitted request.

    `STATUS` answers with an error; `HANG` never answers; `DISCONNECT` closes without an answer; `CUT` closes in the
    middle of the body; `EMPTY` is a 200 without content; `GARBLED` a 200 whose bytes are no answer; `LENGTH` and
    `CONTENT_FILTER` end the answer early and say so; `HUGE` answers with far too much.
    """

    STATUS = "status"
    HANG = "hang"
    DISCONNECT = "disconnect"
    CUT = "cut"
    EMPTY = "empty"
    GARBLED = "garbled"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    HUGE = "huge"


class BodyKind(StrEnum):
    """What a faulty reply's body looks like."""

    JSON = "json"
    HTML = "html"
    EMPTY = "empty"


_OWN_KEYS: Final = {
    "status": {FaultKind.STATUS},
    "message": {FaultKind.STATUS},
    "code": {FaultKind.STATUS},
    "retry_after_s": {FaultKind.STATUS},
    "body": {FaultKind.STATUS, FaultKind.GARBLED},
    "size_bytes": {FaultKind.HUGE},
}
"""Keys of a fault that only some kinds have."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, how often, and for whom. The module's docstring explains each key."""

    kind: FaultKind = choice(FaultKind)
    rate: float = rate(1.0)
    seeds: frozenset[str] = names()
    attempts: frozenset[int] = wholes()
    after_s: float | None = number(None)
    status: int = whole(0, low=400, high=599)
    body: BodyKind = choice(BodyKind, BodyKind.JSON)
    message: str = text("")
    code: str = text("")
    retry_after_s: float | None = number(None)
    size_bytes: int = whole(0, low=1)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        for name, kinds in _OWN_KEYS.items():
            if self.kind not in kinds and getattr(self, name) != _FAULT_DEFAULTS[name]:
                yield name, f"means nothing for the kind '{self.kind}'"
        if self.kind is FaultKind.STATUS and not self.status:
            yield "", "the kind 'status' needs the key 'status'"
        if self.kind is FaultKind.HUGE and not self.size_bytes:
            yield "", "the kind 'huge' needs the key 'size_bytes'"


_FAULT_DEFAULTS: Final = {name: getattr(Fault(FaultKind.HANG), name) for name in _OWN_KEYS}
