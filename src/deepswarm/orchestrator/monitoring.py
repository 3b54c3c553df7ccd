"""During the run: one cluster of failures in, one action out.

The orchestrator is shown statistics and a few examples of a cluster, each cut to a length, never the whole. What it
answers is tried before it is adopted (`trial.py`); only these need no trial: doing nothing, and telling the user. It
can stop a run only where code has seen that most of it fails.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from deepswarm.core.jsontext import loads
from deepswarm.core.records import Call, Json, Message
from deepswarm.orchestrator.advice import (
    Action,
    Diagnosis,
    EscalateCluster,
    Ignored,
    LeaveIt,
    RetryWithHint,
    StopAndTell,
    read,
    schema_of,
)
from deepswarm.orchestrator.changes import LEAST_TOKENS, OPEN_TOKENS, ROOM, WARMEST, Changes, refused
from deepswarm.orchestrator.clusters import Cluster, Clusters
from deepswarm.orchestrator.quoting import cut, prompt

SHOWN_EXAMPLES: Final = 4
SHOWN_CHARACTERS: Final = 700
STOP_SHARE: Final = 0.5
"""Share of the seeds that must fail in one way before the orchestrator may stop the run,"""
STOP_LEAST: Final = 20
"""and how many of them."""
_TASK: Final = (
    "A program asks a cheap worker model about many seeds, one by one. Some answers fail in the same way. Choose the "
    "one action that is most likely to make these seeds succeed without harming the others. It is tried on the failed "
    "examples and on seeds that succeed, and adopted only if it measurably helps; one that cannot help costs money, "
    "so answer 'nothing' if nothing would. 'instruction' speaks to the worker for every seed; 'retry_with_hint' only "
    "to seeds that failed in this way; 'escalate' lets a dear model do these seeds; 'stop' is for a run that makes no "
    "sense as it is."
)


class Try(NamedTuple):
    """A change that is to be tried. `controlled`: it touches other seeds too, so control seeds are asked as well."""

    action: Action
    changes: Changes
    controlled: bool


class Tell(NamedTuple):
    """Nothing to try: the user is told, and the run `stops` if code agrees."""

    text: str
    stops: bool


Step: TypeAlias = Try | Tell | Ignored


def question(
    cluster: Cluster, clusters: Clusters, call: Call, changes: Changes, *, escalates: bool
) -> tuple[Message, ...]:
    """What the orchestrator is asked about a cluster.

    Args:
        cluster: Which failures.
        clusters: All of the run, for the statistics.
        call: What all calls of the task have in common.
        changes: What lies over it already.
        escalates: Whether seeds can go up a tier at all.
    """
    label, verifier, shape = cluster.key
    now = changes.over(call)
    most = OPEN_TOKENS if call.max_tokens is None else call.max_tokens * ROOM
    settings: dict[str, Json] = {
        "max_tokens": now.max_tokens,
        "max_tokens_allowed": [LEAST_TOKENS, most],
        "thinking": now.thinking,
        "temperature": now.params.get("temperature"),
        "temperature_allowed": [0, WARMEST],
        "instructions_added": list(changes.instructions),
        "escalate_possible": escalates,
    }
    examples: list[Json] = [
        {
            "seed": cut(failure.payload.decode("utf-8", "replace"), SHOWN_CHARACTERS),
            "reply": cut(failure.reply, SHOWN_CHARACTERS),
            "reason": cut(failure.reason, SHOWN_CHARACTERS),
        }
        for failure in list(cluster.examples)[-SHOWN_EXAMPLES:]
    ]
    parts: dict[str, Json] = {
        "settings": settings,
        "statistics": dict(clusters.statistics()),
        "cluster": {"class": label, "verifier": verifier, "reason": shape, "count": cluster.count},
        "examples": examples,
    }
    return prompt(_TASK, schema_of(Diagnosis), parts, SHOWN_CHARACTERS)


def step(reply: str, cluster: Cluster, clusters: Clusters, call: Call, changes: Changes, *, escalates: bool) -> Step:
    """What follows from the orchestrator's reply; never raises."""
    found = read(reply, Diagnosis)
    if isinstance(found, Ignored):
        return found
    action = found.root
    if isinstance(action, LeaveIt):
        return Tell(f"nothing would help: {action.why}" if action.why else "nothing would help", stops=False)
    if isinstance(action, StopAndTell):
        enough = cluster.count >= STOP_LEAST and cluster.count >= STOP_SHARE * clusters.ended
        return Tell(action.text, stops=enough)
    if isinstance(action, EscalateCluster):
        if not escalates:
            return Ignored("forbidden", "this run cannot escalate")
        if cluster.key in changes.escalated:
            return Ignored("no_change", "this cluster is escalated already")
    if (why := refused(action, call, changes)) is not None:
        return why
    controlled = not isinstance(action, RetryWithHint | EscalateCluster)
    return Try(action, changes.with_action(action, cluster.key), controlled)


def payload_of(payload: bytes) -> dict[str, Json]:
    """The fields of a seed that is asked again in a trial."""
    value = loads(payload)
    return value if isinstance(value, dict) else {"seed": value}
