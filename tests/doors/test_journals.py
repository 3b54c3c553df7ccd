"""Every store of the table passes the suite, and all of them behave alike whatever is done with them."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepswarm.core.events import RunPaused, RunResumed
from deepswarm.core.records import Incoming
from deepswarm.doors import find
from deepswarm.journals import TABLE
from deepswarm.testing.suites.journal import (
    JournalSuite,
    Player,
    Store,
    commands,
    content,
    opened,
    seen,
    session,
    typed,
)


def store_of(name):
    return Store(find("journal", name, TABLE))


@pytest.fixture(params=TABLE)
def store(request):
    return store_of(request.param)


class TestJournals(JournalSuite):
    """Each test runs once for each store."""


@pytest.mark.parametrize("name", [name for name in TABLE if name != "memory"])
@given(played=st.lists(commands(), max_size=14))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_store_answers_like_the_one_in_memory_whatever_is_done_with_both(name, played):
    with (
        tempfile.TemporaryDirectory() as folder,
        opened(store_of(name), Path(folder)) as one,
        opened(store_of("memory"), Path(folder)) as other,
    ):
        players = [Player(one), Player(other)]
        for command in played:
            answer, plain_answer = (player.play(command) for player in players)
            assert answer == plain_answer
            assert seen(one.journal) == seen(other.journal)


@given(
    drawn=st.lists(st.tuples(st.integers(0, 300), st.booleans(), st.integers(0, 3)), max_size=200),
    total=st.none() | st.integers(0, 200),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_many_seeds_with_and_without_ids_are_told_apart_alike_by_every_store(drawn, total):
    # Few contents and more than one statement's rows: repeated seeds, repeated ids, lines that are not in step.
    texts = [content(str(number)) for number in range(301)]
    file = [
        Incoming(f"id{number}" if has_id else None, texts[number], 100 * place, 10, place + 1 + gap)
        for place, (number, has_id, gap) in enumerate(drawn)
    ]
    enrolments = []
    for name in TABLE:
        with tempfile.TemporaryDirectory() as folder, opened(store_of(name), Path(folder)) as one:
            enrolments.append((one.journal.enrol(file, total), seen(one.journal)))
    assert all(enrolment == enrolments[0] for enrolment in enrolments)


def test_pauses_come_back_as_they_were_written(store, tmp_path):
    events = [session(), RunPaused(1.0, 2.0, "out_of_funds", "add money", None), RunResumed(3.0, 4.0, 2.0)]
    events.append(RunPaused(5.0, 6.0, "throttled", "wait", 7.5))
    with opened(store, tmp_path) as one:
        one.append(events)
        one.again()
        assert typed(one.journal.replay()) == typed(events)
