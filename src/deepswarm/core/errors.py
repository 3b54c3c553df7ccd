"""The whole error tree.

    DeepSwarmError
    ├─ TaskFileError        the task or its seeds are wrong; lists every problem      exit 2
    ├─ CallError            a call did not give a usable reply
    │  ├─ Throttled         429 for a limit; retry_after_s, and the cap where the provider says it    CAPACITY
    │  ├─ Overloaded        503 529 498, "insufficient_system_resource", a queue that gave up         CAPACITY
    │  ├─ ServerFault       500 502 504 52x 408 409                                   BACK_OFF
    │  ├─ Unreachable       no connection, or a kept one that was already closed      NETWORK
    │  ├─ TimedOut          phase: connect (NETWORK) | first | stall | total          BACK_OFF
    │  ├─ Disconnected      reset or closed before a reply                            BACK_OFF
    │  ├─ Cut               the reply broke off: no end, no finish reason             BACK_OFF
    │  ├─ Garbled           the bytes are not a reply of this dialect                 BACK_OFF
    │  ├─ Empty             a reply without content                                   SEMANTIC
    │  ├─ Starved           thinking used up the room for tokens                      SEMANTIC
    │  ├─ Truncated         finish reason "length"                                    SEMANTIC
    │  ├─ Looping           the text repeats itself, or is nothing but whitespace     SEMANTIC
    │  ├─ Refused           the model itself refuses                                  SEMANTIC
    │  ├─ ReasoningOwed     400: earlier reasoning is missing, or must not be there   SEMANTIC
    │  ├─ TooLarge          the reply is longer than the cap                          FAIL_ROW
    │  ├─ Declined          the provider's filter refused the input or the answer     FAIL_ROW
    │  ├─ TooLong           the input does not fit the model's window                 FAIL_ROW
    │  ├─ BadRequest        400 413 422: this input can never work as sent            FAIL_ROW
    │  ├─ Cancelled         the user wants no answer for this seed                    FAIL_ROW
    │  ├─ NotAsked          the call was not made: no budget, no such tier, it was given up   FAIL_ROW
    │  ├─ NoSuchModel       404 410: model or address do not exist                    PAUSE
    │  ├─ Unauthorized      401 403                                                   PAUSE
    │  ├─ OutOfFunds        402, the account's money is gone                          PAUSE
    │  └─ QuotaSpent        a daily or monthly quota; retry_after_s where known       PAUSE
    ├─ JournalError
    │  ├─ JournalLocked     another process holds the run                             exit 75
    │  ├─ JournalMismatch   the task changed; says which keys                         exit 2
    │  ├─ JournalDamaged    says the last sound event                                 exit 65
    │  └─ DiskFull          nothing more can be made durable                          exit 75
    └─ DoorError            unknown name; suggests the nearest known one              exit 2

Every class carries data, not prose: no decision ever reads an error's text. `core/retry.py` and `core/health.py` are
the only readers of dispositions, `cli/` is the only reader of exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from deepswarm.core.pace import Limited, Quota
from deepswarm.core.records import NO_USAGE, Reply, Usage


class Disposition(Enum):
    """What an error asks for; the reactions of `docs/reference/failures.md`. A preflight makes a stop of PAUSE."""

    NETWORK = "network-now"
    BACK_OFF = "back-off"
    CAPACITY = "capacity"
    PAUSE = "pause-the-run"
    FAIL_ROW = "fail-the-row"
    SEMANTIC = "semantic-retry"


class DeepSwarmError(Exception):
    """Root of every error that the house raises on purpose. `exit_code` is what the command ends with."""

    exit_code: ClassVar[int] = 70


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a task file or with seeds, and where.

    Attributes:
        what: One sentence that says what is wrong.
        file: The file's name as the user gave it; empty when it is not about a file.
        line: From 1; 0 when unknown.
        column: From 1; 0 when unknown.
        source: The text of that line, for the caret below it; may be empty.
        hint: What to do next; may be empty.
    """

    what: str
    file: str = ""
    line: int = 0
    column: int = 0
    source: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)]) if self.file else ""
        lines = [f"{place}: {self.what}" if place else self.what]
        if self.source:
            lines.append(f"    {self.source.rstrip()}")
            if self.column:
                lines.append("    " + " " * (self.column - 1) + "^")
        if self.hint:
            lines.append(f"    hint: {self.hint}")
        return "\n".join(lines)


