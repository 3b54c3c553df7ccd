"""The pace: what the user wrote is kept, what is left to us follows the page's formulas, each choice has a reason."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.calibrate import PAGE_CEILING, Wish, needs_calibration, pace

briefly = settings(max_examples=40, deadline=None)

wishes = st.builds(
    Wish,
    workers=st.none() | st.integers(1, 100_000),
    stagger_s=st.none() | st.floats(0, 3600),
    batch_size=st.none() | st.integers(1, 10_000),
)
lefts = st.integers(0, 10_000_000)
durations = st.none() | st.floats(0.001, 600)


@pytest.mark.parametrize(
    ("wish", "needed"),
    [
        (Wish(), True),
        (Wish(batch_size=5), True),
        (Wish(workers=8), False),
        (Wish(stagger_s=0.0), False),
        (Wish(workers=8, stagger_s=1.0), False),
    ],
)
def test_a_timed_first_call_is_made_only_when_workers_and_stagger_are_both_left_to_us(wish, needed):
    assert needs_calibration(wish) is needed


@given(wishes, lefts, durations)
@briefly
def test_there_is_always_a_worker_and_never_one_without_a_seed(wish, left, duration_s):
    chosen = pace(wish, left, duration_s)
    assert 1 <= chosen.workers <= max(1, left)
    assert chosen.workers <= (wish.workers or PAGE_CEILING)
    assert chosen.stagger_s >= 0
    assert chosen.batch_size >= 1


@given(wishes, lefts, durations)
@briefly
def test_what_the_user_wrote_is_taken_as_written(wish, left, duration_s):
    chosen = pace(wish, left, duration_s)
    if wish.workers is not None:
        assert chosen.workers == min(wish.workers, max(1, left))
    if wish.stagger_s is not None:
        assert chosen.stagger_s == wish.stagger_s
    if wish.batch_size is not None:
        assert chosen.batch_size == wish.batch_size


@given(st.integers(1, 10_000_000), st.floats(0.001, 600))
@briefly
def test_an_automatic_stagger_is_twice_the_first_calls_duration_over_the_workers(left, duration_s):
    chosen = pace(Wish(), left, duration_s)
    assert chosen.workers == min(8, left)
    assert chosen.stagger_s == pytest.approx(duration_s / chosen.workers * 2)


@given(st.integers(2, 100_000))
@briefly
def test_a_written_worker_count_starts_within_one_second(workers):
    chosen = pace(Wish(workers=workers), workers, None)
    assert 0 < chosen.stagger_s * (chosen.workers - 1) < 1.0


def test_one_worker_waits_for_nobody():
    assert pace(Wish(workers=1), 10, None).stagger_s == 0.0


def test_seeds_are_leased_one_at_a_time_unless_the_user_wrote_otherwise():
    assert pace(Wish(), 1000, 1.0).batch_size == 1
    assert pace(Wish(batch_size=50), 1000, 1.0).batch_size == 50


@pytest.mark.parametrize(
    ("wish", "left", "duration_s", "why"),
    [
        (
            Wish(),
            1000,
            4.0,
            "8 workers (the first guess); 1 s apart (first call 4 s / workers x 2); "
            "1 seed leased at once from one queue",
        ),
        (
            Wish(workers=64),
            1000,
            None,
            "64 workers (as written); all started within 1 s; 1 seed leased at once from one queue",
        ),
        (
            Wish(workers=64, stagger_s=0.25, batch_size=10),
            3,
            None,
            "3 workers (as written, no more than the seeds left); 0.25 s apart (as written); "
            "10 seeds leased at once from one queue",
        ),
        (
            Wish(),
            1,
            None,
            "1 workers (the first guess, no more than the seeds left); all started within 0 s; "
            "1 seed leased at once from one queue",
        ),
    ],
)
def test_every_choice_has_its_reason(wish, left, duration_s, why):
    assert pace(wish, left, duration_s).why == why


def test_a_machine_that_cannot_open_enough_files_caps_the_workers_and_says_so():
    chosen = pace(Wish(workers=1000, stagger_s=0.0), 5000, None, ceiling=192)
    assert chosen.workers == 192
    assert "1000 would need more open files" in chosen.why
    assert "ulimit -n" in chosen.why
