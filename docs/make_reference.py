#!/usr/bin/env python3
"""Write docs/reference/task-file.md from the code; `--check` says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from deepswarm.core.spec import NOT_BUILT, TaskSpec, json_schema

TARGET = Path(__file__).parent / "reference" / "task-file.md"
PARTS = {
    "ask": ("What is asked", "A change of these makes it another question: a run that has answers wants a decision."),
    "seeds": ("Seeds", "Seeds are known by their id or content: files may move, grow and be reordered."),
    "pace": ("Pace", "May change at any time."),
    "output": ("Output", "May change at any time."),
    "judge": ("What is kept", "Judged again at any time, without a call."),
}


def text() -> str:
    """The page."""
    schema = json_schema()
    properties: Any = schema["properties"]
    required: Any = schema.get("required", [])
    rows = ["# The task file, key by key", "", "Generated from `core/spec.py` by `docs/make_reference.py`.", ""]
    for part, (title, note) in PARTS.items():
        rows += [f"## {title}", "", note, "", "| key | value | default | meaning |", "|---|---|---|---|"]
        for key, field in TaskSpec.model_fields.items():
            extra: Any = field.json_schema_extra
            if extra["x-part"] == part:
                default = "required" if key in required else f"`{_default(field.default)}`"
                rows.append(f"| `{key}` | {_kind(properties[key], schema)} | {default} | {field.description} |")
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


def main() -> int:
    """Write, or check."""
    if "--check" in sys.argv:
        return int(TARGET.read_text(encoding="utf-8") != text())
    TARGET.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
