"""Rules of the `seeds` section: it says either which values are combined, or what is wanted of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deepswarm.core.flaws import Flaw


def description_flaws(section: Mapping[str, object]) -> Iterator[Flaw]:
    """What is wrong with how a `seeds` section describes its seeds."""
    wanted = section.get("wanted")
    if wanted is None:
        if "values" not in section:
            hint = "for example: values: {topic: [tides, glaciers], length: 1..3}; or describe the seeds: wanted: …"
            yield Flaw(("seeds", "values"), "the key 'seeds.values' is missing", hint, on_key=True)
        return
    if isinstance(wanted, str) and not wanted.strip():
        yield Flaw(("seeds", "wanted"), "'seeds.wanted' is blank", "describe the seeds in a few sentences")
    for key in ("values", "template"):
        if section.get(key) is not None:
            what = f"'seeds.{key}' and 'seeds.wanted' exclude each other: seeds are combined or described"
            yield Flaw(("seeds", key), what, "keep one of the two", on_key=True)
    if section.get("count") is None:
        yield Flaw(("seeds", "count"), "'seeds.wanted' needs 'seeds.count'", "say how many: count: 1000", on_key=True)
