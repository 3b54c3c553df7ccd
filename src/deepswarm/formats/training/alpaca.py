"""Alpaca: {"instruction", "input", "output", "system", "history": [[question, answer], ...]}.

The form knows questions and answers in turn and nothing else; a field for the thinking is not part of it: with it, rows
have one more, `reasoning`.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepswarm.core.conversation import Unfit, conversation_of
from deepswarm.core.records import Json, Record
from deepswarm.formats.training import Style, inline


def rows(samples: Sequence[Record], style: Style) -> list[dict[str, Json]]:
    """See `Rows`."""
    return [_row(record, style) for record in samples]


def _row(record: Record, style: Style) -> dict[str, Json]:
    said = conversation_of(record)
    system = said[0].content if said[0].role == "system" else ""
    turns = said[1:] if said[0].role == "system" else said
    roles = [each.role for each in turns]
    if roles != ["user", "assistant"] * (len(roles) // 2) or any(each.calls for each in turns):
        raise Unfit("Alpaca holds questions and answers in turn, and no tools")
    texts = [inline(each) if style is Style.INLINE else each.content for each in turns]
    row: dict[str, Json] = {
        "instruction": texts[-2],
        "input": "",
        "output": texts[-1],
        "system": system,
        "history": [[texts[at], texts[at + 1]] for at in range(0, len(texts) - 2, 2)],
    }
    if style is Style.FIELD:
        row["reasoning"] = turns[-1].reasoning
    return row
