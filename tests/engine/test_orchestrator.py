"""The orchestrator in whole runs in virtual time: it plans, it helps, and nothing that it says can do harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepswarm.core.events import Advised, CallEnded, CallStarted, Consulted
from deepswarm.core.scheduler import How
from deepswarm.simulator.law import Law, read_law
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.testing.builders import rehearse

INJECTIONS = [
    json.loads(line) for line in (Path(__file__).parents[1] / "data/injections.jsonl").read_text().splitlines()
]

HINT = "Close every brace that you open."
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
TASK = {
    "task_type": "extraction",
    "extraction": {"json_schema": SCHEMA},
    "worker_model": "small",
    "orchestrator_model": "big",
    "worker_max_tokens": 500,
    "worker_retries": 0,
    "workers": 8,
    "plan": "off",
    "prices": {"small": {"input": 0.1, "output": 0.2}, "big": {"input": 1, "output": 2}},
}
SEEDS = [{"prompt": f"{'hard' if number % 3 == 0 else 'easy'} [[id:{number}]]"} for number in range(150)]
INSTRUCT = json.dumps({"action": "instruction", "text": HINT})


class World:
    """Two models: the worker's closes its braces on hard seeds only when it is told to; the other one advises."""

    def __init__(self, advice="", plan="{}"):
        self.advice, self.plan, self.questions, self.told = advice, plan, [], []

    def __call__(self, said, _mark):
        first = said[0].content
        if said[-1].content.startswith("Answer with this JSON"):
            return '{"ok": true}'
        if first.startswith("A program asks"):
            self.questions.append(said)
            return self.advice
        if first.startswith("A program is about to ask"):
            self.questions.append(said)
            return self.plan
        self.told.append(said)
        hard = any("hard" in message.content for message in said if message.role == "user")
        return self.worker(said, hard=hard)

    def worker(self, said, *, hard):
        return '{"n": 1' if hard and not any(HINT in message.content for message in said) else '{"n": 1}'


def played(folder, world, *, seeds=SEEDS, orchestrator=None, **keys):
    law = Law()
    provider = SimulatedProvider(law, writer=world)
    return rehearse(folder, seeds, law, provider=provider, orchestrator=orchestrator, **{**TASK, **keys})


def advised(done, verdict=None):
    found = [event for event in done.journal.replay() if isinstance(event, Advised)]
    return [event for event in found if verdict is None or event.verdict == verdict]


def beside(done, purpose):
    return [e for e in done.journal.replay() if isinstance(e, Consulted) and e.purpose == purpose]


# --- monitoring ------------------------------------------------------------------------------------------------------


def test_what_helps_is_tried_adopted_journalled_and_saves_the_seeds_that_had_failed(tmp_path):
    world = World(INSTRUCT)
    done = played(tmp_path, world)
    assert done.summary.how is How.FINISHED
    assert done.summary.totals.done == len(SEEDS)
    assert done.summary.totals.rejected == 0
    (event,) = advised(done, "adopted")
    told = json.loads(event.data)
    assert told["changes_now"] == {"instructions": [HINT]}
    assert told["trial"]["won"] >= 5
    assert len(beside(done, "monitor")) == 1
    assert len(done.results) == len(SEEDS)
    assert done.failed == []
    assert {"instructions": [HINT]} in [record.get("asked_otherwise") for record in done.results]


def test_a_run_without_a_monitor_asks_nothing(tmp_path):
    world = World(INSTRUCT)
    done = played(tmp_path, world, monitor="off")
    assert done.summary.totals.rejected == 50
    assert not world.questions
    assert not advised(done)


