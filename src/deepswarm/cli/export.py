"""deepswarm export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from deepswarm.engine.exporting import Wish
    from deepswarm.engine.filtering import RecordedRun
    from deepswarm.report.census import Census

LOSSLESS: Final = ("jsonl", "json", "parquet")
TRAINING: Final = ("messages", "sharegpt", "hermes", "alpaca", "prompt-completion", "preference")
INLINE: Final = ("sharegpt", "hermes", "alpaca")
"""Forms without a place of their own for the thinking."""
STDOUT: Final = Path("/dev/stdout")


@click.command()
@click.argument("run_dir", metavar="[RUN]", default="output")
@click.option("--format", "kind", type=click.Choice([*LOSSLESS, *TRAINING]), help="Default: as --output ends.")
@click.option(
    "--output", metavar="FILE", help="Default: export.jsonl (.json, .messages.jsonl, ...) in the run's folder."
)
@click.option(
    "--dataset", metavar="DIR", help="A folder with shards, splits, a card and a manifest, in place of a file."
)
@click.option("--from", "source", metavar="FILE", help="Only these records of the run, such as output/clean.jsonl.")
@click.option(
    "--order",
    type=click.Choice(["completion", "seeds"]),
    default="completion",
    show_default=True,
    help="As the answers came, or as the seeds file has them.",
)
@click.option(
    "--reasoning",
    type=click.Choice(["field", "inline", "none"]),
    help="Where a training form has the thinking; default: a field for messages, else in <think> tags.",
)
@click.option("--no-provenance", is_flag=True, help="Rows of a training form without id and provenance.")
@click.option("--split", "splits", multiple=True, metavar="NAME=SHARE", help="With --dataset: such as test=0.05.")
@click.option("--split-seed", type=int, default=0, help="With --dataset: draws other splits.")
@click.option("--shard-rows", type=click.IntRange(min=1), default=100_000, help="With --dataset: most rows of a file.")
@click.option("--license", "licence", metavar="NAME", help="With --dataset: the licence that the card states.")
def command(
    run_dir: str,
    kind: str | None,
    output: str | None,
    dataset: str | None,
    source: str | None,
    order: str,
    reasoning: str | None,
    no_provenance: bool,
    **layout: Any,
) -> int:
    """Write the results of a run, from its journal: at any time, also while it goes on. No call is made.

    RUN is its output folder or its task file. jsonl, json and parquet hold the whole records; the others are forms in
    which trainers read conversations, as JSON lines. Beside the file lies a manifest with its hash.
    """
    from deepswarm.engine.exporting import Wish
    from deepswarm.engine.filtering import recorded
    from deepswarm.engine.places import run_folder
    from deepswarm.formats import name_of
    from deepswarm.formats.training import Style

    if output is not None and dataset is not None:
        raise click.UsageError("--output names a file, --dataset a folder: give one of them")
    if dataset is None and (layout["splits"] or layout["licence"]):
        raise click.UsageError("--split and --license belong to a data set: add --dataset DIR")
    folder = run_folder(Path(run_dir))
    named = kind or (output and output != "-" and name_of(Path(output))) or "jsonl"
    style = Style(reasoning) if reasoning else Style.INLINE if named in INLINE else Style.FIELD
    wish = Wish(named, order == "seeds", style, Path(source) if source else None, not no_provenance)
    with recorded(folder) as run:
        if dataset is not None:
            target = Path(dataset)
            census = _dataset(run, wish, target, folder, layout)
        else:
            target = _target(output, kind, folder)
            census = _file(run, wish, target, folder, has_kind=kind is not None)
        _tell(run, wish, census, target)
    return 0


def _target(output: str | None, kind: str | None, folder: Path) -> Path:
    if output is not None:
        return STDOUT if output == "-" else Path(output)
    return folder / (f"export.{kind}.jsonl" if kind in TRAINING else f"export.{kind or 'jsonl'}")


def _file(run: RecordedRun, wish: Wish, target: Path, folder: Path, *, has_kind: bool) -> Census:
    """One file, and its manifest beside it."""
    from deepswarm.engine.dataset import write_manifest
    from deepswarm.engine.exporting import MANIFEST, exported, file_facts, manifest
    from deepswarm.engine.filtering import explained, refuse_to_replace, writer_for
    from deepswarm.formats import name_of, writer
    from deepswarm.report.census import Census

    refuse_to_replace(target, [wish.source] if wish.source else (), folder)
    if not wish.is_lossless and name_of(target) == "parquet":
        raise click.UsageError(f"--format {wish.form} is written as JSON lines or JSON: {target} ends otherwise")
    write = writer(wish.form) if has_kind and wish.is_lossless else writer_for(target)
    census = Census()
    with explained(target):
        written = write((row for _, row in exported(run, wish, census)), target)
        if not target.is_relative_to("/dev"):
            facts = manifest(run, wish, census, [file_facts(target, target.name, written)])
            write_manifest(target.with_name(f"{target.name}.{MANIFEST}"), facts)
    return census


def _dataset(run: RecordedRun, wish: Wish, target: Path, folder: Path, layout: dict[str, Any]) -> Census:
    from deepswarm.engine.dataset import Layout, write_dataset
    from deepswarm.engine.filtering import refuse_to_replace

    refuse_to_replace(target, (), folder)
    shares = _shares(layout["splits"])
    return write_dataset(
        run, wish, Layout(layout["shard_rows"], shares, layout["split_seed"], layout["licence"]), target
    )


def _shares(splits: tuple[str, ...]) -> dict[str, float]:
    """Splits as the command line writes them."""
    shares: dict[str, float] = {}
    for split in splits:
        name, _, share = split.partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            raise click.UsageError(
                f"--split {split}: write a name and its part of the whole, such as test=0.05"
            ) from None
        if not (name.isascii() and name.isidentifier()) or name == "train" or not 0 < shares[name] < 1:
            raise click.UsageError(f"--split {split}: a name other than train, and a part between 0 and 1")
    if sum(shares.values()) >= 1:
        raise click.UsageError("the splits leave nothing for train: their parts must be less than 1 together")
    return shares


def _tell(run: RecordedRun, wish: Wish, census: Census, target: Path) -> None:
    """What was written, what is not in it and why."""
    totals = run.totals
    if census.simulated or run.is_simulated:
        print("*** SIMULATED: the text was made up by the built-in provider. Do not train on it.", file=sys.stderr)
    for why, count in census.unfit.items():
        print(f"{count:,} records are left out: {why} ({', '.join(census.unfit_ids)})", file=sys.stderr)
    if wish.form == "preference" and not census.rows:
        print("no pairs: no seed has several samples with different scores (field 'score')", file=sys.stderr)
    others = [("failed", totals.failed), ("rejected", totals.rejected), ("left", totals.left)]
    texts = [f"{number:,} {what}" for what, number in others if number]
    missing = f" (not in it: {', '.join(texts)})" if texts else ""
    what = "records" if wish.is_lossless else "rows"
    click.echo(f"{census.rows:,} {what} in {target}{missing}", err=target == STDOUT)
