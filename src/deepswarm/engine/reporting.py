"""The report of a run, from its journal: report.html, report.md and summary.json. Nothing here calls an API.

A damaged journal is reported as well: what can be read of it, and what cannot.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deepswarm.core.errors import JournalDamaged, JournalError, TaskFileError
from deepswarm.core.jsontext import dumps, loads
from deepswarm.core.records import Json, Record
from deepswarm.engine.exporting import Prompts
from deepswarm.engine.filtering import RecordedRun, explained, has_run, no_run, recorded
from deepswarm.engine.folder import REPORT, RunFolder
from deepswarm.engine.looking import with_messages
from deepswarm.engine.output import FAILED, RESULTS, record_from
from deepswarm.formats.whole_file import whole_file
from deepswarm.journals.browsing import Browser
from deepswarm.journals.lock import is_held
from deepswarm.journals.skimming import Salvage
from deepswarm.journals.sqlite import FILE, SqliteJournal
from deepswarm.prices import book_of
from deepswarm.report.bill import Billing
from deepswarm.report.facts import Place, facts_of
from deepswarm.report.figures import Figures
from deepswarm.report.markdown import markdown
from deepswarm.report.page import Rows, html
from deepswarm.report.rows import MOST_BYTES, bounded, row_of
from deepswarm.version import VERSION

SAMPLED: Final = 50
"""Answers by chance in a report."""
MOST_FAILED: Final = 1_000
"""Failures in a report; every class has its part."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written.

    Attributes:
        facts: What summary.json holds.
        files: The three files.
    """

    facts: dict[str, Json]
    files: tuple[Path, Path, Path]

    @property
    def damage(self) -> str:
        """What of the journal cannot be read; empty when it is sound."""
        journal = self.facts["journal"]
        return str(journal["damage"]) if isinstance(journal, dict) else ""


def write_report(
    folder: Path,
    utc: float,
    *,
    target: Path | None = None,
    name: str | None = None,
    running: bool | None = None,
    figures: Figures | None = None,
) -> Report:
    """Write the three files of a run's report; another process may be writing the run meanwhile.

    The same journal gives the same rows. A damaged one gives a report of what is sound.

    Args:
        folder: The run's output folder.
        utc: Now, seconds since 1970.
        target: Where the files go; None is the output folder.
        name: How the folder is called in the report; None is its path.
        running: Whether a process is at work on the run; None looks.
        figures: All events of the journal, folded; None reads them.

    Raises:
        TaskFileError: If there is no run in the folder, or the files cannot be written.
        JournalError: If the journal is empty or a newer version wrote it.
    """
    if not has_run(folder):
        raise TaskFileError([no_run(folder, "there is no run in it")])
    place = place_of(folder, utc, running=running)
    place = replace(place, folder=name or place.folder)
    facts, rows = _gathered(folder, place, figures)
    target = folder if target is None else target
    files = (target / REPORT[0], target / REPORT[1], target / REPORT[2])
    title = f"{name or folder.resolve().name}: DeepSwarm report"
    texts = (html(facts, rows, title), markdown(facts, rows), dumps(facts).decode() + "\n")
    for path, text in zip(files, texts, strict=True):
        with explained(path), whole_file(path) as file:
            file.write(text.encode("utf-8", "replace"))
    return Report(facts, files)


# --- reading ---------------------------------------------------------------------------------------------------------


def _gathered(folder: Path, place: Place, figures: Figures | None) -> tuple[dict[str, Json], Rows]:
    """Facts and rows; of what is sound when the journal is damaged."""
    try:
        with recorded(folder) as run:
            figures = figures_of(run.journal) if figures is None else figures
            return facts_now(figures, replace(place, totals=run.totals), run.journal.path), _rows(run)
    except JournalDamaged as damage:
        return _salvaged(folder, place, damage)


def place_of(folder: Path, utc: float, *, running: bool | None = None, before: Place | None = None) -> Place:
    """What the folder's files say of a run.

    Args:
        folder: The output folder.
        utc: Now, seconds since 1970.
        running: Whether a process is at work on the run; None looks. Files that grow are not counted.
        before: What was found the last time: the lines of files that still have the same size are not counted again.
    """
    running = is_held(RunFolder(folder).journal) if running is None else running
    found = Place(str(folder), None, running, utc, VERSION)
    paths = tuple(folder / name for name in (RESULTS, FAILED, "clean.jsonl", "errors.jsonl"))
    sizes = tuple(path.stat().st_size if path.is_file() else None for path in paths)
    if before is not None and before.sizes == sizes:
        return replace(found, lines=before.lines, kept=before.kept, dropped=before.dropped, sizes=sizes)
    results, failed, kept, dropped = (None, None, None, None) if running else map(_lines, paths)
    dropped = None if kept is None else dropped
    return replace(found, lines=(results, failed), kept=kept, dropped=dropped, sizes=() if running else sizes)


def figures_of(journal: SqliteJournal) -> Figures:
    """All events of a journal, folded; the bill by the prices of its newest session's task."""
    task = journal.task()
    figures = Figures(Billing(task))
    for _, events in journal.skim(bodies=book_of(task, "").reports_cost):
        figures.watch(events)
    return figures


