"""Python's search for cycles, which this program hardly makes."""

from __future__ import annotations

import gc


def spare_the_collector() -> None:
    """Look for cycles rarely: what a call or a record makes has none, and looking costs some per cent of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
