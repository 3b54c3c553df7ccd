"""What follows the last call: the wanted format, and the filters that the task names. Nothing here calls an API."""

from __future__ import annotations

from collections.abc import Mapping

from deepswarm.core import jsontext
from deepswarm.core.errors import DeepSwarmError, Problem, TaskFileError
from deepswarm.core.records import Json, Outcome
from deepswarm.core.spec import TaskSpec
from deepswarm.dialects import Dialect
from deepswarm.doors import find
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.output import records
from deepswarm.formats import TABLE as FORMATS
from deepswarm.journals import Journal
from deepswarm.taskfile import TaskFile, resolve

DONE = frozenset({Outcome.DONE})


def export_run(journal: Journal, dialect: Dialect, spec: TaskSpec, folder: RunFolder) -> list[str]:
    """Write the results in the task's format, beside results.jsonl; what to say of it."""
    if spec.output_format == "jsonl":
        return []
    path = folder.path / f"results.{spec.output_format}"
    count = find("format", spec.output_format, FORMATS)(records(journal, dialect, DONE), path)
    return [f"{spec.output_format:<10} {count:>9,} records in {path}"]


def filter_run(journal: Journal, dialect: Dialect, task: TaskFile, folder: RunFolder) -> list[str]:
    """Judge all answers by the task's filters into clean.jsonl and errors.jsonl; what to say of it."""
    if not task.spec.filters:
        return []
    from deepswarm.engine.filtering import apply

    clean, errors = folder.path / "clean.jsonl", folder.path / "errors.jsonl"
    try:
        report = apply(records(journal, dialect, DONE), filters_of(task), clean, errors)
    except DeepSwarmError as error:
        # The run itself is whole; its summary must not be lost for what can be repeated without a call.
        return [f"filtered   not yet: {error}", "           again, without a call: deepswarm filter"]
    return [f"filtered   {line}" if not number else f"           {line}" for number, line in enumerate(report.lines())]


def check_filters(task: TaskFile) -> None:
    """Raise for what is wrong with the task's filters: before the first call, not after the last one.

    Raises:
        TaskFileError: With every unknown filter, unknown option and bad value.
    """
    if not task.spec.filters:
        return
    from deepswarm.engine.filter_files import with_texts
    from deepswarm.engine.filtering import with_shared_schema
    from deepswarm.filters import build

    build(with_texts(with_shared_schema(filters_of(task))), str(task.path))


def filters_of(task: TaskFile) -> list[str | Mapping[str, Json]]:
    """The task's filters, with schemas that are names of files read from them, and other names of files made paths.

    Raises:
        TaskFileError: If such a file cannot be read.
    """
    return [setting if isinstance(setting, str) else _with_files(task, setting) for setting in task.spec.filters]


def _with_files(task: TaskFile, setting: Mapping[str, Json]) -> str | Mapping[str, Json]:
    from deepswarm.engine.filter_files import resolved

    options = setting.get("structure")
    if not isinstance(options, dict) or not isinstance(options.get("schema"), str):
        return resolved(setting, lambda name: resolve(task, name).resolve())
    path = resolve(task, str(options["schema"]))
    try:
        return {"structure": {**options, "schema": jsontext.loads(path.read_bytes())}}
    except (OSError, ValueError) as error:
        raise TaskFileError([Problem(f"filters: structure: schema: {path}: {error}", str(task.path))]) from error


def schema_of(task: TaskFile) -> Mapping[str, Json] | None:
    """The JSON Schema that the task's answers are to fit; None when it names none."""
    for setting in filters_of(task):
        options = setting.get("structure") if isinstance(setting, Mapping) else None
        schema = options.get("schema") if isinstance(options, dict) else None
        if isinstance(schema, dict):
            return schema
    return None
