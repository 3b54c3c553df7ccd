"""The room of dialects: how one family of APIs writes a call and a reply. Pure: values in, bytes out, and back.

A dialect turns the provider's words into data, so that no decision ever has to read text. To add one, write one file
with the functions of `Dialect`, list it in TABLE, and pass the suite in `testing/suites/dialect.py`.

    a call  ─ encode ─▶ HttpRequest
    bytes   ─ sse.py ─▶ events ─ assembling.py, messages_stream.py ─▶ the body of a whole reply
    a reply ─ decode ─▶ Reply, or the class of `core/errors.py` that the failure catalogue gives it:
                        answers.py judges an answer, refusals.py an error, hints.py how long to wait

Most providers speak OpenAI's chat completions with small differences: those are a `ChatDialect` (chat.py) each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from deepswarm.core.address import is_at, speaks_messages
from deepswarm.core.records import Assembler, Call, HttpReply, HttpRequest, Reply

TABLE: Final = {
    "openai_chat": "deepswarm.dialects.openai_chat",
    "deepseek": "deepswarm.dialects.deepseek:DEEPSEEK",
    "openrouter": "deepswarm.dialects.openrouter:OPENROUTER",
    "vllm": "deepswarm.dialects.vllm:VLLM",
    "anthropic": "deepswarm.dialects.anthropic:ANTHROPIC",
}


def dialect_for(base_url: str) -> str:
    """The name in TABLE of the dialect that is spoken at an address; openai_chat where nothing else is known.

    Raises:
        ValueError: If it cannot be read as an address.
    """
    host = urlsplit(base_url.strip()).hostname or ""
    if speaks_messages(base_url):
        return "anthropic"
    if is_at(host, "api.deepseek.com"):
        return "deepseek"
    return "openrouter" if is_at(host, "openrouter.ai") else "openai_chat"


class Balance(NamedTuple):
    """What is left on an account. `enough` is the provider's own word that calls can be made."""

    amount: float
    currency: str
    enough: bool


class Dialect(Protocol):
    """A module, or an object, with these functions."""

    def encode(self, call: Call, url: str) -> HttpRequest:
        """The request for a call, without the key."""

    def decode(self, reply: HttpReply) -> Reply:
        """The reply that the bytes hold; the whole one, or what an assembler made of a streamed one.

        Raises:
            CallError: If they hold none; the class says what to do next.
        """

    def assembler(self) -> Assembler:
        """What puts a streamed reply together; a new one for each."""

    def continues(self, call: Call) -> bool:
        """Whether the reply to this call goes on with its last message, when that is an assistant's."""

    def address(self, base: str) -> str:
        """Where calls go: the task's `worker_api_base`, completed."""

    def authorization(self, secret: str) -> Mapping[str, str]:
        """The headers that carry the key."""

    def balance_request(self, url: str) -> HttpRequest | None:
        """What asks for the account's balance; None where the provider does not tell."""

    def balance(self, reply: HttpReply) -> Balance | None:
        """The balance in a reply; None when there is none."""
