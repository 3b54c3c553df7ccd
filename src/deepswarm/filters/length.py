"""The filter `length`: the answer is neither too short nor too long."""

from __future__ import annotations

from dataclasses import dataclass

from deepswarm.core.records import Drop, Keep, Record, Verdict


@dataclass(frozen=True, slots=True)
class Length:
    """Drop answers that are shorter or longer than the task allows.

    White space around the answer does not count. Words are what white space separates; for languages that write
    without spaces, give characters.

    Attributes:
        min_chars: Fewest characters (Unicode code points). By default only blank answers are too short.
        max_chars: Most characters; None sets no bound, as for all of these.
        min_words: Fewest words.
        max_words: Most words.
    """

    min_chars: int | None = 1
    max_chars: int | None = None
    min_words: int | None = None
    max_words: int | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that nothing can meet.

        Raises:
            ValueError: If a bound is below 0, or a smallest one above its largest.
        """
        for unit in ("chars", "words"):
            least, most = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            for name, bound in ((f"min_{unit}", least), (f"max_{unit}", most)):
                if bound is not None and bound < 0:
                    raise ValueError(f"'{name}' must be 0 or more, not {bound}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"'min_{unit}' is {least}, above 'max_{unit}', which is {most}: nothing would be kept")

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        answer = record.get("answer")
        if not isinstance(answer, str):
            return Drop("there is no answer")
        text = answer.strip()
        if reason := _outside(len(text), "characters", self.min_chars, self.max_chars):
            return Drop(reason)
        if self.min_words is None and self.max_words is None:
            return Keep()
        reason = _outside(len(text.split()), "words", self.min_words, self.max_words)
        return Drop(reason) if reason else Keep()


def _outside(size: int, unit: str, least: int | None, most: int | None) -> str:
    """Why a size is out of bounds; empty when it is not."""
    if least is not None and size < least:
        return f"{size:,} {unit}, fewer than {least:,}"
    if most is not None and size > most:
        return f"{size:,} {unit}, more than {most:,}"
    return ""
