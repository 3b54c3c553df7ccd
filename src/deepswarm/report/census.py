"""What an export is made of: a fold of its records into what a manifest and a dataset card say. Pure.

What is not known is null, never 0: prices are not part of a run yet, so its cost is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from deepswarm.core.jsontext import dumps
from deepswarm.core.records import Json, Record
from deepswarm.version import VERSION


def provenance_of(record: Record, prompt: str | None) -> dict[str, Json]:
    """Where a record came from, with the same names for every record.

    Args:
        record: As the run or a filter wrote it.
        prompt: Hash of what was asked; None when the task it was asked under is not known.
    """
    usage, timings = record.get("usage"), record.get("timings")
    times = timings if isinstance(timings, Mapping) else {}
    return {
        "prompt_hash": prompt,
        "fingerprint": record.get("fingerprint"),
        "model_asked": record.get("model_asked"),
        "model_answered": record.get("model_answered"),
        "tier_path": [record["tier"]] if "tier" in record else None,
        "attempts": record.get("attempts"),
        "asked_otherwise": record.get("asked_otherwise"),
        "repairs": record.get("amended"),
        "filters": record.get("filters"),
        "usage": usage,
        "cost_usd": None,
        "started_utc": times.get("started_utc"),
        "ended_utc": times.get("ended_utc"),
        "request_id": record.get("request_id"),
        "simulated": record.get("simulated"),
        "version": VERSION,
    }


@dataclass(slots=True)
class Census:
    """Counts over the records of an export.

    Attributes:
        records: How many there were.
        rows: Of them that were written; some forms make no row of a record.
        unfit: Records that the form could not hold, by reason.
        unfit_ids: The first of their ids.
        simulated: Records whose text was made up by the built-in provider.
    """

    records: int = 0
    rows: int = 0
    unfit: Counter[str] = field(default_factory=Counter)
    unfit_ids: list[str] = field(default_factory=list)
    simulated: int = 0
    _asked: Counter[str] = field(default_factory=Counter)
    _answered: Counter[str] = field(default_factory=Counter)
    _fingerprints: Counter[str] = field(default_factory=Counter)
    _repairs: Counter[str] = field(default_factory=Counter)
    _tokens: Counter[str] = field(default_factory=Counter)
    _otherwise: Counter[str] = field(default_factory=Counter)
    _attempts: int = 0
    _times: tuple[float, float] | None = None

    def add(self, record: Record) -> None:
        """Count a record."""
        self.records += 1
        self.simulated += record.get("simulated") is True
        for counter, name in (
            (self._asked, "model_asked"),
            (self._answered, "model_answered"),
            (self._fingerprints, "fingerprint"),
        ):
            if isinstance(value := record.get(name), str) and value:
                counter[value] += 1
        if isinstance(attempts := record.get("attempts"), int):
            self._attempts += attempts
        if isinstance(otherwise := record.get("asked_otherwise"), dict):
            self._otherwise[dumps(otherwise).decode()] += 1
        if isinstance(amended := record.get("amended"), dict):
            self._repairs.update(amended.keys())
        self._add_usage(record.get("usage"))
        self._add_times(record.get("timings"))

    def _add_usage(self, usage: Json) -> None:
        if isinstance(usage, dict):
            self._tokens.update({name: count for name, count in usage.items() if isinstance(count, int)})

    def _add_times(self, timings: Json) -> None:
        if isinstance(timings, dict):
            started, ended = timings.get("started_utc"), timings.get("ended_utc")
            if isinstance(started, int | float) and isinstance(ended, int | float):
                first, last = self._times or (started, ended)
                self._times = (min(first, started), max(last, ended))

    def refuse(self, record: Record, why: str) -> None:
        """Count a record that the form cannot hold."""
        self.unfit[why] += 1
        if len(self.unfit_ids) < 10:
            self.unfit_ids.append(str(record.get("id")))

    def facts(self) -> dict[str, Json]:
        """All of it, for a manifest."""
        return {
            "records": self.records,
            "rows": self.rows,
            "unfit": dict(self.unfit),
            "simulated": self.simulated,
            "models_asked": dict(self._asked),
            "models_answered": dict(self._answered),
            "fingerprints": dict(self._fingerprints),
            "attempts": self._attempts,
            "asked_otherwise": dict(self._otherwise),
            "amended_by_filter": dict(self._repairs),
            "tokens": dict(self._tokens) if self._tokens else None,
            "cost_usd": None,
            "first_started_utc": self._times[0] if self._times else None,
            "last_ended_utc": self._times[1] if self._times else None,
        }
