import sqlite3
import stat

import pytest

from deepswarm.accounts import Remembered, Scope
from deepswarm.accounts.sqlite import SqliteStore
from deepswarm.core.pace import Memory
from deepswarm.core.pace.sharing import Member

KEY = "sk-0123456789abcdef"
SCOPE = Scope("https://api.example.com/v1", "account", "model")
LEARNT = Memory(212.0, None, 1800.0, 0.4, 0.2, moving=True)


@pytest.fixture
def said():
    return []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "accounts.sqlite"


def test_what_was_learnt_is_there_for_the_next_run(path, said):
    first = SqliteStore(path, said.append)
    first.keep(SCOPE, LEARNT, 1000.0)
    first.close()
    second = SqliteStore(path, said.append)
    assert second.recall(SCOPE) == Remembered(LEARNT, 1000.0)
    assert second.recall(SCOPE._replace(model="another")) is None
    second.close()
    assert said == []


def test_the_file_holds_no_key_and_is_for_its_user_alone(path, said):
    store = SqliteStore(path, said.append)
    account = store.account(SCOPE.base, KEY)
    store.keep(SCOPE._replace(account=account), LEARNT, 1000.0)
    store.close()
    assert KEY.encode() not in b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_account_has_the_same_name_in_every_run_and_another_one_for_another_key_or_file(path, tmp_path, said):
    first, second = SqliteStore(path, said.append), SqliteStore(path, said.append)
    third = SqliteStore(tmp_path / "other.sqlite", said.append)
    assert first.account(SCOPE.base, KEY) == second.account(SCOPE.base, KEY)
    assert first.account(SCOPE.base, KEY) != first.account(SCOPE.base, KEY + "0")
    assert first.account(SCOPE.base, KEY) != third.account(SCOPE.base, KEY)
    for store in (first, second, third):
        store.close()


def test_those_who_meet_see_each_other_until_their_leases_end_or_they_leave(path, said):
    store = SqliteStore(path, said.append)
    old, young, gone = Member("1-a", 10.0), Member("2-b", 20.0), Member("3-c", 30.0)
    assert store.meet(SCOPE, old, 100.0, 2.0) == ()
    store.meet(SCOPE, gone, 100.0, 2.0)
    assert store.meet(SCOPE, young, 101.0, 2.0) == (old, gone)
    store.leave(SCOPE, gone.name)
    assert store.meet(SCOPE, young, 101.5, 2.0) == (old,)
    assert store.meet(SCOPE, young, 103.0, 2.0) == ()
    assert store.meet(SCOPE._replace(model="another"), old, 103.0, 2.0) == ()
    store.close()


def test_leases_of_a_clock_that_was_put_back_do_not_last_for_ever(path, said):
    store = SqliteStore(path, said.append)
    store.meet(SCOPE, Member("1-a", 10.0), 9e9, 2.0)
    assert store.meet(SCOPE, Member("2-b", 20.0), 100.0, 2.0) == ()
    store.close()


def spoil(path, how):
    if how == "damaged":
        path.write_bytes(b"this is no database" * 500)
    elif how == "newer":
        with sqlite3.connect(path) as file:
            file.execute("PRAGMA user_version = 99")
        file.close()
    elif how == "a folder":
        path.mkdir()
    elif how == "memory that is no memory":
        SqliteStore(path, print).close()
        with sqlite3.connect(path) as file:
            file.execute("INSERT INTO memories VALUES (?, ?, ?, 1.0, 'null')", SCOPE)
        file.close()


@pytest.mark.parametrize("how", ["damaged", "newer", "a folder", "memory that is no memory"])
def test_a_file_that_cannot_be_used_is_one_sentence_and_stops_nothing(how, path, said):
    path.parent.mkdir()
    spoil(path, how)
    store = SqliteStore(path, said.append)
    assert store.recall(SCOPE) is None
    store.keep(SCOPE, LEARNT, 1000.0)
    assert store.meet(SCOPE, Member("1-a", 1.0), 1000.0, 2.0) == ()
    store.leave(SCOPE, "1-a")
    assert len(store.account(SCOPE.base, KEY)) == 32
    assert len(said) == 1
    store.close()


def test_a_file_that_is_locked_for_a_moment_is_used_again_after_it(path, said):
    store = SqliteStore(path, said.append)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.keep(SCOPE, LEARNT, 1000.0)
    assert store.meet(SCOPE, Member("1-a", 1.0), 1000.0, 2.0) == ()
    other.execute("COMMIT")
    store.keep(SCOPE, LEARNT, 1001.0)
    assert store.recall(SCOPE) == Remembered(LEARNT, 1001.0)
    assert said == []
    other.close()
    store.close()
