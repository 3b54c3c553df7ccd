"""What only the SQLite journal has: files that are damaged, torn or newer, full disks, readers, and the lock."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from deepswarm.core.errors import DiskFull, JournalDamaged, JournalError, JournalLocked
from deepswarm.core.events import FORMAT, CallEnded
from deepswarm.core.ledger import fold
from deepswarm.core.records import Outcome, SeedState
from deepswarm.journals import sqlite
from deepswarm.journals.lock import held
from deepswarm.journals.sqlite import FILE, SqliteJournal
from deepswarm.testing.suites.journal import (
    ALL,
    MANY,
    NOW,
    Opened,
    Store,
    a_file,
    call_end,
    call_start,
    keys,
    seed_end,
    seen,
    session,
    typed,
    whole_call,
)

STORE = Store(SqliteJournal)
SEEDS = [f"s{number}" for number in range(1, 41)]


@pytest.fixture
def one(tmp_path):
    """A journal that is open, in a folder of its own."""
    folder = tmp_path / "journal"
    folder.mkdir()
    one = Opened(STORE, folder)
    yield one
    one.close()


@pytest.fixture
def folder(one):
    return one.journal.path.parent


def filled(one, size=0):
    """Bring all seeds to an end, one commit for each; the events."""
    one.journal.enrol(a_file(*SEEDS), None)
    events = [session()]
    one.append(events)
    for number in range(1, len(SEEDS) + 1):
        outcome = (Outcome.DONE, Outcome.FAILED, Outcome.REJECTED)[number % 3]
        call = call_end(number, number)._replace(body=os.urandom(size))
        batch = [call_start(number, number), call, seed_end(number, outcome, number)]
        one.append(batch)
        events += batch
    return events


def copied(folder, target):
    """The folder as a crash would leave it: what the system holds, without what memory holds."""
    target.mkdir()
    for name in (FILE, f"{FILE}-wal"):
        shutil.copyfile(folder / name, target / name)
    return target


# --- reading only ----------------------------------------------------------------------------------------------------


def test_reading_a_journal_that_is_not_there_says_so_and_makes_none(tmp_path):
    with pytest.raises(JournalError, match="there is no journal") as caught:
        SqliteJournal(tmp_path, readonly=True)
    assert str(tmp_path) in str(caught.value)
    assert not isinstance(caught.value, JournalDamaged | DiskFull)
    assert list(tmp_path.iterdir()) == []


def test_reading_a_file_in_which_nothing_was_written_yet_says_so(tmp_path):
    (tmp_path / FILE).touch()
    with pytest.raises(JournalError, match="empty") as caught:
        SqliteJournal(tmp_path, readonly=True)
    assert not isinstance(caught.value, JournalDamaged | DiskFull)


def test_a_reader_sees_what_is_durable_while_a_writer_goes_on(one, folder):
    events = filled(one)
    reader = SqliteJournal(folder, readonly=True)
    reader.select(None)
    assert seen(reader) == seen(one.journal)
    more = whole_call(99, 1)[:2]
    one.append(more)
    assert typed(reader.replay()) == typed(events + more)
    reader.close()
    one.append([session(2)])
    assert one.journal.sessions() == 2


def test_a_reader_leaves_the_writers_ballast_alone(one, folder):
    one.append([session()])
    SqliteJournal(folder, readonly=True).close()
    assert (folder / "ballast").exists()


def test_a_reader_changes_nothing(one, folder):
    filled(one)
    reader = SqliteJournal(folder, readonly=True)
    with pytest.raises(JournalError):
        reader.reopen(ALL, None, NOW)
    reader.close()
    assert one.journal.left(-1, MANY) == []


def test_closing_leaves_one_file_and_no_ballast(one, folder):
    filled(one)
    one.close()
    assert [entry.name for entry in folder.iterdir()] == [FILE]


# --- files that are not sound ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(
    "content", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 8000, os.urandom(20_000)]
)
def test_a_file_that_is_no_database_is_a_damaged_journal(tmp_path, content, readonly):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(JournalDamaged) as caught:
        SqliteJournal(tmp_path, readonly=readonly)
    assert str(tmp_path / FILE) in str(caught.value)
    assert "results.jsonl" in str(caught.value)
    assert caught.value.exit_code == 65
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.parametrize("readonly", [False, True])
def test_another_programs_database_is_no_journal_and_stays_as_it_is(tmp_path, readonly):
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("CREATE TABLE recipes (name)")
    other.commit()
    other.close()
    with pytest.raises(JournalDamaged, match="another program"):
        SqliteJournal(tmp_path, readonly=readonly)
    other = sqlite3.connect(tmp_path / FILE)
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    other.close()


def everything(folder):
    """All that can be done with a journal."""
    one = Opened(STORE, folder)
    try:
        seen(one.journal)
        one.journal.select(3)
        one.journal.reopen(ALL, None, NOW)
        one.journal.enrol(a_file(*SEEDS, "new"), None, NOW)
        one.append([session(2), call_start(77, 1)])
        seen(one.journal)
    finally:
        one.close()


def test_wherever_the_file_is_damaged_the_error_says_that_it_is(one, folder, tmp_path):
    filled(one, size=500)
    one.close()
    sound = (folder / FILE).read_bytes()
    page = 8192
    told = 0
    for number in range(len(sound) // page):
        damaged = tmp_path / f"page{number}"
        damaged.mkdir()
        start = number * page
        (damaged / FILE).write_bytes(sound[:start] + b"\xa5" * page + sound[start + page :])
        try:
            everything(damaged)
        except JournalDamaged:
            told += 1
    assert told > 10


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_a_file_that_was_cut_is_a_damaged_journal(one, folder, share):
    filled(one, size=500)
    one.close()
    path = folder / FILE
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(JournalDamaged):
        everything(folder)


@pytest.mark.parametrize("readonly", [False, True])
def test_a_journal_of_a_newer_format_is_refused_and_not_touched(one, folder, readonly):
    filled(one)
    one.close()
    db = sqlite3.connect(folder / FILE)
    db.execute("UPDATE meta SET value = ? WHERE name = 'format'", (str(FORMAT + 1),))
    db.commit()
    db.close()
    before = (folder / FILE).read_bytes()
    with pytest.raises(JournalError, match=f"format {FORMAT + 1}.*reads {FORMAT}.*update") as caught:
        SqliteJournal(folder, readonly=readonly)
    assert not isinstance(caught.value, JournalDamaged)
    assert (folder / FILE).read_bytes() == before


# --- a torn log ------------------------------------------------------------------------------------------------------


def assert_whole(folder, events, commits):
    """The journal holds the events up to one of the commits, agrees with itself, and takes more."""
    one = Opened(STORE, folder)
    try:
        journal = one.journal
        journal.select(None)
        got = typed(journal.replay())
        assert len(got) in commits
        assert got == typed(events)[: len(got)]
        ledger = fold(event for _, event in got)
        states = [ledger.states.get(number, SeedState.LEFT) for number in range(1, len(SEEDS) + 1)]
        left = [number for number, state in enumerate(states, 1) if state is SeedState.LEFT]
        assert [row.number for row in journal.left(-1, MANY)] == left
        assert journal.open_calls() == list(ledger.open_calls.values())
        totals = journal.totals()
        assert (totals.last_event, totals.left, totals.calls) == (len(got), len(left), ledger.totals.calls)
        assert one.append([session(9)]) == [len(got) + 1]
    finally:
        one.close()
    return len(got)


def torn_places(size):
    """Where to tear a log: all around its first frames' edges, and anywhere."""
    chance = random.Random(17)
    frame = 8192 + 24
    edges = {0, 1, 31, 32, 33, size - 1, size}
    edges |= {32 + frame * number + shift for number in (1, 2, 7) for shift in (-1, 0, 1, 23, 24, 25)}
    return sorted(place for place in edges | {chance.randrange(size) for _ in range(30)} if 0 <= place <= size)


