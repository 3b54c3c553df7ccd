"""The room of training formats: one file per form in which trainers read conversations, each pure.

    rows(samples, style) -> list[row]

`samples` are the records of one seed, mostly one, each with its `messages` (`core/conversation.py`); `style` says where
the thinking goes. A record that a form cannot hold without losing something is Unfit: the export counts it and says so.
To add a form, write one file with a function `rows` and list it in TABLE.

Field names: documentation of TRL ("Dataset formats and types"), axolotl ("Conversation"), LLaMA-Factory
(data/README.md) and Hermes Agent ("Trajectory format"), read on 2026-11-20.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from deepswarm.core.conversation import Said, Unfit
from deepswarm.core.records import Json, Record
from deepswarm.doors import find

TABLE: Final = {
    "messages": "deepswarm.formats.training.messages:rows",
    "sharegpt": "deepswarm.formats.training.sharegpt:rows",
    "hermes": "deepswarm.formats.training.hermes:rows",
    "alpaca": "deepswarm.formats.training.alpaca:rows",
    "prompt-completion": "deepswarm.formats.training.prompt_completion:rows",
    "preference": "deepswarm.formats.training.preference:rows",
}


class Style(StrEnum):
    """Where the thinking goes: a field beside the answer, tags before it in the same text, or nowhere."""

    FIELD = "field"
    INLINE = "inline"
    NONE = "none"


class Rows(Protocol):
    """How the records of one seed become rows of a training set."""

    def __call__(self, samples: Sequence[Record], style: Style) -> list[dict[str, Json]]:
        """The rows, possibly none.

        Raises:
            Unfit: If the form cannot hold them.
        """


if TYPE_CHECKING:  # the type checker proves that who is listed fits the door
    from deepswarm.formats.training import alpaca, hermes, messages, preference, prompt_completion, sharegpt

    RESIDENTS: tuple[Rows, ...] = (
        messages.rows,
        sharegpt.rows,
        hermes.rows,
        alpaca.rows,
        prompt_completion.rows,
        preference.rows,
    )


def rows_of(name: str) -> Rows:
    """The function that makes rows of a form.

    Raises:
        DoorError: If there is no form of that name.
    """
    found: Rows = find("training format", name, TABLE)
    return found


def inline(said: Said) -> str:
    """An answer with its thinking in tags before it; without any, the answer alone.

    Raises:
        Unfit: If the thinking holds the tag that ends it: a reader would cut it there.
    """
    if not said.reasoning:
        return said.content
    if "</think>" in said.reasoning:
        raise Unfit("its thinking holds </think>, so it cannot stand in one text with the answer")
    return f"<think>\n{said.reasoning.strip()}\n</think>\n\n{said.content}"
