"""The bill of a run, from its journal. Nothing here calls an API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deepswarm.core.errors import TaskFileError
from deepswarm.engine.folder import RunFolder
from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.report.bill import Bill, Billing, bill_of
from deepswarm.report.bill_text import end_lines

MOST_CALLS: Final = 200_000
"""Calls up to which the end of a resumed run waits for its bill; some ten seconds."""


def bill_run(journal: SqliteJournal, folder: RunFolder, billing: Billing | None) -> list[str]:
    """What a run says of its money at its end; by the prices of its newest session's task.

    Args:
        journal: Its journal.
        folder: Its folder.
        billing: What has seen every event of it; None when it was resumed: then the journal is read again.
    """
    if billing is not None:
        return end_lines(billing.bill())
    calls = journal.totals().calls
    if calls > MOST_CALLS:
        return [f"spent      deepswarm bill {folder.path}/ adds up the {calls:,} calls"]
    return end_lines(bill_of(journal.replay(), journal.task()))


def bill_of_folder(folder: Path, task: Mapping[str, Any] | None = None) -> Bill:
    """The bill of an output folder's run; another process may be writing it meanwhile.

    Args:
        folder: The output folder.
        task: A task whose `prices` hold instead of those that the journal knows; by the task file's keys.

    Raises:
        TaskFileError: If there is no run in it.
        JournalError: If the journal cannot be read.
    """
    from deepswarm.engine.filtering import has_run, no_run

    if not has_run(folder):
        raise TaskFileError([no_run(folder, "there is no run in it")])
    journal = SqliteJournal(RunFolder(folder).journal, readonly=True)
    try:
        return bill_of(journal.replay(), journal.task() if task is None else task)
    finally:
        journal.close()
