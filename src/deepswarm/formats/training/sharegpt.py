"""ShareGPT: {"conversations": [{"from": system | human | gpt | function_call | observation, "value"}]}.

Tool calls and their results have turns of their own, as LLaMA-Factory names them. A field for the thinking is not part
of the form: with it, the gpt turns have one more, `reasoning_content`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deepswarm.core.conversation import Said, conversation_of
from deepswarm.core.jsontext import dumps
from deepswarm.core.records import Json, Record
from deepswarm.formats.training import Style, inline

_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def rows(samples: Sequence[Record], style: Style) -> list[dict[str, Json]]:
    """See `Rows`."""
    return [
        {"conversations": [turn for said in conversation_of(record) for turn in _turns(said, style)]}
        for record in samples
    ]


def _turns(said: Said, style: Style) -> Iterator[dict[str, Json]]:
    text = inline(said) if style is Style.INLINE else said.content
    has_field = style is Style.FIELD and bool(said.reasoning)
    if text or has_field or not said.calls:
        turn: dict[str, Json] = {"from": _FROM[said.role], "value": text}
        if has_field:
            turn["reasoning_content"] = said.reasoning
        yield turn
    for call in said.calls:
        value = dumps({"name": call.name, "arguments": call.arguments}).decode()
        yield {"from": "function_call", "value": value}
