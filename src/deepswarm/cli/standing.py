"""Which run is meant, without reading a task file where a folder was named: `status` answers at once."""

from __future__ import annotations

from pathlib import Path


def folder_of(run: str) -> Path:
    """The output folder of a run.

    Args:
        run: As the user named it: a folder, a task file, or "." for the run or the task.yaml that is here.

    Raises:
        TaskFileError: If it is neither.
    """
    place = Path(run)
    if (place / "journal" / "journal.sqlite").is_file():
        return place
    from deepswarm.engine.places import run_folder

    return run_folder(place / "task.yaml" if place.is_dir() and (place / "task.yaml").is_file() else place)