def facts_now(figures: Figures, place: Place, journal: Path) -> dict[str, Json]:
    """The facts as they stand, with the ids of the seeds that are named; the figures can be folded on.

    Args:
        figures: Of all events until now.
        place: What is known beside them.
        journal: The journal's file.
    """
    numbers = [each.seed for some in figures.examples.values() for each in some]
    try:
        browser = Browser(journal)
        try:
            place = replace(place, keys=browser.keys(numbers))
        finally:
            browser.close()
    except JournalDamaged:
        pass  # examples without their ids
    return facts_of(figures, figures.billing.bill(), place)


def _salvaged(folder: Path, place: Place, damage: JournalDamaged) -> tuple[dict[str, Json], Rows]:
    salvage = Salvage(RunFolder(folder).journal / FILE)
    figures = Figures()
    try:
        for events in salvage.events(bodies=True):
            figures.watch(events)
    except sqlite3.DatabaseError as error:
        salvage.damage.why = salvage.damage.why or str(error)
    try:
        with recorded(folder) as run:
            place, rows = replace(place, totals=run.totals), _rows(run)
    except (JournalError, TaskFileError, ValueError):
        rows = Rows(unreadable="Answers and failures cannot be read from the journal; results.jsonl has the answers.")
    lost, counted = salvage.damage.events, sum(figures.calls.values())
    ended = sum(figures.outcomes.values())
    words = (
        f"{salvage.damage.why or damage}. {_ranges(salvage)} The figures here are of what is sound: {counted:,} calls "
        f"and {ended:,} ended seeds. results.jsonl and failed.jsonl are files of their own and "
        "not touched by this. What to do: copy the whole folder away before anything else, then run the task with "
        "another output_dir for the seeds that results.jsonl does not have."
    )
    return facts_now(figures, replace(place, damage=words, lost_events=lost), salvage.path), rows


def _ranges(salvage: Salvage) -> str:
    lost = salvage.damage.lost
    if not lost:
        return "No list of events can be read."
    named = "; ".join(f"{first:,} to {last:,} of {table}" for table, first, last in lost[:10])
    return f"Events that cannot be read: {named}{'; …' if len(lost) > 10 else ''}."


def _rows(run: RecordedRun) -> Rows:
    browser = Browser(run.journal.path)
    try:
        chance = random.Random(run.totals.last_event).random
        prompts = Prompts(run.journal.tasks())
        sample = [row_of(record) for record in _records(run, browser, browser.sampled(SAMPLED, chance), prompts)]
        most_bytes = MOST_BYTES - len(dumps(sample))
        failures = browser.failures(MOST_FAILED)
        failed = bounded((row_of(record) for record in _records(run, browser, failures, prompts)), most_bytes)
        return Rows(sample, list(failed))
    finally:
        browser.close()


def _records(run: RecordedRun, browser: Browser, events: Iterable[int], prompts: Prompts) -> Iterable[Record]:
    for story in browser.stories(events):
        record, payload = record_from(story, run.dialect)
        record["seed"] = loads(payload)
        yield with_messages(record, prompts)


def _lines(path: Path) -> int | None:
    """Lines of a file; None when there is none."""
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return None
