"""The scheduler: every seed is handed out once and in order, whoever asks; a stop hands out nothing more."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deepswarm.core.records import SeedRow
from deepswarm.core.scheduler import How, Scheduler, Stop

PAUSE = Stop(How.PAUSED, "no money")
SIGNAL = Stop(How.INTERRUPTED, "SIGINT")


def rows(*orders):
    return [SeedRow(order + 1, f"s{order}", b"", 0, 0, order) for order in orders]


class Journal:
    """As much of a journal as the scheduler needs: seeds by their place in the file, some of them not left."""

    def __init__(self, orders):
        self.rows = rows(*orders)

    def left(self, after, most):
        return [row for row in self.rows if row.order > after][:most]


class Dispatching(RuleBasedStateMachine):
    """Workers that take in any order, with a queue that is fed in small pieces."""

    @initialize(gaps=st.lists(st.integers(1, 3), max_size=40), batch=st.integers(1, 5))
    def open(self, gaps, batch):
        orders = [sum(gaps[:i]) for i in range(len(gaps))]
        self.journal = Journal(orders)
        self.scheduler = Scheduler(batch)
        self.taken = []

    @rule(worker=st.integers(0, 3), most=st.integers(1, 8))
    def take(self, worker, most):
        after = self.scheduler.wants
        if after is not None:
            fetched = self.journal.left(after, most)
            self.scheduler.feed(fetched)
        row = self.scheduler.take(worker)
        if row is not None:
            assert self.scheduler.stopped is None
            self.taken.append(row.number)

    @precondition(lambda self: self.scheduler.stopped is None)
    @rule(how=st.sampled_from([PAUSE, SIGNAL]))
    def stop(self, how):
        self.scheduler.stop(how)

    @rule(batch=st.integers(1, 5))
    def change_the_lease(self, batch):
        self.scheduler.batch_size = batch

    @invariant()
    def no_seed_is_handed_out_twice(self):
        assert len(set(self.taken)) == len(self.taken)

    @rule(at_once=st.integers(1, 20))
    def admit(self, at_once):
        self.scheduler.at_once = at_once

    def teardown(self):
        if not hasattr(self, "scheduler") or self.scheduler.stopped is not None:
            return
        for _ in range(200):  # all workers go on until none finds anything
            for worker in range(4):
                self.take(worker, 8)
        assert sorted(self.taken) == [row.number for row in self.journal.rows]
        assert self.scheduler.wants is None


TestDispatching = Dispatching.TestCase
TestDispatching.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_one_by_one_the_seeds_come_in_file_order():
    scheduler = Scheduler()
    scheduler.feed(rows(*range(5)))
    assert [scheduler.take(worker).order for worker in (0, 1, 0, 2, 1)] == [0, 1, 2, 3, 4]
    assert scheduler.take(0) is None


def test_a_lease_of_several_seeds_belongs_to_one_worker():
    scheduler = Scheduler(batch_size=3)
    scheduler.feed(rows(*range(7)))
    taken = {0: [], 1: []}
    for worker in (0, 1, 0, 1, 0, 1):
        taken[worker].append(scheduler.take(worker).order)
    assert taken == {0: [0, 1, 2], 1: [3, 4, 5]}
    assert scheduler.take(1).order == 6


def test_nobody_holds_back_leased_seeds_that_another_could_serve():
    scheduler = Scheduler(batch_size=4)
    scheduler.feed(rows(*range(4)))
    assert scheduler.take(0).order == 0
    scheduler.feed([])
    assert {scheduler.take(1).order, scheduler.take(2).order, scheduler.take(0).order} == {1, 2, 3}
    assert scheduler.take(1) is None
    assert not scheduler.more


def test_the_longest_go_first_when_few_are_left():
    scheduler = Scheduler()
    scheduler.at_once = 2
    sizes = [5, 1, 9, 1, 7, 3, 8, 2, 6]
    scheduler.feed(SeedRow(order + 1, f"s{order}", b"", 0, size, order) for order, size in enumerate(sizes))
    taken = []
    while scheduler.more:
        if scheduler.wants is not None:
            scheduler.feed([])
        taken.append(scheduler.take(0).size)
    assert taken == [5, 1, 9, 1, 8, 7, 6, 3, 2]


def test_one_worker_alone_keeps_the_order_of_the_file():
    scheduler = Scheduler()
    scheduler.feed(SeedRow(order + 1, f"s{order}", b"", 0, order, order) for order in range(5))
    scheduler.feed([])
    assert [scheduler.take(0).order for _ in range(5)] == [0, 1, 2, 3, 4]


def test_it_asks_for_what_comes_after_the_last_seed_it_was_fed():
    scheduler = Scheduler()
    assert scheduler.wants == -1
    scheduler.feed(rows(4, 9))
    assert scheduler.wants is None
    scheduler.take(0)
    scheduler.take(0)
    assert scheduler.wants == 9


def test_it_asks_no_more_once_the_file_is_exhausted():
    scheduler = Scheduler()
    scheduler.feed([])
    assert scheduler.wants is None
    assert scheduler.take(0) is None


def test_a_queue_shorter_than_a_lease_wants_more():
    scheduler = Scheduler(batch_size=4)
    scheduler.feed(rows(0, 1, 2))
    assert scheduler.wants == 2


@given(st.lists(st.sampled_from([PAUSE, Stop(How.PAUSED, "no key"), SIGNAL]), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_the_first_reason_to_stop_stays_but_for_an_interruption(stops):
    scheduler = Scheduler()
    scheduler.feed(rows(0, 1))
    for stop in stops:
        scheduler.stop(stop)
    assert scheduler.stopped == (SIGNAL if SIGNAL in stops else stops[0])
    assert scheduler.take(0) is None
    assert scheduler.wants is None


def test_a_stop_also_holds_back_what_is_leased():
    scheduler = Scheduler(batch_size=2)
    scheduler.feed(rows(0, 1))
    assert scheduler.take(0).order == 0
    scheduler.stop(PAUSE)
    assert scheduler.take(0) is None


def test_its_repr_tells_the_state_in_one_line():
    scheduler = Scheduler()
    scheduler.feed(rows(0, 1))
    assert repr(scheduler) == "Scheduler(RUNNING, queued=2, after=1, exhausted=False)"
    scheduler.stop(SIGNAL)
    assert repr(scheduler) == "Scheduler(STOPPING(interrupted), queued=2, after=1, exhausted=False)"
