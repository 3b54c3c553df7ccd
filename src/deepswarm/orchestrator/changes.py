"""What an answer of the orchestrator may change about the calls of a run, and within which bounds.

A run's task stays as its file says it. What was adopted lies over it, as `Changes`: a value that is written into the
journal, read from there by the next session, and put over every call that is made. To reverse one is to write the
value without it.

The bounds hold for whatever an answer says; what is outside them is refused as a whole, never bent to fit.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from deepswarm.core.records import Call, Json, Message
from deepswarm.orchestrator.advice import (
    Action,
    AddInstruction,
    ChangeTemperature,
    ChangeThinking,
    ChangeTokens,
    EscalateCluster,
    Ignored,
    RetryWithHint,
)

LEAST_TOKENS: Final = 16
ROOM: Final = 4
"""How many times the task's own room for an answer, at most."""
OPEN_TOKENS: Final = 32_768
"""Most room where the task names none."""
WARMEST: Final = 1.5
MOST_INSTRUCTIONS: Final = 5
MOST_HINTS: Final = 20
_FORBIDDEN: Final = re.compile(
    r"https?:|www\.|\{\{|\{%|<\||\|>|\[/?INST\]|^\s*(?:system|assistant|user|tool)\s*:|\b(?:sk|pk)-[A-Za-z0-9]{8}",
    re.IGNORECASE | re.MULTILINE,
)
"""What no instruction to a worker needs: addresses, placeholders, marks of chat templates, roles, keys."""

ClusterKey: TypeAlias = tuple[str, str, str]
"""What failures of a cluster have in common: class, verifier, shape of the reason."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What lies over the task's own calls.

    Attributes:
        max_tokens: Most tokens of an answer; None leaves the task's.
        thinking: How much to think; None leaves the task's.
        temperature: None leaves the task's.
        instructions: Added to the system prompt, in order.
        hints: What seeds of a cluster are told when they are asked again.
        escalated: Clusters whose seeds go up a tier at once.
    """

    max_tokens: int | None = None
    thinking: str | None = None
    temperature: float | None = None
    instructions: tuple[str, ...] = ()
    hints: tuple[tuple[ClusterKey, str], ...] = ()
    escalated: frozenset[ClusterKey] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything is changed."""
        return self != NO_CHANGES

    def over(self, call: Call) -> Call:
        """The call with these changes; its messages too, when it has any."""
        if self.max_tokens is not None:
            call = call._replace(max_tokens=self.max_tokens)
        if self.thinking is not None:
            call = call._replace(thinking=self.thinking)
        if self.temperature is not None:
            call = call._replace(params={**call.params, "temperature": self.temperature})
        if self.instructions and call.messages:
            call = call._replace(messages=instructed(tuple(call.messages), self.instructions))
        return call

    def hint(self, key: ClusterKey) -> str:
        """What a seed that failed in this way is told; empty when there is nothing to tell."""
        return next((text for cluster, text in self.hints if cluster == key), "")

    def with_action(self, action: Action, key: ClusterKey) -> Changes:
        """These changes and one more."""
        match action:
            case ChangeTokens():
                return replace(self, max_tokens=action.value)
            case ChangeThinking():
                return replace(self, thinking=action.value)
            case ChangeTemperature():
                return replace(self, temperature=action.value)
            case AddInstruction():
                return replace(self, instructions=(*self.instructions, tidied(action.text)))
            case RetryWithHint():
                others = tuple(pair for pair in self.hints if pair[0] != key)
                return replace(self, hints=(*others, (key, tidied(action.text))))
            case EscalateCluster():
                return replace(self, escalated=self.escalated | {key})
            case _:
                return self

    def as_json(self) -> dict[str, Json]:
        """As the journal keeps it."""
        value: dict[str, Json] = {}
        if self.max_tokens is not None:
            value["max_tokens"] = self.max_tokens
        if self.thinking is not None:
            value["thinking"] = self.thinking
        if self.temperature is not None:
            value["temperature"] = self.temperature
        if self.instructions:
            value["instructions"] = list(self.instructions)
        if self.hints:
            value["hints"] = [[*key, text] for key, text in self.hints]
        if self.escalated:
            value["escalated"] = [list(key) for key in sorted(self.escalated)]
        return value


NO_CHANGES: Final = Changes()


def changes_of(value: Mapping[str, Json]) -> Changes:
    """What the journal kept, also of another version: what is not understood changes nothing."""
    tokens, thinking, temperature = value.get("max_tokens"), value.get("thinking"), value.get("temperature")
    return Changes(
        tokens if type(tokens) is int else None,
        thinking if isinstance(thinking, str) else None,
        float(temperature) if type(temperature) in {int, float} else None,  # type: ignore[arg-type]
        tuple(text for text in _listed(value.get("instructions")) if isinstance(text, str)),
        tuple(
            (_key(row), str(row[3])) for row in _listed(value.get("hints")) if isinstance(row, list) and len(row) == 4
        ),
        frozenset(_key(row) for row in _listed(value.get("escalated")) if isinstance(row, list) and len(row) == 3),
    )


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _key(row: list[Json]) -> ClusterKey:
    return str(row[0]), str(row[1]), str(row[2])


def instructed(messages: tuple[Message, ...], texts: tuple[str, ...]) -> tuple[Message, ...]:
    """The messages with instructions at the end of the system message: what stands before them stays byte for byte."""
    added = "\n\n".join(texts)
    if messages and messages[0].role == "system":
        return (Message("system", f"{messages[0].content}\n\n{added}"), *messages[1:])
    return (Message("system", added), *messages)


def tidied(text: str) -> str:
    """A text without space around it, its lines ended in one way."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


