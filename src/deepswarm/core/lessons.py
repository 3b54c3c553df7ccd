"""What the replies to some seeds teach about the calls for the others, so that nobody pays for it again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from deepswarm.core.asking import Change, changed
from deepswarm.core.errors import CallError, Starved
from deepswarm.core.records import Call, Message

OFTEN: Final = 5
"""Seeds whose thinking used up all the room, after which the others get more from the start."""


class Lessons:
    """What was learnt in this run. Only thinking that eats the room is so alike for all seeds that it teaches."""

    def __init__(self) -> None:
        self._counts: Counter[Change] = Counter()
        self._learnt: list[Change] = []

    def __repr__(self) -> str:
        return f"Lessons({[change.value for change in self._learnt]})"

    def learn(self, error: CallError, change: Change) -> bool:
        """Take note that a seed had to be asked otherwise; True when later seeds will be from the start."""
        if not isinstance(error, Starved):
            return False
        self._counts[change] += 1
        if self._counts[change] != OFTEN:
            return False
        self._learnt.append(change)
        return True

    def first(self, call: Call, messages: Sequence[Message]) -> Call:
        """The first call of a seed: what all have in common and its messages, as the seeds before it have taught."""
        call = Call(call.model, messages, call.max_tokens, call.params, call.thinking, call.stream, call.tools)
        for change in self._learnt:
            call = changed(call, change)
        return call