def test_a_log_torn_at_any_byte_leaves_a_prefix_of_the_commits(one, folder, tmp_path):
    events = filled(one)
    commits = {0, 1, *range(4, len(events) + 1, 3)}
    crashed = copied(folder, tmp_path / "crashed")
    size = (crashed / f"{FILE}-wal").stat().st_size
    assert size > 40 * 8192
    lengths = []
    for place in torn_places(size):
        torn = copied(crashed, tmp_path / f"torn{place}")
        os.truncate(torn / f"{FILE}-wal", place)
        lengths.append(assert_whole(torn, events, commits))
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (0, len(events))
    assert len(set(lengths)) > 10


def test_a_byte_that_rots_in_the_log_costs_only_what_came_after_it(one, folder, tmp_path):
    events = filled(one)
    commits = {0, 1, *range(4, len(events) + 1, 3)}
    crashed = copied(folder, tmp_path / "crashed")
    log = (crashed / f"{FILE}-wal").read_bytes()
    chance = random.Random(4)
    for number in range(12):
        place = chance.randrange(len(log))
        rotten = copied(crashed, tmp_path / f"rotten{number}")
        changed = bytes([log[place] ^ 0x40])
        (rotten / f"{FILE}-wal").write_bytes(log[:place] + changed + log[place + 1 :])
        assert_whole(rotten, events, commits)


