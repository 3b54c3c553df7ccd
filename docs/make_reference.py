#!/usr/bin/env python3
"""Write the pages of docs/reference that are made from code and data; `--check` names those that are not up to date."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepswarm.core.money import Rates, exact
from deepswarm.core.records import Amend
from deepswarm.core.section import keys_of
from deepswarm.core.spec import NOT_BUILT, TaskSpec, json_schema
from deepswarm.doors import find
from deepswarm.filters import TABLE as FILTERS
from deepswarm.filters.json_repair import JsonRepair
from deepswarm.prices.provider_file import provider_files
from deepswarm.testing.behaviour import Row
from deepswarm.testing.catalogue import CATALOGUE
from deepswarm.testing.suites.filter import same

HERE = Path(__file__).parent
PARTS = {
    "ask": ("What is asked", "A change of these makes it another question: a run that has answers wants a decision."),
    "seeds": ("Seeds", "Seeds are known by their id or content: files may move, grow and be reordered."),
    "pace": ("Pace", "May change at any time."),
    "output": ("Output", "May change at any time."),
    "judge": ("What is kept", "Judged again at any time, without a call."),
}
LATER = {
    4: "the pace",
    5: "conversations, tools and task types",
    6: "tiers and the bill",
    7: "filters and export",
    8: "status, report and steering",
}
"""What brings a pain's answer, by the number of its issue."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
STANDARD_TEST = "tests/engine/test_catalogue.py::test_the_standard_job_under_each_scenario"


def task_file() -> str:
    """The page about the task file."""
    schema = json_schema()
    properties: Any = schema["properties"]
    required: Any = schema.get("required", [])
    rows = ["# The task file, key by key", "", "Generated from `core/spec.py` by `docs/make_reference.py`.", ""]
    for part, (title, note) in PARTS.items():
        rows += [f"## {title}", "", note, "", "| key | value | default | meaning |", "|---|---|---|---|"]
        for key, known in keys_of(TaskSpec).items():
            if known.part == part:
                default = "required" if key in required else f"`{_default(known.default)}`"
                rows.append(f"| `{key}` | {_kind(properties[key], schema)} | {default} | {known.meaning} |")
        rows.append("")
    rows += ["## Not built yet", "", "These are refused with a sentence that says so, never ignored:", ""]
    rows += [f"- `{name}`: {gap.what}" for name, gap in NOT_BUILT.items()]
    return "\n".join(rows) + "\n"


