"""What a step needs from outside, asked for one thing at a time.

A step is pure: it cannot call a function or a model itself. It asks its `Hearing`, which gives what was heard already,
in order, and breaks the step off (`Needed`) when something was not heard yet; the engine gets it, and the same reply is
stepped again.
"""

from __future__ import annotations

from collections.abc import Mapping

from deepswarm.core.records import NO_PARAMS, Json, Message
from deepswarm.core.turns import Consult, Heard, Run


class Needed(Exception):
    """The step cannot go on before this was done."""

    def __init__(self, step: Consult | Run) -> None:
        """Keep what is needed."""
        super().__init__(step)
        self.step = step


class Hearing:
    """What was heard about one reply."""

    def __init__(self, heard: tuple[Heard, ...]) -> None:
        """Begin with the first."""
        self._heard = iter(heard)

    def run(self, function: str, arguments: tuple[Json, ...] = (), named: Mapping[str, Json] = NO_PARAMS) -> Heard:
        """What a Python function gave.

        Raises:
            Needed: If it was not called yet.
        """
        return self._next(Run(function, arguments, named))

    def consult(self, tier: int, messages: tuple[Message, ...], purpose: str) -> Heard:
        """What another model said.

        Raises:
            Needed: If it was not asked yet.
        """
        return self._next(Consult(tier, messages, purpose))

    def _next(self, step: Consult | Run) -> Heard:
        heard = next(self._heard, None)
        if heard is None:
            raise Needed(step)
        return heard
