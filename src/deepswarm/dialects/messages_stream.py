"""Events of Anthropic's Messages API -> the body that the same message would have had unstreamed.

    message_start            the message without content, with the tokens of the input
    content_block_start      a block of text, thinking or a tool call, by its index
    content_block_delta      the next piece of a block
    message_delta            the stop reason, and tokens so far
    message_stop             the end
    ping, content_block_stop nothing new
    error                    instead of all that follows

Source: platform.claude.com/docs/en/build-with-claude/streaming (November 2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.dialects.fields import members, text
from deepswarm.dialects.loops import Text
from deepswarm.dialects.sse import StreamAssembler

_TEXTS: Final = frozenset({"text", "thinking", "partial_json", "signature"})
"""Members of a delta whose pieces are appended."""


class MessagesAssembler(StreamAssembler):
    """Puts one streamed message together."""

    def __init__(self) -> None:
        """Nothing came yet."""
        super().__init__()
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}
        self._broken = False

    def take(self, value: Any) -> bool:
        """See `StreamAssembler.take`."""
        if type(value) is not dict:
            return False
        kind = value.get("type")
        if kind == "content_block_delta":
            return self._block(value.get("index")).add(members(value.get("delta")))
        if kind == "content_block_start":
            return self._block(value.get("index")).start(members(value.get("content_block")))
        if kind == "message_start":
            self._beside(members(value.get("message")))
        elif kind == "message_delta":
            self._beside({**members(value.get("delta")), "usage": value.get("usage")})
        elif kind == "message_stop":
            self.done = True
        elif value.get("error"):
            self.fail(value["error"])
        return False

    def broke(self) -> None:
        """See `StreamAssembler.broke`: what was lost after the stop reason was no part of the answer."""
        self._broken = self._broken or not self._message.get("stop_reason")

    def whole(self) -> Mapping[str, Any]:
        """See `StreamAssembler.whole`."""
        blocks = [self._blocks[index].whole() for index in sorted(self._blocks)]
        message = {"stop_reason": None, **self._message, "type": "message", "content": blocks}
        if self._usage:
            message["usage"] = self._usage
        return {**message, "stop_reason": None} if self._broken else message

    def _block(self, index: Any) -> _Block:
        return self._blocks.setdefault(index if type(index) is int else 0, _Block())

    def _beside(self, message: Mapping[str, Any]) -> None:
        """What an event says about the whole message; null says nothing, and counts of tokens are those so far."""
        self._usage.update({name: inner for name, inner in members(message.get("usage")).items() if inner is not None})
        known = {name: inner for name, inner in message.items() if inner is not None and name not in {"usage", "error"}}
        self._message.update(known)


class _Block:
    """One block of a message that comes in pieces."""

    def __init__(self) -> None:
        self._start: dict[str, Any] = {}
        self._texts: dict[str, Text] = {}

    def start(self, block: Mapping[str, Any]) -> bool:
        """Take the block as it begins; a text that it has already is its first piece."""
        self._start = {name: inner for name, inner in block.items() if name not in _TEXTS}
        return self.add(block)

    def add(self, delta: Mapping[str, Any]) -> bool:
        """Take a delta; True when content came."""
        came = False
        for name, inner in delta.items():
            if name in _TEXTS and (piece := text(inner)):
                self._texts.setdefault(name, Text()).add(piece)
                came = came or name != "signature"
        return came

    def whole(self) -> dict[str, Any]:
        """The block as it would have come unstreamed."""
        texts = {name: pieces.whole() for name, pieces in self._texts.items()}
        block = {"type": "thinking" if "thinking" in texts else "text", **self._start}
        if "partial_json" in texts:
            block["input"] = _input(texts.pop("partial_json"))
        return {**block, **texts}


def _input(written: str) -> Any:
    """A tool's input; as text where the model did not write JSON, or was cut off."""
    try:
        return jsontext.loads(written)
    except ValueError:
        return written
