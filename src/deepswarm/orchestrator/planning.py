"""Before the run: the task, a sample of seeds and replies in; a difference to the task out.

Of what the orchestrator suggests each part is taken or refused by itself; the risks that it names are for people. With
`plan: apply` the difference lies over the run, with `plan: propose` it is only shown. Both are in the journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from deepswarm.core.records import Call, Json, Message
from deepswarm.core.section import chosen
from deepswarm.core.spec import TaskSpec, check
from deepswarm.orchestrator.advice import Ignored, PlanAdvice, Threshold, read, schema_of
from deepswarm.orchestrator.changes import (
    LEAST_TOKENS,
    NO_CHANGES,
    OPEN_TOKENS,
    ROOM,
    Changes,
    refused_text,
    refused_tokens,
    tidied,
)
from deepswarm.orchestrator.quoting import cut, plain, prompt

SAMPLE: Final = 5
"""Seeds that the orchestrator is shown."""
REPLIES: Final = 3
"""Answers of an earlier pilot that it is shown."""
SHOWN_CHARACTERS: Final = 1500
THRESHOLDS: Final[Mapping[str, tuple[float, float]]] = {
    "summarization.least_words": (1, 10_000),
    "summarization.most_words": (1, 100_000),
    "verify.tolerance": (0, 0.05),
    "code_review.most_findings": (1, 200),
    "judge.least": (1, 5),
}
"""Numbers that verifiers go by, and the bounds of what may be suggested for them."""
_TASK: Final = (
    "A program is about to ask a cheap worker model about many seeds, one by one. Read the task, a few seeds and, if "
    "there are any, the first replies. Suggest only what makes the answers better or cheaper, and name what may go "
    "wrong. Leave out everything that is good as it is."
)


class Row(NamedTuple):
    """One line of the difference: the task's key, what it is, and what it would be."""

    key: str
    old: Json
    new: Json


class Plan(NamedTuple):
    """What the orchestrator's advice comes to.

    Attributes:
        changes: To the calls.
        thresholds: To the numbers that verifiers go by, by the task's names.
        rows: Both as a difference.
        refused: Suggestions that are outside the bounds, in words.
        risks: For people.
    """

    changes: Changes
    thresholds: Mapping[str, float]
    rows: tuple[Row, ...]
    refused: tuple[str, ...]
    risks: tuple[str, ...]


def question(task: Mapping[str, Json], seeds: Sequence[str], replies: Sequence[str], call: Call) -> tuple[Message, ...]:
    """What the orchestrator is asked before a run.

    Args:
        task: As the user wrote it, without secrets.
        seeds: A sample, as JSON texts.
        replies: What an earlier pilot brought; may be empty.
        call: What all calls of the task have in common.
    """
    most = OPEN_TOKENS if call.max_tokens is None else call.max_tokens * ROOM
    parts: dict[str, Json] = {
        "task": dict(task),
        "max_tokens": call.max_tokens,
        "max_tokens_allowed": [LEAST_TOKENS, most],
        "thinking": call.thinking,
        "thresholds": {name: thresholds_of(task)[name] for name in sorted(thresholds_of(task))},
        "seeds": [cut(seed, SHOWN_CHARACTERS) for seed in seeds[:SAMPLE]],
        "replies": [cut(reply, SHOWN_CHARACTERS) for reply in replies[:REPLIES]],
    }
    return prompt(_TASK, schema_of(PlanAdvice), parts, 2 * SHOWN_CHARACTERS)


def thresholds_of(task: Mapping[str, Json]) -> dict[str, Json]:
    """The numbers of this task that verifiers go by: only those that it writes down itself."""
    found: dict[str, Json] = {}
    for name in THRESHOLDS:
        section, _, key = name.partition(".")
        within = task.get(section)
        if isinstance(within, Mapping) and within.get(key) is not None:
            found[name] = within[key]
    return found


