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


def _held_by(folder: Path, text: bytes) -> str:
    try:
        holder = json.loads(text)
        who = f"process {holder['pid']} on {holder['host']} ({holder['command']})"
    except (ValueError, KeyError, TypeError):
        who = "another process"
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
