"""Chance without state: each draw is a hash of (seed of the provider, request, attempt, purpose).

So a draw depends neither on the order in which requests arrive nor on which other draws were made.
"""

from __future__ import annotations

import math
from hashlib import blake2b, shake_128

_STEP = 2.0**-52
_TURN = 2.0 * math.pi


class Draws:
    """The draws of one attempt at one request. A purpose is a name; the same one always gives the same draw."""

    __slots__ = ("_root",)

    def __init__(self, seed: int, request: bytes, attempt: int) -> None:
        self._root = blake2b(b"%d %d " % (seed, attempt) + request, digest_size=16)

    def uniform(self, purpose: bytes) -> float:
        """A float in (0, 1), evenly; neither 0 nor 1 ever comes."""
        return _unit(int.from_bytes(self.seed_of(purpose)[:8], "big"))

    def below(self, bound: int, purpose: bytes) -> int:
        """A whole number, 0 <= n < bound, evenly (but for a bias below bound / 2**128)."""
        return int.from_bytes(self.seed_of(purpose), "big") % bound

    def lognormal(self, median: float, sigma: float, purpose: bytes) -> float:
        """`median` * exp(`sigma` * z) with z from the standard normal distribution (Box-Muller)."""
        if not sigma or not median:
            return median
        digest = self.seed_of(purpose)
        radius = math.sqrt(-2.0 * math.log(_unit(int.from_bytes(digest[:8], "big"))))
        return median * math.exp(sigma * radius * math.cos(_TURN * _unit(int.from_bytes(digest[8:], "big"))))

    def octets(self, count: int, purpose: bytes) -> bytes:
        """`count` bytes, each evenly from 0 to 255."""
        return shake_128(self.seed_of(purpose)).digest(count)

    def seed_of(self, purpose: bytes) -> bytes:
        """16 bytes, evenly: what all other draws of this purpose are made of."""
        root = self._root.copy()
        root.update(purpose)
        return root.digest()


def _unit(number: int) -> float:
    """A 64-bit number as a float strictly between 0 and 1: its upper 52 bits, and a half."""
    return ((number >> 12) + 0.5) * _STEP
