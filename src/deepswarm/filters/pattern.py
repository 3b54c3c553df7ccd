"""The filter `pattern`: the text matches a regular expression, or does not. The only file that knows the library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deepswarm.core.records import Drop, Keep, Record, Verdict
from deepswarm.filters.texts import missing, text_of


@dataclass(frozen=True, slots=True)
class Pattern:
    r"""Drop texts that do not match a regular expression, or that match a forbidden one.

    The expressions are Python's, and are looked for anywhere in the text: begin with `\A` and end with `\Z` for the
    whole. An expression that takes too long on a text (as `(a+)+b` does on many an a) is stopped and the record dropped
    with that reason.

    Attributes:
        match: What must be found.
        forbid: What must not be found.
        ignore_case: Whether letter case counts for nothing.
        most_ms: Longest time for one text, in milliseconds of 1 to 10,000.
        of: The field that is read.
    """

    match: str | None = None
    forbid: str | None = None
    ignore_case: bool = False
    most_ms: int = 50
    of: str = "answer"
    _match: Any = field(init=False, repr=False, compare=False)
    _forbid: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the expressions.

        Raises:
            ValueError: If none is given, or one is wrong.
        """
        if self.match is None and self.forbid is None:
            raise ValueError("nothing is asked for; give 'match' or 'forbid'")
        if not 1 <= self.most_ms <= 10_000:
            raise ValueError(f"'most_ms' must be from 1 to 10,000, not {self.most_ms:,}")
        for name in ("match", "forbid"):
            object.__setattr__(self, f"_{name}", _compiled(name, getattr(self, name), ignore_case=self.ignore_case))

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        text = text_of(record, self.of)
        if text is None:
            return Drop(missing(self.of))
        try:
            if self._match and not self._match.search(text, timeout=self.most_ms / 1000):
                return Drop(f"it does not match '{str(self.match)[:80]}'")
            found = self._forbid and self._forbid.search(text, timeout=self.most_ms / 1000)
        except TimeoutError:
            return Drop(f"the regular expression was stopped after {self.most_ms:,} ms: it goes back too often")
        return Drop(f"it matches '{str(self.forbid)[:80]}': '{found[0][:60]}'") if found else Keep()


def _compiled(name: str, expression: str | None, *, ignore_case: bool) -> Any:
    import regex

    if expression is None:
        return None
    try:
        return regex.compile(expression, (regex.IGNORECASE if ignore_case else 0) | regex.VERSION0)
    except regex.error as error:
        raise ValueError(f"'{name}' is no regular expression: {error}") from error
