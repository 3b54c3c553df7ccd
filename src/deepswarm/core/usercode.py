"""Which code of the user's own a task names: all of it runs with the user's rights, and `--no-code` refuses it. Pure.

A task folder with a script in it is a program: who did not write it should look at what it names, or refuse it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from deepswarm.core.flaws import Where


class Named(NamedTuple):
    """A piece of code that a task names: where in the task file, and what it names."""

    path: Where
    code: str


def uses_code(values: Mapping[str, Any]) -> list[Named]:
    """All code that a task names; none when it is only data.

    Args:
        values: The task as JSON values.
    """
    return list(_named(values))


def _named(values: Mapping[str, Any]) -> Iterator[Named]:
    if values.get("worker_script"):
        yield Named(("worker_script",), str(values["worker_script"]))
    if ":" in str(values.get("task_type", "")):
        yield Named(("task_type",), str(values["task_type"]))
    for key in ("complete_when", "follow_up", "verify"):
        yield from _function((key,), values.get(key))
    for name, response in (values.get("tool_responses") or {}).items():
        yield from _function(("tool_responses", name), response)
    for at, entry in enumerate(values.get("filters") or []):
        for name, settings in entry.items() if isinstance(entry, Mapping) else [(entry, {})]:
            if ":" in str(name):
                yield Named(("filters", at), str(name))
            elif name == "python":
                inner = settings if isinstance(settings, Mapping) else {}
                yield Named(("filters", at), str(inner.get("function", settings)))


def _function(path: Where, section: Any) -> Iterator[Named]:
    if isinstance(section, Mapping) and isinstance(section.get("function"), str):
        yield Named((*path, "function"), section["function"])
