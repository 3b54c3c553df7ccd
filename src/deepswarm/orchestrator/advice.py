"""The closed schemas of what the orchestrator may answer, and reading its replies.

A reply is read with the care of an extraction: a fence or a sentence around the JSON is taken away, nothing is guessed.
What is empty, no JSON, not in the schema, or says two things at once is `Ignored`, with a class for the count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from deepswarm.core.records import Json
from deepswarm.core.turns import Reject
from deepswarm.tasks.reading import json_text

MOST_INSTRUCTION: Final = 600
"""Most characters of notes, an instruction or a hint."""
MOST_WHY: Final = 400
MOST_RISKS: Final = 10
MOST_TOPICS: Final = 200
MOST_SEEDS: Final = 100
"""Most seeds of one reply."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


_Text = Annotated[str, Field(min_length=1, max_length=MOST_INSTRUCTION)]
_Why = Annotated[str, Field(max_length=MOST_WHY)]
_Tokens = Annotated[int, Field(ge=1, le=10_000_000)]
_Thinking = Literal["off", "low", "high", "max", "default"]


# --- the plan --------------------------------------------------------------------------------------------------------


class Threshold(_Closed):
    """A number that a verifier goes by, by the task file's name for it, such as summarization.most_words."""

    name: Annotated[str, Field(max_length=80)]
    value: float


class PlanAdvice(_Closed):
    """What the orchestrator thinks of a task before it runs; what it leaves out stays as it is."""

    notes: Annotated[str, Field(max_length=MOST_INSTRUCTION)] = Field(
        "", description="Added to the worker's system prompt; empty adds nothing."
    )
    max_tokens: _Tokens | None = Field(None, description="Most tokens of one answer.")
    thinking: _Thinking | None = Field(None, description="How much the worker thinks.")
    thresholds: Annotated[list[Threshold], Field(max_length=10)] = Field(
        [], description="Only names that stand under 'thresholds' in the data."
    )
    risks: Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=MOST_RISKS)] = Field(
        [], description="What may go wrong, for the user to read."
    )


# --- a cluster of failures -------------------------------------------------------------------------------------------


class ChangeTokens(_Closed):
    """More, or less, room for the answer."""

    action: Literal["max_tokens"]
    value: _Tokens
    why: _Why = ""


class ChangeThinking(_Closed):
    """More, or less, thinking."""

    action: Literal["thinking"]
    value: _Thinking
    why: _Why = ""


class ChangeTemperature(_Closed):
    """Another temperature."""

    action: Literal["temperature"]
    value: Annotated[float, Field(ge=0, le=2)]
    why: _Why = ""


class AddInstruction(_Closed):
    """One more instruction in the worker's system prompt, for all seeds."""

    action: Literal["instruction"]
    text: _Text
    why: _Why = ""


class RetryWithHint(_Closed):
    """Seeds that fail in this way are told this when they are asked again."""

    action: Literal["retry_with_hint"]
    text: _Text
    why: _Why = ""


class EscalateCluster(_Closed):
    """Seeds that fail in this way go up to the orchestrator's model at once."""

    action: Literal["escalate"]
    why: _Why = ""


class StopAndTell(_Closed):
    """The run makes no sense like this: stop, and tell the user why."""

    action: Literal["stop"]
    text: _Text
    why: _Why = ""


class LeaveIt(_Closed):
    """Nothing would help."""

    action: Literal["nothing"]
    why: _Why = ""


Action: TypeAlias = (
    ChangeTokens
    | ChangeThinking
    | ChangeTemperature
    | AddInstruction
    | RetryWithHint
    | EscalateCluster
    | StopAndTell
    | LeaveIt
)


class Diagnosis(RootModel[Annotated[Action, Field(discriminator="action")]]):
    """One action against one cluster of failures."""

    model_config = ConfigDict(frozen=True)


# --- judge and seeds -------------------------------------------------------------------------------------------------


class Judgement(_Closed):
    """How well an answer fits the rubric, from 1 to 5, and what is wrong with it."""

    score: Annotated[int, Field(ge=1, le=5)]
    reason: _Why = ""


class Topic(_Closed):
    """A topic of the seeds, and what belongs to it."""

    name: Annotated[str, Field(min_length=1, max_length=120)]
    covers: Annotated[str, Field(max_length=300)] = ""


class Taxonomy(_Closed):
    """Topics that differ from each other and together cover what is wanted."""

    topics: Annotated[list[Topic], Field(min_length=1, max_length=MOST_TOPICS)]


# --- reading ---------------------------------------------------------------------------------------------------------


class Ignored(NamedTuple):
    """A reply that changes nothing.

    Attributes:
        label: One word, for the count: empty, not_json, contradictory, not_in_schema, forbidden, no_change, no_reply.
        reason: One sentence, for people.
    """

    label: str
    reason: str


_A = TypeVar("_A", bound=BaseModel)


def read(text: str, kind: type[_A]) -> _A | Ignored:
    """What a reply says, in the schema of `kind`; or why it is ignored. Never raises."""
    if not text.strip():
        return Ignored("empty", "the reply is empty")
    found = json_text(text)
    if isinstance(found, Reject):
        return Ignored("not_json", found.reason)
    twice: set[str] = set()
    try:
        value = json.loads(found, object_pairs_hook=lambda pairs: _once(pairs, twice))
    except (ValueError, RecursionError) as error:
        return Ignored("not_json", f"{type(error).__name__}: {str(error)[:200]}")
    if twice:
        return Ignored("contradictory", f"it says {_names(twice)} twice")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        return Ignored("not_in_schema", _misfit(error))


def schema_of(kind: type[BaseModel]) -> Mapping[str, Json]:
    """The JSON Schema of an answer, as the orchestrator is shown it."""
    return _schema(kind)


@cache
def _schema(kind: type[BaseModel]) -> Mapping[str, Json]:
    tidied = _tidy(kind.model_json_schema())
    assert isinstance(tidied, dict)  # noqa: S101 - a schema is an object
    return tidied


def _tidy(value: Any) -> Json:
    """Without pydantic's titles, which are the names again."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        plain: Json = value
        return plain
    return {key: _tidy(item) for key, item in value.items() if key != "discriminator" and not _is_title(key, item)}


def _is_title(key: str, value: object) -> bool:
    return key == "title" and isinstance(value, str)


def _once(pairs: list[tuple[str, Any]], twice: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            twice.add(name)
        found[name] = value
    return found


def _names(names: set[str]) -> str:
    return ", ".join(f"'{name[:40]}'" for name in sorted(names)[:3])


def _misfit(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step)[:40] for step in first["loc"]) or "the whole"
    return f"{place}: {first['msg'][:200]}"
