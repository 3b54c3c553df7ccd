"""The card of a data set: README.md with the header that the Hugging Face hub reads. Pure.

Source of the header's names: huggingface.co/docs/hub/datasets-cards, read on 2026-11-20.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)

WARNING: Final = (
    "> **Simulated.** {count:,} of these records hold text that a built-in provider made up. Do not train on it.\n\n"
)


def card(name: str, facts: Mapping[str, Any], splits: Mapping[str, int], pattern: str, licence: str | None) -> str:
    """The text of README.md.

    Args:
        name: Of the data set.
        facts: As `manifest.json` has them.
        splits: Rows by split; those without rows are left out of the header.
        pattern: Where the shards of a split lie, with {split} for its name.
        licence: As the hub names it; None leaves it out, for whoever publishes the set to decide.
    """
    rows = sum(splits.values())
    files = [{"split": split, "path": pattern.format(split=split)} for split, count in splits.items() if count]
    header: list[str] = [f"license: {_text(licence)}"] if licence else []
    header += [f"pretty_name: {_text(name)}", "tags:", "- synthetic", f"size_categories:\n- {_size(rows)}"]
    header += ["configs:", "- config_name: default", "  data_files:"]
    for file in files:
        header += [f"  - split: {_text(file['split'])}", f"    path: {_text(file['path'])}"]
    warning = WARNING.format(count=facts["simulated"]) if facts["simulated"] else ""
    return "\n".join(["---", *header, "---", ""]) + f"\n# {name}\n\n{warning}{_body(facts, splits, licence)}"


def _body(facts: Mapping[str, Any], splits: Mapping[str, int], licence: str | None) -> str:
    tokens = facts["tokens"] or {}
    seeds = facts["seeds"]
    table = [
        ("form", f"{facts['format']}, reasoning: {facts['reasoning'] or 'as recorded'}"),
        ("rows", ", ".join(f"{count:,} {split}" for split, count in splits.items())),
        ("records read", f"{facts['records']:,}"),
        ("left out", _counts(facts["unfit"]) or "none"),
        ("seeds not in it", f"{seeds['failed']:,} failed, {seeds['rejected']:,} rejected, {seeds['left']:,} not asked"),
        ("models asked", _counts(facts["models_asked"])),
        ("models that answered", _counts(facts["models_answered"])),
        ("tasks (fingerprint)", _counts(facts["fingerprints"])),
        ("asked otherwise than the others", _counts(facts["asked_otherwise"]) or "none"),
        ("changed by filters", _counts(facts["amended_by_filter"]) or "none"),
        ("filters", _filters(facts)),
        ("tokens", ", ".join(f"{number:,} {kind}" for kind, number in tokens.items()) or "unknown"),
        ("cost", "unknown" if facts["cost_usd"] is None else f"{facts['cost_usd']} USD"),
        ("licence", licence or "not stated"),
    ]
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in table)
    return (
        f"Made with DeepSwarm {facts['deepswarm']}. `manifest.json` has the hashes of all files and the whole task.\n\n"
        f"| what | |\n|---|---|\n{rows}\n"
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())


def _filters(facts: Mapping[str, Any]) -> str:
    """What the records went through; the task's filters only where their file was exported."""
    if facts["source"] == "journal":
        return "none: these are all answers of the run"
    tasks: Mapping[str, Mapping[str, Any]] = facts["tasks"]
    named = [json.dumps(setting, ensure_ascii=False) for task in tasks.values() for setting in task.get("filters", [])]
    return f"as {facts['source']} has them; the task names: {', '.join(dict.fromkeys(named)) or 'none'}"


def _size(rows: int) -> str:
    return next((name for most, name in _SIZES if rows < most), "n>10M")


def _text(value: str) -> str:
    """A text as YAML reads it: JSON's quoted text is YAML, too."""
    return json.dumps(value, ensure_ascii=True)


def _cell(value: str) -> str:
    """A text that neither ends a table's cell nor its line."""
    return " ".join(value.replace("|", "\\|").replace("<", "&lt;").split()) or "unknown"
