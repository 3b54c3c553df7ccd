"""Whether the provider wants earlier thinking back: learnt once for a whole run, by one call.

While it is not known whether the policy is right, one conversation goes ahead with its thinking, and all others that
would send some wait for what becomes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from deepswarm.core.reasoning import AUTO, first_policy, holds_thinking, other, sent
from deepswarm.core.records import Message

MOST_FLIPS: Final = 2
"""How often a provider may change its mind before its refusals are the seeds' own."""


class Contract:
    """The policy of a run, and what is known of it."""

    def __init__(self, wish: str, dialect: str, say: Callable[[str], None]) -> None:
        """`wish`: auto, echo or strip. `dialect`: its name. `say`: shows a line to people."""
        self.policy = first_policy(wish, dialect)
        self._fixed, self._say = wish != AUTO, say
        self._proven = self._fixed
        self._ahead: int | None = None
        self._flips = 0
        self._known = asyncio.Event()

    def __repr__(self) -> str:
        return f"Contract({self.policy}, proven={self._proven}, flips={self._flips})"

    async def may_send(self, seed: int, messages: Sequence[Message]) -> None:
        """Wait until a call with these messages need not be the second one to find out."""
        while not self._proven and holds_thinking(messages):
            if self._ahead in {None, seed}:
                self._ahead = seed
                return
            await self._known.wait()

    def sent(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages as they are sent under the policy of now."""
        return sent(messages, self.policy)

    def served(self, seed: int) -> None:
        """A call of this seed was answered: if it went ahead, the policy is right."""
        if seed == self._ahead:
            self._proven = True
            self._let_go()

    def refused(self, seed: int, policy: str) -> bool:
        """The provider wants it the other way round than a call of this seed with this policy had it.

        Returns:
            Whether the call may be sent again, under the policy of now.
        """
        if self._fixed or self._flips >= MOST_FLIPS:
            return False
        if policy == self.policy:
            self._flips += 1
            self._proven, self._ahead = False, seed
            self.policy = other(policy)
            words = "is sent back" if self.policy == "echo" else "is no longer sent back"
            self._say(f"the provider's refusal says so: earlier thinking {words} from now on")
        return True

    def ended(self, seed: int) -> None:
        """The seed has ended, or was left: if it went ahead, somebody else has to."""
        if seed == self._ahead:
            self._let_go()

    def _let_go(self) -> None:
        self._ahead = None
        self._known.set()
        self._known = asyncio.Event()
