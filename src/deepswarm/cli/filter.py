"""deepswarm filter."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import ExitStack

    from deepswarm.core.errors import Problem
    from deepswarm.core.records import Json, Record
    from deepswarm.engine.filtering import FilterReport
    from deepswarm.filters import Setting

OUTPUT: Final = "clean.jsonl"
ERRORS: Final = "errors.jsonl"
OWN_STEMS: Final = frozenset({"clean", "errors", "failed"})
"""Names of files that are never read: what was filtered, dropped or failed is no input."""
LOOKED_AT: Final = 100
"""How many answers are looked at when nothing says whether they should be JSON."""

SIMULATED: Final = """\
*** SIMULATED: {count:,} of {read:,} records hold text that the built-in provider made up. Do not train on it.
*** Each of them says so in its field 'simulated'."""


@click.command()
@click.option("--input-dir", metavar="DIR", help="The run's output folder, or a file of records; default: output/.")
@click.option("--output", metavar="FILE", help=f"The kept records; default: {OUTPUT} in the input folder.")
@click.option("--errors", metavar="FILE", help=f"The dropped ones, with reasons; default: {ERRORS} there.")
@click.option("--task", "task_file", metavar="FILE", help="Take the filters of this task file, not those of the run.")
@click.option("--schema", metavar="FILE", help="Keep only answers that are JSON and fit this JSON Schema.")
@click.option("--require-json/--no-json", "wants_json", default=None, help="Demand JSON, or take answers as text.")
@click.option("--min-chars", type=click.IntRange(min=0), metavar="N", help="Fewest characters of an answer.")
@click.option("--max-chars", type=click.IntRange(min=0), metavar="N", help="Most characters.")
@click.option("--min-words", type=click.IntRange(min=0), metavar="N", help="Fewest words.")
@click.option("--max-words", type=click.IntRange(min=0), metavar="N", help="Most words.")
@click.option(
    "--filter", "more", multiple=True, metavar="NAME [JSON]", help='One more: \'pattern {"forbid": "TODO"}\'.'
)
@click.option("--no-code", is_flag=True, help="Refuse filters that run Python code of your own.")
def command(
    input_dir: str | None,
    output: str | None,
    errors: str | None,
    task_file: str | None,
    schema: str | None,
    wants_json: bool | None,
    more: Sequence[str],
    no_code: bool,
    **lengths: int | None,
) -> int:
    """Keep the good answers; say of each other one which filter dropped it and why. No call is made.

    The filters are those that the run's task names, changed by what is given here. The endings of --output and --errors
    choose their format: .jsonl, .json or .parquet. Relative names start at the current folder.
    """
    from contextlib import ExitStack

    from deepswarm.cli.collector import spare_the_collector
    from deepswarm.engine.filtering import apply, refuse_to_replace

    spare_the_collector()
    if schema is not None and wants_json is False:
        raise click.UsageError("--schema asks for JSON, which --no-json takes out: give one of them")
    place, named = _place_and_filters(input_dir, task_file)
    folder = place.parent if place.is_file() else place
    kept, dropped = _target(output, folder / OUTPUT), _target(errors, folder / ERRORS)
    if kept.resolve() == dropped.resolve():
        raise click.UsageError(f"--output and --errors are the same file: {kept}")
    wishes = Wishes(
        _read_schema(Path(schema)) if schema else None, wants_json, lengths, [_setting(text) for text in more]
    )
    with ExitStack() as stack:
        given = _given(stack, place, (kept, dropped))
        for target in (kept, dropped):
            refuse_to_replace(target, given.files, folder)
        settings, records = _settings(wishes, given.filters if named is None else named, given.records)
        report = apply(records, settings, kept, dropped, code=not no_code)
    _tell(report)
    return 0


# --- which filters ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says about the filters.

    Attributes:
        schema: A JSON Schema, when one is given.
        wants_json: Whether answers must be JSON; None when nothing was said.
        lengths: Bounds by option name; None stands for what was not given.
        more: Filters that judge after those of the task.
    """

    schema: Mapping[str, Json] | None
    wants_json: bool | None
    lengths: Mapping[str, int | None]
    more: Sequence[Setting] = ()

    def changed(self, settings: Sequence[Setting]) -> list[Setting]:
        """The settings with these wishes: an option given here takes the place of the one that was there."""
        from deepswarm.filters import spelt_out

        steps = [spelt_out(setting) for setting in settings]
        if self.wants_json is False:
            steps = [step for step in steps if step[0] not in {"json_repair", "structure"}]
        if self.schema is not None:
            _set(steps, "structure", {"schema": dict(self.schema)})
        names = [name for name, _ in steps]
        if (self.wants_json or self.schema is not None) and "json_repair" not in names:
            steps.insert(0, ("json_repair", {}))
        bounds: dict[str, Json] = {name: bound for name, bound in self.lengths.items() if bound is not None}
        if bounds:
            _set(steps, "length", bounds)
        return [*({name: options} for name, options in steps), *self.more]


