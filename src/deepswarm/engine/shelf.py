"""Where records wait on disk while a filter looks at all of them: memory does not follow their number."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from deepswarm.core.jsontext import dumps, loads
from deepswarm.core.records import Record
from deepswarm.filters.judging import Dropped, Row


class DiskShelf:
    """Rows in a file without a name, which is gone when the shelf is closed."""

    def __init__(self, folder: Path | None) -> None:
        """Open it in a folder, the system's own for temporary files if None."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the shelf
        self._count = 0

    def __repr__(self) -> str:
        return f"DiskShelf({self._count:,} rows)"

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def append(self, row: Row, /) -> None:
        """Put a row at the end."""
        now = None if row.now is row.read else row.now
        self._file.write(dumps([row.read, now, list(row.dropped) if row.dropped else None]) + b"\n")
        self._count += 1

    def __iter__(self) -> Iterator[Row]:
        """All rows, in their order."""
        self._file.seek(0)
        for line in self._file:
            read, now, dropped = cast("tuple[Record, Record | None, tuple[str, str] | None]", loads(line))
            yield Row(read, read if now is None else now, Dropped(*dropped) if dropped else None)
