"""The filter `echo`: the answer is more than the prompt said again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepswarm.core.records import Drop, Keep, Record, Verdict
from deepswarm.filters.texts import leaves, missing, shingles, text_of, words


@dataclass(frozen=True, slots=True)
class Echo:
    """Drop answers that repeat what was asked.

    Attributes:
        max_share: Most of an answer, from 0 to 1, that may be taken from the prompt: the share of its runs of
            `run_words` words that stand in the prompt, too.
        run_words: How many words are a run.
        prompt: The fields that hold what was asked; all texts within them count.
        of: The field that is read.
    """

    max_share: float = 0.5
    run_words: int = 6
    prompt: Sequence[str] = ("seed", "messages")
    of: str = "answer"

    def __post_init__(self) -> None:
        """Refuse bounds that make no sense.

        Raises:
            ValueError: If one is out of its range.
        """
        if not 0 <= self.max_share <= 1:
            raise ValueError(f"'max_share' must be from 0 to 1, not {self.max_share}")
        if self.run_words < 1:
            raise ValueError(f"'run_words' must be 1 or more, not {self.run_words}")
        if not self.prompt or not all(self.prompt):
            raise ValueError("'prompt' must be a list of names of fields")

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        text = text_of(record, self.of)
        if text is None:
            return Drop(missing(self.of))
        own = shingles(text, self.run_words)
        asked = [each for name in self.prompt for each in leaves(record.get(name))]
        if not own or not asked:
            return Keep()
        if len(words(text)) <= self.run_words:
            same = any(words(text) == words(each) for each in asked)
            return Drop("the answer is the prompt") if same else Keep()
        given = set[str]().union(*(shingles(each, self.run_words) for each in asked))
        share = len(own & given) / len(own)
        if share > self.max_share:
            return Drop(f"{share:.0%} of the answer stands in the prompt, more than {self.max_share:.0%}")
        return Keep()
