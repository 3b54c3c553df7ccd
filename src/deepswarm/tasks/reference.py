"""An answer against the reference answer of its seed: the same text, or the same number. The reason never tells it."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

from deepswarm.core.turns import Reject
from deepswarm.core.typekeys import VerifySection

_NUMBER: Final = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?(?:/\d+)?")


class Reference:
    """The comparison that a task asks for."""

    def __init__(self, section: VerifySection) -> None:
        self.field = section.reference
        self._numeric = section.compare == "numeric"
        self._tolerance = Fraction(section.tolerance)
        self._pattern = None if section.pattern is None else re.compile(section.pattern)

    def wrong(self, text: str, reference: str) -> Reject | None:
        """Why an answer is rejected; None when it is the reference answer."""
        found = self._found(text)
        if found is None:
            return Reject("no_answer", "no final answer was found where it should stand")
        if self._numeric:
            number, wanted = number_in(found), number_in(reference)
            if wanted is None:
                return Reject("bad_reference", f"the seed's reference answer '{reference[:80]}' is no number")
            if number is None:
                return Reject("no_answer", "the final answer is no number")
            right = abs(number - wanted) <= abs(wanted) * self._tolerance
        else:
            right = _plain(found) == _plain(reference)
        return None if right else Reject("wrong_answer", f"the final answer '{found[:80]}' is wrong")

    def _found(self, text: str) -> str | None:
        """What is compared."""
        if self._pattern is not None:
            matches = list(self._pattern.finditer(text))
            return matches[-1][1] if matches else None
        if self._numeric:
            numbers = _NUMBER.findall(text)
            return numbers[-1] if numbers else None
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else None


def number_in(text: str) -> Fraction | None:
    """The number that a text is, exactly: 1,234.5, -3e4 or 2/3; None when it is none."""
    top, _, below = text.strip().strip("$€£ ").replace(",", "").partition("/")
    try:
        number = Decimal(top)
        if not number.is_finite() or abs(number.adjusted()) > 1000:
            return None
        return Fraction(number) / (int(below) if below else 1)
    except (InvalidOperation, ValueError, ZeroDivisionError):
        return None


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold().strip(" .*`\"'")
