"""Chunks of a streamed chat completion -> the whole body that the same answer would have had unstreamed.

Pieces are appended, and nothing is ever dropped because it looks like what came before: models do repeat themselves.
Only what is a repetition by its form counts once: a second finishing chunk that equals the first, and a `message` with
the whole text in a chunk, which is compared with the pieces instead of appended to them.

Source: platform.openai.com/docs/api-reference/chat/streaming (November 2026); shapes of the failure catalogue's rows
sse-dup and sse-order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deepswarm.dialects.fields import members
from deepswarm.dialects.loops import Text
from deepswarm.dialects.sse import StreamAssembler

_NOT_KEPT: Final = frozenset({"choices", "object", "error"})
_READ: Final = frozenset({"index", "delta", "message", "finish_reason", "logprobs"})
_TEXTS: Final = frozenset({"content", "reasoning_content", "reasoning", "refusal"})
"""Members of a delta whose pieces are appended."""


class ChatAssembler(StreamAssembler):
    """Puts one streamed chat completion together."""

    def __init__(self) -> None:
        """Nothing came yet."""
        super().__init__()
        self._members: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._broken = False

    def take(self, value: Any) -> bool:
        """See `StreamAssembler.take`."""
        if type(value) is not dict:
            return False
        came = False
        choices = value.get("choices")
        for choice in choices if type(choices) is list else ():
            if type(choice) is dict:
                index = choice.get("index")
                state = self._choices.get(index) if type(index) is int else None
                came = (state or self._choice(index)).take(choice) or came
        if not came or value.get("usage") or "error" in value or not self._members:
            self._beside(value)
        return came

    def broke(self) -> None:
        """See `StreamAssembler.broke`: what was lost after the end of an answer was no part of it."""
        self._broken = self._broken or not any(choice.finish for choice in self._choices.values())

    def whole(self) -> Mapping[str, Any]:
        """See `StreamAssembler.whole`."""
        choices = [self._choices[index].whole(index, finished=not self._broken) for index in sorted(self._choices)]
        return {**self._members, "object": "chat.completion", "choices": choices}

    def _choice(self, index: Any) -> _Choice:
        return self._choices.setdefault(index if type(index) is int else 0, _Choice())

    def _beside(self, value: Mapping[str, Any]) -> None:
        """What a chunk says about the whole answer, beside its choices; null says nothing."""
        for name, inner in value.items():
            if inner is not None and name not in _NOT_KEPT:
                self._members[name] = inner
        if error := value.get("error"):
            self.fail(error)


class _Choice:
    """One answer that comes in pieces."""

    def __init__(self) -> None:
        self.finish = ""
        self._texts: dict[str, Text] = {}
        self._message: dict[str, Any] = {"role": "assistant", "content": ""}
        self._calls: list[dict[str, Any]] = []
        self._beside: dict[str, Any] = {}
        self._ending: Any = None

    def take(self, choice: Mapping[str, Any]) -> bool:
        """Take a chunk's choice; True when content came."""
        delta, came = choice.get("delta"), False
        if type(delta) is dict and not (self.finish and delta == self._ending):
            texts = self._texts
            for name, piece in delta.items():
                if piece:
                    if name in texts and type(piece) is str:
                        texts[name].add(piece)
                        came = True
                    else:
                        came = self._other(name, piece) or came
        if choice.get("finish_reason") or choice.get("logprobs") or "message" in choice or "error" in choice:
            came = self._rare(choice) or came
        return came

    def whole(self, index: int, *, finished: bool) -> dict[str, Any]:
        """The choice as it would have come unstreamed; without its finish reason when it is not `finished`."""
        message = {**self._message, **{name: pieces.whole() for name, pieces in self._texts.items()}}
        if self._calls:
            message["tool_calls"] = self._calls
        finish = self.finish if finished and self.finish else None
        return {**self._beside, "index": index, "message": message, "finish_reason": finish}

    def _other(self, name: str, piece: Any) -> bool:
        """Take a member of a delta that is not the next piece of a text; True when it is content."""
        if name in _TEXTS and isinstance(piece, str):
            self._texts[name] = Text()
            self._texts[name].add(piece)
            return True
        if name == "tool_calls" and isinstance(piece, list):
            for part in piece:
                if isinstance(part, dict):
                    _merge(self._call(part), part)
            return True
        if isinstance(piece, dict | list):
            _merge(self._message, {name: piece})
            return True
        self._message[name] = piece
        return False

    def _call(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """The tool call that a piece belongs to: by its index, or else by its id; without either to the last one."""
        for name in ("index", "id"):
            if (mark := part.get(name)) is not None:
                known = next((call for call in self._calls if call.get(name) == mark), None)
                if known is None:
                    self._calls.append(known := {})
                return known
        if not self._calls:
            self._calls.append({})
        return self._calls[-1]

    def _rare(self, choice: Mapping[str, Any]) -> bool:
        """Take what only few chunks have: an end, log probabilities, a whole message; True when content came."""
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish and not self.finish:
            self.finish, self._ending = finish, choice.get("delta")
        if isinstance(logprobs := choice.get("logprobs"), dict):
            _merge(self._beside, {"logprobs": logprobs})
        self._beside.update({name: inner for name, inner in choice.items() if name not in _READ and inner is not None})
        return self._compare(members(choice.get("message")))

    def _compare(self, message: Mapping[str, Any]) -> bool:
        """Take a message that is said to be whole: where the pieces are the beginning of it, it counts instead."""
        came = False
        for name, inner in message.items():
            known = self._texts.get(name)
            if name in _TEXTS and isinstance(inner, str):
                so_far = known.whole() if known else ""
                if len(inner) > len(so_far) and inner.startswith(so_far):
                    self._texts[name] = Text()
                    self._texts[name].add(inner)
                    came = True
            elif name == "tool_calls" and not self._calls and isinstance(inner, list):
                self._calls = [call for call in inner if isinstance(call, dict)]
            elif inner and name not in self._message:
                self._message[name] = inner
        return came


def _merge(into: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Add a piece of an object to it: arguments are appended, lists extended, objects merged, all else replaced."""
    for name, inner in part.items():
        known = into.get(name)
        if isinstance(known, dict) and isinstance(inner, dict):
            _merge(known, inner)
        elif isinstance(inner, dict):
            into[name] = {}
            _merge(into[name], inner)
        elif isinstance(known, list) and isinstance(inner, list):
            known.extend(inner)
        elif isinstance(inner, list):
            into[name] = list(inner)
        elif name == "arguments" and isinstance(known, str) and isinstance(inner, str):
            into[name] = known + inner
        elif inner is not None and not (inner == "" and known):
            into[name] = inner
