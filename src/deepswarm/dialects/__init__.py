"""The room of dialects: how one family of APIs writes a call and a reply. Pure: values in, bytes out, and back.

A dialect turns the provider's words into data, so that no decision ever has to read text. To add one, write one file
with the two functions of `Dialect`, list it in TABLE, and pass the suite in `testing/suites/dialect.py`.
"""

from __future__ import annotations

from typing import Final, Protocol

from deepswarm.core.records import Call, HttpReply, HttpRequest, Reply

TABLE: Final = {
    "openai_chat": "deepswarm.dialects.openai_chat",
}


class Dialect(Protocol):
    """A module, or an object, with these two functions."""

    def encode(self, call: Call, url: str) -> HttpRequest:
        """The request for a call, without the key."""

    def decode(self, reply: HttpReply) -> Reply:
        """The reply that the bytes hold.

        Raises:
            CallError: If they hold none; the class says what to do next.
        """
