"""The report as Markdown: the same figures for who reads in a terminal, a review or an issue. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from deepswarm.core.records import Json
from deepswarm.report.page import Rows
from deepswarm.report.showing import harmless
from deepswarm.report.words import duration

MOST_LETTERS: Final = 600
"""Characters of one text; report.html shows more, results.jsonl all."""
MOST_FAILED: Final = 200
"""Failures that are shown one by one."""
_MARKS: Final = re.compile(r"([\\`*_{}\[\]<>#|~!])")


def markdown(facts: Mapping[str, Any], rows: Rows) -> str:
    """The whole report.

    Args:
        facts: As `facts.facts_of` makes them.
        rows: The rows to show.
    """
    parts = [
        *_head(facts),
        *_section("Seeds", [_sums(facts), *_seeds(facts)]),
        *_section("What limited it", [_plain(facts["pace"]["why"])] if facts["pace"]["why"] else []),
        *_section("Failures by class", _failures(facts)),
        *_section("Calls", _calls(facts)),
        *_section("Percentiles", _percentiles(facts)),
        *_section("The bill", [_fenced(facts["bill_text"])]),
        *_section("Sessions", _sessions(facts)),
        *_section("Answers by chance", _shown(rows.sample)),
        *_section("Failures", _shown(rows.failed[:MOST_FAILED])),
    ]
    if rows.unreadable:
        parts.append(_plain(rows.unreadable))
    parts.append(f"Made by DeepSwarm {facts['deepswarm']} at {_moment(facts['made_utc'])}.")
    return "\n\n".join(parts) + "\n"


def _head(facts: Mapping[str, Any]) -> list[str]:
    run, journal = facts["run"], facts["journal"]
    parts = [f"# {_plain(run['folder'])}: {_plain(run['state'])}"]
    if run["simulated"]:
        parts.append("**Simulated**: no model was asked; every answer is made up and nothing was spent.")
    if not journal["sound"]:
        parts.append(f"**The journal is damaged.** {_plain(journal['damage'])}")
    if run["why"]:
        parts.append(_plain(run["why"]))
    about = [
        f"model {_plain(run['model'])}",
        f"{run['session_count']:,} session{'' if run['session_count'] == 1 else 's'}",
        f"{duration(run['running_s'])} of running",
        f"begun {_moment(run['started_utc'])}",
    ]
    return [*parts, ", ".join(about)]


def _sums(facts: Mapping[str, Any]) -> str:
    checks = facts["seeds"]["checks"]
    lines = [f"- {'ok' if check['holds'] else 'DOES NOT HOLD'}: {check['what']}" for check in checks]
    return "\n".join(lines) or "The counts cannot be read."


def _seeds(facts: Mapping[str, Any]) -> list[str]:
    rates = facts["rates"]
    if rates["seeds_per_s"] is None:
        return []
    return [
        f"{rates['seeds_per_s']:.3g} seeds/s, {rates['calls_per_s']:.3g} calls/s, "
        f"{rates['tokens_out_per_s']:,.0f} tokens/s on average; "
        f"{facts['calls']['most_at_once']:,} calls at once at most"
    ]


def _failures(facts: Mapping[str, Any]) -> list[str]:
    rows = [
        (each["class"], f"{each['count']:,}", "; ".join(f"{one['id']}: {one['reason']}" for one in each["examples"]))
        for each in facts["failures"]
    ]
    return [_table(("class", "seeds", "for example"), rows)] if rows else ["No seed failed."]


def _calls(facts: Mapping[str, Any]) -> list[str]:
    calls = facts["calls"]
    rows = [("answered" if name == "ok" else name, f"{count:,}") for name, count in calls["by_class"].items()]
    if calls["under_way"]:
        rows.append(("under way", f"{calls['under_way']:,}"))
    return [_table(("calls", "count"), rows)] if rows else ["None."]


def _percentiles(facts: Mapping[str, Any]) -> list[str]:
    names = ("min", "p50", "p90", "p95", "p99", "max", "mean")
    rows = [
        (title, *("" if facts[name][each] is None else f"{facts[name][each]:,.4g}" for each in names))
        for title, name in (
            ("seconds of an answer", "answer_s"),
            ("tokens of a prompt", "tokens_in"),
            ("tokens of a reply", "tokens_out"),
        )
    ]
    return [_table(("", *names), rows)]


def _sessions(facts: Mapping[str, Any]) -> list[str]:
    rows = [
        (_moment(each["utc"]), each["model"], f"{each['how']} {each['why']}".strip() or "no end was written")
        for each in facts["run"]["sessions"]
    ]
    return [_table(("begun", "model", "how it ended"), rows)] if rows else []


def _shown(rows: Iterable[Mapping[str, Json]]) -> list[str]:
    """Rows one after another, their texts between fences that nothing in them can end."""
    parts = []
    for row in rows:
        parts.append(f"### {_plain(row.get('id', '?'))}: {_plain(row.get('class') or row.get('outcome', ''))}")
        asked = row.get("asked")
        messages = [each for each in asked if isinstance(each, dict)] if isinstance(asked, list) else []
        texts = [(str(each.get("role")), each.get("text")) for each in messages]
        texts += [(name, row.get(key)) for name, key in _TEXTS]
        parts += [f"{_plain(name)}\n\n{_fenced(_short(str(text)))}" for name, text in texts if text]
    return parts


_TEXTS: Final = (
    ("reason", "reason"),
    ("seed", "seed"),
    ("assistant", "answer"),
    ("last raw reply", "last_reply"),
)


def _section(title: str, parts: Sequence[str]) -> list[str]:
    return [f"## {title}", *parts] if parts else []


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(value: object) -> str:
    """A text on one line in which nothing is a mark of Markdown or HTML."""
    return _MARKS.sub(r"\\\1", " ".join(harmless(str(value)).split())).replace("&", "&amp;")


def _fenced(text: str) -> str:
    """A text as it is, between fences longer than any in it."""
    longest = max((len(found) for found in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{harmless(text)}\n{fence}"


def _short(text: str) -> str:
    return (
        text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}… ({len(text) - MOST_LETTERS:,} more characters)"
    )


def _moment(utc: float | None) -> str:
    return "unknown" if utc is None else datetime.fromtimestamp(utc, UTC).strftime("%Y-%m-%d %H:%M UTC")
