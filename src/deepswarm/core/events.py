"""What the journal can say: one frozen class per fact. Folding them all gives the state (`core/ledger.py`).

`at` is seconds on the monotonic clock of the writing process (for durations), `utc` is seconds since 1970 (for people
and prices). A journal gives every event a number, from 1, in the order of its append.

The three kinds that come with every call are named tuples, made in a fraction of a dataclass's time; the others
are frozen dataclasses. FORMAT is the version of this vocabulary; a journal of a newer one is refused, never misread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from deepswarm.core.records import NO_USAGE, Outcome, Usage

FORMAT = 4


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A process took the run up.

    Attributes:
        session: Number of this stretch of the run, from 1; every later event belongs to the newest one.
        fingerprint: Of the task as it is asked from now on.
        task: The whole task as JSON text, without secrets.
        version: Of DeepSwarm.
        simulated: The replies come from the simulated provider.
    """

    utc: float
    at: float
    session: int
    fingerprint: str
    task: str
    version: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The process let go of the run. `how` is finished, paused or stopped; `why` says it in words."""

    utc: float
    at: float
    session: int
    how: str
    why: str


@dataclass(frozen=True, slots=True)
class RunPaused:
    """Nothing new is asked until a probe is served. `label` is the reason, `why` says it in words and what to do.

    `wakes_utc` is when the provider said that it would be over; None when it did not.
    """

    utc: float
    at: float
    label: str
    why: str
    wakes_utc: float | None


@dataclass(frozen=True, slots=True)
class RunResumed:
    """A probe was served: the pause is over, after so many seconds."""

    utc: float
    at: float
    after_s: float


@dataclass(frozen=True, slots=True)
class PaceChosen:
    """How many workers, how far apart they start, how many seeds each leases at once, and why."""

    utc: float
    at: float
    workers: int
    stagger_s: float
    batch_size: int
    why: str


@dataclass(frozen=True, slots=True)
class PaceChanged:
    """The timeline of the limit: what the pace allows from now on, at most one a second and only when it changed.

    Attributes:
        limit: Calls at once that it allows.
        flying: Calls that are under way.
        what: What binds, in one word (`core/pace`'s Reason); `why` says it in words, with its evidence.
        served: Calls that were answered since the last such event,
        refused: and calls that were refused for a limit.
        waited_s: Mean seconds since then that calls waited for the pace,
        first_s: until their first content (None when they come whole),
        call_s: that they took in all,
        disk_s: and that their results waited for the disk.
    """

    utc: float
    at: float
    limit: int
    flying: int
    what: str
    why: str
    served: int
    refused: int
    waited_s: float = 0.0
    first_s: float | None = None
    call_s: float = 0.0
    disk_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SeedsChanged:
    """The seeds file was read: what is new, what is gone, what changed its content (counts)."""

    utc: float
    at: float
    added: int
    gone: int
    changed: int


@dataclass(frozen=True, slots=True)
class SeedReopened:
    """A seed that had ended is to be asked again: what it `was`, and why (retry, changed, adopted).

    `label` is the class that it had failed with; empty when it was done, or when nobody looked.
    """

    utc: float
    at: float
    seed: int
    was: Outcome
    why: str
    label: str = ""


class CallStarted(NamedTuple):
    """The intent of a call, written before the request leaves.

    Attributes:
        call: Number of the call, from 1, in this journal.
        seed: Number of the seed.
        attempt: Which try at the seed, from 1.
        turn: Which turn of the attempt's conversation, from 1.
        tier: 0 is the worker tier.
        endpoint: Which of the task's endpoints, from 0.
    """

    utc: float
    at: float
    call: int
    seed: int
    attempt: int
    turn: int = 1
    tier: int = 0
    endpoint: int = 0


class CallEnded(NamedTuple):
    """What became of a call.

    Attributes:
        label: "ok", or the class of the error (`CallError.label`), or "lost": the process died while it was under way.
        detail: For people; empty when ok.
        status: HTTP status; 0 without a response.
        finish_reason: As the provider named it.
        model: The model that answered.
        usage: Tokens; unknown parts are None.
        maybe_billed: Nothing usable came back although the provider may have charged it.
        request_id: The provider's id.
        body: The reply as received (whole for good ones, cut for bad ones).
    """

    utc: float
    at: float
    call: int
    seed: int
    label: str
    detail: str = ""
    status: int = 0
    finish_reason: str = ""
    model: str = ""
    usage: Usage = NO_USAGE
    maybe_billed: bool = False
    request_id: str = ""
    body: bytes = b""


class TurnNoted(NamedTuple):
    """What a conversation grew by, written before its next call leaves; see `core/transcript.py`.

    Attributes:
        call: The call that brought it; 0 when none did.
        seed: Number of the seed.
        turn: Which turn of the conversation, from 1.
        kind: opened, added, part, said, heard, unsaid or summed.
        data: What it was, as JSON text.
    """

    utc: float
    at: float
    call: int
    seed: int
    turn: int
    kind: str
    data: bytes


class SeedEnded(NamedTuple):
    """How a seed ended.

    Attributes:
        call: The call whose reply holds the answer, or the last one that was tried; 0 when none was made.
        label: "ok", or the class of what went wrong.
        reason: For people. Of a done seed: how it was asked otherwise than the others, as a JSON object; else empty.
        attempts: Tries at the seed; throttling costs none.
        started: When the first call of the last attempt left, on the writer's monotonic clock.
        payload: The seed's own line as JSON text, so that the journal alone can tell the whole story.
    """

    utc: float
    at: float
    seed: int
    call: int
    outcome: Outcome
    label: str
    reason: str
    attempts: int
    started: float
    payload: bytes


@dataclass(frozen=True, slots=True)
class Consulted:
    """A call that is made beside the workers' own is about to be written down.

    Attributes:
        call: Its number.
        seed: Number of the seed on whose behalf it is made; 0 for the whole run.
        tier: The tier that is asked.
        purpose: What for, in one lower-case word: escalation, plan, judge, ….
    """

    utc: float
    at: float
    call: int
    seed: int
    tier: int
    purpose: str


@dataclass(frozen=True, slots=True)
class CommandTaken:
    """A command of another process, from the inbox, was carried out.

    Attributes:
        command: As it was given.
        by: Who gave it.
        number: Its number in the inbox; 0 when it came another way.
        result: What it did, or why it could not be done, in words.
        done: Whether it was carried out.
    """

    utc: float
    at: float
    command: str
    by: str
    number: int = 0
    result: str = ""
    done: bool = True


@dataclass(frozen=True, slots=True)
class Advised:
    """What became of an answer of the orchestrator.

    Attributes:
        subject: plan, monitor or judge.
        verdict: applied, proposed, adopted, refused, ignored, told, or taken_back.
        label: The class of what was wrong with it, or the kind of action; one word, may be empty.
        why: For people.
        data: What it says and what lies over the task's calls from now on, as a JSON object.
    """

    utc: float
    at: float
    subject: str
    verdict: str
    label: str
    why: str
    data: str = "{}"


Event: TypeAlias = (
    RunStarted
    | RunEnded
    | RunPaused
    | RunResumed
    | PaceChosen
    | PaceChanged
    | SeedsChanged
    | SeedReopened
    | CallStarted
    | CallEnded
    | TurnNoted
    | SeedEnded
    | Consulted
    | CommandTaken
    | Advised
)