@pytest.mark.usefixtures("one")
def test_a_process_that_dies_while_it_makes_the_journal_leaves_one_that_opens(folder, tmp_path):
    crashed = copied(folder, tmp_path / "crashed")  # nothing but the tables, and those still in the log
    size = (crashed / f"{FILE}-wal").stat().st_size
    assert size > 8192
    for place in torn_places(size):
        torn = copied(crashed, tmp_path / f"torn{place}")
        os.truncate(torn / f"{FILE}-wal", place)
        again = Opened(STORE, torn)
        assert again.journal.enrol(a_file("a", "b"), None).added == 2
        assert again.append([session()]) == [1]
        again.close()


def test_an_append_returns_only_when_the_disk_holds_its_events(one, folder, monkeypatch):
    one.journal.enrol(a_file("a"), None)
    reader = sqlite3.connect(folder / FILE, check_same_thread=False)
    on_disk = []
    sync = sqlite._datasync

    def watched(descriptor):
        sync(descriptor)
        assert os.path.samestat(os.fstat(descriptor), (folder / f"{FILE}-wal").stat())
        on_disk.append(json.loads(reader.execute("SELECT data FROM totals").fetchone()[0])["last_event"])

    monkeypatch.setattr(sqlite, "_datasync", watched)
    for batches in ([[session()]], [whole_call(1, 1)[:2], [call_start(2, 1)]], [[call_end(2, 1)]]):
        numbers = one.append(*batches)
        assert on_disk[-1] == max(numbers)
    reader.close()


def test_the_log_is_moved_into_the_file_when_it_has_grown_also_under_a_readers_eyes(one, folder, monkeypatch):
    monkeypatch.setattr(sqlite, "LOG_BYTES", 100_000)
    one.journal.enrol(a_file("a"), None)
    one.append([session()])
    reading = one.journal.replay()
    next(reading)
    body = os.urandom(20_000)
    for call in range(1, 11):  # nothing can be moved while somebody reads, which must not stop the run
        one.append([call_start(call, 1), call_end(call, 1)._replace(body=body)])
    reading.close()
    for call in range(11, 61):
        one.append([call_start(call, 1), call_end(call, 1)._replace(body=body)])
    assert (folder / f"{FILE}-wal").stat().st_size < 1_000_000
    assert (folder / FILE).stat().st_size > 1_000_000
    assert len([event for event in one.journal.replay() if type(event) is CallEnded]) == 60


# --- a full disk -----------------------------------------------------------------------------------------------------


class SmallDisk:
    """A disk of four megabytes, which root can mount."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._filler = folder / "filler"

    def watch(self, journal):
        """Nothing to do: the system sees that the disk is full."""

    def fill(self):
        """Take all the space that is left."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def free(self):
        self._filler.unlink()


