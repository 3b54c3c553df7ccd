"""The room of transports: what carries a request to a provider and its reply back.

A transport has no opinion: it sends once, never follows a redirect, never retries, and turns its library's errors into
the house's. To add one, write one file, list it in TABLE, and pass the suite in `testing/suites/transport.py`.
"""

from __future__ import annotations

from typing import Final, Protocol

from deepswarm.core.records import HttpReply, HttpRequest

TABLE: Final = {
    "http": "deepswarm.transports.http:HttpTransport",
    "simulated": "deepswarm.transports.simulated:SimulatedTransport",
}

REPLY_BYTES: Final = 32 * 1024 * 1024
"""Largest reply that is read, after decompression. Real replies with long reasoning stay below 12 MB."""


class Transport(Protocol):
    """What sends."""

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpReply:
        """Send one request and read its whole reply.

        Args:
            request: What to send.
            timeout_s: Most seconds from connecting to the last byte.

        Raises:
            TimedOut: The deadline passed.
            Disconnected: There was no connection, or it broke.
            TooLarge: The reply is longer than REPLY_BYTES.
        """

    async def close(self) -> None:
        """Let go of all connections."""
