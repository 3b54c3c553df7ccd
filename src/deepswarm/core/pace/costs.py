"""What a call will cost in tokens, before it is sent: a line through what earlier calls of the same task cost."""

from __future__ import annotations

from typing import Final

from deepswarm.core.pace import Cost

BYTES_PER_TOKEN: Final = 4.0
"""Before anything is known. Source: the rule of thumb of platform.openai.com/tokenizer, for English."""
GUESSED_OUT: Final = 500.0
"""Tokens of an answer before any is known."""


class Costs:
    """Learns from served calls how tokens of a prompt depend on the size of its seed, and how long answers are.

    Args:
        beside: Bytes of a prompt that do not come from the seed.
        most_out: Most tokens of an answer; None when it is not bounded.
    """

    __slots__ = ("_beside", "_count", "_in", "_in_size", "_most_out", "_out", "_size", "_size2")

    def __init__(self, beside: int = 0, most_out: int | None = None) -> None:
        self._beside, self._most_out = beside, most_out
        self._count = 0
        self._in = self._out = self._size = self._size2 = self._in_size = 0.0

    def saw(self, size: int, tokens_in: int | None, tokens_out: int | None) -> None:
        """A call for a seed of so many bytes was served; nothing is learnt when its tokens are not known."""
        if tokens_in is None or tokens_out is None:
            return
        self._count += 1
        self._in += tokens_in
        self._out += tokens_out
        self._size += size
        self._size2 += size * size
        self._in_size += tokens_in * size

    def cost(self, size: int) -> Cost:
        """What a call for a seed of so many bytes is expected to cost."""
        most = None if self._most_out is None else float(self._most_out)
        count = self._count
        if not count:
            tokens_out = GUESSED_OUT if most is None else min(GUESSED_OUT, most)
            return Cost((self._beside + size) / BYTES_PER_TOKEN, tokens_out, most)
        spread = self._size2 - self._size * self._size / count
        slope = 1.0 / BYTES_PER_TOKEN
        if spread > 1e-9 * self._size2:
            slope = min(1.0, max(0.0, (self._in_size - self._in * self._size / count) / spread))
        tokens_in = (self._in + slope * (count * size - self._size)) / count
        return Cost(max(1.0, tokens_in), self._out / count, most)
