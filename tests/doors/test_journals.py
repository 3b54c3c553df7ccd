"""Every store of the table passes the suite, and all of them behave alike whatever is done with them."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepswarm.doors import find
from deepswarm.journals import TABLE
from deepswarm.testing.suites.journal import JournalSuite, Player, Store, commands, opened, seen


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
