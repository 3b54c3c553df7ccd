"""`summary.json`: a run in figures as JSON values, with a version. The report, the page and Markdown show these. Pure.

What is not known is null, never 0; amounts of money in the bill are texts, so that no digit is lost. A program should
look at `schema` and `schema_version` first: a new version is given when a name changes its meaning or goes; new names
may come at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from deepswarm.core.records import Json, Outcome, Totals
from deepswarm.report import bill_text
from deepswarm.report.bill import Bill
from deepswarm.report.figures import Figures
from deepswarm.report.histogram import rounded
from deepswarm.report.whyslow import binding

SCHEMA: Final = "deepswarm.summary"
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a run beside its events.

    Attributes:
        folder: The output folder, as the user named it.
        totals: The journal's own counts; None when they cannot be read.
        is_running: Whether a process holds the run.
        lines: Lines of results.jsonl and of failed.jsonl; None where there is no such file.
        kept: Lines of clean.jsonl; None when nothing was filtered. `dropped` those of errors.jsonl.
        keys: Ids of the seeds that are named as examples, by number.
        damage: What of the journal cannot be read, in words; empty when all of it can be.
        lost_events: How many events that concerns, at most.
        sizes: Bytes of the files whose lines were counted.
        made_utc: When this is written, seconds since 1970.
        version: Of DeepSwarm.
    """

    folder: str
    totals: Totals | None
    is_running: bool
    made_utc: float
    version: str
    lines: tuple[int | None, int | None] = (None, None)
    kept: int | None = None
    dropped: int | None = None
    keys: Mapping[int, str] = field(default_factory=dict)
    damage: str = ""
    lost_events: int = 0
    sizes: tuple[int | None, ...] = ()


def facts_of(figures: Figures, bill: Bill, place: Place) -> dict[str, Json]:
    """All of it, as JSON values. The figures can be folded on afterwards."""
    state, why = _state(figures, place)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "deepswarm": place.version,
        "made_utc": round(place.made_utc, 3),
        "run": {
            "folder": place.folder,
            "state": state,
            "why": why,
            "simulated": figures.is_simulated,
            "model": str(figures.task.get("worker_model", "")),
            "task_type": str(figures.task.get("task_type", "generation")),
            "fingerprints": list[Json](figures.fingerprints),
            "started_utc": _moment(figures.began),
            "last_event_utc": _moment(figures.utc),
            "running_s": round(figures.second, 3),
            "session_count": figures.session_count,
            "sessions": [dict(session._asdict()) for session in figures.sessions],
        },
        "journal": {"sound": not place.damage, "damage": place.damage, "lost_events": place.lost_events},
        "seeds": _seeds(figures, place),
        "failures": _failures(figures, place),
        "calls": _calls(figures),
        "rates": _rates(figures),
        "answer_s": figures.answer_s.facts(),
        "tokens_in": figures.tokens_in.facts(),
        "tokens_out": figures.tokens_out.facts(),
        "tokens": {
            "in": int(figures.tokens_in.sum),
            "out": int(figures.tokens_out.sum),
            "cached": figures.cached,
            "reasoning": figures.reasoning,
        },
        "pace": _pace(figures),
        "pauses": {
            "count": figures.pause_count,
            "seconds": round(figures.paused_s, 3),
            "last": [dict(pause._asdict()) for pause in figures.pauses],
        },
        "bill": bill_text.as_json(bill),
        "bill_text": bill_text.page(bill),
        "timeline": figures.series.facts(),
    }


def _state(figures: Figures, place: Place) -> tuple[str, str]:
    """running, finished, paused, interrupted or refused as the last session ended; `died` when it never said so."""
    if place.is_running:
        pause = figures.pauses[-1] if figures.pauses and figures.pauses[-1].seconds is None else None
        return ("running", "") if pause is None else ("waiting", pause.why)
    if not figures.sessions:
        return "not begun", ""
    last = figures.sessions[-1]
    if last.how:
        return last.how, last.why
    return "died", "the last process ended without a word; the same command again resumes"


