"""Failures that are alike, found by code: same class, same verifier, same shape of the reason.

Only what failed on its content is counted: throttling, outages, keys and money are nobody's advice. Memory is bounded:
so many clusters, so many examples of each, each cut to a length.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from deepswarm.orchestrator.changes import ClusterKey
from deepswarm.orchestrator.quoting import cut

MOST_CLUSTERS: Final = 200
EXAMPLES: Final = 10
"""Examples that are kept of a cluster, the newest; also how many a trial asks."""
CONTROLS: Final = 20
"""Seeds with an accepted answer that are kept for trials, the newest."""
LEAST: Final = 8
"""Failures before a cluster is worth a question: fewer could not show that a change helps."""
SHARE: Final = 0.02
"""Share of the seeds that ended, likewise."""
MOST_QUESTIONS: Final = 3
"""How often the orchestrator is asked about one cluster."""
REPLY_CHARACTERS: Final = 20_000
"""Most characters that are kept of a failed reply."""
_QUOTED: Final = re.compile(r"'[^'\n]{1,400}'|\"[^\"\n]{1,400}\"|`[^`\n]{1,400}`|“[^”\n]{1,400}”")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_SHAPE: Final = 80


class Failure(NamedTuple):
    """A seed that ended without an answer, or an answer that was rejected.

    Attributes:
        seed: Its number in the journal.
        label: The class of what was wrong.
        verifier: What found it: the task's type, or the judge.
        reason: In words.
        payload: The seed as JSON text.
        reply: The last reply; empty when there was none.
    """

    seed: int
    label: str
    verifier: str
    reason: str
    payload: bytes
    reply: str = ""

    @property
    def key(self) -> ClusterKey:
        """The cluster that it belongs to."""
        return self.label, self.verifier, shape_of(self.reason)


def shape_of(reason: str) -> str:
    """What reasons that differ only in names, quotations and numbers have in common."""
    text = _NUMBER.sub("#", _QUOTED.sub("…", reason[:1000]))
    return " ".join(text.lower().split())[:_SHAPE]


@dataclass(slots=True)
class Cluster:
    """Failures that are alike.

    Attributes:
        count: How many there were.
        examples: The newest of them.
        asked: How often the orchestrator was asked about them,
        asked_at: and at which count it was last asked.
    """

    key: ClusterKey
    count: int = 0
    examples: deque[Failure] = field(default_factory=lambda: deque(maxlen=EXAMPLES))
    asked: int = 0
    asked_at: int = 0

    def due(self, ended: int) -> bool:
        """Whether it is worth a question now, of so many seeds that have ended: the next one when it has doubled."""
        if self.count < LEAST or self.count < SHARE * ended or len(self.examples) < min(LEAST, EXAMPLES):
            return False
        return self.asked < MOST_QUESTIONS and self.count >= 2 * self.asked_at


@dataclass(slots=True)
class Clusters:
    """All clusters of a run. Beyond MOST_CLUSTERS, failures of new kinds are only counted.

    Attributes:
        ended: Seeds that ended, in whatever way.
        failed: Those that failed on their content.
        classes: How many of each class.
        controls: Seeds with an accepted answer, the newest: number and payload.
        others: Failures that found no cluster any more.
    """

    ended: int = 0
    failed: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    controls: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=CONTROLS))
    others: int = 0
    _clusters: dict[ClusterKey, Cluster] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Cluster]:
        """The largest first."""
        return iter(sorted(self._clusters.values(), key=lambda cluster: (-cluster.count, cluster.key)))

    def accepted(self, seed: int, payload: bytes) -> None:
        """A seed has its answer."""
        self.ended += 1
        self.controls.append((seed, payload))

    def lost(self) -> None:
        """A seed ended for a reason that is nobody's content."""
        self.ended += 1

    def add(self, failure: Failure) -> None:
        """A seed failed on its content."""
        self.ended += 1
        self.failed += 1
        self.classes[failure.label] += 1
        key = failure.key
        cluster = self._clusters.get(key)
        if cluster is None:
            if len(self._clusters) >= MOST_CLUSTERS:
                self.others += 1
                return
            cluster = self._clusters[key] = Cluster(key)
        cluster.count += 1
        cluster.examples.append(failure._replace(reply=cut(failure.reply, REPLY_CHARACTERS)))

    def forget(self, cluster: Cluster, count: int) -> None:
        """So many failures of a cluster are taken back: their seeds are asked again."""
        self.ended -= count
        self.failed -= count
        self.classes[cluster.key[0]] -= count
        cluster.count = max(0, cluster.count - count)
        cluster.asked_at = cluster.count
        cluster.examples.clear()

    def due(self) -> Cluster | None:
        """The largest cluster that is worth a question now; None when none is."""
        return next((cluster for cluster in self if cluster.due(self.ended)), None)

    def statistics(self) -> Mapping[str, int]:
        """Counts for people and for the orchestrator: of seeds, and of classes of failures."""
        return {"seeds_ended": self.ended, "failed_on_content": self.failed, **self.classes}
