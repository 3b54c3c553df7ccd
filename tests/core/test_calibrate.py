"""The pace of a run: what the user wrote is kept, what is left to us is found, each choice has a reason."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.calibrate import MOST, Sample, Wish, chosen, estimate
from deepswarm.core.pace import Cost, Go, Sent, Served
from deepswarm.core.pace.adaptive import Adaptive
from deepswarm.core.pace.ceilings import Ceilings
from deepswarm.core.pace.fixed import Fixed
from deepswarm.core.pace.page import Page

briefly = settings(max_examples=40, deadline=None)

lefts = st.integers(0, 10_000_000)


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        (Wish(), Adaptive),
        (Wish(workers=8), Fixed),
        (Wish(pace="adaptive", workers=8), Adaptive),
        (Wish(pace="page-table"), Page),
        (Wish(pace="page-formula", rate_limit=600.0), Page),
        (Wish(workers=8, rpm=10.0), Ceilings),
        (Wish(pace="page-table", tpm=1e5), Ceilings),
    ],
)
def test_the_pace_is_the_one_that_the_task_means(wish, kind):
    assert type(chosen(wish, 1000).pace) is kind


@given(st.integers(1, 100_000), st.none() | st.floats(0, 3600), st.none() | st.integers(1, 10_000), lefts)
@briefly
def test_what_the_user_wrote_is_taken_as_written(workers, stagger_s, batch_size, left):
    choice = chosen(Wish(workers=workers, stagger_s=stagger_s, batch_size=batch_size), left).choice()
    assert choice.workers == min(workers, max(1, left))
    assert choice.batch_size == (batch_size or 1)
    assert choice.stagger_s == stagger_s if stagger_s is not None else 0 <= choice.stagger_s * choice.workers <= 1.0


@given(st.none() | st.integers(1, 100_000), st.integers(1, 1 << 30))
@briefly
def test_an_adaptive_ceiling_is_the_least_of_the_user_s_the_machine_s_and_ours(workers, connections):
    choice = chosen(Wish(pace="adaptive", workers=workers), 1000, connections).choice()
    assert choice.workers == min(workers or MOST, connections, MOST)


def test_what_the_page_chooses_is_known_when_one_call_was_timed():
    pace, choice = chosen(Wish(pace="page-formula", rate_limit=600.0), 1000)
    assert choice() is None
    assert pace.admit(0.0, Cost()) == Go()
    pace.observe(Sent(1, Cost()), 0.0)
    assert pace.admit(0.0, Cost()) != Go()
    pace.observe(Served(1), 100.0)
    assert choice().workers == 6
    assert choice().stagger_s == pytest.approx(100.0 / 6 * 2)
    assert choice().batch_size == 1000 // 6


@pytest.mark.parametrize(
    ("wish", "left", "why"),
    [
        (
            Wish(workers=64),
            1000,
            "fixed: 64 workers (as written); all started within 1 s; 1 seed leased at once from one queue",
        ),
        (
            Wish(workers=64, stagger_s=0.25, batch_size=10),
            3,
            "fixed: 3 workers (as written, no more than the seeds left); 0.25 s apart (as written); "
            "10 seeds leased at once from one queue",
        ),
        (
            Wish(),
            1,
            "adaptive: starts with 4 calls at once and finds how many the provider allows, up to 4,096",
        ),
        (
            Wish(pace="adaptive", workers=50),
            1,
            "adaptive: starts with 4 calls at once and finds how many the provider allows, up to 50 (as written)",
        ),
    ],
)
def test_every_choice_has_its_reason(wish, left, why):
    assert chosen(wish, left).choice().why == why


def test_a_machine_that_cannot_open_enough_files_caps_the_workers_and_says_so():
    choice = chosen(Wish(workers=1000, stagger_s=0.0), 5000, 192).choice()
    assert choice.workers == 192
    assert "1000 would need more open files" in choice.why
    assert "ulimit -n" in choice.why
    assert "this machine" in chosen(Wish(), 5000, 192).choice().why


def test_the_first_estimates_come_with_an_interval_and_say_how_sure_they_are():
    five = [Sample(seconds, 100 * number) for number, seconds in enumerate([41.0, 30.5, 60.0, 33.0, 52.0], 1)]
    assert estimate(five) == (
        "the first 5 calls say: the median call takes 30.5 to 60 s and 100 to 500 tokens of answer (94 % sure)"
    )
    assert "says little" in estimate(five[:1])
    assert "tokens" not in estimate([*five[:4], Sample(1.0, None)])
