"""The whole error tree.

    DeepSwarmError
    ├─ TaskFileError        the task or its seeds are wrong; lists every problem      exit 2
    ├─ CallError            a call did not give a usable reply
    │  ├─ Throttled         429; retry_after_s                                        WAIT (costs no attempt)
    │  ├─ Overloaded        500 502 503 504 529                                       RETRY
    │  ├─ TimedOut          phase: connect | total                                    RETRY
    │  ├─ Disconnected      refused, reset, closed in mid-reply                       RETRY
    │  ├─ Truncated         finish reason "length"                                    RETRY with more room
    │  ├─ Garbled           the bytes are not a reply of this dialect, or it is empty  RETRY
    │  ├─ TooLarge          the reply is longer than the cap                          GIVE_UP
    │  ├─ Declined          content filter                                            GIVE_UP
    │  ├─ BadRequest        400 413 422: this input can never work as sent            GIVE_UP
    │  ├─ NoSuchModel       404 410: model or address do not exist                    PAUSE
    │  ├─ Unauthorized      401 403                                                   PAUSE
    │  └─ OutOfFunds        402, quota exhausted                                      PAUSE
    ├─ AnswerError          the reply is fine, the answer is not                      RETRY
    ├─ JournalError
    │  ├─ JournalLocked     another process holds the run                             exit 75
    │  ├─ JournalMismatch   the task changed; says which keys                         exit 2
    │  ├─ JournalDamaged    says the last sound event                                 exit 65
    │  └─ DiskFull          nothing more can be made durable                          exit 75
    └─ DoorError            unknown name; suggests the nearest known one              exit 2

Every class carries data, not prose: no decision ever reads an error's text. `core/retry.py` is the only reader of
dispositions, `cli/` the only reader of exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from deepswarm.core.records import NO_USAGE, Usage


class Disposition(Enum):
    """What an error asks for."""

    WAIT = "wait"
    RETRY = "retry"
    GIVE_UP = "give up"
    PAUSE = "pause"


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
    """

    disposition: ClassVar[Disposition] = Disposition.RETRY
    label: ClassVar[str] = "call"

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
    ) -> None:
        """Store the facts."""
        super().__init__(what)
        self.status = status
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.maybe_billed = maybe_billed
        self.usage = usage
        self.body = body

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r}, status={self.status}, retry_after_s={self.retry_after_s})"


class Throttled(CallError):
    """The provider refused the call because of a limit. Waiting is not failing: it costs the seed nothing."""

    disposition = Disposition.WAIT
    label = "throttled"


class Overloaded(CallError):
    """The provider is overloaded or broken for the moment (5xx)."""

    label = "overloaded"


class TimedOut(CallError):
    """A deadline passed. `phase` is connect or total."""

    label = "timed_out"

    def __init__(self, what: str, *, phase: str, maybe_billed: bool = False) -> None:
        """Store the phase in which the time ran out."""
        super().__init__(what, maybe_billed=maybe_billed)
        self.phase = phase


class Disconnected(CallError):
    """The connection was refused, reset, or closed in the middle of a reply."""

    label = "disconnected"


class Truncated(CallError):
    """The model stopped because its room for tokens was used up. Never delivered as whole."""

    label = "truncated"


class Garbled(CallError):
    """A success by status whose bytes are not a reply of this dialect, or hold no content."""

    label = "garbled"


class TooLarge(CallError):
    """The reply is longer than the cap; reading it was stopped."""

    disposition = Disposition.GIVE_UP
    label = "too_large"


class Declined(CallError):
    """The provider's content filter refused the input or the answer."""

    disposition = Disposition.GIVE_UP
    label = "declined"


class BadRequest(CallError):
    """The provider can never accept this input as sent."""

    disposition = Disposition.GIVE_UP
    label = "bad_request"


class NoSuchModel(CallError):
    """The model, or the address, does not exist there."""

    disposition = Disposition.PAUSE
    label = "no_such_model"


class Unauthorized(CallError):
    """The key is missing, wrong or revoked."""

    disposition = Disposition.PAUSE
    label = "unauthorized"


class OutOfFunds(CallError):
    """The account's balance or quota is used up."""

    disposition = Disposition.PAUSE
    label = "out_of_funds"


class AnswerError(DeepSwarmError):
    """The reply is fine, the answer is not. The verifier says why."""

    disposition: ClassVar[Disposition] = Disposition.RETRY
    label: ClassVar[str] = "answer"


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
