"""Two tiers: calls beside the workers' own, each on a road of its own, journalled and charged."""

from deepswarm.core.errors import NotAsked
from deepswarm.core.events import CallEnded, CallStarted, Consulted
from deepswarm.core.records import Message, Reply
from deepswarm.core.scheduler import How
from deepswarm.core.tiers import ORCHESTRATOR, WORKER
from deepswarm.engine import pipeline
from deepswarm.simulator.faultlaw import Fault, FaultKind
from deepswarm.simulator.law import Latency, Law
from deepswarm.testing.builders import rehearse

LAW = Law(latency=Latency(median_s=1.0))
BOTH = {"orchestrator_model": "frontier", "workers": 4, "worker_max_tokens": 100, "plan": "off", "monitor": "off"}


def seeds(count):
    return [{"prompt": f"Question {number}. [[id:{number}]]"} for number in range(count)]


def consulting(monkeypatch, tier, purpose="plan", times=1):
    """Have the run make calls beside the workers' own; what came back is in the list."""
    came = []
    serve = pipeline.Dispatch._serve

    async def consult(self, dispatcher, caller, enrolment, *rest):
        await serve(self, dispatcher, caller, enrolment, *rest)
        for _ in range(times):
            call = dispatcher.tier_call(WORKER)._replace(
                messages=(Message("user", "What do you think?"),), model="frontier"
            )
            came.append(await dispatcher.consult(None, call, tier, purpose))

    monkeypatch.setattr(pipeline.Dispatch, "_serve", consult)
    return came


def test_a_call_beside_the_workers_own_is_journalled_with_its_tier_and_purpose(tmp_path, monkeypatch):
    came = consulting(monkeypatch, ORCHESTRATOR)
    run = rehearse(tmp_path, seeds(5), LAW, **BOTH)
    assert isinstance(came[0].result, Reply)
    (consulted,) = [event for event in run.journal.events if isinstance(event, Consulted)]
    assert (consulted.seed, consulted.tier, consulted.purpose) == (0, ORCHESTRATOR, "plan")
    (started,) = [e for e in run.journal.events if isinstance(e, CallStarted) and e.call == consulted.call]
    (ended,) = [e for e in run.journal.events if isinstance(e, CallEnded) and e.call == consulted.call]
    assert started.tier == ORCHESTRATOR
    assert ended == came[0].ended
    assert run.summary.how is How.FINISHED
    assert run.provider.counts().served == 6


def test_without_an_orchestrator_that_tier_cannot_be_asked_and_the_workers_own_can(tmp_path, monkeypatch):
    came = consulting(monkeypatch, ORCHESTRATOR)
    run = rehearse(tmp_path, seeds(2), LAW, workers=2)
    assert isinstance(came[0].result, NotAsked)
    assert run.provider.counts().received == 2


def test_an_orchestrator_that_is_down_is_given_up_and_the_run_goes_on_without_it(tmp_path, monkeypatch):
    down = Fault(FaultKind.STATUS, status=503, seeds=frozenset({"up"}))
    came = []
    serve = pipeline.Dispatch._serve

    async def consult(self, dispatcher, caller, enrolment, *rest):
        call = dispatcher.tier_call(ORCHESTRATOR)._replace(messages=(Message("user", "[[id:up]] Well?"),))
        came.extend([await dispatcher.consult(None, call, ORCHESTRATOR, "plan") for _ in range(12)])
        assert not dispatcher.has_tier(ORCHESTRATOR)
        await serve(self, dispatcher, caller, enrolment, *rest)

    monkeypatch.setattr(pipeline.Dispatch, "_serve", consult)
    run = rehearse(tmp_path, seeds(5), Law(latency=Latency(median_s=1.0), faults=(down,)), **BOTH)
    assert isinstance(came[-1].result, NotAsked)
    assert run.summary.how is How.FINISHED
    assert run.summary.totals.done == 5
    assert any("the run goes on without it" in line for line in run.screen.lines)


def test_the_orchestrators_own_budget_stops_its_calls_and_not_the_run(tmp_path, monkeypatch):
    came = consulting(monkeypatch, ORCHESTRATOR, times=5)
    run = rehearse(tmp_path, seeds(5), LAW, **BOTH, orchestrator_budget={"max_calls": 3})
    assert [isinstance(called.result, NotAsked) for called in came] == [False] * 3 + [True] * 2
    assert run.summary.how is How.FINISHED
    assert run.provider.counts().served == 8


def test_one_model_for_both_tiers_shares_one_road(tmp_path, monkeypatch):
    came = consulting(monkeypatch, ORCHESTRATOR)
    run = rehearse(tmp_path, seeds(5), LAW, **{**BOTH, "orchestrator_model": "mock"})
    assert isinstance(came[0].result, Reply)
    assert run.provider.counts().served == 6
