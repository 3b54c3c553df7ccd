"""What a run says at its end: totals that reconcile, where things are, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepswarm.core.records import Totals
from deepswarm.core.scheduler import How
from deepswarm.report.words import duration


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended.

    Attributes:
        how: finished, paused or interrupted; `why` in words, empty when finished.
        totals: Of the whole run, all its sessions together.
        calls: Of this session.
        seconds: Of this session.
        problems: Calls of this session that gave no usable reply, by class.
        failures: Seeds of this session that failed, by class.
        folder: Where the output lies, as the user named it.
        resume: The command that goes on.
        lines: Lines that stand in results.jsonl and failed.jsonl.
        simulated: No model was asked.
        notes: Further lines for the end, such as what the filters kept.
        slow: Why it was not faster; empty when nobody knows.
    """

    how: How
    why: str
    totals: Totals
    calls: int
    seconds: float
    problems: Mapping[str, int]
    failures: Mapping[str, int]
    folder: str
    resume: str
    lines: tuple[int, int]
    simulated: bool
    notes: tuple[str, ...] = ()
    slow: str = ""

    @property
    def exit_code(self) -> int:
        """0 every seed was answered; 1 some failed; 2 refused before any answer; 75 paused; 130 interrupted."""
        if self.how is How.REFUSED:
            return 2
        if self.how is How.PAUSED:
            return 75
        if self.how is How.INTERRUPTED:
            return 130
        return 1 if self.totals.failed or self.totals.rejected else 0

    def text(self) -> str:
        """The end of a run, for people."""
        totals = self.totals
        rows = [f"{self.how.value}{': ' + self.why if self.why else ''}"]
        if self.simulated:
            rows.append("SIMULATED: no model was asked; the answers are made up and cost nothing")
        rows += [
            f"  seeds      {totals.seeds:>9,} = {totals.done:,} done + {totals.rejected:,} rejected "
            f"+ {totals.failed:,} failed + {totals.left:,} left",
            f"  calls      {self.calls:>9,} in {duration(self.seconds)}{_by_class(self.problems)}",
            f"  tokens     {totals.tokens_in:>9,} in, {totals.tokens_out:,} out (as the provider counted them)",
        ]
        if self.slow:
            rows.append(f"  pace       {self.slow}")
        if totals.maybe_billed:
            rows.append(f"  unanswered {totals.maybe_billed:>9,} calls that may have been billed all the same")
        if self.failures:
            rows.append(f"  failed     {sum(self.failures.values()):>9,} now{_by_class(self.failures)}")
        rows.append(f"  results    {self.lines[0]:>9,} lines in {self.folder}results.jsonl")
        if self.lines[1]:
            rows.append(f"  failures   {self.lines[1]:>9,} lines in {self.folder}failed.jsonl")
        rows += [f"  {note}" for note in self.notes]
        if self.how is not How.FINISHED:
            rows.append(f"to go on: {self.resume}")
        elif totals.failed or totals.rejected:
            rows.append(f"to try the failed ones again: {self.resume} --retry-failed")
        return "\n".join(rows)


def _by_class(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    most = sorted(counts.items(), key=lambda pair: -pair[1])
    return " (" + ", ".join(f"{count:,} {label}" for label, count in most) + ")"
