"""The room of paces: when the next call may leave, and how many may be under way. Pure arithmetic over facts and `now`.

    fact ─ observe ─▶ Pace ─ admit ─▶ Go | WaitUntil
                        ├─ limit    calls under way that it allows now
                        ├─ reason   what binds, in words with its evidence
                        └─ memory   what it learnt, for the next run

There is one pace for each endpoint, account and model. It never waits, never reads a clock and never draws: whoever
drives it tells it every fact as it happens and asks before every call. Times are seconds on one monotonic clock.
To add a pace, write one file, list it in TABLE, and pass the suite in `testing/suites/pace.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias


class Limited(StrEnum):
    """What a limit counts, as a refusal names it; UNKNOWN where it does not."""

    CONCURRENCY = "concurrency"
    REQUESTS = "requests"
    TOKENS = "tokens"
    UNKNOWN = "unknown"


class Quota(NamedTuple):
    """What a reply's headers say of one limit. None is unknown.

    Attributes:
        of: requests, tokens, input_tokens, output_tokens or concurrency.
        limit: Most in a period.
        remaining: Left of it.
        resets_s: Seconds until it is whole again, from the moment of the reply.
        period_s: Length of the period where the header's name or the provider's papers say it.
    """

    of: str
    limit: float | None = None
    remaining: float | None = None
    resets_s: float | None = None
    period_s: float | None = None


class Cost(NamedTuple):
    """What a call is expected to take of the limits: tokens in, tokens out, and most tokens out where it is bounded."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0
    most_out: float | None = None


class Sent(NamedTuple):
    """A call leaves now."""

    call: int
    cost: Cost


class Taken(NamedTuple):
    """The provider has taken a call on: the head of a good reply, or a sign of life within it, has come.

    `quotas` is what that head says; a stream's head is as old as the call is new.
    """

    call: int
    quotas: tuple[Quota, ...] = ()


class Begun(NamedTuple):
    """The first content of a streamed reply has come."""

    call: int


class Flowed(NamedTuple):
    """Output tokens that have come in streams since the last such fact, of all calls together."""

    tokens: float


class Refused(NamedTuple):
    """A call was refused because of a limit.

    Attributes:
        call: Which one.
        of: The kind of limit, as status, headers and body name it.
        retry_after_s: Seconds that the provider asks to wait; None when it does not say.
        cap: Most calls at once, as the provider states it.
        quotas: What its headers say.
    """

    call: int
    of: Limited = Limited.UNKNOWN
    retry_after_s: float | None = None
    cap: int | None = None
    quotas: tuple[Quota, ...] = ()


class Served(NamedTuple):
    """A call was answered. `tokens_in` and `tokens_out` are None when the provider did not say."""

    call: int
    tokens_in: float | None = None
    tokens_out: float | None = None
    quotas: tuple[Quota, ...] = ()


class Failed(NamedTuple):
    """A call ended otherwise; `storm`: by the server's fault (5xx, overload, no connection, a deadline)."""

    call: int
    storm: bool


class Unsent(NamedTuple):
    """A call that was admitted did not leave."""

    call: int


Fact: TypeAlias = Sent | Taken | Begun | Flowed | Refused | Served | Failed | Unsent


class Go(NamedTuple):
    """The call may leave now. `probe` says that it is the only one until something is heard."""

    probe: bool = False


class WaitUntil(NamedTuple):
    """No call may leave before this moment, or before another fact is observed; infinite when only a fact can tell."""

    at: float


class Reason(NamedTuple):
    """What binds now.

    Attributes:
        what: start, search, concurrency, requests, tokens, queue, plateau, cool-down, user or machine.
        words: One sentence for people, with its evidence: "held at 212 calls: refused at 213 (14 s ago)".
    """

    what: str
    words: str


class Memory(NamedTuple):
    """What a pace has learnt. None is not known.

    Attributes:
        calls: Calls under way that it allowed.
        requests_per_s: Rate of calls that it held, tokens_per_s: and of tokens.
        first_token_s: The usual time to the first token of an idle provider.
        refusal_s: The slowest refusal that it saw, in seconds.
        moving: Whether the limits were seen to move.
    """

    calls: float
    requests_per_s: float | None = None
    tokens_per_s: float | None = None
    first_token_s: float | None = None
    refusal_s: float | None = None
    moving: bool = False


class Pace(Protocol):
    """What admits calls. A call is admitted, then `Sent` (or `Unsent`) is observed before the next question."""

    def observe(self, fact: Fact, now: float) -> None:
        """Take note of what happened. Facts of calls that it does not know change nothing."""

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        """Whether a call of this cost may leave now. Asking changes nothing that a later answer depends on."""

    @property
    def limit(self) -> int:
        """Calls under way that it allows now, 1 or more."""

    @property
    def reason(self) -> Reason:
        """What binds now."""

    def memory(self) -> Memory:
        """What it has learnt."""
