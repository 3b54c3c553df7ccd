"""Failures that are alike, while a run lasts: the orchestrator is asked about them, and what helps is adopted.

    every event ─▶ clusters ─▶ one is due ─▶ question ─▶ action ─▶ trial ─┬▶ adopted: over all calls from now on
                                                                          └▶ refused

What is decided is decided in `deepswarm.orchestrator`; here is only what waits. The trial's calls are paid for as
`trial` and count for no seed. After a change is adopted, the seeds that failed in this way are asked again with it. The
run is not over while a cluster is looked into.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from deepswarm.core.errors import CallError, DiskFull, Disposition
from deepswarm.core.events import CallEnded, Event, SeedEnded, SeedReopened
from deepswarm.core.records import Call, HttpReply, Json, Outcome, Reply
from deepswarm.core.scheduler import How
from deepswarm.core.tiers import WORKER
from deepswarm.core.turns import Answer, Conversation, Reject, asked_again
from deepswarm.engine.answers import Decoder
from deepswarm.engine.counsel import Counsel
from deepswarm.engine.judging import Judge
from deepswarm.orchestrator import monitoring
from deepswarm.orchestrator.advice import Ignored, RetryWithHint
from deepswarm.orchestrator.changes import Changes, ClusterKey
from deepswarm.orchestrator.clusters import Cluster, Clusters, Failure
from deepswarm.orchestrator.quoting import plain
from deepswarm.orchestrator.trial import Verdict, verdict, worse

WATCHED: Final = 50
"""Seeds after which an adopted change is looked at again."""
ESCALATES: Final = False
"""Whole clusters do not go up: a seed does only by the rules and caps of escalation, after tries of its own."""
MOST_REOPENED: Final = 10_000
"""Failed seeds that are remembered, to be asked again once something helps."""


def content_labels() -> frozenset[str]:
    """Classes of errors that say something about an answer's content."""
    return frozenset(kind.label for kind in _kinds(CallError) if kind.disposition is Disposition.SEMANTIC)


def other_labels() -> frozenset[str]:
    """Classes of ends that are nobody's content: what no advice about prompts can help with."""
    known = {kind.label for kind in _kinds(CallError)} - content_labels()
    return frozenset(known | {"template", "too_long", "deterministic", "out_of_time", "unsent", "lost"})


def _kinds(kind: type[CallError]) -> list[type[CallError]]:
    return [kind, *(inner for below in kind.__subclasses__() for inner in _kinds(below))]


@dataclass(slots=True)
class _Watched:
    """An adopted change that is still being looked at: what was before it, and what has come since."""

    before: Changes
    share: float
    ended: int = 0
    failed: list[SeedEnded] = field(default_factory=list)