class TaskFileError(DeepSwarmError):
    """The task file or its seeds are wrong. Lists every problem at once; no call was made."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems, in the order of the file."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class CallError(DeepSwarmError):
    """A call did not give a usable reply.

    Args:
        what: For people: what happened, with the provider's own words where there are any.
        status: HTTP status, 0 when there was no response.
        retry_after_s: Seconds that the provider asks to wait, a floor; None when it did not say.
        request_id: The provider's id of the request, empty when unknown.
        maybe_billed: The request may have been served and charged although no reply is held.
        usage: Tokens that the provider reported for this call; failed calls cost money too.
        body: The reply's bytes as received, possibly cut; empty when there were none.
        cap: Most calls at once, as the provider states it; None when it does not.
        limited: What kind of limit refused it; None when it was not a limit. Refusals are waited out by the pace.
        quotas: What its headers say of the account's limits.
    """

    disposition: ClassVar[Disposition] = Disposition.BACK_OFF
    label: ClassVar[str] = "call"
    limit_by_itself: ClassVar[Limited | None] = None
    """What `limited` is when nobody says."""

    def __init__(
        self,
        what: str,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
        request_id: str = "",
        maybe_billed: bool = False,
        usage: Usage = NO_USAGE,
        body: bytes = b"",
        cap: int | None = None,
        limited: Limited | None = None,
        quotas: tuple[Quota, ...] = (),
    ) -> None:
        """Store the facts."""
        super().__init__(what)
        self.status = status
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.maybe_billed = maybe_billed
        self.usage = usage
        self.body = body
        self.cap = cap
        self.limited = self.limit_by_itself if limited is None else limited
        self.quotas = quotas

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r}, status={self.status}, retry_after_s={self.retry_after_s})"


# --- the provider cannot, or will not, serve this now ----------------------------------------------------------------


class Throttled(CallError):
    """The provider refused the call because of a limit. Waiting is not failing: it costs the seed nothing."""

    disposition = Disposition.CAPACITY
    label = "throttled"
    limit_by_itself = Limited.UNKNOWN


class Overloaded(CallError):
    """The provider has no capacity for the moment, whoever asks."""

    disposition = Disposition.CAPACITY
    label = "overloaded"


class ServerFault(CallError):
    """Something broke at the provider or on the way (5xx, a gateway's page)."""

    label = "server_fault"


class Unreachable(CallError):
    """There was no connection, or a kept one had been closed already: nothing can have been asked."""

    disposition = Disposition.NETWORK
    label = "unreachable"


class TimedOut(CallError):
    """A deadline passed.

    `phase` is connect, first (no content came), stall (content stopped coming) or total.
    """

    label = "timed_out"

    def __init__(self, what: str, *, phase: str, maybe_billed: bool = False, body: bytes = b"") -> None:
        """Store the phase in which the time ran out."""
        super().__init__(what, maybe_billed=maybe_billed, body=body)
        self.phase = phase


class Disconnected(CallError):
    """The connection was reset or closed after the request was sent and before a reply came."""

    label = "disconnected"


class Cut(CallError):
    """A reply that broke off: its end, or its finish reason, never came. Never delivered as whole."""

    label = "cut"


class Garbled(CallError):
    """A success by status whose bytes are not a reply of this dialect."""

    label = "garbled"


# --- it answered, and the answer is no use ---------------------------------------------------------------------------


class Empty(CallError):
    """A reply without content."""

    disposition = Disposition.SEMANTIC
    label = "empty"


class Starved(CallError):
    """Thinking used up the room for tokens: there is reasoning, and no content."""

    disposition = Disposition.SEMANTIC
    label = "starved"


class Truncated(CallError):
    """The model stopped because its room for tokens was used up. Never delivered as whole.

    `partial` is what there is of the answer, to go on with; None when that is no text (a tool call).
    """

    disposition = Disposition.SEMANTIC
    label = "truncated"
    partial: Reply | None = None


class Looping(CallError):
    """The text repeats itself, or is nothing but whitespace: it was stopped."""

    disposition = Disposition.SEMANTIC
    label = "looping"


class Refused(CallError):
    """The model itself refuses to answer, and says so in a field of its own."""

    disposition = Disposition.SEMANTIC
    label = "refused"


class ReasoningOwed(CallError):
    """The provider wants earlier turns with their reasoning, or without: the other way round than they were sent."""

    disposition = Disposition.SEMANTIC
    label = "reasoning_owed"


# --- this input can never work ---------------------------------------------------------------------------------------


class TooLarge(CallError):
    """The reply is longer than the cap; reading it was stopped."""

    disposition = Disposition.FAIL_ROW
    label = "too_large"


class Declined(CallError):
    """The provider's content filter refused the input or the answer."""

    disposition = Disposition.FAIL_ROW
    label = "declined"


class TooLong(CallError):
    """The input does not fit into the model's window."""

    disposition = Disposition.FAIL_ROW
    label = "too_long"


class BadRequest(CallError):
    """The provider can never accept this input as sent."""

    disposition = Disposition.FAIL_ROW
    label = "bad_request"


class NotAsked(CallError):
    """The call was not made at all: the run has stopped, its tier has no budget left, or was given up."""

    disposition = Disposition.FAIL_ROW
    label = "not_asked"


# --- no call can work ------------------------------------------------------------------------------------------------


class Cancelled(CallError):
    """The user wants no answer for this seed (`deepswarm cancel`)."""

    disposition = Disposition.FAIL_ROW
    label = "cancelled"


class NoSuchModel(CallError):
    """The model, or the address, does not exist there."""

    disposition = Disposition.PAUSE
    label = "no_such_model"


class Unauthorized(CallError):
    """The key is missing, wrong or revoked."""

    disposition = Disposition.PAUSE
    label = "unauthorized"


class OutOfFunds(CallError):
    """The account's money is used up."""

    disposition = Disposition.PAUSE
    label = "out_of_funds"


class QuotaSpent(CallError):
    """A quota of the day or the month is used up; time alone brings it back."""

    disposition = Disposition.PAUSE
    label = "quota_spent"


class JournalError(DeepSwarmError):
    """The journal cannot be used as it is."""


class JournalLocked(JournalError):
    """Another process holds the run. No call was made."""

    exit_code = 75


class JournalMismatch(JournalError):
    """The task asks something else than the journal holds. Says which keys changed and what to do."""

    exit_code = 2


class JournalDamaged(JournalError):
    """The journal's file is not sound. Says what is."""

    exit_code = 65


class DiskFull(JournalError):
    """Nothing more can be made durable: the disk is full or cannot be written."""

    exit_code = 75


class DoorError(DeepSwarmError):
    """No extension of that name. Suggests the nearest known one."""

    exit_code = 2
