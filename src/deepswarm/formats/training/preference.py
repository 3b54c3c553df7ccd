"""Preference pairs, as TRL reads them: {"prompt", "chosen", "rejected", "score_chosen", "score_rejected"}.

Of the samples of one seed with one prompt, the one that the judge liked best is paired with the one that it liked
least. Samples without a number in their field `score` take no part; a tie makes no pair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepswarm.core.conversation import conversation_of
from deepswarm.core.records import Json, Record
from deepswarm.formats.training import Style
from deepswarm.formats.training.messages import message


def rows(samples: Sequence[Record], style: Style) -> list[dict[str, Json]]:
    """See `Rows`. At most one pair for each prompt."""
    judged: dict[str, list[tuple[float, Record]]] = {}
    for record in samples:
        score = record.get("score")
        if isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score):
            judged.setdefault(repr(conversation_of(record)[:-1]), []).append((float(score), record))
    return [pair for group in judged.values() for pair in _pair(group, style)]


def _pair(group: Sequence[tuple[float, Record]], style: Style) -> list[dict[str, Json]]:
    best, worst = max(group, key=lambda each: each[0]), min(group, key=lambda each: each[0])
    if best[0] == worst[0]:
        return []
    *prompt, chosen = conversation_of(best[1])
    rejected = conversation_of(worst[1])[-1]
    row: dict[str, Json] = {
        "prompt": [message(said, style) for said in prompt],
        "chosen": [message(chosen, style)],
        "rejected": [message(rejected, style)],
        "score_chosen": best[0],
        "score_rejected": worst[0],
    }
    return [row]