class PretendedDisk(SmallDisk):
    """For who may not mount: commits fail while the ballast is there, and again after some more of them."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder, monkeypatch)
        self._full = False
        self._room = 20

    def watch(self, journal):
        commit = journal._commit

        def commit_if_there_is_room(events):
            if self._full and ((self.folder / "ballast").exists() or self._room <= 0):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            self._room -= self._full
            commit(events)

        self._monkeypatch.setattr(journal, "_commit", commit_if_there_is_room)

    def fill(self):
        self._full = True

    def free(self):
        self._full = False


@pytest.fixture
def disk(tmp_path, monkeypatch):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = [shutil.which("mount"), "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield SmallDisk(folder, monkeypatch)
        subprocess.run([shutil.which("umount"), "--lazy", str(folder)], check=True)
    else:
        yield PretendedDisk(folder, monkeypatch)


def test_a_full_disk_costs_nothing_that_is_in_flight_and_stops_the_run(disk):
    one = Opened(STORE, disk.folder)
    disk.watch(one.journal)
    one.journal.enrol(a_file(*SEEDS), None)
    one.append([session()])
    assert (disk.folder / "ballast").stat().st_size > 0
    assert one.journal.trouble is None
    disk.fill()

    written = [session()]
    numbers = []
    full = None
    for number in range(1, len(SEEDS) + 1):
        batch = [call_start(number, number), call_end(number, number)._replace(body=os.urandom(30_000))]
        try:
            numbers += one.append(batch)
        except DiskFull as error:
            full = error
            break
        written += batch
    assert len(numbers) >= 2  # the ballast was given back: there was room for what was in flight
    assert isinstance(one.journal.trouble, DiskFull)
    assert not (disk.folder / "ballast").exists()
    assert full is not None
    assert "free some space" in str(full)
    assert full.exit_code == 75
    assert typed(one.journal.replay()) == typed(written)
    with pytest.raises(DiskFull):
        one.append([call_start(98, 1), call_end(98, 1)._replace(body=os.urandom(100_000))])
    assert typed(one.journal.replay()) == typed(written)

    disk.free()
    more = [call_start(99, 1), call_end(99, 1)]
    assert one.append(more) == [len(written) + 2]
    one.again()
    assert typed(one.journal.replay()) == typed(written + more)
    assert one.journal.trouble is None
    one.close()


def append_until_it_fails(one, batches):
    """Append each batch with company: what comes together is kept, or refused, together."""
    for batch in batches:
        one.append(batch, [call_start(1000 + batch[0].call, 2)], [call_start(2000 + batch[0].call, 2)])


def test_what_is_told_at_the_same_moment_fails_together_and_the_numbers_go_on(disk):
    one = Opened(STORE, disk.folder)
    disk.watch(one.journal)
    one.journal.enrol(a_file(*SEEDS), None)
    one.append([session()])
    disk.fill()
    body = os.urandom(200_000)
    batches = ([call_start(n, 1), call_end(n, 1)._replace(body=body)] for n in range(1, 41))
    with pytest.raises(DiskFull):
        append_until_it_fails(one, batches)
    held_now = typed(one.journal.replay())
    assert (len(held_now) - 1) % 4 == 0
    disk.free()
    assert one.append([session(2)], [session(3)]) == [len(held_now) + 1, len(held_now) + 2]
    assert len(list(one.journal.replay())) == len(held_now) + 2
    one.close()


def test_flushing_on_a_full_disk_says_so_to_everybody(disk):
    async def leaving(journal):
        waiting = [asyncio.create_task(journal.append([call_end(n, 1)._replace(body=body)])) for n in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(DiskFull):
            journal.flush()
        return await asyncio.gather(*waiting, return_exceptions=True)

    one = Opened(STORE, disk.folder)
    disk.watch(one.journal)
    one.append([session()])
    (disk.folder / "ballast").unlink()
    disk.fill()
    if isinstance(disk, PretendedDisk):
        disk._room = 0
    body = os.urandom(3_000_000)
    assert [type(answer) for answer in asyncio.run(leaving(one.journal))] == [DiskFull, DiskFull]
    disk.free()
    assert one.append([session(2)]) == [2]
    one.close()


def test_a_journal_cannot_be_made_where_nothing_can_be_written(tmp_path):
    with pytest.raises(DiskFull):
        SqliteJournal(tmp_path / "missing")


def test_a_disk_that_does_not_take_what_is_written_is_a_full_disk(one, monkeypatch):
    def broken(_fd):
        raise OSError(5, "Input/output error")

    one.append([session()])
    monkeypatch.setattr(sqlite, "_datasync", broken)
    with pytest.raises(DiskFull, match="Input/output error"):
        one.append([call_start(1, 1)])
    assert isinstance(one.journal.trouble, DiskFull)


# --- the lock --------------------------------------------------------------------------------------------------------

HOLDING = """
import sys, time
from pathlib import Path
from deepswarm.journals.lock import held

