"""The filter `contamination`: the text does not hold questions of a benchmark on which somebody will be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from deepswarm.core.records import Drop, Keep, Record, Verdict
from deepswarm.filters.texts import leaves, shingles


@dataclass(frozen=True, slots=True)
class Contamination:
    """Drop records in which a text of a benchmark stands, wholly or in part.

    Attributes:
        benchmark: A file, or several, whose records hold the benchmark; every text in them counts. (They are read
            before the filter is made, and come as texts.)
        run_words: How many words in a row must be the same. A shorter text of the benchmark must be there whole, unless
            it has fewer than `min_words`.
        max_share: Most of one text of the benchmark, from 0 to 1, that may stand in a record: the share of its runs.
            By default none.
        min_words: Texts of the benchmark with fewer words are left out: "yes" stands anywhere.
        fields: The fields that are read; all texts within them count.

    Source: Brown et al., Language Models are Few-Shot Learners, 2020, appendix C (13 words in a row).
    """

    benchmark: Sequence[str]
    run_words: int = 13
    max_share: float = 0.0
    min_words: int = 8
    fields: Sequence[str] = ("answer", "seed")
    _texts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _where: dict[str, list[int]] = field(init=False, repr=False, compare=False)
    _sizes: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the benchmark.

        Raises:
            ValueError: If it holds nothing to compare with, or a bound is out of its range.
        """
        if self.run_words < 1 or self.min_words < 1:
            raise ValueError("'run_words' and 'min_words' must be 1 or more")
        if not 0 <= self.max_share < 1:
            raise ValueError(f"'max_share' must be from 0 to less than 1, not {self.max_share}")
        where: dict[str, list[int]] = {}
        sizes: list[int] = []
        lengths: list[int] = []
        for number, text in enumerate(self.benchmark):
            runs = shingles(text, self.run_words)
            size = len(next(iter(runs)).split()) if len(runs) == 1 else self.run_words
            lengths.append(len(runs))
            if not runs or size < min(self.min_words, self.run_words):
                continue
            sizes.append(size)
            for run in runs:
                where.setdefault(run, []).append(number)
        if not where:
            raise ValueError(f"'benchmark' holds no text of {self.min_words} words or more")
        object.__setattr__(self, "_where", where)
        object.__setattr__(self, "_texts", tuple(lengths))
        object.__setattr__(self, "_sizes", tuple(sorted(set(sizes))))

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        own: set[str] = set()
        for name in self.fields:
            for text in leaves(record.get(name)):
                for size in self._sizes:
                    own |= shingles(text, size)
        hits: dict[int, int] = {}
        for run in own & self._where.keys():
            for number in self._where[run]:
                hits[number] = hits.get(number, 0) + 1
        for number in sorted(hits):
            share = hits[number] / self._texts[number]
            if share > self.max_share:
                text = " ".join(self.benchmark[number].split())[:60]
                return Drop(f"{share:.0%} of a text of the benchmark stands in it: '{text}'")
        return Keep()
