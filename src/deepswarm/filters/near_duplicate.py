"""The filter `near_duplicate`: of records whose texts are nearly the same, the best is kept.

    text ─ runs of 3 words ─▶ MinHash ─ index ─▶ candidates ─ share of equal hashes ─▶ near ─▶ dropped

Records are taken in the order of choice (`keep`); each is dropped when it is near to one that was kept before it. So no
two kept records were found near to each other, and every dropped one names the record it is near to.

Source: Broder, On the resemblance and containment of documents, 1997; Leskovec, Rajaraman, Ullman, Mining of Massive
Datasets, 3rd ed., 3.4 (bands).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from deepswarm.core.records import Drop, Keep, Record, Verdict
from deepswarm.filters.duplicate import RULES, in_order_of_choice, same_as, shown_id
from deepswarm.filters.texts import missing, shingles, text_of

RUN_WORDS: Final = 3
"""How many words are a shingle."""
HASHES: Final = 128
"""About how many hashes stand for a text; the likeness of two texts is told to some 4 percent."""
SURE: Final = 0.99
"""Share of the pairs exactly at the threshold that the index must find."""
_BATCH: Final = 256
_SEED: Final = 42


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Drop records whose text is nearly that of another, and all that are near to a text in other files.

    How near two texts are is the share of runs of three words that they have in common (of all runs of the two), told
    from 0 to 1 by MinHash, to some 0.04. Takes some 800 bytes of memory for each record.

    Attributes:
        threshold: How near texts must be to count as one, from 0.3 to 1.
        of: The field that is compared.
        keep: Which of several is kept: first, last, longest or shortest.
        against: Files of records whose texts count as kept already. (They are read before the filter is made, and come
            as texts.)
    """

    threshold: float = 0.8
    of: str = "answer"
    keep: str = "first"
    against: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            ValueError: If the threshold is out of its range, or the rule unknown.
        """
        if not 0.3 <= self.threshold <= 1:
            raise ValueError(f"'threshold' must be from 0.3 to 1, not {self.threshold}")
        if self.keep not in RULES:
            raise ValueError(f"'keep' must be one of {', '.join(RULES)}, not {self.keep!r}")

    def judge(self, record: Record) -> Verdict:
        """A record alone is near to none but those in other files; see `judge_all`."""
        return next(self.judge_all([record]))

    def judge_all(self, records: Iterable[Record]) -> Iterator[Verdict]:
        """See `SetFilter.judge_all`."""
        index = _Index(self.threshold)
        for sketch in index.sketches(iter(self.against)):
            if sketch is not None:
                index.keep(sketch, "")
        ids: list[str] = []
        lengths = array("q")

        def texts() -> Iterator[str]:
            for record in records:
                text = text_of(record, self.of)
                ids.append(shown_id(record))
                lengths.append(-1 if text is None else len(text))
                yield text or ""

        sketches = list(index.sketches(texts()))
        verdicts: list[Verdict] = [Keep()] * len(sketches)
        for place in in_order_of_choice(lengths, self.keep):
            sketch = sketches[place]
            if lengths[place] < 0:
                verdicts[place] = Drop(missing(self.of))
            elif sketch is not None:
                near, share = index.nearest(sketch)
                if near is None:
                    index.keep(sketch, ids[place])
                else:
                    verdicts[place] = Drop(f"{same_as(near, 'nearly the text of')} ({share:.0%} the same)")
        yield from verdicts


class _Index:
    """The texts that are kept, findable by nearness."""

    def __init__(self, threshold: float) -> None:
        from rensa import RMinHash, RMinHashLSH

        rows = rows_of_band(threshold)
        self._hashes = HASHES // rows * rows
        self._threshold = threshold
        self._minhash = RMinHash
        self._index = RMinHashLSH(threshold, self._hashes, self._hashes // rows)
        self._kept: list[tuple[Any, str]] = []

    def sketches(self, texts: Iterator[str]) -> Iterator[Any | None]:
        """What stands for each text; None for texts without words."""
        while batch := [shingles(text, RUN_WORDS) for text in islice(texts, _BATCH)]:
            made = self._minhash.from_token_sets(batch, num_perm=self._hashes, seed=_SEED)
            yield from (sketch if tokens else None for sketch, tokens in zip(made, batch, strict=True))

    def nearest(self, sketch: Any) -> tuple[str | None, float]:
        """The id of the nearest kept text and how near it is; None when none is near enough."""
        best, found = 0.0, None
        for key in sorted(self._index.query(sketch)):
            other, name = self._kept[key]
            share = sketch.jaccard(other)
            if share >= self._threshold and share > best:
                best, found = share, name
        return found, best

    def keep(self, sketch: Any, name: str) -> None:
        """Add a text."""
        self._index.insert(len(self._kept), sketch)
        self._kept.append((sketch, name))


def rows_of_band(threshold: float) -> int:
    """How many hashes make a band: as many as still find SURE of the pairs at the threshold.

    A pair of likeness t is found with the chance 1 - (1 - t**rows) ** (HASHES // rows).
    """
    fitting = [rows for rows in range(1, 17) if 1 - (1 - threshold**rows) ** (HASHES // rows) >= SURE]
    return max(fitting, default=1)