with held(Path(sys.argv[1]), "deepswarm run", 1.5):
    print("held", flush=True)
    sys.stdin.read()
"""


def started(script, *arguments):
    source = str(Path(sqlite.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": source},
    )


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_second_holder_is_told_who_the_first_one_is(tmp_path):
    with held(tmp_path, "deepswarm run --task t.yaml", 1.5):
        with pytest.raises(JournalLocked) as caught, held(tmp_path, "deepswarm run", 2.5):
            pass
        assert f"process {os.getpid()}" in str(caught.value)
        assert "deepswarm run --task t.yaml" in str(caught.value)
        assert "no call was made" in str(caught.value)
        assert caught.value.exit_code == 75


def test_the_lock_is_free_again_after_its_block_however_that_ended(tmp_path):
    with contextlib.suppress(LookupError), held(tmp_path, "one", 1.0):
        raise LookupError
    with held(tmp_path, "two", 2.0):
        holder = json.loads((tmp_path / "lock").read_text())
    assert (holder["command"], holder["pid"], holder["utc"]) == ("two", os.getpid(), 2.0)


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"pid": 1}'])
def test_a_lock_file_that_cannot_be_read_still_locks(tmp_path, text):
    with held(tmp_path, "one", 1.0):
        (tmp_path / "lock").write_text(text)
        with pytest.raises(JournalLocked, match="another process"), held(tmp_path, "two", 2.0):
            pass


def test_what_stands_in_a_lock_file_locks_nothing(tmp_path):
    (tmp_path / "lock").write_text('{"pid": 1, "host": "here", "command": "deepswarm run", "utc": 1.0}')
    with held(tmp_path, "mine", 2.0):
        pass


@pytest.mark.slow
def test_the_lock_names_the_other_process_and_falls_when_that_is_killed(tmp_path):
    process = started(HOLDING, tmp_path)
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(JournalLocked, match=rf"process {process.pid} on .+ \(deepswarm run\)"),
        held(tmp_path, "mine", 2.0),
    ):
        pass
    killed(process)
    with held(tmp_path, "mine", 3.0):
        pass


WRITING = """
import asyncio, sys
from pathlib import Path
from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.testing.suites.journal import whole_call

async def write(journal, first):
    for call in range(first, first + 10_000, 8):
        print(await journal.append(whole_call(call, 1)[:2]), flush=True)

async def main():
    journal = SqliteJournal(Path(sys.argv[1]))
    journal.writers = 8
    async with asyncio.TaskGroup() as group:
        group.create_task(journal.keep())
        for first in range(8):
            group.create_task(write(journal, int(sys.argv[2]) + first))

asyncio.run(main())
"""


@pytest.mark.slow
def test_what_was_said_to_be_durable_survives_kill_9(tmp_path):
    one = Opened(STORE, tmp_path)
    one.journal.enrol(a_file("a"), None)
    one.append([session()])
    one.close()
    chance = random.Random(9)
    for time in range(3):
        process = started(WRITING, tmp_path, 1 + 100_000 * time)
        told = [int(process.stdout.readline()) for _ in range(chance.randrange(10, 200))]
        killed(process)
        one = Opened(STORE, tmp_path)
        events = list(one.journal.replay())
        assert len(events) >= max(told)
        assert one.journal.totals().last_event == len(events)
        assert one.journal.open_calls() == list(fold(events).open_calls.values())
        assert one.append([session(time + 2)]) == [len(events) + 1]
        one.close()


def test_the_task_of_the_newest_session_is_known(one):
    assert one.journal.task() == {}
    one.append([session(1, "old")])
    one.append([session(2, "new", simulated=True)])
    one.again()
    assert one.journal.task() == {"worker_model": "new"}
    assert one.journal.simulated
    assert keys(one.journal.left(-1, MANY)) == []


def test_reopened_seeds_are_remembered_until_the_journal_is_closed(one):
    filled(one)
    assert not one.journal.replaced
    one.journal.enrol(a_file("s1=other", *SEEDS[1:]), None, NOW)
    assert one.journal.replaced
    one.journal.reopen(ALL, frozenset({"no such class"}), NOW)
    assert one.journal.replaced
    one.again()
    assert not one.journal.replaced
    assert one.journal.reopen(frozenset({Outcome.FAILED}), None, NOW)
    assert one.journal.replaced
