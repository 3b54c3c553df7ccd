"""What a pace begins with, and why: for the journal, and for people."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """The pace of a run.

    Attributes:
        workers: Most calls at once.
        stagger_s: Seconds between two starts at the beginning.
        batch_size: Seeds that a worker leases at once.
        why: The reason for each, in words.
    """

    workers: int
    stagger_s: float
    batch_size: int
    why: str
