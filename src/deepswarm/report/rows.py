"""Records as a page shows them: the conversation and what it took, every text cut to a bound. Pure.

The texts are what models, seeds and providers wrote. Whoever shows them shows text, never markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from deepswarm.core.jsontext import dumps
from deepswarm.core.records import Json, Record

MOST_LETTERS: Final = 2_000
"""Characters of one text."""
MOST_BYTES: Final = 6_000_000
"""Of all rows of a report together, as JSON; pages of this size open without a pause."""
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160))}


def row_of(record: Record, most: int = MOST_LETTERS) -> dict[str, Json]:
    """A record as a page shows it.

    Args:
        record: With its `messages` if they are known (`engine/looking.py::with_messages`).
        most: Characters that are shown of each text; how many more there are is said.
    """
    messages = record.get("messages")
    asked = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    if "answer" in record and asked and asked[-1].get("role") == "assistant":
        asked = asked[:-1]
    usage, timings = record.get("usage"), record.get("timings")
    row: dict[str, Json] = {
        "id": _text(record.get("id"), 300),
        "outcome": _text(record.get("outcome", "done"), 40),
        "class": _text(record.get("class"), 80),
        "reason": _text(record.get("reason"), most),
        "filter": _text(record.get("filter"), 80),
        "asked": [{"role": _text(each.get("role"), 40), "text": _text(each.get("content"), most)} for each in asked],
        "seed": "" if asked else _text(record.get("seed"), most),
        "thinking": _text(record.get("reasoning"), most),
        "answer": _text(record.get("answer"), most),
        "last_reply": _text(record.get("last_reply"), most),
        "model": _text(record.get("model_answered") or record.get("model_asked"), 120),
        "attempts": record.get("attempts"),
        "tokens_out": usage.get("tokens_out") if isinstance(usage, Mapping) else None,
        "call_s": timings.get("call_s") if isinstance(timings, Mapping) else None,
        "utc": timings.get("ended_utc") if isinstance(timings, Mapping) else None,
    }
    return {name: value for name, value in row.items() if value not in (None, "", [])}


def bounded(rows: Iterable[dict[str, Json]], most_bytes: int = MOST_BYTES) -> Iterator[dict[str, Json]]:
    """As many of the rows as fit, in their order."""
    for row in rows:
        most_bytes -= len(dumps(row))
        if most_bytes < 0:
            return
        yield row


def _text(value: Json, most: int) -> str:
    """A value as text: controls as escapes, lone surrogates as question marks, cut where it is too long."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else dumps(value).decode()
    cut = text[:most].translate(_CONTROLS).encode("utf-8", "replace").decode()
    return cut if len(text) <= most else f"{cut}… ({len(text) - most:,} more characters)"
