"""vLLM, and SGLang, which speaks like it: thinking is a matter of the model's chat template.

The thinking of a reply is in `reasoning` (`reasoning_content` up to vLLM 0.10), which all chat dialects read.

Source: docs.vllm.ai/en/latest/features/reasoning_outputs (November 2026): `enable_thinking` for Qwen and most others,
`thinking` for DeepSeek and Granite templates; templates ignore what they do not know. gpt-oss has `reasoning_effort`.
"eos" as a finish reason: github.com/sgl-project/sglang/issues/3743.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepswarm.core.records import Json
from deepswarm.dialects.answers import Ending
from deepswarm.dialects.chat import ENDINGS, ChatDialect


def _thinking(_model: str, level: str) -> Mapping[str, Json]:
    on = level != "off"
    template: dict[str, Json] = {"chat_template_kwargs": {"enable_thinking": on, "thinking": on}}
    return {**template, "reasoning_effort": "low" if level == "low" else "high"} if on else template


VLLM: Final = ChatDialect(_thinking, endings={**ENDINGS, "eos": Ending.WHOLE})
