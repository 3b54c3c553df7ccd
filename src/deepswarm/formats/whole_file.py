"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

BUFFER_BYTES: Final = 1 << 20


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which gets its name when the block ends well and all of it is on the disk.

    Until then it has a name of its own in the same folder; when the block ends with an error it is removed, and what
    was there before stays. A folder that is missing is made. A symbolic link is followed. What is no regular file
    (`/dev/null`, a pipe) is written to directly.

    Raises:
        OSError: If it cannot be written.
    """
    if path.is_relative_to("/dev") or (path.exists() and not path.is_file() and not path.is_dir()):
        with path.open("ab", BUFFER_BYTES) as file:
            yield file
        return
    target = path.resolve()
    if target.is_dir():
        raise IsADirectoryError(21, "it is a folder", str(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{os.getpid()}.{target.name}"[:60] + ".part")  # 60 characters are at most 240 bytes
    try:
        with part.open("wb", BUFFER_BYTES) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            part.chmod(target.stat().st_mode & 0o7777)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where the system lets a folder be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
