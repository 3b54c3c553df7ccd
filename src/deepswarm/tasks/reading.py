"""The JSON in a reply: what is asked for as JSON often comes in a fence or after a sentence.

Only the fence and the sentence are taken away, nothing is guessed: what is still no JSON is rejected, and asked again
with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.records import Json
from deepswarm.core.turns import Reject

_FENCE: Final = re.compile(r"```(?:json)?\s*\n(.*?)\n\s*```", re.DOTALL | re.IGNORECASE)
_THINKING: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_MOST_DEPTH: Final = 100


def json_in(text: str) -> Json | Reject:
    """The one JSON object or list in a text, or why there is none."""
    found = _found(text)
    return found if isinstance(found, Reject) else found[0]


def json_text(text: str) -> str | Reject:
    """The text of the one JSON object or list in a text, as it stands there, or why there is none."""
    found = _found(text)
    return found if isinstance(found, Reject) else found[1]


def _found(text: str) -> tuple[Json, str] | Reject:
    """The value and its text."""
    text = _THINKING.sub("", text).strip()
    fences = _FENCE.findall(text)
    candidates = [text, *(fences if len(fences) == 1 else []), _between_braces(text)]
    reason = "it is empty"
    for candidate in candidates:
        if not candidate:
            continue
        try:
            value = jsontext.loads(candidate, _MOST_DEPTH)
        except ValueError as error:
            reason = str(error)
            continue
        if isinstance(value, dict | list):
            return value, candidate
        reason = "it is a single value, not an object"
    return Reject("not_json", f"the answer must be one JSON object and nothing else ({reason})")


def compact(text: str) -> str:
    """The JSON of an accepted reply as compact text; the text itself where it is JSON as it stands."""
    value = json_in(text)
    if isinstance(value, Reject):
        return text
    try:
        jsontext.loads(text)
    except ValueError:
        return jsontext.dumps(value).decode()
    return text


def _between_braces(text: str) -> str:
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    end = max(text.rfind("}"), text.rfind("]"))
    return text[min(starts) : end + 1] if starts and end > min(starts) else ""


class Shape:
    """A JSON Schema that answers must fit."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        """Compile it.

        Raises:
            ValueError: If it is no JSON Schema.
        """
        import jsonschema_rs

        try:
            self._validator: Any = jsonschema_rs.validator_for(dict(schema), offline=True)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(f"it is no JSON Schema: {' '.join(str(error).split())[:200]}") from error

    def wrong(self, value: Json) -> Reject | None:
        """Why a value does not fit, by its first three flaws; None when it does."""
        found: list[str] = []
        for error in self._validator.iter_errors(value):
            place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
            found.append(f"${place}: {' '.join(str(error.message).split())[:200]}")
            if len(found) == 3:
                break
        return Reject("wrong_shape", f"the JSON has the wrong shape: {'; '.join(found)}") if found else None
