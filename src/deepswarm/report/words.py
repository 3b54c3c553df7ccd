"""Numbers as people read them. Pure."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds for people: 42 s, 3 min, 2.5 h."""
    if seconds < 0.95:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
