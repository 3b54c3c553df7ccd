"""The prefix cache: which prompts, and which shared beginnings of prompts, the provider has stored. Pure.

By whole messages. As DeepSeek tells it, a stored unit is hit only as a whole: (1) each prompt becomes a unit when it
has been read, so that a conversation's next turn hits it; (2) a beginning that several requests share becomes one when
that is noticed. With `after = 2`: of A+B, A+C, A+D the second makes A a unit, and the third is the first to hit it.
With `after = 1` every beginning is stored at once, as other providers do.

Source: api-docs.deepseek.com/guides/kv_cache (November 2026). Not modelled: units at fixed distances inside one long
message. A `user_id` has a cache of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

from deepswarm.core import jsontext
from deepswarm.simulator.asked import Asked
from deepswarm.simulator.limitlaw import CacheLaw

_CHARACTERS_PER_TOKEN = 4


class Prefix(NamedTuple):
    """One beginning of a prompt: its hash, and its tokens."""

    key: bytes
    tokens: int


class PrefixCache:
    """The stored units and the beginnings that were seen. Times are seconds."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, _Unit] = OrderedDict()

    def __repr__(self) -> str:
        return f"PrefixCache({len(self._seen)} beginnings)"

    def look_up(self, law: CacheLaw, prefixes: list[Prefix], t: float) -> int:
        """Tokens of the longest stored unit that the prompt begins with, as far as the law counts them."""
        for key, tokens in reversed(prefixes):
            unit = self._seen.get(key)
            if unit is None or not unit.stored or (law.ttl_s is not None and t - unit.used > law.ttl_s):
                continue
            self._seen[key] = unit._replace(used=t)
            self._seen.move_to_end(key)
            hit = tokens // law.unit_tokens * law.unit_tokens
            return hit if hit >= law.least_tokens else 0
        return 0

    def learn(self, law: CacheLaw, prefixes: list[Prefix], t: float) -> None:
        """A prompt has been read: remember its beginnings, and store those that are units now."""
        for place, (key, _) in enumerate(prefixes, start=1):
            before = self._seen.get(key)
            if before is not None and law.ttl_s is not None and t - before.used > law.ttl_s:
                before = None
            times = 1 if before is None else before.times + 1
            stored = place == len(prefixes) or times >= law.after or (before is not None and before.stored)
            self._seen[key] = _Unit(times, stored, t)
            self._seen.move_to_end(key)
        while len(self._seen) > law.most_units:
            self._seen.popitem(last=False)


class _Unit(NamedTuple):
    """How often a beginning was read, whether it is stored, and when it was last used."""

    times: int
    stored: bool
    used: float


def prefixes_of(asked: Asked) -> list[Prefix]:
    """The beginnings of a prompt: after each of its messages, and the whole prompt as the last.

    Tokens are estimated as the prompt's own are, and never more than those.
    """
    body = asked.body
    chain = blake2b(jsontext.dumps([asked.model, body.get("user_id"), body.get("system")]), digest_size=16)
    size = len(str(body.get("system") or ""))
    prefixes = []
    for message in asked.messages:
        chain.update(jsontext.dumps(message))
        size += len(str(message.get("content") or ""))
        prefixes.append(Prefix(chain.copy().digest(), min(asked.tokens_in, size // _CHARACTERS_PER_TOKEN)))
    return prefixes
