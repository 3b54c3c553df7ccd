"""The filter `duplicate`: of records whose text is the same, one is kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from deepswarm.core.records import Drop, Keep, Record, Verdict
from deepswarm.filters.texts import missing, text_of

RULES: Final = ("first", "last", "longest", "shortest")
"""Which of several like records is the one to keep."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Drop records whose text another record has, and all whose text stands in other files.

    Takes some 200 bytes of memory for each record.

    Attributes:
        of: The field that is compared.
        keep: Which of several is kept: first or last, in the order in which they are read.
        ignore_space: Whether letter case and white space count for nothing.
        against: Files of records whose texts count as kept already. (They are read before the filter is made, and come
            as texts.)
    """

    of: str = "answer"
    keep: str = "first"
    ignore_space: bool = True
    against: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse a rule that there is not.

        Raises:
            ValueError: Of it.
        """
        if self.keep not in RULES[:2]:
            raise ValueError(f"'keep' must be first or last, not {self.keep!r}")

    def judge(self, record: Record) -> Verdict:
        """A record alone has no duplicate but in other files; see `judge_all`."""
        return next(self.judge_all([record]))

    def judge_all(self, records: Iterable[Record]) -> Iterator[Verdict]:
        """See `SetFilter.judge_all`."""
        seen: dict[bytes, str] = {self._key(text): "" for text in self.against}
        keys: list[bytes | None] = []
        ids: list[str] = []
        for record in records:
            text = text_of(record, self.of)
            keys.append(None if text is None else self._key(text))
            ids.append(shown_id(record))
        verdicts: list[Verdict] = [Keep()] * len(keys)
        places = range(len(keys)) if self.keep == "first" else range(len(keys) - 1, -1, -1)
        for place in places:
            key = keys[place]
            if key is None:
                verdicts[place] = Drop(missing(self.of))
            elif key in seen:
                verdicts[place] = Drop(same_as(seen[key], "the same text as"))
            else:
                seen[key] = ids[place]
        yield from verdicts

    def _key(self, text: str) -> bytes:
        plain = " ".join(text.casefold().split()) if self.ignore_space else text
        return blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def shown_id(record: Record) -> str:
    """A record's id as reasons show it."""
    return str(record.get("id") or "another record")[:80]


def same_as(known: str, what: str) -> str:
    """Why a record is dropped that is like another one; `known` is empty for one in other files."""
    return f"{what} {known or 'a record in the files that it is held against'}"


def in_order_of_choice(lengths: array[int], keep: str) -> list[int]:
    """The places of records, the best first: what is kept of several is the first of them.

    Args:
        lengths: Of each record's text, in characters.
        keep: One of RULES. Of texts that are as long, the first is the best.
    """
    places = list(range(len(lengths)))
    if keep == "last":
        places.reverse()
    elif keep != "first":
        sign = -1 if keep == "longest" else 1
        places.sort(key=lambda place: sign * lengths[place])
    return places
