"""CPU per chunk of a streamed reply: the barest parser against the product's, on the same segments, in one process.

stream.py [--over memory] [--replies 300] [--chunks 400] [--rounds 15] [--split event|packed|torn]
stream.py --over http [--replies 256] [--chunks 400] [--rounds 9] [--in-flight 64] [--per-s 40]

The barest parser splits lines, reads JSON and takes the text of each delta: no check of any kind. Printed are the
medians of the rounds, their spread, and the median of the rounds' ratios.

Over memory the two parsers take turns with every reply. Over HTTP they take turns with every round of replies: the
product's HTTP client brings them from a server on loopback, so many at once, each at so many chunks a second (0: as
fast as the socket takes them), and what counts is the CPU of the whole client.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence

import orjson
import uvloop
from run import server

from deepswarm.core.records import Assembler, Deadlines, HttpRequest
from deepswarm.dialects.assembling import ChatAssembler
from deepswarm.transports.http import HttpTransport

WORDS = ("tide", "turns", "and", "a", "small", "boat", "waits", "for", "whoever", "comes", "late", "to", "harbour")


def segments(chunks: int, split: str, chance: random.Random) -> list[bytes]:
    """One reply as DeepSeek streams it, as the segments in which a connection brings it."""
    head = {"id": "b2c5", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": "deepseek-flash"}

    def event(delta: dict[str, object], finish: str | None = None, usage: object = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        value = {**head, "system_fingerprint": "fp_5417b77867", "choices": [choice], "usage": usage}
        return b"data: " + orjson.dumps(value) + b"\n\n"

    events = [event({"role": "assistant", "content": None, "reasoning_content": ""})]
    events += [event({"content": f" {chance.choice(WORDS)}"}) for _ in range(chunks)]
    events.append(event({"content": ""}, "stop", {"prompt_tokens": 12, "completion_tokens": chunks}))
    events.append(b"data: [DONE]\n\n")
    if split == "event":
        return events
    if split == "packed":
        return [b"".join(events[at : at + 8]) for at in range(0, len(events), 8)]
    whole = b"".join(events)
    cuts = sorted(chance.sample(range(1, len(whole)), len(events)))
    return [whole[at:to] for at, to in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


class Barest:
    """The least that can be called an assembler."""

    def __init__(self) -> None:
        self.rest, self.pieces, self.done = b"", list[str](), False

    def feed(self, data: bytes) -> bool:
        *lines, self.rest = (self.rest + data).split(b"\n")
        before = len(self.pieces)
        for line in lines:
            if line == b"data: [DONE]":
                self.done = True
            elif line.startswith(b"data: "):
                choices = orjson.loads(line[6:])["choices"]
                if choices and (piece := choices[0]["delta"].get("content")):
                    self.pieces.append(piece)
        return len(self.pieces) > before

    def body(self) -> bytes:
        return orjson.dumps({"choices": [{"message": {"content": "".join(self.pieces)}}]})


def parsed(make: Callable[[], Assembler], reply: Sequence[bytes]) -> str:
    assembler = make()
    for data in reply:
        assembler.feed(data)
    return text_of(assembler.body())


def text_of(body: bytes) -> str:
    return str(orjson.loads(body)["choices"][0]["message"]["content"])


def measured(replies: Sequence[Sequence[bytes]]) -> tuple[float, float]:
    """Seconds of CPU of the barest parser and of ours."""
    gc.collect()
    took = [0, 0]
    for reply in replies:
        for which, make in enumerate((Barest, ChatAssembler)):
            began = time.thread_time_ns()
            parsed(make, reply)
            took[which] += time.thread_time_ns() - began
    return took[0] / 1e9, took[1] / 1e9


def over_memory(asked: argparse.Namespace) -> list[tuple[float, float]]:
    chance = random.Random(1)
    replies = [segments(asked.chunks, asked.split, chance) for _ in range(asked.replies)]
    assert all(parsed(Barest, reply) == parsed(ChatAssembler, reply) for reply in replies[:10]), "they disagree"
    return [measured(replies) for _ in range(asked.rounds)]


def over_http(asked: argparse.Namespace) -> list[tuple[float, float]]:
    with server(asked.chunks, asked.per_s, program="stream_server.py") as port:
        return uvloop.run(rounds_over_http(asked, f"http://127.0.0.1:{port}/v1/chat/completions"))


async def rounds_over_http(asked: argparse.Namespace, url: str) -> list[tuple[float, float]]:
    transport = HttpTransport({}, [], None, None)
    length = len(" token") * asked.chunks + len("[[id:7]]")

    async def lane(make: Callable[[], Assembler], calls: int) -> None:
        for _ in range(calls):
            request = HttpRequest(url, {"content-type": "application/json"}, b'{"prompt":"[[id:7]]"}')
            reply = await transport.send(request, Deadlines(), make())
            assert len(text_of(reply.body)) == length

    async def turn(make: Callable[[], Assembler], calls: int) -> float:
        gc.collect()
        began = time.process_time()
        async with asyncio.TaskGroup() as lanes:
            for _ in range(asked.in_flight):
                lanes.create_task(lane(make, calls))
        return time.process_time() - began

    try:
        for make in (Barest, ChatAssembler):
            await turn(make, 1)
        calls = max(1, asked.replies // asked.in_flight)
        return [(await turn(Barest, calls), await turn(ChatAssembler, calls)) for _ in range(asked.rounds)]
    finally:
        await transport.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--over", choices=["memory", "http"], default="memory", help="what brings the segments")
    parser.add_argument("--replies", type=int, default=256, help="replies in a round")
    parser.add_argument("--chunks", type=int, default=400, help="chunks of text in a reply")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--split", choices=["event", "packed", "torn"], default="event", help="over memory")
    parser.add_argument("--in-flight", type=int, default=64, help="over http: replies at once")
    parser.add_argument("--per-s", type=float, default=0.0, help="over http: chunks a second of each; 0: at once")
    asked = parser.parse_args()
    rounds = over_memory(asked) if asked.over == "memory" else over_http(asked)
    how = (
        f"{asked.split} segments" if asked.over == "memory" else f"{asked.in_flight} at once, {asked.per_s:g} a second"
    )
    print(f"{asked.replies} replies of {asked.chunks} chunks over {asked.over}, {how}")
    for name, seconds in zip(("barest", "ours"), zip(*rounds, strict=True), strict=True):
        times = [each / (asked.replies * asked.chunks) * 1e6 for each in seconds]
        print(f"{name:>7}: {statistics.median(times):.2f} us of CPU per chunk ({min(times):.2f} to {max(times):.2f})")
    ratios = sorted(one / other for other, one in rounds)
    print(f"  ratio: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); the bar is 1.50")


if __name__ == "__main__":
    main()
