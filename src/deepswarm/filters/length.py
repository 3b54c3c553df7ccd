"""The filter `length`: a text is neither too short nor too long, and a conversation has enough turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from deepswarm.core.records import Drop, Keep, Record, Verdict
from deepswarm.filters.texts import estimated_tokens, missing, text_of

_MEASURES: Final[dict[str, tuple[str, Callable[[str], int]]]] = {
    "chars": ("characters", len),
    "words": ("words", lambda text: len(text.split())),
    "tokens": ("tokens (estimated)", estimated_tokens),
}
_CONVERSATIONS: Final = ("messages", "conversations", "turns")


@dataclass(frozen=True, slots=True)
class Length:
    """Drop answers that are shorter or longer than the task allows.

    White space around the answer does not count. Words are what white space separates; for languages that write
    without spaces, give characters or tokens. Tokens are an estimate, the same on every machine: no model's own
    vocabulary is loaded.

    Attributes:
        min_chars: Fewest characters (Unicode code points). By default only blank answers are too short.
        max_chars: Most characters; None sets no bound, as for all of these.
        min_words: Fewest words.
        max_words: Most words.
        min_tokens: Fewest tokens.
        max_tokens: Most tokens.
        min_turns: Fewest turns: items of the list `messages`, `conversations` or `turns` in the answer's JSON (or the
            record), or of the list that the answer itself is.
        max_turns: Most turns.
        of: The field that is measured: answer, reasoning, or another such as seed.text.
    """

    min_chars: int | None = 1
    max_chars: int | None = None
    min_words: int | None = None
    max_words: int | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    min_turns: int | None = None
    max_turns: int | None = None
    of: str = "answer"
    _bounds: tuple[tuple[str, Callable[[str], int], int | None, int | None], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse bounds that nothing can meet.

        Raises:
            ValueError: If a bound is below 0, or a smallest one above its largest.
        """
        for unit in (*_MEASURES, "turns"):
            least, most = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            for name, bound in ((f"min_{unit}", least), (f"max_{unit}", most)):
                if bound is not None and bound < 0:
                    raise ValueError(f"'{name}' must be 0 or more, not {bound}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"'min_{unit}' is {least}, above 'max_{unit}', which is {most}: nothing would be kept")
        asked = ((*_MEASURES[unit], getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")) for unit in _MEASURES)
        object.__setattr__(self, "_bounds", tuple(each for each in asked if each[2:] != (None, None)))

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        text = text_of(record, self.of)
        if text is None:
            return Drop(missing(self.of))
        text = text.strip()
        for name, measure, least, most in self._bounds:
            if reason := _outside(measure(text), name, least, most):
                return Drop(reason)
        return self._turns(record) if self.min_turns is not None or self.max_turns is not None else Keep()

    def _turns(self, record: Record) -> Verdict:
        value = record.get("answer_json")
        for holder in (value, record):
            if isinstance(holder, dict):
                value = next((holder[name] for name in _CONVERSATIONS if isinstance(holder.get(name), list)), value)
            if isinstance(value, list):
                reason = _outside(len(value), "turns", self.min_turns, self.max_turns)
                return Drop(reason) if reason else Keep()
        return Drop("there are no turns to count: no list 'messages', 'conversations' or 'turns'")


def _outside(size: int, unit: str, least: int | None, most: int | None) -> str:
    """Why a size is out of bounds; empty when it is not."""
    if least is not None and size < least:
        return f"{size:,} {unit}, fewer than {least:,}"
    if most is not None and size > most:
        return f"{size:,} {unit}, more than {most:,}"
    return ""
