"""What other processes want of a run at work: carried out within a second, written down, and nothing is lost by it."""

import pytest

from deepswarm.core.commands import Again, Cancel, Halt, Pause, Resume, Set, wanted_of, words_of, workers_of
from deepswarm.core.events import CallStarted, CommandTaken, RunPaused, RunResumed, SeedEnded
from deepswarm.core.records import Outcome
from deepswarm.core.scheduler import How
from deepswarm.journals import Command
from deepswarm.journals.memory import MemoryJournal
from deepswarm.simulator.law import Latency, Law
from deepswarm.testing.builders import START_UTC, rehearse

SLOW = Law(latency=Latency(median_s=10.0, sigma=0.0))


class Told(MemoryJournal):
    """A journal in whose inbox commands arrive when so many calls have been written down."""

    def __init__(self, *orders):
        super().__init__()
        self.orders = list(orders)

    def commands(self):
        calls = sum(isinstance(event, CallStarted) for event in self.events)
        while self.orders and calls >= self.orders[0][0]:
            number = 1 + sum(isinstance(event, CommandTaken) for event in self.events) + len(self.inbox)
            self.inbox[number] = Command(number, START_UTC, "me", self.orders.pop(0)[1])
        return super().commands()


def seeds(count):
    return [{"id": f"s{n}", "prompt": f"[[id:{n}]] say something"} for n in range(count)]


def taken(run):
    return [(event.command, event.done) for event in run.journal.events if isinstance(event, CommandTaken)]


@pytest.mark.parametrize(
    "wanted",
    [Pause(), Resume(), Halt(), Halt(now=True), Set({"workers": "4"}), Cancel("a b"), Again(frozenset({"lost"}))],
)
def test_a_command_is_read_as_it_was_written(wanted):
    assert wanted_of(words_of(wanted)) == wanted


@pytest.mark.parametrize("words", ["", "go", "set", "set workers", "set colour=red", "pause now", "cancel"])
def test_what_means_nothing_is_refused_with_what_there_is(words):
    with pytest.raises(ValueError, match="there are"):
        wanted_of(words)


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many", ""])
def test_workers_are_a_whole_number_or_auto(value):
    assert (workers_of("auto"), workers_of("12")) == (None, 12)
    with pytest.raises(ValueError, match="whole number"):
        workers_of(value)


def test_a_pause_ends_with_resume_and_every_seed_is_answered_once(tmp_path):
    run = rehearse(tmp_path, seeds(60), SLOW, journal=Told((20, "pause"), (20, "resume")), workers=10)
    assert taken(run) == [("pause", True), ("resume", True)]
    kinds = [type(event) for event in run.journal.events]
    assert kinds.index(RunPaused) < kinds.index(RunResumed)
    assert run.provider.counts().served == run.summary.totals.done == 60


def test_a_stop_lets_calls_end_and_the_rest_goes_on_later(tmp_path):
    run = rehearse(tmp_path, seeds(60), SLOW, journal=Told((20, "stop")), workers=10)
    assert run.summary.how is How.INTERRUPTED
    assert run.provider.counts().in_flight == 0
    run = rehearse(tmp_path, seeds(60), SLOW, journal=run.journal, provider=run.provider, workers=10)
    assert run.provider.counts().served == run.summary.totals.done == 60


def test_more_workers_are_at_work_at_once(tmp_path):
    run = rehearse(tmp_path, seeds(200), SLOW, journal=Told((10, "set workers=40")), workers=5)
    assert run.provider.counts().most_in_flight == 40
    assert run.summary.totals.done == 200


def test_fewer_workers_ask_no_more_than_that(tmp_path):
    run = rehearse(tmp_path, seeds(100), SLOW, journal=Told((20, "set workers=2")), workers=20)
    after = next(e.at for e in run.journal.events if isinstance(e, CommandTaken)) + 11.0
    starts = [e.at for e in run.journal.events if isinstance(e, CallStarted) and e.at > after]
    assert starts
    assert all(sum(at <= other < at + 9.0 for other in starts) <= 4 for at in starts)


@pytest.mark.parametrize("key", ["s0", "s59"])
def test_a_cancelled_seed_has_failed_and_all_others_are_answered(tmp_path, key):
    run = rehearse(tmp_path, seeds(60), SLOW, journal=Told((10, f"cancel {key}")), workers=10)
    assert taken(run) == [(f"cancel {key}", True)]
    assert [(record["id"], record["class"]) for record in run.failed] == [(key, "cancelled")]
    ends = [event.seed for event in run.journal.events if isinstance(event, SeedEnded)]
    assert len(ends) == len(set(ends)) == 60


def test_what_cannot_be_done_is_refused_and_written_down(tmp_path):
    orders = [(10, "cancel nobody"), (10, "resume"), (10, "dance")]
    run = rehearse(tmp_path, seeds(30), SLOW, journal=Told(*orders), workers=5)
    assert taken(run) == [("cancel nobody", False), ("resume", False), ("dance", False)]
    assert run.summary.totals.done == 30


def test_failed_seeds_are_asked_again_while_the_run_is_at_work(tmp_path):
    run = rehearse(tmp_path, seeds(60), SLOW, journal=Told((10, "cancel s59"), (30, "retry cancelled")), workers=10)
    assert run.summary.totals.done == 60
    assert run.summary.totals.failed == 0


def test_a_pause_that_was_meant_for_a_process_that_ended_does_not_stop_the_next_one(tmp_path):
    run = rehearse(tmp_path, seeds(30), SLOW, journal=Told((0, "pause")), workers=5)
    assert taken(run) == [("pause", False)]
    assert run.summary.totals.done == 30
    assert {event.outcome for event in run.journal.events if isinstance(event, SeedEnded)} == {Outcome.DONE}
