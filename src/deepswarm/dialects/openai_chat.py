"""OpenAI itself, and everybody who speaks as OpenAI does and has no dialect of his own here.

The module is the dialect: its functions are those of `OPENAI_CHAT`.

Source: platform.openai.com/docs/guides/reasoning and /docs/api-reference/chat/create (November 2026):
`reasoning_effort` is none, minimal, low, medium, high or xhigh. Models before gpt-5.1 know no "none", and models up to
gpt-5.1 no "xhigh" (gpt-5.1-codex-max does).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from deepswarm.core.records import Json
from deepswarm.dialects.chat import ChatDialect

_FIRST_GPT_5: Final = re.compile(r"(?:.*/)?gpt-5(?![.\d])")
_UP_TO_GPT_5_1: Final = re.compile(r"(?:.*/)?(?:o\d|gpt-5(?![.\d])|gpt-5\.1(?!-codex-max))")


def _thinking(model: str, level: str) -> Mapping[str, Json]:
    """How much to think; "off" is the least that the model knows."""
    if level == "off":
        return {"reasoning_effort": "minimal" if _FIRST_GPT_5.match(model) else "none"}
    if level == "max":
        return {"reasoning_effort": "high" if _UP_TO_GPT_5_1.match(model) else "xhigh"}
    return {"reasoning_effort": level}


OPENAI_CHAT: Final = ChatDialect(_thinking)

encode = OPENAI_CHAT.encode
decode = OPENAI_CHAT.decode
assembler = OPENAI_CHAT.assembler
continues = OPENAI_CHAT.continues
address = OPENAI_CHAT.address
authorization = OPENAI_CHAT.authorization
balance_request = OPENAI_CHAT.balance_request
balance = OPENAI_CHAT.balance
