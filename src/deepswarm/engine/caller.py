"""One call: encode, send, decode. What it cost and how it ended comes back as a fact for the journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from deepswarm.core.deadlines import Patience
from deepswarm.core.errors import CallError, Cut, Overloaded, TimedOut
from deepswarm.core.events import CallEnded
from deepswarm.core.records import Assembler, Call, Deadlines, HttpReply, HttpRequest, Reply, Watch
from deepswarm.dialects import Dialect
from deepswarm.engine.clock import Clock
from deepswarm.transports import Transport

KEPT_BYTES = 64 * 1024
"""Most bytes that the journal keeps of a reply that could not be used."""


class Called(NamedTuple):
    """How a call ended: for the journal, and for the decision.

    Attributes:
        ended: Its end.
        result: The reply or the error.
        seconds: How long it took.
        first_s: Seconds until its first content; None when it did not come in pieces.
        size: Bytes of it, when it came in pieces.
    """

    ended: CallEnded
    result: Reply | CallError
    seconds: float
    first_s: float | None = None
    size: int = 0


@dataclass(slots=True)
class Caller:
    """Calls one endpoint. Retrying is not its business.

    Attributes:
        greeted: Is given the first reply that is an answer; it cannot steer.
    """

    dialect: Dialect
    transport: Transport
    url: str
    patience: Patience
    clock: Clock
    greeted: Callable[[HttpReply], None] | None = None

    async def call(self, call: Call, number: int, seed: int, watch: Watch | None = None) -> Called:
        """Send one call and wait for its end; an error is a result, not an exception.

        Args:
            call: What is asked.
            number: The call's number in the journal.
            seed: The seed's number.
            watch: Hears of its signs of life.
        """
        dialect, patience = self.dialect, self.patience
        left = self.clock.monotonic()
        try:
            request = dialect.encode(call, self.url)
            assembler = dialect.assembler() if call.stream else None
            raw = await self._sent(request, patience.of(stream=call.stream), assembler, watch)
            reply = dialect.decode(raw)
        except CallError as raised:
            error = _judged(raised)
            ended = self._failed(number, seed, error)
            return Called(ended, error, ended.at - left)
        if self.greeted is not None:
            greeted, self.greeted = self.greeted, None
            greeted(raw)
        utc, at = self.clock.now()
        patience.saw(at - left, raw.first_s)
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
        return Called(ended, reply, at - left, raw.first_s, raw.size)

    async def _sent(
        self, request: HttpRequest, deadlines: Deadlines, assembler: Assembler | None, watch: Watch | None
    ) -> HttpReply:
        """What came back; also of a stream that broke off after its answer was whole: it is paid for and here."""
        try:
            return await self.transport.send(request, deadlines, assembler, watch)
        except (Cut, TimedOut) as error:
            if assembler is None or not error.body:
                raise
            broken = HttpReply(200, {}, error.body)
            try:
                self.dialect.decode(broken)
            except CallError:
                raise error from None
            return broken

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


def _judged(error: CallError) -> CallError:
    """The error, or what it really is: a reply of nothing but keep-alives that breaks off was never begun."""
    if isinstance(error, Cut) and error.body and not error.body.strip():
        return Overloaded("the provider kept the call waiting, then closed it", body=error.body, maybe_billed=True)
    return error
