"""The filter `repetition`: the text does not turn in circles."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from deepswarm.core.records import Drop, Keep, Record, Verdict
from deepswarm.filters.texts import missing, text_of, words


@dataclass(frozen=True, slots=True)
class Repetition:
    """Drop texts of which too much is said again and again.

    Attributes:
        max_repeated_share: Most of a text, from 0 to 1, that may lie in runs of `run_words` words that came before.
        run_words: How many words are a run.
        max_same_lines: How often one line of four words or more may stand; None for any number.
        min_words: Shorter texts are kept unseen.
        of: The field that is read.

    Source: Rae et al., Scaling Language Models (Gopher), 2021, table A1: share of repeated lines and n-grams.
    """

    max_repeated_share: float = 0.3
    run_words: int = 5
    max_same_lines: int | None = 5
    min_words: int = 30
    of: str = "answer"

    def __post_init__(self) -> None:
        """Refuse bounds that make no sense.

        Raises:
            ValueError: If one is out of its range.
        """
        if not 0 <= self.max_repeated_share <= 1:
            raise ValueError(f"'max_repeated_share' must be from 0 to 1, not {self.max_repeated_share}")
        for name in ("run_words", "min_words", "max_same_lines"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"'{name}' must be 1 or more, not {value}")

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        text = text_of(record, self.of)
        if text is None:
            return Drop(missing(self.of))
        found = words(text)
        if len(found) < self.min_words:
            return Keep()
        if self.max_same_lines is not None:
            lines = Counter(line.strip() for line in text.splitlines() if len(line.split()) >= 4)
            line, count = max(lines.items(), key=lambda item: item[1], default=("", 0))
            if count > self.max_same_lines:
                return Drop(f"one line stands {count:,} times: '{line[:60]}'")
        share = self._share(found)
        if share > self.max_repeated_share:
            return Drop(f"{share:.0%} of its words are said again, more than {self.max_repeated_share:.0%}")
        return Keep()

    def _share(self, found: list[str]) -> float:
        """The share of words that lie in a run which came before."""
        seen: set[tuple[str, ...]] = set()
        repeated = covered = 0
        for at, run in enumerate(zip(*(found[start:] for start in range(self.run_words)), strict=False)):
            if run in seen:
                repeated += at + self.run_words - max(at, covered)
                covered = at + self.run_words
            else:
                seen.add(run)
        return repeated / len(found)
