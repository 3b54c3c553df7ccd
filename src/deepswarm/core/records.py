"""The things that travel through the house: frozen, without behaviour beyond their own arithmetic.

What is made for every call or seed is a named tuple, which takes a fraction of a dataclass's time to make.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias

from deepswarm.core.pace import Quota

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
"""A JSON value as Python holds it."""


class Seed(NamedTuple):
    """One input item.

    A named tuple and not a dataclass: one is made for every seed of a file, also of a file of ten million.

    Attributes:
        fields: What the template can use, by name. A plain line of text is {"seed": line}.
        place: Byte offset of the seed's line in its file; -1 when the source has no lines to point at.
        size: Length of that line in bytes, without its end; 0 when place is -1.
        line: Where to point in error messages: line (or record) number, from 1.
    """

    fields: dict[str, Json]
    place: int = -1
    size: int = 0
    line: int = 0


class SeedState(IntEnum):
    """The folded state of a seed. LEFT also covers what is under way: a call in flight changes no seed."""

    LEFT = 0
    DONE = 1
    REJECTED = 2
    FAILED = 3
    GONE = 4


class SeedRow(NamedTuple):
    """A seed as the journal knows it.

    Attributes:
        number: The journal's own number of the seed, from 1, for ever the same.
        key: The seed key: the given id, or the content's hash and occurrence number.
        content: Hash of the content (16 bytes), which tells a changed seed from the same one.
        place: Byte offset in the seeds file or in the journal's spool.
        size: Length in bytes.
        order: Place in the file's order, from 0.
        sample: Which answer of several to the same seed, from 0.
    """

    number: int
    key: str
    content: bytes
    place: int
    size: int
    order: int
    sample: int = 0


class Incoming(NamedTuple):
    """A seed as the seeds file shows it, on its way into the journal.

    `key` is None for seeds without an id: the journal gives them their content's hash and occurrence number.
    """

    key: str | None
    content: bytes
    place: int
    size: int
    line: int


NO_PARAMS: Mapping[str, Json] = MappingProxyType({})


class Message(NamedTuple):
    """One message of a conversation.

    Attributes:
        role: system, user, assistant or tool.
        content: Its text.
        more: Its other fields, as received: reasoning_content, tool_calls, tool_call_id, name, ...
    """

    role: str
    content: str
    more: Mapping[str, Json] = NO_PARAMS


class Call(NamedTuple):
    """What is asked of a model, before any dialect has encoded it.

    Attributes:
        model: Name of the model as the provider knows it.
        messages: In order.
        max_tokens: Most tokens of the answer; None leaves it to the provider.
        params: Further parameters of the request body, passed through as given; they win over what a dialect writes.
        thinking: off, low, high, max, or default: whatever the provider does when nothing is said.
        stream: Whether the reply is to come in pieces.
        tools: What the model may call, as OpenAI's chat completions write it.

    When the last message is an assistant's, the reply goes on with it (where the dialect `continues`).
    """

    model: str
    messages: Sequence[Message]
    max_tokens: int | None = None
    params: Mapping[str, Json] = NO_PARAMS
    thinking: str = "default"
    stream: bool = False
    tools: Sequence[Mapping[str, Json]] = ()


class Deadlines(NamedTuple):
    """Most seconds of a call's phases; keep-alive bytes reset none of them. `math.inf` is no deadline.

    Attributes:
        total_s: The whole attempt, from the first byte sent; for a reply that comes whole the only one of the three.
        first_s: Until the first piece of content (of thinking, too) of a streamed reply.
        stall_s: Between two pieces of content of a streamed reply.
        connect_s: Until there is a connection.
    """

    total_s: float = math.inf
    first_s: float = math.inf
    stall_s: float = math.inf
    connect_s: float = 15.0


class HttpRequest(NamedTuple):
    """What a transport sends: an address, headers without the key, and a body; `method` is POST or GET."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


class HttpReply(NamedTuple):
    """What a transport brings back.

    Attributes:
        status: HTTP status.
        headers: Names are in lower case.
        body: As received; of a streamed reply, what its pieces amount to, in the form of a whole reply.
        first_s: Seconds from sending to the first piece of content; None when the reply came whole.
        size: Bytes of a streamed reply as they came; 0 for one that came whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_s: float | None = None
    size: int = 0


class Assembler(Protocol):
    """Puts the pieces of one streamed reply together. Pure: bytes in, what they amount to out."""

    def feed(self, data: bytes) -> bool:
        """Take the next bytes, split anywhere.

        Returns:
            Whether content came with them, of the answer or of its thinking; keep-alives, comments, roles, usage and
            empty pieces are none.

        Raises:
            Looping: The text repeats itself, or is nothing but whitespace: reading on is of no use.
        """

    @property
    def done(self) -> bool:
        """Whether the stream has said that it is at its end: what follows need not be waited for."""

    def body(self) -> bytes:
        """What came until now, as the body of a whole reply of the same dialect; never raises.

        A stream that broke off has no finish reason there; one that brought an error has that error.
        """


class Watch(Protocol):
    """Hears of a call's first signs of life, each at most once and in this order, while a transport carries it."""

    def taken(self, headers: Mapping[str, str]) -> None:
        """The head of a good reply (200) has come.

        Args:
            headers: Of a stream, names in lower case; those of a reply that comes whole are in the reply.
        """

    def begun(self) -> None:
        """The first content of a streamed reply has come."""


class Usage(NamedTuple):
    """Tokens of a call as the provider reported them; None is unknown, which is not 0.

    `tokens_in` counts all input tokens, `cached` those of them that came from the provider's prefix cache;
    `tokens_out` counts all output tokens, `reasoning` those of them that were spent on thinking.
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int | None = None
    reasoning: int | None = None


NO_USAGE = Usage()


class Reply(NamedTuple):
    """A decoded, complete answer to a call.

    Attributes:
        text: The answer's text.
        reasoning: The thinking that came with it; empty when there was none.
        finish_reason: As the provider named it.
        model: The model that answered, as the provider named it; empty when it did not say.
        usage: Tokens.
        request_id: The provider's id, empty when unknown.
        quotas: What its headers say of the account's limits.
        message: The assistant's message as received, without role and content.
    """

    text: str
    finish_reason: str
    model: str
    usage: Usage
    reasoning: str = ""
    request_id: str = ""
    quotas: tuple[Quota, ...] = ()
    message: Mapping[str, Json] = NO_PARAMS


class Outcome(StrEnum):
    """How a seed ended."""

    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"


STATE_OF = {Outcome.DONE: SeedState.DONE, Outcome.REJECTED: SeedState.REJECTED, Outcome.FAILED: SeedState.FAILED}


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over the whole journal, kept folded so that no command has to read a million rows.

    left + done + rejected + failed = seeds; `gone` are seeds that disappeared from the file and count no more.
    """

    seeds: int = 0
    left: int = 0
    done: int = 0
    rejected: int = 0
    failed: int = 0
    gone: int = 0
    calls: int = 0
    maybe_billed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    last_event: int = 0


# --- judgements of filters -------------------------------------------------------------------------------------------

Record: TypeAlias = dict[str, Json]
"""One exported line, see `core/ledger.py::record_of` for its fields."""


class Keep(NamedTuple):
    """The record stays as it is."""


class Amend(NamedTuple):
    """The record stays, changed; `notes` says what was done, for the record's provenance."""

    record: Record
    notes: tuple[str, ...]


class Drop(NamedTuple):
    """The record goes to the errors file, with this reason."""

    reason: str


Verdict: TypeAlias = Keep | Amend | Drop