# --- bounds ----------------------------------------------------------------------------------------------------------


def refused(action: Action, call: Call, changes: Changes) -> Ignored | None:
    """Why an action may not even be tried; None when it may.

    Args:
        action: What the orchestrator answered.
        call: What all calls of the task have in common, without any change.
        changes: What lies over it already.
    """
    now = changes.over(call)
    match action:
        case ChangeTokens():
            return refused_tokens(action.value, call, now)
        case ChangeThinking() if action.value == now.thinking:
            return Ignored("no_change", f"thinking is {action.value} already")
        case ChangeTemperature():
            return _refused_temperature(action.value, now)
        case AddInstruction():
            if len(changes.instructions) >= MOST_INSTRUCTIONS:
                return Ignored("forbidden", f"there are {MOST_INSTRUCTIONS} added instructions already")
            if tidied(action.text) in changes.instructions:
                return Ignored("no_change", "this instruction was added already")
            return refused_text(action.text)
        case RetryWithHint():
            if len(changes.hints) >= MOST_HINTS:
                return Ignored("forbidden", f"there are {MOST_HINTS} hints already")
            return refused_text(action.text)
        case _:
            return None


def refused_tokens(value: int, call: Call, now: Call) -> Ignored | None:
    """Why answers may not have so much room; None when they may."""
    most = OPEN_TOKENS if call.max_tokens is None else call.max_tokens * ROOM
    if not LEAST_TOKENS <= value <= most:
        return Ignored("forbidden", f"max_tokens {value:,} is outside {LEAST_TOKENS} to {most:,}")
    return Ignored("no_change", f"max_tokens is {value:,} already") if value == now.max_tokens else None


def _refused_temperature(value: float, now: Call) -> Ignored | None:
    if not 0 <= value <= WARMEST or math.isnan(value):
        return Ignored("forbidden", f"temperature {value:g} is outside 0 to {WARMEST:g}")
    return Ignored("no_change", f"temperature is {value:g} already") if now.params.get("temperature") == value else None


def refused_text(text: str) -> Ignored | None:
    """Why a text may not be said to workers; None when it may."""
    if not text.strip():
        return Ignored("forbidden", "the text is blank")
    if any(unicodedata.category(sign) in {"Cc", "Cf", "Co", "Cs"} and sign != "\n" for sign in text):
        return Ignored("forbidden", "the text holds signs that do not print")
    if found := _FORBIDDEN.search(text):
        return Ignored("forbidden", f"an instruction may not hold {found.group().strip()!r}")
    return None
