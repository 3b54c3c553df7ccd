"""The simulated provider inside the process: no bytes travel, time is the running loop's, real or virtual."""

from __future__ import annotations

import asyncio

from deepswarm.core.errors import Cut as CutOff
from deepswarm.core.errors import Disconnected, TimedOut, TooLarge
from deepswarm.core.records import Assembler, Deadlines, HttpReply, HttpRequest
from deepswarm.simulator.behaviour import Answer, Cut, Deed
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.transports import REPLY_BYTES


class SimulatedTransport:
    """Delivers what one provider decides; several transports may share a provider."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self.provider = provider

    def __repr__(self) -> str:
        return f"SimulatedTransport({self.provider!r})"

    async def send(self, request: HttpRequest, deadlines: Deadlines, assembler: Assembler | None = None) -> HttpReply:
        """See `Transport.send`. Being cancelled counts as a client that has left."""
        del assembler
        timeout_s = deadlines.total_s
        clock = asyncio.get_running_loop().time
        ticket = self.provider.receive(request, clock())
        client_gone = True
        try:
            await asyncio.sleep(min(ticket.after_s, timeout_s))
            client_gone = ticket.after_s > timeout_s
        finally:
            self.provider.release(ticket, clock(), client_gone=client_gone)
        if client_gone:
            raise TimedOut(f"no whole reply within {timeout_s:g} s", phase="total", maybe_billed=True)
        return _delivered(ticket.deed)

    async def close(self) -> None:
        """See `Transport.close`: there is nothing to let go of."""


def _delivered(deed: Deed) -> HttpReply:
    """The reply, or the error that a real transport would raise."""
    if isinstance(deed, Cut):
        whole = len(deed.reply.body)
        raise CutOff(f"the connection broke after {deed.sent:,} of {whole:,} bytes", maybe_billed=True)
    if not isinstance(deed, Answer):
        raise Disconnected("the connection broke before the reply", maybe_billed=True)
    size = len(deed.reply.body)
    if size > REPLY_BYTES:
        raise TooLarge(f"a reply of {size:,} bytes; reading stops at {REPLY_BYTES:,}", maybe_billed=True)
    return deed.reply