def _seeds(figures: Figures, place: Place) -> dict[str, Json]:
    done, rejected, failed = (figures.outcomes[outcome] for outcome in (Outcome.DONE, Outcome.REJECTED, Outcome.FAILED))
    totals = place.totals
    seeds: dict[str, Json] = {
        "total": None if totals is None else totals.seeds,
        "done": done if totals is None else totals.done,
        "rejected": rejected if totals is None else totals.rejected,
        "failed": failed if totals is None else totals.failed,
        "left": None if totals is None else totals.left,
        "gone": None if totals is None else totals.gone,
        "kept": place.kept,
        "dropped": place.dropped,
        "lines_of_results": place.lines[0],
        "lines_of_failures": place.lines[1],
    }
    return {**seeds, "checks": _checks(figures, place)}


def _checks(figures: Figures, place: Place) -> list[Json]:
    """Sums that have to agree, each in words with whether it does; those of files only once the run stands still."""
    totals = place.totals
    if totals is None:
        return []
    done, ended = figures.outcomes[Outcome.DONE], sum(figures.outcomes.values())
    sums: list[tuple[str, int, int]] = [
        (
            f"{totals.seeds:,} seeds = {totals.done:,} done + {totals.rejected:,} rejected + {totals.failed:,} failed "
            f"+ {totals.left:,} left",
            totals.seeds,
            totals.done + totals.rejected + totals.failed + totals.left,
        )
    ]
    results, failures = place.lines
    if not place.is_running and results is not None and failures is not None:
        sums.append((f"{results:,} lines of results.jsonl = {done:,} answers in the journal", results, done))
        failed = ended - done
        sums.append((f"{failures:,} lines of failed.jsonl = {failed:,} failures in the journal", failures, failed))
    if not place.is_running and place.kept is not None and place.dropped is not None:
        both = place.kept + place.dropped
        sums.append((f"{place.kept:,} kept + {place.dropped:,} dropped = {done:,} answers", both, done))
    return [{"what": what, "holds": one == other} for what, one, other in sums]


def _failures(figures: Figures, place: Place) -> list[Json]:
    """Classes of failures, the most frequent first, each with a few seeds that are still failed."""
    examples = figures.examples
    return [
        {
            "class": label,
            "outcome": str(figures.outcome_of.get(label, Outcome.FAILED)),
            "count": count,
            "examples": [
                {"id": place.keys.get(each.seed), "reason": each.reason[:300]} for each in examples.get(label, ())
            ],
        }
        for label, count in figures.failures.most_common()
        if count > 0
    ]


def _calls(figures: Figures) -> dict[str, Json]:
    by_class: dict[str, Json] = dict(figures.calls.most_common())
    return {
        "ended": sum(figures.calls.values()),
        "under_way": len(figures.open),
        "by_class": by_class,
        "possibly_billed": figures.maybe_billed,
        "most_at_once": figures.most_flying,
    }


def _rates(figures: Figures) -> dict[str, Json]:
    """Means over the time of running, pauses included."""
    seconds = figures.second
    if seconds <= 0.0:
        return {"seeds_per_s": None, "calls_per_s": None, "tokens_out_per_s": None}
    return {
        "seeds_per_s": rounded(sum(figures.outcomes.values()) / seconds),
        "calls_per_s": rounded(sum(figures.calls.values()) / seconds),
        "tokens_out_per_s": rounded(figures.tokens_out.sum / seconds),
    }


def _pace(figures: Figures) -> dict[str, Json]:
    """What binds longest, in words with what relaxing it would give, and for how long each reason bound."""
    bound, last = figures.binding(), figures.pace
    whole = sum(figures.binds_s.values())
    shares: dict[str, Json] = {
        what: rounded(seconds / whole)
        for what, seconds in sorted(figures.binds_s.items(), key=lambda pair: -pair[1])
        if whole > 0.0 and seconds > 0.0
    }
    return {
        "binds": None if bound is None else bound.what,
        "why": "" if bound is None else binding(bound),
        "limit": None if last is None else last.limit,
        "now": "" if last is None else last.why,
        "shares_of_time": shares,
    }


def _moment(utc: float | None) -> float | None:
    return None if utc is None else round(utc, 3)
