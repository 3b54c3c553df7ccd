"""Mutated replies, streams and errors into every decoder: only call errors may come out, and in good time.

fuzz_decoders.py [--inputs 1000000] [--seed 1] [--most-s 1.0]

Each input is a real-looking body, stream or error that was changed by bytes (flips, cuts, repetitions, splices) or by
structure (values swapped, dropped, replaced by odd ones), with a status and headers to match, given to every dialect:
whole, and in pieces to its assembler. The same seed gives the same inputs; a failure prints its input, to be kept as a
test.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from typing import Any, Final

from deepswarm.core.errors import CallError, Looping
from deepswarm.core.records import HttpReply
from deepswarm.dialects import TABLE, Dialect
from deepswarm.doors import find

WHOLE: Final = {
    "id": "c-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The tide turns. \u00fc \ud83d",
                "reasoning_content": "hm",
                "refusal": None,
                "tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "prompt_cache_hit_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
}
MESSAGE: Final = {
    "id": "m-1",
    "type": "message",
    "model": "m",
    "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 1},
}
ERRORS: Final = (
    {"error": {"message": "Please try again in 6m0s. concurrency limit of 39", "type": "t", "code": "429"}},
    {"error": {"message": "no", "code": 402, "metadata": {"limit_source": "openrouter_in_flight_budget"}}},
    {"error": {"message": "x", "code": 403, "metadata": {"reasons": ["a"], "resets_at": "2026-11-23T12:00:00Z"}}},
    [
        {
            "error": {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "details": [{"violations": [{"quotaId": "PerDay"}]}, {"retryDelay": "23s"}],
            }
        }
    ],
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"},
    {"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]},
    {"object": "error", "message": "maximum context length", "type": "BadRequestError", "code": 400},
    {"errors": [{"code": 1015, "message": "rate limited"}]},
    {"choices": None, "error": {"code": 429, "metadata": {"headers": {"X-RateLimit-Reset": "1795435230000"}}}},
)
CHUNKS: Final = (
    {"id": "c-1", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"index": 0, "delta": {"content": None, "reasoning_content": "hm"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "Hel\u00fc"}, "logprobs": {"content": [1]}}], "usage": None},
    {"choices": [{"index": 1, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}}]},
    {"choices": [{"index": 0, "message": {"content": "Hello"}, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
)
EVENTS: Final = (
    {"type": "message_start", "message": {"id": "m-1", "model": "m", "usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a'}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "x"}},
    {"type": "message_stop"},
)
ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 429, 1 << 70, 0.5, 1e308, "", " ", "stop", "length", "error", "\ud800", "[DONE]"),
    *([], {}, [[]], [None], {"": None}, {"error": {}}, "x" * 3000, " " * 2500, "9" * 5000, ["a", {"b": []}]),
)
JUNK: Final = (
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"data:",
        b"data: ",
        b"event: error\n",
        b": x\n\n",
        b"data: [DONE]\n\n",
        b"id: 1\n",
    ),
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"{", b"}", b"[", b'"', b"\\ud800", b"[" * 2000, b"<html>"),
    *(b"NaN", b"1e999", b'{"error": {"code": 503}}', b" " * 3000, b'data: {"choices": []}\n\n'),
)
HEADERS: Final = (
    *("retry-after", "retry-after-ms", "date", "x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    *("x-ratelimit-reset", "anthropic-ratelimit-requests-reset", "x-request-id", "content-type"),
)
HEADER_VALUES: Final = (
    *("5", "0.5", "0", "-3", "nan", "inf", "1e999", "9999999", "6m0s", "12ms", "1h2m", "", "soon", "5, 5", "\u0665"),
    *("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 99 Oct 99999999 07:28:00", "2026-11-23T12:00:30Z", "1795435230000"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "text/html", "1" * 400),
)
STATUSES: Final = (200, 200, 200, 200, 204, 302, 400, 401, 402, 403, 404, 413, 429, 429, 498, 500, 503, 524, 529, 999)


class Fuzzer:
    """Makes inputs and tries them; all chance comes from one seed."""

    def __init__(self, seed: int) -> None:
        """Start at the seed's first input."""
        self.chance = random.Random(seed)
        self.dialects: dict[str, Dialect] = {name: find("dialect", name, TABLE) for name in TABLE}

    def input(self) -> HttpReply:
        """The next input."""
        chance = self.chance
        body = self._body()
        for _ in range(chance.choice((0, 1, 1, 2, 5))):
            body = self._bent(body)
        headers = {chance.choice(HEADERS): chance.choice(HEADER_VALUES) for _ in range(chance.randrange(4))}
        return HttpReply(chance.choice(STATUSES), headers, body)

    def attempt(self, reply: HttpReply) -> None:
        """Give an input to every decoder.

        Raises:
            Exception: Whatever is not a call error: a fault.
        """
        for dialect in self.dialects.values():
            self._decoded(dialect, reply)
            assembler, body = dialect.assembler(), reply.body
            try:
                while body:
                    size = self.chance.choice((1, 7, 100, 5000, len(body)))
                    assembler.feed(body[:size])
                    body = body[size:]
            except Looping:
                pass
            self._decoded(dialect, reply._replace(status=200, body=assembler.body()))
            dialect.balance(reply)

    @staticmethod
    def _decoded(dialect: Dialect, reply: HttpReply) -> None:
        try:
            dialect.decode(reply)
        except CallError as error:
            if type(error) is CallError or not str(error).strip():
                raise AssertionError(f"an error without a class or a word: {error!r}") from error

    def _body(self) -> bytes:
        chance = self.chance
        kind = chance.randrange(5)
        if kind < 3:
            value = chance.choice((WHOLE, WHOLE, MESSAGE, chance.choice(ERRORS)))
            return self._written(self._odd(value) if chance.random() < 0.6 else value)
        values = chance.choice((CHUNKS, EVENTS))
        parts = [values[chance.randrange(len(values))] for _ in range(chance.randrange(1, 8))]
        ends = chance.choice((b"\n\n", b"\n\n", b"\n\n", b"\r\n\r\n", b"\r\r", b"\n"))
        lines = [b"data: " + self._written(self._odd(part) if chance.random() < 0.3 else part) + ends for part in parts]
        return b"".join([*lines, chance.choice((b"", b"data: [DONE]\n\n"))])

    def _odd(self, value: Any) -> Any:
        """The value with something in it dropped or replaced."""
        chance = self.chance
        if not isinstance(value, dict | list) or not value or chance.random() < 0.15:
            return chance.choice(ODD)
        if isinstance(value, list):
            at = chance.randrange(len(value))
            return [*value[:at], self._odd(value[at]), *value[at + 1 :]]
        name = chance.choice(list(value))
        if chance.random() < 0.1:
            return {key: inner for key, inner in value.items() if key != name}
        return {**value, name: self._odd(value[name])}

    @staticmethod
    def _written(value: Any) -> bytes:
        return json.dumps(value).encode()

    def _bent(self, body: bytes) -> bytes:
        """The bytes with a change in one place."""
        chance = self.chance
        at, to = sorted((chance.randint(0, len(body)), chance.randint(0, len(body))))
        kind = chance.randrange(6)
        if kind == 0:
            return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        if kind == 1:
            return body[:at] + chance.choice(JUNK) + body[at:]
        if kind == 2:
            return body[:at]
        if kind == 3:
            return body[:at] + body[to:]
        if kind == 4:
            return body[:to] + body[at:to][:200] * chance.choice((1, 2, 50)) + body[to:]
        return chance.choice(JUNK) * chance.choice((1, 3, 20)) + body


def main() -> int:
    """Try as many inputs as asked for; 1 when one of them shows a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-s", type=float, default=1.0, help="most seconds of CPU that one input may take")
    asked = parser.parse_args()
    fuzzer, slowest, began = Fuzzer(asked.seed), 0.0, time.process_time()
    for number in range(asked.inputs):
        reply = fuzzer.input()
        started = time.thread_time()
        try:
            fuzzer.attempt(reply)
        except Exception as error:
            sys.stdout.write(f"input {number}: {type(error).__name__}: {error}\n{reply!r}\n")
            raise
        slowest = max(slowest, took := time.thread_time() - started)
        if took > asked.most_s:
            sys.stdout.write(f"input {number} took {took:.2f} s\n{reply!r}\n")
            return 1
    total = time.process_time() - began
    sys.stdout.write(
        f"{asked.inputs:,} inputs into {len(fuzzer.dialects)} dialects, whole and streamed: nothing but call errors;"
        f" {total:.0f} s of CPU, the slowest {slowest * 1000:.1f} ms\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