def plan_of(reply: str, spec: TaskSpec, call: Call) -> Plan | Ignored:
    """What a reply comes to; never raises.

    Args:
        reply: The orchestrator's.
        spec: The task.
        call: What all its calls have in common.
    """
    advice = read(reply, PlanAdvice)
    if isinstance(advice, Ignored):
        return advice
    changes, rows, refused = NO_CHANGES, list[Row](), list[str]()
    if advice.notes.strip():
        if (why := refused_text(advice.notes)) is None:
            notes = tidied(advice.notes)
            changes = Changes(instructions=(notes,))
            rows.append(Row("system_prompt", None, f"… {notes}"))
        else:
            refused.append(f"notes: {why.reason}")
    if advice.max_tokens is not None:
        if (why := refused_tokens(advice.max_tokens, call, call)) is None:
            changes = Changes(advice.max_tokens, changes.thinking, changes.temperature, changes.instructions)
            rows.append(Row("worker_max_tokens", call.max_tokens, advice.max_tokens))
        elif why.label != "no_change":
            refused.append(why.reason)
    if advice.thinking is not None and advice.thinking != call.thinking:
        changes = Changes(changes.max_tokens, advice.thinking, changes.temperature, changes.instructions)
        rows.append(Row("thinking", call.thinking, advice.thinking))
    thresholds = _thresholds(advice.thresholds, spec, rows, refused)
    return Plan(changes, thresholds, tuple(rows), tuple(refused), tuple(tidied(risk) for risk in advice.risks))


def _thresholds(
    suggested: Sequence[Threshold], spec: TaskSpec, rows: list[Row], refused: list[str]
) -> dict[str, float]:
    """The suggested numbers that may be taken; all of them or none, since they are rules about each other."""
    task = chosen(spec)
    known, taken = thresholds_of(task), dict[str, float]()
    for name, value in ((threshold.name, threshold.value) for threshold in suggested):
        if name not in known:
            refused.append(f"{name[:80]}: no threshold of this task")
        elif name in taken:
            refused.append(f"{name}: suggested twice")
        elif not THRESHOLDS[name][0] <= value <= THRESHOLDS[name][1]:
            refused.append(f"{name} {value:g} is outside {THRESHOLDS[name][0]:g} to {THRESHOLDS[name][1]:g}")
        elif value != known[name]:
            taken[name] = value
    if taken and with_thresholds(spec, taken) is None:
        refused.append(f"{', '.join(sorted(taken))}: the task could not be read with them")
        return {}
    rows += [Row(name, known[name], _number(value, known[name])) for name, value in taken.items()]
    return taken


def _number(value: float, like: Json) -> Json:
    return int(value) if isinstance(like, int) and float(value).is_integer() else value


def with_thresholds(spec: TaskSpec, thresholds: Mapping[str, float]) -> TaskSpec | None:
    """The task with other numbers for its verifiers; None if it would then be none."""
    task = chosen(spec)
    for name, value in thresholds.items():
        section, _, key = name.partition(".")
        within = task.get(section)
        if isinstance(within, dict):
            within[key] = _number(value, within.get(key))
    checked = check(task)
    return checked if isinstance(checked, TaskSpec) else None


def plan_text(plan: Plan, model: str, *, applied: bool) -> list[str]:
    """The plan for people, as a difference; one line each."""
    done = "applied" if applied else "proposed only; plan: apply in the task file applies it"
    lines = [f"plan by {model} ({done}):" if plan.rows else f"plan by {model}: nothing to change"]
    lines += [f"  {key}: {_shown(old)} -> {_shown(new)}" for key, old, new in plan.rows]
    lines += [f"  refused: {plain(why)}" for why in plan.refused]
    return lines + [f"  risk: {_shown(risk)}" for risk in plan.risks]


def _shown(value: Json) -> str:
    if value is None:
        return "as the provider has it"
    return plain(str(value), 300)


def plan_json(plan: Plan) -> dict[str, Json]:
    """The plan as the journal keeps it."""
    return {
        "changes": plan.changes.as_json(),
        "thresholds": dict(plan.thresholds),
        "difference": [[key, old, new] for key, old, new in plan.rows],
        "refused": list(plan.refused),
        "risks": list(plan.risks),
    }