def _setting(text: str) -> Setting:
    """A filter of the command line: its name, and its options as JSON behind a space.

    Raises:
        click.UsageError: If what stands behind the space is no JSON object.
    """
    from deepswarm.core.jsontext import loads

    name, _, options = text.strip().partition(" ")
    if not options:
        return name
    try:
        value = loads(options)
    except ValueError as error:
        raise click.UsageError(f"--filter {name}: the options are not JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError(f'--filter {name}: the options must be a JSON object, such as {{"max_chars": 100}}')
    return {name: value}


def _set(steps: list[tuple[str, dict[str, Json]]], name: str, options: dict[str, Json]) -> None:
    """Change the options of the first filter of a name, or add it at the end."""
    for step in steps:
        if step[0] == name:
            step[1].update(options)
            return
    steps.append((name, options))


def _settings(
    wishes: Wishes, named: Sequence[Setting], records: Iterable[Record | Problem]
) -> tuple[list[Setting], Iterable[Record | Problem]]:
    """The filters to use, and the records, of which some may have been looked at."""
    from itertools import chain, islice

    try:
        settings = wishes.changed(named)
    except ValueError:
        return list(named), records  # not sound: whoever builds the filters tells everything that is wrong
    if named or wishes.wants_json is not None or wishes.schema is not None:
        return settings, records
    rest = iter(records)
    first = list(islice(rest, LOOKED_AT))
    is_json = mostly_json(first)
    if not any(setting for setting in settings if "length" in setting):
        settings.append("length")
    if is_json:
        settings.insert(0, "json_repair")
    kind, other = ("JSON", "--no-json") if is_json else ("text", "--require-json")
    used = ", ".join(next(iter(each)) if isinstance(each, Mapping) else each for each in settings)
    _say(f"the task names no filters; the answers look like {kind} ({other} if they are not); applied: {used}")
    return settings, chain(first, rest)


def mostly_json(records: Iterable[Record | Problem]) -> bool:
    """Whether at least half of the answers hold JSON."""
    from deepswarm.core.records import Amend
    from deepswarm.filters.json_repair import JsonRepair

    repair = JsonRepair()
    answers = [record for record in records if isinstance(record, dict) and "answer" in record]
    good = sum(isinstance(repair.judge(record), Amend) for record in answers)
    return bool(answers) and 2 * good >= len(answers)


def _read_schema(path: Path) -> Mapping[str, Json]:
    """A JSON Schema from its file.

    Raises:
        TaskFileError: If it cannot be read.
    """
    from deepswarm.core.errors import Problem, TaskFileError
    from deepswarm.core.jsontext import loads

    try:
        value = loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        hint = "name a file that holds a JSON Schema: --schema FILE"
        raise TaskFileError([Problem(f"the schema cannot be read: {error.strerror}", str(path), hint=hint)]) from error
    except ValueError as error:
        raise TaskFileError([Problem(f"the schema is not JSON: {error}", str(path))]) from error
    if not isinstance(value, dict):
        raise TaskFileError([Problem("a JSON Schema is an object", str(path))])
    return value


# --- which records ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be filtered.

    Attributes:
        records: In the order of the run or of the files.
        filters: Those that the run's task names; none when there is no journal.
        files: What is read, and so must not be written.
    """

    records: Iterable[Record | Problem]
    filters: Sequence[Setting]
    files: Sequence[Path] = ()


def _place_and_filters(input_dir: str | None, task_file: str | None) -> tuple[Path, list[Setting] | None]:
    """Where the records are; and the filters of the task file that was named, None when there was none."""
    if task_file is None:
        return Path(input_dir or "output"), None
    from deepswarm.engine.closing import filters_of
    from deepswarm.taskfile import load, resolve

    task = load(task_file)
    return Path(input_dir) if input_dir else resolve(task, task.spec.output_dir), list(filters_of(task))


def _given(stack: ExitStack, place: Path, targets: Sequence[Path]) -> Given:
    """The records of a run's journal, else those of result files.

    Raises:
        TaskFileError: If there is nothing to read, or no telling which of several files is meant.
    """
    from deepswarm.core.errors import Problem, TaskFileError
    from deepswarm.engine.filtering import has_run, no_run, recorded
    from deepswarm.formats import ENDINGS, name_of

    if has_run(place):
        run = stack.enter_context(recorded(place))
        totals = run.totals
        if not totals.done:
            what = f"the run has no answer yet: {totals.left:,} seeds left, {totals.failed + totals.rejected:,} failed"
            raise TaskFileError([Problem(what, str(place), hint="the command that started it also goes on with it")])
        if totals.left:
            _say(f"the run is not at its end: {totals.left:,} seeds are left; filter again when they are done")
        return Given(run.records(), _recorded_filters(run.task, place))
    if place.is_file():
        if name_of(place) is None:
            what = f"its ending names none of the formats: {', '.join(ENDINGS)}"
            raise TaskFileError([Problem(what, str(place), hint="rename it, or name the run's folder")])
        return Given(_read([place]), (), (place,))
    files = result_files(place, targets) if place.is_dir() else []
    if not files:
        raise TaskFileError([no_run(place, "nothing to read: no run, and no JSONL, JSON or Parquet file of results")])
    _say(f"no journal in {place}/: reading {', '.join(path.name for path in files)}")
    return Given(_read(files), (), files)


def _recorded_filters(task: Mapping[str, Any], folder: Path) -> list[Setting]:
    """The filters that a run's task names, with schemas that are names of files read from them."""
    filters: list[Setting] = []
    for setting in task.get("filters", []):
        options = setting.get("structure") if isinstance(setting, Mapping) else None
        if isinstance(options, Mapping) and isinstance(options.get("schema"), str):
            path = task_folder(folder, str(task.get("output_dir", "output/"))) / options["schema"]
            filters.append({"structure": {**options, "schema": dict(_read_schema(path))}})
        else:
            filters.append(setting)
    return filters


def task_folder(folder: Path, output_dir: str) -> Path:
    """Where the task file of a run lies, at which its relative names start: `folder` is its `output_dir`.

    A rehearsal lies beside the real run. When the run was moved, the answer is the folder above it.
    """
    parts = Path(output_dir).parts
    tail = folder.resolve().parts[-len(parts) :]
    ends = {parts, (*parts[:-1], f"{parts[-1]}-simulated")} if parts else set()
    return folder.resolve().parents[len(parts) - 1] if tail in ends else folder.resolve().parent


def result_files(folder: Path, targets: Sequence[Path]) -> list[Path]:
    """The files of a folder that hold results, in the order of their names: those named results..., if there are any.

    Several files of one kind are parts of one set. Files of several kinds are read once when they hold the same
    records.

    Raises:
        TaskFileError: If they hold different ones, or the records of several runs.
    """
    from deepswarm.core.errors import Problem, TaskFileError
    from deepswarm.formats import TABLE, name_of

    own = {target.resolve() for target in targets}
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and name_of(path) and path.stem not in OWN_STEMS and path.resolve() not in own
    ]
    files = [path for path in files if not path.name.startswith(".") and not path.name.endswith("manifest.json")]
    files = [path for path in files if path.stem.startswith("results")] or files
    kinds = [[path for path in files if name_of(path) == kind] for kind in TABLE]
    kinds = [kind for kind in kinds if kind]
    if len(kinds) > 1 and len({_identity(kind) for kind in kinds}) > 1:
        names = ", ".join(path.name for path in files)
        hint = f"name the one you mean: --input-dir {files[0]}"
        raise TaskFileError([Problem(f"these files hold different records: {names}", str(folder), hint=hint)])
    parts = kinds[0] if kinds else []
    runs = {path: _task_of(path) for path in parts}
    if len({task for task in runs.values() if task}) > 1:
        names = ", ".join(f"{path.name} (task {(task or 'unknown')[:12]})" for path, task in runs.items())
        hint = f"name the one you mean: --input-dir {parts[0]}"
        raise TaskFileError([Problem(f"these files hold the records of several runs: {names}", str(folder), hint=hint)])
    return parts


