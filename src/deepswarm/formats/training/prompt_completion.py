"""Prompt and completion, each as messages: {"prompt": [...], "completion": [...]}, the conversational form of TRL.

The completion is the last answer; all that came before it is the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepswarm.core.conversation import conversation_of
from deepswarm.core.records import Json, Record
from deepswarm.formats.training import Style
from deepswarm.formats.training.messages import message


def rows(samples: Sequence[Record], style: Style) -> list[dict[str, Json]]:
    """See `Rows`."""
    found: list[dict[str, Json]] = []
    for record in samples:
        *prompt, answer = conversation_of(record)
        found.append({"prompt": [message(said, style) for said in prompt], "completion": [message(answer, style)]})
    return found
