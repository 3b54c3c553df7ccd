"""Which run is meant: a task file, an output folder, or a folder that holds several of them."""

from __future__ import annotations

from pathlib import Path

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.engine.filtering import has_run
from deepswarm.engine.folder import simulated
from deepswarm.taskfile import load, resolve


def run_folder(place: Path) -> Path:
    """The output folder of a run.

    A task file stands for its `output_dir`, or for the rehearsal beside it when there is only that.

    Raises:
        TaskFileError: If the runs lie in folders below it; names them. Whether there is one at all, `recorded` says.
    """
    if place.is_file() and place.suffix.lower() in {".yaml", ".yml", ".json"}:
        task = load(place)
        folder = resolve(task, task.spec.output_dir)
        return simulated(folder) if not has_run(folder) and has_run(simulated(folder)) else folder
    if place.is_file():
        raise TaskFileError([Problem("neither a run's folder nor a task file", str(place), hint="name one of them")])
    if has_run(place) or not place.is_dir():
        return place
    runs = sorted(path for path in place.iterdir() if path.is_dir() and has_run(path))
    if not runs:
        return place
    what = "there is no run in it" if len(runs) == 1 else "there is no run in it, but in several folders below it"
    hint = f"name the one you mean: {', '.join(str(run) for run in runs)}"
    raise TaskFileError([Problem(what, str(place), hint=hint)])
