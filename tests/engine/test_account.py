import pytest

from deepswarm.accounts import Scope
from deepswarm.accounts.sqlite import SqliteStore
from deepswarm.core.pace import Memory
from deepswarm.engine.account import Account
from deepswarm.simulator.law import load_law
from deepswarm.testing.builders import START_UTC, rehearse

SCOPE = Scope("https://api.example.com/v1", "account", "mock")
SEEDS = [{"prompt": f"number {number}"} for number in range(300)]


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "accounts.sqlite", pytest.fail)
    yield store
    store.close()


def run(tmp_path, name, store, **keys):
    (tmp_path / name).mkdir()
    return rehearse(tmp_path / name, SEEDS, load_law("concurrency-cap"), account=Account(store, SCOPE, name), **keys)


def test_a_run_leaves_what_it_learnt_and_gives_its_lease_back(tmp_path, store):
    ended = run(tmp_path, "first", store)
    assert ended.summary.totals.done == len(SEEDS)
    past = store.recall(SCOPE)
    assert past is not None
    assert past.memory.calls > 1
    assert past.utc >= START_UTC
    assert store._file.execute("SELECT count(*) FROM members").fetchone() == (0,)


def test_the_next_run_begins_with_half_of_what_was_learnt(tmp_path, store):
    store.keep(SCOPE, Memory(30.0), START_UTC - 60.0)
    ended = run(tmp_path, "second", store)
    assert any("starts with 15, half or less of what was found before" in line for line in ended.screen.lines)
    assert ended.summary.totals.done == len(SEEDS)


def test_a_number_of_workers_that_the_user_wrote_is_neither_remembered_nor_shared(tmp_path, store):
    assert run(tmp_path, "fixed", store, workers=4).summary.totals.done == len(SEEDS)
    assert store.recall(SCOPE) is None