def _task_of(file: Path) -> str:
    """The fingerprint of the task that the first record of a file was asked under; empty when it does not say."""
    first = next((record for record in _read([file]) if isinstance(record, dict)), {})
    return str(first.get("fingerprint") or "")


def _identity(files: Sequence[Path]) -> tuple[int, int]:
    """How many records, and a number that tells their ids and tasks, in any order."""
    from hashlib import blake2b

    from deepswarm.core.jsontext import canonical

    count = mixed = 0
    for record in _read(files):
        if isinstance(record, dict):
            text = canonical([record.get("id"), record.get("fingerprint")])
            count += 1
            mixed ^= int.from_bytes(blake2b(text, digest_size=16).digest(), "big")
    return count, mixed


def _read(files: Sequence[Path]) -> Iterator[Record | Problem]:
    from deepswarm.core.errors import Problem, TaskFileError
    from deepswarm.formats import name_of, reader

    for path in files:
        try:
            yield from reader(name_of(path) or "")(path)
        except OSError as error:
            raise TaskFileError([Problem(f"cannot be read: {error.strerror or error}", str(path))]) from error


# --- what is said ----------------------------------------------------------------------------------------------------


def _target(name: str | None, default: Path) -> Path:
    """Where to write; "-" is stdout."""
    return default if name is None else Path("/dev/stdout" if name == "-" else name)


def _tell(report: FilterReport) -> None:
    """The table, on stdout unless the records went there; what is alarming, on stderr."""
    tally = report.tally
    if tally.simulated:
        _say(SIMULATED.format(count=tally.simulated, read=tally.read))
    piped = Path("/dev/stdout") in {report.output, report.errors}
    click.echo("\n".join(report.lines()), err=piped)
    repair = next((count for count in tally.filters if count.name == "json_repair"), None)
    if not tally.kept and repair and repair.dropped == repair.judged:
        _say("every answer was dropped as no JSON; if they are meant to be text: --no-json")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
