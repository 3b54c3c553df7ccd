"""Ranges as a task file writes them: 1..100, or 0..100..5 with a step. Both ends are included."""

from __future__ import annotations

import re
from typing import Final

from deepswarm.core.secret import shown

RANGE: Final = r"^(-?[0-9]{1,15})\.\.(-?[0-9]{1,15})(\.\.(-?[0-9]{1,15}))?$"
"""The pattern of such a text."""


def range_of(text: str) -> range:
    """The numbers of 'first..last' or 'first..last..step', both ends included; empty when the step is 0.

    Raises:
        ValueError: If it is not written like that.
    """
    found = re.match(RANGE, text)
    if not found:
        message = f"not a range: {shown(text)}"
        raise ValueError(message)
    first, last, step = int(found[1]), int(found[2]), int(found[4] or 1)
    return range(0) if step == 0 else range(first, last + (1 if step > 0 else -1), step)
