"""The dictionary's own index: what the tool of this example really looks up."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

ENTRIES = Path(__file__).parent.parent / "satire" / "entries.jsonl"


@cache
def _index() -> dict[str, str]:
    rows = (json.loads(line) for line in ENTRIES.read_text(encoding="utf-8").splitlines())
    return {row["word"].lower(): row["definition"] for row in rows}


def look_up(word: str) -> dict[str, str | list[str]]:
    """The definition of a word, or words that begin like it."""
    index = _index()
    found = index.get(word.lower())
    if found is not None:
        return {"word": word, "definition": found}
    near = [other for other in index if other[:2] == word.lower()[:2]]
    return {"word": word, "unknown": "there is no such entry", "near": near[:5]}