def _default(value: Any) -> str:
    return "—" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _kind(schema: Any, whole: Any) -> str:
    if "$ref" in schema:
        return _kind(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one, whole) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{str(one).lower()}`" for one in schema.get("enum", [schema.get("const")]))
    kinds = {"string": "text", "integer": "whole number", "boolean": "yes or no", "object": "section", "array": "list"}
    return kinds.get(str(schema.get("type")), str(schema.get("type", "any value")))


def failures() -> str:
    """The page about what providers do, and what follows."""
    rows = [
        "# What providers do, and what follows",
        "",
        "Generated from `testing/catalogue.py` by `docs/make_reference.py`. Each scenario is a law file",
        "`simulator/laws/catalogue/<id>.toml`; the standard job is run under each of them, streamed and whole, by",
        f"`{STANDARD_TEST}`, which also compares the client's counts with the provider's own account.",
        "What a reaction means stands in [when calls fail](../howto/failures.md).",
        "",
        "| id | what happens | class | reaction | charged to the seed? | test |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *(_failure(row) for row in CATALOGUE)]) + "\n"


def _failure(row: Row) -> str:
    part = "" if row.family == row.id else f" ({row.family})"
    classes = ", ".join(sorted(f"`{kind.label}`" for kind in row.classes)) or "—"
    reactions = ", ".join(reaction.value for reaction in row.reactions) or ("put up with" if row.scenario else "—")
    tests = [*(["scenario"] if row.scenario else []), *(f"`{test}`" for test in row.tests)]
    return f"| {row.id}{part} | {row.what} | {classes} | {reactions} | {row.charged} | {', '.join(tests)} |"


def pains() -> str:
    """The page about what hurts."""
    rows = [
        "# Sixty-eight pains, and what is done about each",
        "",
        "Generated from `docs/pains.toml` by `docs/make_reference.py`: what people report who make many calls, and the",
        "tests that show that it does not happen here, or what will bring it.",
        "",
        "| # | symptom | what is done about it | shown by |",
        "|--:|---|---|---|",
    ]
    listed = tomllib.loads((HERE / "pains.toml").read_text(encoding="utf-8"))["pains"]
    return "\n".join([*rows, *(_pain(pain) for pain in listed)]) + "\n"


def _pain(pain: dict[str, Any]) -> str:
    if "tests" in pain:
        shown = ", ".join(f"`{test}`" for test in pain["tests"])
    elif "bench" in pain:
        shown = f"`./swarm bench {pain['bench']}`"
    else:
        shown = f"later: {LATER[pain['issue']]}" if "issue" in pain else f"does not apply: {pain['why_not']}"
    return f"| {pain['number']} | {pain['symptom']} | {pain.get('answer', '—')} | {shown} |"


def filters() -> str:
    """The page about the filters: what each does, its options, and how the labelled broken replies fare."""
    rows = ["# The filters, one by one", "", "Generated from `filters/` by `docs/make_reference.py`.", ""]
    rows += [
        "How they are used: [howto/filter.md](../howto/filter.md). Each also takes `inline`, false by default: whether"
    ]
    rows += ["it judges while the run goes on, so that an answer that it drops is asked again.", ""]
    for name in FILTERS:
        made = find("filter", name, FILTERS)
        text, _, options = inspect.cleandoc(made.__doc__ or "").partition("\nAttributes:\n")
        rows += [
            f"## {name}",
            "",
            text.partition("\nSource:")[0].strip(),
            "",
            "| option | default | |",
            "|---|---|---|",
        ]
        defaults = {field.name: _option_default(field) for field in dataclasses.fields(made) if field.init}
        explained = textwrap.dedent(options.partition("\nSource:")[0])
        for option, meaning in re.findall(r"^(\w+): (.*(?:\n +.*)*)", explained, re.MULTILINE):
            rows.append(
                f"| `{option}` | {defaults[option]} | {' '.join(meaning.split()).replace('|', chr(92) + '|')} |"
            )
        rows.append("")
    return "\n".join([*rows, *_repairs()]) + "\n"


def _option_default(field: dataclasses.Field[Any]) -> str:
    return "needed" if field.default is dataclasses.MISSING else f"`{json.dumps(field.default)}`"


def _repairs() -> list[str]:
    """How the labelled broken replies fare, kind by kind."""
    fates: dict[str, Counter[str]] = {}
    file = HERE.parent / "tests" / "data" / "broken_replies.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        record = {"answer": row["reply"], "finish_reason": row.get("finish_reason", "stop")}
        verdict = JsonRepair(schema=row.get("schema")).judge(record)
        if isinstance(verdict, Amend):
            right = "value" in row and same(verdict.record["answer_json"], row["value"])
            fate = "right" if right else "wrongly changed"
        else:
            fate = "left alone" if "value" in row else "rightly left alone"
        fates.setdefault(row["kind"], Counter())[fate] += 1
    columns = ("right", "rightly left alone", "left alone", "wrongly changed")
    rows = [
        "## How labelled broken replies fare",
        "",
        "Each reply of `tests/data/broken_replies.jsonl` was labelled before",
    ]
    rows += [
        "the present repair was written: with its right value, or as one to be left alone. The third column is those"
    ]
    rows += [
        "that have a value and are dropped all the same; nothing is lost, the errors file has them.",
        "",
    ]
    rows += [f"| kind | {' | '.join(columns)} |", "|---|--:|--:|--:|--:|"]
    rows += [_counts(kind, fates[kind], columns) for kind in fates]
    total = sum(fates.values(), Counter[str]())
    return [*rows, _counts(f"**all {total.total()}**", total, columns)]


def _counts(name: str, counts: Counter[str], columns: tuple[str, ...]) -> str:
    return f"| {name} | {' | '.join(str(counts[column]) for column in columns)} |"


def prices() -> str:
    """The page about the prices that come with this version."""
    rows = [
        "# Prices that come with this version",
        "",
        "Generated from `prices/*.toml` by `docs/make_reference.py`; US dollars per million tokens. All other models:",
        "the library genai-prices. How they are used: [what a run costs](../howto/costs.md).",
    ]
    for provider in provider_files():
        rows += ["", f"## {provider.name}", "", f"From {provider.source}, checked {provider.checked}."]
        if provider.reports_cost:
            rows.append("Every answer says what was taken for it; that is what the bill counts.")
        if provider.prices:
            rows += ["", "| model | hours | prompt | from the cache | answer |", "|---|---|--:|--:|--:|"]
        for price in provider.prices.values():
            rows.append(_price_row(price.model, "all" if price.peak is None else "off peak", price.rates))
            if price.peak is not None:
                hours = ", ".join(f"{first:02}:00-{end:02}:00" for first, end in price.hours)
                days = ", ".join(DAYS[day] for day in sorted(price.weekdays))
                rows.append(_price_row(price.model, f"peak: {hours} UTC ({days})", price.peak))
        if off := sorted({day for price in provider.prices.values() for day in price.off_days}):
            rows += ["", f"Without peak hours: {', '.join(off)}."]
    return "\n".join(rows) + "\n"


def _price_row(model: str, hours: str, rates: Rates) -> str:
    return f"| `{model}` | {hours} | {' | '.join(exact(rate) for rate in rates)} |"


PAGES: dict[str, Callable[[], str]] = {
    "task-file.md": task_file,
    "failures.md": failures,
    "pains.md": pains,
    "filters.md": filters,
    "prices.md": prices,
}
"""The pages that are made here, by name."""


def main() -> str | None:
    """Write, or check: the names of the pages that are not up to date, None when all are."""
    old = []
    for name, make in PAGES.items():
        page = HERE / "reference" / name
        if "--check" not in sys.argv:
            page.write_text(make(), encoding="utf-8")
        elif not page.exists() or page.read_text(encoding="utf-8") != make():
            old.append(name)
    return f"not up to date: {', '.join(old)}" if old else None


if __name__ == "__main__":
    sys.exit(main())
