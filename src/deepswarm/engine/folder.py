"""The run's folder: where the journal, the lock and the output of one run lie."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from deepswarm.core.errors import Problem, TaskFileError

JOURNAL = "journal"
EARLIER = "earlier"
SIMULATED = "-simulated"
REPORT = ("report.html", "report.md", "summary.json")
OUTPUT = ("results.jsonl", "failed.jsonl", "clean.jsonl", "errors.jsonl", *REPORT)
"""Files that a run writes and could write over; the results in other formats come beside them."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`path` is the output folder; the journal lies in a folder of its own below it."""

    path: Path

    @property
    def journal(self) -> Path:
        """The folder of the journal and its lock."""
        return self.path / JOURNAL

    @property
    def spool(self) -> Path:
        """Seeds of files that have no lines to point at, as lines."""
        return self.journal / "seeds.jsonl"

    def make(self) -> None:
        """Make the folders.

        Raises:
            TaskFileError: If that cannot be: a file of that name, no permission.
        """
        try:
            self.journal.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK) or not os.access(self.journal, os.W_OK):
                raise PermissionError(13, "it may not be written")
        except OSError as error:
            what = f"the output folder cannot be used: {error.strerror}"
            hint = "name another one: output_dir in the task file, or --set output_dir=other/"
            raise TaskFileError([Problem(what, str(self.path), hint=hint)]) from error

    def refuse_orphans(self) -> None:
        """Refuse to write over results that no journal knows of.

        Raises:
            TaskFileError: If there are such; names them.
        """
        if not self._begun and (orphans := self._orphans()):
            what = f"{orphans[0].name} is there without the journal that it came from; it would be written over"
            hint = "move it away; or --fresh puts it aside and deletes nothing; or name another folder: output_dir"
            raise TaskFileError([Problem(what, str(self.path), hint=hint)])

    @property
    def _begun(self) -> bool:
        return (self.journal / "journal.sqlite").exists()

    def _orphans(self) -> list[Path]:
        """Files with content that have the names of our output."""
        paths = [self.path / name for name in OUTPUT]
        return [path for path in paths if path.is_file() and path.stat().st_size]

    def put_aside(self) -> Path | None:
        """Move what an earlier run left into a folder below `earlier/`, deleting nothing; None if there was nothing.

        What no run writes stays where it is: the output folder may be the task's own, with the seeds in it.
        """
        if not self._begun and not self._orphans():
            return None
        aside = self.path / EARLIER / time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
        while aside.exists():
            aside = aside.with_name(aside.name + "+")
        aside.mkdir(parents=True)
        for entry in list(self.path.iterdir()):
            if entry.name in OUTPUT or entry.match("results.*"):
                entry.rename(aside / entry.name)
        if not self._begun:
            return aside
        (aside / JOURNAL).mkdir()
        for entry in list(self.journal.iterdir()):
            if entry.name != "lock":
                entry.rename(aside / JOURNAL / entry.name)
        return aside


def simulated(path: Path) -> Path:
    """The folder of a rehearsal: a neighbour of the real one, so that no reader of the one meets the other."""
    whole = path if path.name not in {"", ".."} else path.resolve()  # "." and ".." have a name elsewhere only
    return whole.with_name(whole.name + SIMULATED) if whole.name else whole / SIMULATED[1:]
