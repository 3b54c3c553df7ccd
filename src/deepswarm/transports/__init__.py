"""The room of transports: what carries a request to a provider and its reply back.

A transport has no opinion: it sends once, never follows a redirect, never retries, and turns its library's errors into
the house's. To add one, write one file, list it in TABLE, and pass the suite in `testing/suites/transport.py`.
"""

from __future__ import annotations

from typing import Final, Protocol

from deepswarm.core.records import Assembler, Deadlines, HttpReply, HttpRequest, Watch

TABLE: Final = {
    "http": "deepswarm.transports.http:HttpTransport",
    "simulated": "deepswarm.transports.simulated:SimulatedTransport",
}

REPLY_BYTES: Final = 32 * 1024 * 1024
"""Largest reply that is read, after decompression. Real replies with long reasoning stay below 12 MB."""
STREAM_BYTES: Final = 8 * REPLY_BYTES
"""Most bytes of a stream on the wire: its frames are several times as long as what they carry."""


class Transport(Protocol):
    """What sends."""

    async def send(
        self,
        request: HttpRequest,
        deadlines: Deadlines,
        assembler: Assembler | None = None,
        watch: Watch | None = None,
    ) -> HttpReply:
        """Send one request and read its whole reply. Whoever cancels this, or a deadline, closes the connection.

        Args:
            request: What to send.
            deadlines: Most seconds of each phase.
            assembler: Takes the pieces of a streamed reply, as long as its status is 200 and its content type is
                text/event-stream; any other reply is read whole. It then also makes the body that is returned.
            watch: Is told of the call's signs of life, before its end. A reply that comes whole at once may give none.

        Raises:
            TimedOut: A deadline passed. Its body is what had come until then.
            Unreachable: There was no connection, or nothing of the request can have been read.
            Disconnected: The connection broke before the reply began.
            Cut: The reply broke off. Its body is what had come until then.
            Looping: The assembler has had enough.
            TooLarge: The reply is longer than REPLY_BYTES, compressed or not; for a stream that holds for what its
                pieces amount to, and STREAM_BYTES for its frames.
        """

    def streamed(self) -> int:
        """Bytes of streamed replies that have come so far, of all calls together; those under way are in it."""

    async def close(self) -> None:
        """Let go of all connections."""
