"""The filter `language`: the text is in one of the languages that are wanted. Its model is installed with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from deepswarm.core.records import Drop, Keep, Record, Verdict
from deepswarm.filters.texts import missing, text_of

_LOOKED_AT: Final = 2_000
"""Most characters that are looked at: what follows changes the guess no more, only its time."""
_NO_PROSE: Final = re.compile(r"(?s:```.*?(?:```|\Z))|https?://\S++|[\d\W_]++")


@dataclass(frozen=True, slots=True)
class Language:
    """Drop texts that are written in another language.

    Code in fences, addresses, digits and signs do not count. A guess can be wrong: for short texts, and between close
    relatives such as Norwegian and Danish; so only a sure guess drops a record.

    Attributes:
        wanted: Codes of ISO 639-1, such as en, or a list of them.
        min_certainty: How sure a guess at another language must be, from 0 to 1.
        min_letters: Texts with fewer letters are kept unseen.
        of: The field that is read.
    """

    wanted: str | Sequence[str]
    min_certainty: float = 0.8
    min_letters: int = 20
    of: str = "answer"
    _codes: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Look the languages up.

        Raises:
            ValueError: If one is unknown, or a bound out of its range.
        """
        codes = [self.wanted] if isinstance(self.wanted, str) else list(self.wanted)
        known = set(_model().labels)
        for code in codes:
            if code not in known:
                raise ValueError(f"'wanted': no language is known as {code!r}; there are: {', '.join(sorted(known))}")
        if not codes:
            raise ValueError("'wanted' names no language, such as en")
        if not 0 <= self.min_certainty <= 1:
            raise ValueError(f"'min_certainty' must be from 0 to 1, not {self.min_certainty}")
        object.__setattr__(self, "_codes", frozenset(codes))

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        text = text_of(record, self.of)
        if text is None:
            return Drop(missing(self.of))
        prose = _NO_PROSE.sub(" ", text[: 4 * _LOOKED_AT])[:_LOOKED_AT]
        prose = prose.encode("utf-8", "ignore").decode()
        if sum(map(str.isalpha, prose)) < self.min_letters:
            return Keep()
        code, certainty = _model().classify(prose)
        if code in self._codes or certainty < self.min_certainty:
            return Keep()
        return Drop(f"written in {code} ({certainty:.0%} sure), not in {' or '.join(sorted(self._codes))}")


@cache
def _model() -> Any:
    """The model, read once: some 120 MB of memory and a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
