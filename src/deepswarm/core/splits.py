"""Which split of a data set a seed belongs to: a matter of its key alone, so that it stays there in every export."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

TRAIN: Final = "train"


def split_of(key: str, shares: Mapping[str, float], seed: int = 0) -> str:
    """The split of a seed; `train` is whatever the shares leave over.

    Samples of one seed have one key and so one split: nothing that is trained on is tested on. More seeds, other
    models and other filters move nothing from one split to another.

    Args:
        key: The seed key.
        shares: Parts of the whole by name, each above 0, together below 1.
        seed: Another number draws other splits.
    """
    digest = blake2b(f"{seed}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    for name, share in shares.items():
        if place < share:
            return name
        place -= share
    return TRAIN
