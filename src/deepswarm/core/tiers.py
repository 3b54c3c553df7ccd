"""Tiers: the cheap model that does the work, and the dear one that is asked where that is not enough.

0  worker         every seed begins here
1  orchestrator   is asked beside the workers: to plan, to judge, to play a role
"""

from __future__ import annotations

from typing import Final

WORKER: Final = 0
ORCHESTRATOR: Final = 1
NAMES: Final = ("worker", "orchestrator")


def name_of(tier: int) -> str:
    """A tier's name, for people and records."""
    return NAMES[tier] if tier < len(NAMES) else f"tier {tier}"