@dataclass(slots=True)
class Monitor:
    """Watches a run's failures, and asks the orchestrator about those that are alike.

    Attributes:
        counsel: Of the session.
        dialect: Reads the replies of failed seeds.
        judge: Judges answers beside the task's verifiers; None without one.
        clusters: What was seen so far in this session.
    """

    counsel: Counsel
    dialect: Decoder
    judge: Judge | None = None
    clusters: Clusters = field(default_factory=Clusters)
    _failed: dict[ClusterKey, list[SeedEnded]] = field(default_factory=dict)
    _standing: dict[int, SeedEnded] = field(default_factory=dict)
    _adopted: dict[ClusterKey, int] = field(default_factory=dict)
    _late: list[SeedEnded] = field(default_factory=list)
    _asks: int = 0
    _useless: int = 0
    _watched: _Watched | None = None
    _over: bool = False
    _due: asyncio.Event = field(default_factory=asyncio.Event)
    _others: frozenset[str] = field(default_factory=other_labels)

    # --- seeing ------------------------------------------------------------------------------------------------------

    def watch(self, events: Sequence[Event]) -> None:
        """Add events that have become durable."""
        for place, event in enumerate(events):
            if isinstance(event, CallEnded):
                self._asks += event.label not in self._others
                self._useless += event.label not in self._others and event.label != "ok"
            elif isinstance(event, SeedReopened):
                self._standing.pop(event.seed, None)
            elif isinstance(event, SeedEnded):
                self._ended(event, events[place - 1] if place else None)

    def _ended(self, event: SeedEnded, before: Event | None) -> None:
        failed = event.outcome is not Outcome.DONE and event.label not in self._others
        slim = event._replace(payload=b"", reason="")
        if failed and len(self._standing) < MOST_REOPENED:
            self._standing[event.seed] = slim
        if self._watched is not None:
            self._watched.ended += 1
            if failed:
                self._watched.failed.append(slim)
            if self._watched.ended >= WATCHED:
                self._wake()
        if event.outcome is Outcome.DONE:
            self.clusters.accepted(event.seed, event.payload)
        elif not failed:
            self.clusters.lost()
        else:
            reply = self._reply_in(before.body) if isinstance(before, CallEnded) else ""
            verifier = self.counsel.key_of(event.label, event.reason)[1]
            self._failed_on(Failure(event.seed, event.label, verifier, event.reason, event.payload, reply), slim)

    def _failed_on(self, failure: Failure, slim: SeedEnded) -> None:
        if slim.call <= self._adopted.get(failure.key, 0):  # it was under way when what helps it was adopted
            self._late.append(slim)
            self._wake()
            return
        self.clusters.add(failure)
        if self._standing.get(slim.seed) is slim:
            self._failed.setdefault(failure.key, []).append(slim)
        if self.clusters.due() is not None:
            self._wake()

    def _reply_in(self, body: bytes) -> str:
        try:
            return self.dialect.decode(HttpReply(200, {}, body)).text
        except CallError:
            return body.decode("utf-8", "replace")

    def _wake(self) -> None:
        """There is something to do: the run is not over before it is done."""
        if not self._over:
            self.counsel.dispatcher.scheduler.held = True
            self._due.set()

    # --- doing -------------------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Look into what is due, one cluster after another, until the run is over.

        A full disk ends it quietly: the dispatcher has already written down why the run stops.
        """
        try:
            await self._follow()
        except* DiskFull:
            pass

    async def _follow(self) -> None:
        dispatcher = self.counsel.dispatcher
        while not self._over:
            await self._due.wait()
            self._due.clear()
            while (cluster := self._next()) is not None or self._late:
                if cluster is not None:
                    await self._look_into(cluster)
                late, self._late = self._late, []
                await self._ask_again(late)
            dispatcher.scheduler.held = False
            dispatcher.gate.step()

    def end(self) -> None:
        """The run is over: what is under way is finished, nothing new is begun."""
        self._over = True
        self._due.set()

    def _next(self) -> Cluster | None:
        """The cluster that is due; first, what was adopted is looked at again."""
        if self._over or self.counsel.dispatcher.scheduler.stopped is not None:
            return None
        watched = self._watched
        if watched is not None and watched.ended >= WATCHED:
            self._watched = None
            if worse(len(watched.failed), watched.ended, watched.share):
                self._take_back(watched)
        return self.clusters.due()

    async def _look_into(self, cluster: Cluster) -> None:
        counsel = self.counsel
        cluster.asked, cluster.asked_at = cluster.asked + 1, cluster.count
        question = monitoring.question(cluster, self.clusters, counsel.call, counsel.changes, escalates=ESCALATES)
        reply = await counsel.ask(question, "monitor")
        found: monitoring.Step = (
            reply
            if isinstance(reply, Ignored)
            else monitoring.step(reply, cluster, self.clusters, counsel.call, counsel.changes, escalates=ESCALATES)
        )
        if isinstance(found, Ignored):
            counsel.ignored("monitor", found)
        elif isinstance(found, monitoring.Tell):
            self._tell(found, cluster)
        else:
            await self._try(found, cluster)

    def _tell(self, told: monitoring.Tell, cluster: Cluster) -> None:
        self.counsel.write("monitor", "told", "stop" if told.stops else "", told.text, _about(cluster))
        self.counsel.say(f"orchestrator, about {_named(cluster)}: {plain(told.text)}")
        if told.stops:
            self.counsel.dispatcher.stop(How.PAUSED, f"the orchestrator advises to stop: {plain(told.text)}")

    async def _try(self, tried: monitoring.Try, cluster: Cluster) -> None:
        counsel = self.counsel
        action = tried.action
        data: dict[str, Json] = {**_about(cluster), "action": action.model_dump(mode="json")}
        if counsel.spec.monitor == "propose":
            counsel.write("monitor", "proposed", action.action, "monitor: apply would try it", data)
            counsel.say(f"orchestrator proposes, against {_named(cluster)}: {_shown(data)}")
            return
        judged = await self._trial(tried, cluster)
        if judged is None:
            counsel.write("monitor", "refused", action.action, "the trial could not be made", data)
            return
        data["trial"] = {"won": judged.won, "lost": judged.lost, "broken": judged.broken, "controls": judged.controls}
        if not judged.adopt:
            counsel.write("monitor", "refused", action.action, judged.why, data)
            return
        before = counsel.changes
        counsel.changes = tried.changes
        self._watched = _Watched(before, self.clusters.failed / max(1, self.clusters.ended))
        counsel.write("monitor", "adopted", action.action, judged.why, data)
        counsel.say(f"adopted, against {_named(cluster)}: {_shown(data)}; {judged.why}")
        # as many calls as there are workers may be under way, or made up already, and do not have it yet
        self._adopted[cluster.key] = counsel.dispatcher.calls + counsel.dispatcher.health.lanes
        ends = self._failed.pop(cluster.key, [])
        self.clusters.forget(cluster, len(ends))
        await self._ask_again(ends)

    def _take_back(self, watched: _Watched) -> None:
        counsel = self.counsel
        counsel.changes = watched.before
        why = f"{len(watched.failed)} of {watched.ended} seeds failed since; before it {watched.share:.0%} did"
        counsel.write("monitor", "taken_back", "", why)
        counsel.say(f"taken back what was adopted last: {why}")
        self._late += watched.failed

    async def _ask_again(self, ends: Sequence[SeedEnded]) -> None:
        """Let seeds that failed in some way be asked with what was adopted against it."""
        dispatcher = self.counsel.dispatcher
        ends = [end for seed, end in {end.seed: end for end in ends}.items() if self._standing.get(seed) is end]
        if ends and dispatcher.scheduler.stopped is None:
            utc, at = dispatcher.clock.now()
            again = [SeedReopened(utc, at, end.seed, end.outcome, "adopted", end.label) for end in ends]
            await dispatcher.reopen(again)

    # --- trials ------------------------------------------------------------------------------------------------------

    async def _trial(self, tried: monitoring.Try, cluster: Cluster) -> Verdict | None:
        """Ask the examples as before and with the change, and control seeds with it; None when that cannot be."""
        examples = list(cluster.examples)
        controls = list(self.clusters.controls) if tried.controlled else []
        each = 1 if self.judge is None else 2
        if each * (2 * len(examples) + len(controls)) > self.counsel.left:
            return None
        now = self.counsel.changes
        asks = [self._example(failure, now, tried) for failure in examples]
        asks += [self._example(failure, tried.changes, tried) for failure in examples]
        asks += [self._fresh(payload, tried.changes) for _, payload in controls]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask) for ask in asks]
        found = [task.result() for task in tasks]
        before, after = found[: len(examples)], found[len(examples) : 2 * len(examples)]
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
        fine = [kept for kept in found[2 * len(examples) :] if kept is not None]
        share = cluster.count / max(1, self.clusters.ended)
        return verdict(pairs, fine, self._useless / max(1, self._asks), share)

    async def _example(self, failure: Failure, changes: Changes, tried: monitoring.Try) -> bool | None:
        """Whether a failed example is accepted now; a hint is tried where it stands: after the failed reply."""
        if not isinstance(tried.action, RetryWithHint):
            return await self._fresh(failure.payload, changes)
        opened = self._open(failure.payload)
        if opened is None:
            return None
        hint = changes.hint(failure.key)
        reason = f"{failure.reason}. {hint}" if hint else failure.reason
        messages = asked_again(opened, failure.reply, Reject(failure.label, reason))
        return await self._accepted(opened, self._call(opened, changes)._replace(messages=messages))

    async def _fresh(self, payload: bytes, changes: Changes) -> bool | None:
        opened = self._open(payload)
        return None if opened is None else await self._accepted(opened, self._call(opened, changes))

    def _open(self, payload: bytes) -> Conversation | None:
        try:
            return self.counsel.kind.open(monitoring.payload_of(payload))
        except ValueError:
            return None

    def _call(self, opened: Conversation, changes: Changes) -> Call:
        return changes.over(self.counsel.lessons.first(self.counsel.call, opened.messages))

    async def _accepted(self, opened: Conversation, call: Call) -> bool | None:
        """Whether the answer to a call is accepted; None when there was none for a reason that is not its content."""
        called = await self.counsel.send(call, WORKER, "trial")
        if isinstance(called, Ignored):
            return None
        if isinstance(called.result, Reply):
            step = self.counsel.kind.step(opened, called.result)
            if isinstance(step, Answer) and self.judge is not None:
                return await self.judge.accepts(opened.messages, step.text)
            return isinstance(step, Answer)
        return False if called.result.disposition is Disposition.SEMANTIC else None


def _about(cluster: Cluster) -> dict[str, Json]:
    label, verifier, reason = cluster.key
    return {"cluster": {"class": label, "verifier": verifier, "reason": reason, "count": cluster.count}}


def _named(cluster: Cluster) -> str:
    return f"{cluster.count:,} x {cluster.key[0]} ({plain(cluster.key[2])})"


def _shown(data: Mapping[str, Json]) -> str:
    action = data["action"]
    if not isinstance(action, dict):
        return ""
    value = action.get("value", action.get("text", ""))
    return plain(f"{action['action']} {value}".strip())
