"""What the simulated model wrote, before it becomes the bytes of one API or the other."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class UsageForm(StrEnum):
    """How a reply reports its tokens.

    `USUAL` has the names of DeepSeek's and of OpenAI's fields for cached tokens, as DeepSeek sends them; `DEEPSEEK`,
    `OPENAI` and `MESSAGES` (Anthropic's) have one of them. `ABSENT`, `NULL` and `ZERO` tell nothing.
    """

    USUAL = "usual"
    DEEPSEEK = "deepseek"
    OPENAI = "openai"
    MESSAGES = "messages"
    ABSENT = "absent"
    NULL = "null"
    ZERO = "zero"


class ToolUse(NamedTuple):
    """A call of a tool: its id, its name, and its arguments as JSON text."""

    id: str
    name: str
    arguments: str


class Answer(NamedTuple):
    """One answer. A text's tokens were drawn, JSON counts four characters for one.

    Attributes:
        model: The model that says it wrote it.
        text: The content; None is null.
        tokens: Tokens of all that was written, and billed: `reasoning_tokens` and those of the text.
        reasoning: The thinking before it; empty when there was none.
        reasoning_tokens: Tokens of the thinking.
        finish: The finish reason; None is null.
        refusal: What the field for refusals says; empty leaves it out.
        absent: Fields of the reply that are left out: of content and finish_reason.
        usage: How the tokens are reported.
        calls: Tools that it calls.
        usage_late: Whether a streamed answer reports its usage at the end although nobody asked for it.
    """

    model: str
    text: str | None
    tokens: int
    reasoning: str = ""
    reasoning_tokens: int = 0
    finish: str | None = "stop"
    refusal: str = ""
    absent: frozenset[str] = frozenset()
    usage: UsageForm = UsageForm.USUAL
    usage_late: bool = False
    calls: tuple[ToolUse, ...] = ()
