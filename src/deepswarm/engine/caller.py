"""One call: encode, send, decode. What it cost and how it ended comes back as a fact for the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deepswarm.core.errors import CallError
from deepswarm.core.events import CallEnded
from deepswarm.core.records import Call, Deadlines, Reply
from deepswarm.dialects import Dialect
from deepswarm.engine.clock import Clock
from deepswarm.transports import Transport

KEPT_BYTES = 64 * 1024
"""Most bytes that the journal keeps of a reply that could not be used."""


class Called(NamedTuple):
    """How a call ended: for the journal, and for the decision. `result` is the reply or the error."""

    ended: CallEnded
    result: Reply | CallError


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls one endpoint. Retrying is not its business."""

    dialect: Dialect
    transport: Transport
    url: str
    deadlines: Deadlines
    clock: Clock

    async def call(self, call: Call, number: int, seed: int) -> Called:
        """Send one call and wait for its end; an error is a result, not an exception.

        Args:
            call: What is asked.
            number: The call's number in the journal.
            seed: The seed's number.
        """
        try:
            raw = await self.transport.send(self.dialect.encode(call, self.url), self.deadlines)
            reply = self.dialect.decode(raw)
        except CallError as error:
            return Called(self._failed(number, seed, error), error)
        utc, at = self.clock.now()
        ended = CallEnded(
            utc,
            at,
            number,
            seed,
            "ok",
            "",
            raw.status,
            reply.finish_reason,
            reply.model,
            reply.usage,
            False,
            reply.request_id,
            raw.body,
        )
        return Called(ended, reply)

    def _failed(self, number: int, seed: int, error: CallError) -> CallEnded:
        utc, at = self.clock.now()
        return CallEnded(
            utc,
            at,
            number,
            seed,
            error.label,
            str(error),
            error.status,
            usage=error.usage,
            maybe_billed=error.maybe_billed,
            request_id=error.request_id,
            body=error.body[:KEPT_BYTES],
        )