def test_the_run_is_the_same_with_the_orchestrator_off_and_without_one(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    off = played(tmp_path / "a", World(INSTRUCT), monitor="off")
    without = played(tmp_path / "b", World(INSTRUCT), orchestrator_model=None)
    assert [record["id"] for record in off.results] == [record["id"] for record in without.results]
    assert off.summary.calls == without.summary.calls
    assert off.seconds == without.seconds


def test_a_proposal_is_only_shown(tmp_path):
    done = played(tmp_path, World(INSTRUCT), monitor="propose")
    assert done.summary.totals.rejected == 50
    assert advised(done, "proposed")
    assert any(HINT in line for line in done.screen.lines)
    assert not beside(done, "trial")


def test_what_does_not_help_is_refused_and_changes_nothing(tmp_path):
    world = World(json.dumps({"action": "temperature", "value": 0.5}))
    done = played(tmp_path, world)
    assert done.summary.totals.rejected == 50
    assert advised(done, "refused")
    assert not advised(done, "adopted")
    assert len(world.told) == len(SEEDS) + len(beside(done, "trial"))


def test_what_breaks_the_others_is_refused(tmp_path):
    class Breaks(World):
        def worker(self, said, *, hard):
            told = any(HINT in message.content for message in said)
            return '{"n": 1}' if told is hard else '{"n": 1'

    done = played(tmp_path, Breaks(INSTRUCT))
    assert advised(done, "refused")
    assert done.summary.totals.rejected == 50


def test_what_was_adopted_is_taken_back_when_failures_come_more_often_than_before(tmp_path):
    class Turns(World):
        hinted = 0

        def worker(self, said, *, hard):
            if not any(HINT in message.content for message in said):
                return super().worker(said, hard=hard)
            self.hinted += 1
            return '{"n": 1}' if self.hinted <= 35 else '{"n": 1'  # the trial takes 28 to 30 of them

    seeds = [{"prompt": f"{'hard' if number % 3 == 0 else 'easy'} [[id:{number}]]"} for number in range(400)]
    world = Turns(INSTRUCT)
    done = played(tmp_path, world, seeds=seeds)
    (back,) = advised(done, "taken_back")
    assert json.loads(back.data)["changes_now"] == {}
    assert len(advised(done, "adopted")) == 1
    assert json.loads(done.journal.noted("advice"))["changes"] == {}
    easy = [record for record in done.failed if "easy" in record["seed"]["prompt"]]
    assert not easy, "what only the change had broken was asked again without it"
    assert (len(done.results), len(done.failed)) == (done.summary.totals.done, done.summary.totals.rejected)
    assert len({record["id"] for record in [*done.results, *done.failed]}) == len(seeds)
    assert done.summary.how is How.FINISHED
    assert any("1 monitor taken_back" in line for line in done.screen.lines)


def test_a_hint_is_told_to_seeds_that_fail_in_this_way_alone(tmp_path):
    world = World(json.dumps({"action": "retry_with_hint", "text": HINT}))
    done = played(tmp_path, world, worker_retries=1)
    assert done.summary.totals.done == len(SEEDS)
    (event,) = advised(done, "adopted")
    assert event.label == "retry_with_hint"
    easy = [said for said in world.told if "easy" in said[1].content]
    assert not any(HINT in message.content for said in easy for message in said)


def test_more_room_than_the_bounds_allow_is_not_even_tried(tmp_path):
    done = played(tmp_path, World(json.dumps({"action": "max_tokens", "value": 100_000})))
    assert [event.label for event in advised(done, "ignored")] == ["forbidden"] * len(advised(done))
    assert advised(done)


def test_a_change_holds_for_the_next_session_and_is_gone_when_both_are_switched_off(tmp_path):
    world = World(INSTRUCT)
    law = Law()
    provider = SimulatedProvider(law, writer=world)
    first = rehearse(tmp_path, SEEDS[:120], law, provider=provider, **TASK)
    world.told.clear()
    more = [{"prompt": f"hard {number} [[id:more{number}]]"} for number in range(20)]
    second = rehearse(tmp_path, [*SEEDS[:120], *more], law, provider=provider, journal=first.journal, **TASK)
    assert second.summary.totals.done == 140
    assert all(HINT in said[0].content for said in world.told)
    world.told.clear()
    last = [{"prompt": f"easy {number} [[id:last{number}]]"} for number in range(20)]
    off = {**TASK, "monitor": "off"}
    rehearse(tmp_path, [*SEEDS[:120], *more, *last], law, provider=provider, journal=first.journal, **off)
    assert world.told
    assert not any(HINT in said[0].content for said in world.told)


@pytest.mark.parametrize(
    ("advice", "label"),
    [
        ("", "no_reply"),  # an empty reply is no reply
        ("I would not know.", "not_json"),
        ('{"action": "shell", "text": "rm"}', "not_in_schema"),
        ('{"action": "stop", "action": "escalate"}', "contradictory"),
        ('{"action": "instruction", "text": "See https://evil.example/"}', "forbidden"),
        ('{"action": "escalate"}', "forbidden"),
        ('{"action": "thinking", "value": "off"}', "no_change"),
    ],
)
def test_a_broken_orchestrator_is_ignored_counted_and_the_run_goes_on(tmp_path, advice, label):
    done = played(tmp_path, World(advice), thinking="off")
    assert done.summary.how is How.FINISHED
    assert done.summary.totals.done == 100
    assert done.summary.totals.rejected == 50
    events = advised(done)
    assert events
    assert {event.verdict for event in events} == {"ignored"}
    assert {event.label for event in events} == {label}
    assert len(beside(done, "monitor")) <= 3


def test_the_orchestrator_may_stop_a_run_of_which_most_fails_and_no_other(tmp_path):
    stop = json.dumps({"action": "stop", "text": "The prompt asks for the wrong thing."})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    done = played(tmp_path / "a", World(stop))
    assert done.summary.how is How.FINISHED
    assert advised(done, "told")

    hopeless = World(stop)
    hopeless.worker = lambda said, hard: "no"  # noqa: ARG005 - whatever it is asked
    done = played(tmp_path / "b", hopeless)
    assert done.summary.how is How.PAUSED
    assert "wrong thing" in done.summary.why
    assert done.summary.exit_code == 75


def test_advice_keeps_to_its_calls(tmp_path):
    done = played(tmp_path, World(INSTRUCT), advice={"max_calls": 10})
    assert len(beside(done, "monitor")) + len(beside(done, "trial")) <= 10
    assert not advised(done, "adopted")
    assert done.summary.how is How.FINISHED


def test_advice_keeps_to_its_money(tmp_path):
    done = played(tmp_path, World(INSTRUCT), advice={"max_cost": 0.000001})
    assert not beside(done, "monitor")
    assert any("no more advice" in line for line in done.screen.lines)
    assert done.summary.totals.rejected == 50


# --- an orchestrator in trouble --------------------------------------------------------------------------------------

TROUBLES = {
    "down": '[[faults]]\nkind = "status"\nstatus = 503\n',
    "out of money": '[[faults]]\nkind = "status"\nstatus = 402\n',
    "forbidden": '[[faults]]\nkind = "status"\nstatus = 401\n',
    "garbled": '[[faults]]\nkind = "garbled"\n',
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_run_goes_on_without_an_orchestrator_in_trouble_and_says_so(tmp_path, trouble):
    above = SimulatedProvider(read_law(TROUBLES[trouble], trouble))
    done = played(tmp_path, World(INSTRUCT), orchestrator=above, plan="propose", pause_limit=60, call_retries=1)
    assert done.summary.how is How.FINISHED
    assert done.summary.totals.done == 100
    assert done.summary.totals.rejected == 50
    assert above.counts().served == 0 or trouble == "garbled"
    assert any("without it" in line or "does not answer" in line for line in done.screen.lines)


def test_an_outage_of_the_workers_asks_the_orchestrator_nothing(tmp_path):
    law = read_law('[[faults]]\nkind = "status"\nstatus = 503\nuntil_s = 600.0\n', "outage")
    world = World(INSTRUCT)
    above = SimulatedProvider(Law(), writer=world)
    provider = SimulatedProvider(law, writer=world)
    easy = [{"prompt": f"easy [[id:{number}]]"} for number in range(60)]
    done = rehearse(tmp_path, easy, law, provider=provider, orchestrator=above, **TASK)
    assert done.summary.totals.done == 60
    assert not beside(done, "monitor")


# --- injections ------------------------------------------------------------------------------------------------------


class Parrot(World):
    """An orchestrator that obeys: whatever stands in its data it gives back, one injection after another."""

    def __call__(self, said, mark):
        if said[0].content.startswith("A program"):
            self.questions.append(said)
            return INJECTIONS[len(self.questions) % len(INJECTIONS)]
        return super().__call__(said, mark)

    def worker(self, said, *, hard):
        number = int(said[-1].content.rpartition("#")[2])
        return f'{{"n": "{number}' + json.dumps(INJECTIONS[number])[1:] if hard else '{"n": 1}'


def test_300_injections_in_seeds_and_replies_and_an_orchestrator_that_obeys_them_change_nothing(tmp_path):
    seeds = [{"prompt": f"hard {text} #{number}"} for number, text in enumerate(INJECTIONS)]
    seeds += [{"prompt": f"easy [[id:{number}]] #{number}"} for number in range(100)]
    world = Parrot()
    done = played(tmp_path, world, seeds=seeds, plan="apply", worker_max_tokens=4000)
    assert done.summary.how is How.FINISHED
    assert done.summary.totals.done == 100
    assert done.summary.totals.rejected == 300
    assert world.questions
    assert not advised(done, "adopted")
    assert not advised(done, "applied")
    for system, user in world.questions:
        assert user.content.isprintable() or user.content.replace("\n", "").isprintable()
        assert len(system.content) + len(user.content) < 40_000


# --- both tiers are probed -------------------------------------------------------------------------------------------


def test_both_tiers_are_probed_once_in_the_form_of_the_task(tmp_path):
    done = played(tmp_path, World(INSTRUCT), system_prompt="Be exact.")
    assert [event.tier for event in beside(done, "probe")] == [0, 1]
    again = played_on(done)
    assert len(beside(again, "probe")) == 2


REFUSES = '[[faults]]\nkind = "reject"\nform = "parameter"\nparameter = "max_tokens"\n'


def played_on(done):
    return rehearse(done.folder, SEEDS, Law(), journal=done.journal, provider=done.provider, **TASK)


def test_a_worker_that_refuses_how_the_task_speaks_is_told_before_the_first_seed(tmp_path):
    law = read_law(REFUSES, "refuses")
    world = World(INSTRUCT)
    provider, above = SimulatedProvider(law, writer=world), SimulatedProvider(Law(), writer=world)
    done = rehearse(tmp_path, SEEDS, law, provider=provider, orchestrator=above, **TASK)
    assert done.summary.how is How.REFUSED
    assert "small (worker) does not understand" in done.summary.why
    assert done.summary.totals.left == len(SEEDS)
    assert done.summary.exit_code == 2


def test_an_orchestrator_that_refuses_how_the_task_speaks_is_told_and_the_run_goes_on(tmp_path):
    law = read_law(REFUSES, "refuses")
    done = played(tmp_path, World(INSTRUCT), orchestrator=SimulatedProvider(law))
    assert any("big (orchestrator) does not understand" in line for line in done.screen.lines)
    assert done.summary.totals.done == 100


# --- the plan --------------------------------------------------------------------------------------------------------

PLAN = json.dumps({"notes": HINT, "max_tokens": 400, "risks": ["Some seeds are hard."]})


def test_a_plan_that_is_applied_holds_from_the_first_seed_on(tmp_path):
    world = World("{}", PLAN)
    done = played(tmp_path, world, plan="apply")
    assert done.summary.totals.done == len(SEEDS)
    assert all(HINT in said[0].content for said in world.told)
    (event,) = advised(done, "applied")
    assert json.loads(event.data)["changes_now"] == {"instructions": [HINT], "max_tokens": 400}
    assert any("worker_max_tokens: 500 -> 400" in line for line in done.screen.lines)
    assert any("risk: Some seeds are hard." in line for line in done.screen.lines)


def test_a_plan_is_only_shown_unless_the_task_says_apply(tmp_path):
    world = World("{}", PLAN)
    done = played(tmp_path, world, plan="propose", monitor="off")
    assert done.summary.totals.rejected == 50
    assert not any(HINT in said[0].content for said in world.told)
    assert [event.verdict for event in advised(done)] == ["proposed"]


def test_a_plan_is_asked_for_once(tmp_path):
    world = World("{}", PLAN)
    law = Law()
    provider = SimulatedProvider(law, writer=world)
    keys = {**TASK, "plan": "propose", "monitor": "off"}
    first = rehearse(tmp_path, SEEDS[:60], law, provider=provider, **keys)
    rehearse(tmp_path, SEEDS, law, provider=provider, journal=first.journal, **keys)
    assert len(world.questions) == 1


@pytest.mark.parametrize("plan", ["", "no", '{"max_cost": 1000000}', '{"notes": "x", "notes": "y"}'])
def test_a_plan_that_is_none_is_ignored_and_the_run_goes_on(tmp_path, plan):
    done = played(tmp_path, World("{}", plan), plan="apply", monitor="off")
    assert done.summary.totals.done == 100
    assert [event.verdict for event in advised(done)] == ["ignored"]


# --- the judge -------------------------------------------------------------------------------------------------------

RUBRIC = {"rubric": "The answer names a colour."}


class Judged(World):
    """A worker that names a colour once it is told that it did not, and a judge that sees whether it did."""

    judgement = None

    def __call__(self, said, mark):
        if said[0].content.startswith("You judge"):
            self.questions.append(said)
            fine = "blue" in said[-1].content.rpartition("answer:")[2]
            return self.judgement or json.dumps({"score": 5 if fine else 1, "reason": "It names no colour."})
        return super().__call__(said, mark)

    def worker(self, said, *, hard):
        told = any("It names no colour." in message.content for message in said)
        return '{"n": 1, "c": "blue"}' if told or not hard else '{"n": 1}'


def test_a_judge_sends_answers_back_with_its_reason(tmp_path):
    world = Judged()
    done = played(tmp_path, world, judge=RUBRIC, worker_retries=1, monitor="off")
    assert done.summary.totals.done == len(SEEDS)
    assert all("blue" in record["answer"] for record in done.results)
    assert len(beside(done, "judge")) == len(SEEDS) + 50
    assert "judge: 150 accepted, 50 rejected" in done.screen.lines


def test_what_a_judge_rejects_for_good_is_rejected(tmp_path):
    done = played(tmp_path, Judged(), judge=RUBRIC, monitor="off")
    assert done.summary.totals.rejected == 50
    assert {record["class"] for record in done.failed} == {"judged"}
    assert "It names no colour." in done.failed[0]["reason"]


def test_a_share_of_the_answers_is_judged_and_always_the_same(tmp_path):
    world = Judged()
    done = played(tmp_path, world, judge={**RUBRIC, "share": 0.2}, monitor="off", worker_retries=1)
    assert 15 <= len({event.seed for event in beside(done, "judge")}) <= 45


@pytest.mark.parametrize("judgement", ["", "five", '{"score": 9}', '{"score": 1, "score": 5}'])
def test_an_answer_whose_judgement_cannot_be_read_stands_and_is_counted(tmp_path, judgement):
    world = Judged()
    world.judgement = judgement or " "
    done = played(tmp_path, world, judge=RUBRIC, monitor="off")
    assert done.summary.totals.done == len(SEEDS)
    assert any(line.startswith("judge: 150 not judged") for line in done.screen.lines)


def test_the_end_of_an_answers_call_is_written_before_its_judge_is_asked_and_only_once(tmp_path):
    done = played(tmp_path, Judged(), judge=RUBRIC, monitor="off")
    ended = [event.call for event in done.journal.replay() if isinstance(event, CallEnded)]
    assert len(ended) == len(set(ended)) == done.summary.totals.calls
    under_way = set()
    for event in done.journal.replay():
        if isinstance(event, Consulted):
            assert event.seed not in under_way
        elif isinstance(event, CallStarted) and event.tier == 0:
            under_way.add(event.seed)
        elif isinstance(event, CallEnded):
            under_way.discard(event.seed)
