"""Whether a text is nothing but a refusal: the model says that it cannot, where the answer should be.

Only short texts that begin so count: a story may well begin with "I cannot".
"""

from __future__ import annotations

import re
from typing import Final

from deepswarm.core.turns import Reject

_LONGEST: Final = 400
"""Characters of a text that may be a refusal and nothing else."""
_REFUSAL: Final = re.compile(
    r"(?:(?:i['\u2019]?m|i am) (?:very |really |so )?sorry,? (?:but )?|sorry,? (?:but )?|unfortunately,? )?"
    r"(?:as an ai\b.{0,60}|i (?:can(?:not|['\u2019]t| not)|am (?:not able|unable)|won['\u2019]t|must decline)"
    r"(?: to)? (?:assist|help|comply|provide|fulfill?|do that|with|translate|summarize|classify|answer|continue))",
    re.IGNORECASE,
)


def refusal(text: str) -> Reject | None:
    """Why a text is rejected as a refusal; None when it is none."""
    text = text.strip()
    if len(text) <= _LONGEST and _REFUSAL.match(text):
        return Reject("refused", f"the model refuses: {text[:200]}")
    return None
