"""A data set as a folder: shards by split, a card, and a manifest that is written last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Final

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.jsontext import dumps
from deepswarm.core.records import Json
from deepswarm.core.splits import TRAIN, split_of
from deepswarm.engine.exporting import MANIFEST, Wish, exported, file_facts, manifest
from deepswarm.engine.filtering import RecordedRun, explained
from deepswarm.formats import writer
from deepswarm.formats.whole_file import whole_file
from deepswarm.report.card import card
from deepswarm.report.census import Census

CARD: Final = "README.md"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the folder is laid out.

    Attributes:
        shard_rows: Most rows of a file.
        shares: Parts of the whole that other splits than `train` get.
        seed: Draws the splits.
        licence: For the card.
    """

    shard_rows: int = 100_000
    shares: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    licence: str | None = None


def write_dataset(run: RecordedRun, wish: Wish, layout: Layout, folder: Path) -> Census:
    """Write the folder, in one pass over the run for each split.

    Every file is there whole or not at all. What an earlier export left in the folder and this one does not write is
    removed; a folder that is no export is refused.

    Raises:
        TaskFileError: If the folder holds something else, or cannot be written.
        DiskFull: If the disk is full.
    """
    earlier = _earlier(folder)
    census = Census()
    files: list[dict[str, Json]] = []
    counts: Counter[str] = Counter()
    kind = wish.form if wish.is_lossless else "jsonl"
    with explained(folder):
        for split in (TRAIN, *layout.shares):
            # Every pass sees all records; one of them is counted.
            counted = census if split == TRAIN else Census()
            rows = _rows_of_split(exported(run, wish, counted), layout, split)
            for number, shard in enumerate(_shards(rows, layout.shard_rows)):
                name = f"data/{split}-{number:05d}.{kind}"
                written = writer(kind)(shard, folder / name)
                counts[split] += written
                files.append({"split": split, **file_facts(folder / name, name, written)})
        facts = manifest(run, wish, census, files)
        splits = {split: counts[split] for split in (TRAIN, *layout.shares)}
        text = card(folder.resolve().name, facts, splits, f"data/{{split}}-*.{kind}", layout.licence)
        with whole_file(folder / CARD) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
        for name in earlier - {str(each["name"]) for each in files}:
            (folder / name).unlink(missing_ok=True)
        write_manifest(folder / MANIFEST, {**facts, "splits": {**splits}, "split_seed": layout.seed})
    return census


def write_manifest(path: Path, facts: Mapping[str, Json]) -> None:
    """Write a manifest, for people and programs."""
    with whole_file(path) as file:
        file.write(json.dumps(json.loads(dumps(facts)), indent=2, ensure_ascii=True).encode() + b"\n")


def _rows_of_split(
    rows: Iterator[tuple[str, dict[str, Json]]], layout: Layout, split: str
) -> Iterator[dict[str, Json]]:
    return (row for key, row in rows if split_of(key, layout.shares, layout.seed) == split)


def _shards(rows: Iterator[dict[str, Json]], most: int) -> Iterator[Iterator[dict[str, Json]]]:
    """The rows in pieces of at most `most`; each must be read before the next is asked for."""
    for first in rows:
        yield chain([first], islice(rows, most - 1))


def _earlier(folder: Path) -> set[str]:
    """The shards that an earlier export left in the folder."""
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise TaskFileError([Problem("a data set is a folder; this is a file", str(folder))])
    try:
        named = json.loads((folder / MANIFEST).read_bytes())["files"]
        names = {str(file["name"]) for file in named}
    except FileNotFoundError:
        if any(path for path in folder.iterdir() if path.name not in {CARD, "data"} or not _is_shards(path)):
            what = "the folder holds something that is no export; it is left alone"
            raise TaskFileError([Problem(what, str(folder), hint="name an empty or a new folder")]) from None
        return {f"data/{path.name}" for path in folder.glob("data/*")}
    except (ValueError, KeyError, TypeError):
        what = f"{MANIFEST} in it was not written by an export"
        raise TaskFileError([Problem(what, str(folder), hint="name an empty or a new folder")]) from None
    return {name for name in names if Path(name).parts[:1] == ("data",) and ".." not in Path(name).parts}


def _is_shards(path: Path) -> bool:
    """Whether this is what an export that was cut short leaves: shards without a manifest."""
    return path.is_dir() and all(each.match("*-[0-9][0-9][0-9][0-9][0-9].*") for each in path.iterdir())
