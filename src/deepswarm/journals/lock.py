"""One run folder, one writing process.

The lock is the kernel's (flock): it falls with the process that holds it, however that process ends, so that no stale
lock is ever left to be removed by hand. The file says who holds it, for the message.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deepswarm.core.errors import JournalLocked


@contextmanager
def held(folder: Path, command: str, utc: float) -> Iterator[None]:
    """Hold the folder's lock.

    Args:
        folder: The journal's folder; must exist.
        command: What this process does, for the message that another one shows.
        utc: When, seconds since 1970.

    Raises:
        JournalLocked: If another process holds it; names that process. Returns at once, no call was made.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalLocked(_held_by(folder, os.pread(descriptor, 4096, 0))) from None
        os.ftruncate(descriptor, 0)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": command, "utc": round(utc, 3)}
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


class Holder(NamedTuple):
    """The process that holds a run: its number, its machine, what it does, and since when (seconds since 1970)."""

    pid: int
    host: str
    command: str
    utc: float


def holder(folder: Path) -> Holder | None:
    """Who holds the folder's lock; None when nobody does.

    The lock is asked for only when the process that the file names may be there: else a look could keep a run that is
    just starting from getting it.

    Args:
        folder: The journal's folder.
    """
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        found = _named(os.read(descriptor, 4096))
        if found is None or (found.host == socket.gethostname() and not _is_there(found.pid)):
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return found
        return None
    finally:
        os.close(descriptor)


def _named(text: bytes) -> Holder | None:
    try:
        named = json.loads(text)
        return Holder(int(named["pid"]), named["host"], named["command"], named["utc"])
    except (ValueError, KeyError, TypeError):
        return None


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _held_by(folder: Path, text: bytes) -> str:
    found = _named(text)
    who = "another process" if found is None else f"process {found.pid} on {found.host} ({found.command})"
    return (
        f"{folder.parent}: {who} holds this run; no call was made. Wait for it, stop it, or use another output_dir "
        "(--set output_dir=other/)"
    )


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder's lock at this moment."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
