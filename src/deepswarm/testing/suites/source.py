"""The conformance suite for sources: what every reader of seeds does, whatever the file is made of.

A test module subclasses `SourceSuite` and gives it a pytest fixture `kind`, which knows how to write such a file:

    class TestMySource(SourceSuite):
        @pytest.fixture
        def kind(self): return Kind(my_source, "seeds.mine", write)
"""

# ruff: noqa: S101, D102 - a suite asserts, and a test's name is its sentence

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepswarm.core.errors import Problem
from deepswarm.core.records import Seed
from deepswarm.sources import Source

ODD: Final = (
    "plain",
    "{{x}}",
    'a "quoted", 1',
    "a\u2028b\u2029c\x85d",
    "tab\there",
    " spaces ",
    "海 \U0001f40b",
    "7",
    "{}",
)
"""Texts that are hard on some kind of file. None has a line end in it, and none is blank."""

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), min_size=1).filter(
    lambda text: not text.isspace()
)

thoroughly = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of seeds file.

    Attributes:
        source: What reads it.
        name: Of such a file.
        write: Makes one, of texts that are its seeds, at a path.
    """

    source: Source
    name: str
    write: Callable[[Path, Sequence[str]], None]

    @contextmanager
    def holding(self, seeds: Sequence[str]) -> Iterator[Path]:
        """A file with these seeds, for as long as the block lasts."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.name
            self.write(path, seeds)
            yield path


class SourceSuite:
    """The tests. A subclass gives the fixture `kind`."""

    @given(wanted=st.lists(texts, min_size=1, max_size=12))
    @thoroughly
    def test_every_seed_comes_once_with_its_text_as_it_was_and_in_the_order_of_the_file(
        self, kind: Kind, wanted: list[str]
    ) -> None:
        with kind.holding(wanted) as path:
            assert [seed.fields["seed"] for seed in _sound(kind, path)] == wanted

    def test_odd_texts_come_through_unchanged(self, kind: Kind) -> None:
        with kind.holding(ODD) as path:
            assert [seed.fields["seed"] for seed in _sound(kind, path)] == list(ODD)

    def test_reading_twice_gives_the_same(self, kind: Kind) -> None:
        with kind.holding(ODD) as path:
            assert _sound(kind, path) == _sound(kind, path)

    def test_line_numbers_begin_at_one_or_behind_a_header_and_rise(self, kind: Kind) -> None:
        with kind.holding(ODD) as path:
            numbers = [seed.line for seed in _sound(kind, path)]
        assert numbers[0] in {1, 2}
        assert all(one < other for one, other in pairwise(numbers))

    def test_a_place_if_there_is_one_points_at_exactly_the_text_that_holds_the_seed(self, kind: Kind) -> None:
        with kind.holding(ODD) as path:
            seeds = _sound(kind, path)
            placed = [seed for seed in seeds if seed.place >= 0]
            assert placed in (seeds, [])
            assert all(seed.size == 0 for seed in seeds if seed.place < 0)
            for seed in placed:
                with path.open("rb") as file:
                    file.seek(seed.place)
                    assert file.read(seed.size).strip() not in (b"", b"\n")

    def test_a_reader_may_be_left_before_its_end(self, kind: Kind) -> None:
        with kind.holding(["one", "two", "three"]) as path:
            seeds = iter(kind.source.read(path))
            first = next(seeds)
            assert isinstance(first, Seed)
            assert first.fields["seed"] == "one"
            del seeds  # an open file would be a ResourceWarning, and so an error


def _sound(kind: Kind, path: Path) -> list[Seed]:
    items = list(kind.source.read(path))
    assert not [str(item) for item in items if isinstance(item, Problem)]
    return [item for item in items if isinstance(item, Seed)]
