"""CPU per chunk of a streamed reply: the barest parser against the product's, on the same segments, in one process.

stream.py [--over memory] [--replies 300] [--chunks 400] [--rounds 15] [--split event|packed|torn]

The barest parser splits lines, reads JSON and takes the text of each delta: no check of any kind. The two take turns
with every reply; printed are the medians of the rounds, their spread, and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections.abc import Sequence

import orjson

from deepswarm.dialects.assembling import ChatAssembler

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


def barest(reply: Sequence[bytes]) -> str:
    rest, pieces = b"", []
    for data in reply:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                value = orjson.loads(line[6:])
                if piece := value["choices"][0]["delta"].get("content"):
                    pieces.append(piece)
    return "".join(pieces)


def ours(reply: Sequence[bytes]) -> str:
    assembler = ChatAssembler()
    for data in reply:
        assembler.feed(data)
    return str(orjson.loads(assembler.body())["choices"][0]["message"]["content"])


def measured(replies: Sequence[Sequence[bytes]]) -> tuple[float, float]:
    """Seconds of CPU of the barest parser and of ours."""
    gc.collect()
    took = [0, 0]
    for reply in replies:
        for which, parse in enumerate((barest, ours)):
            began = time.thread_time_ns()
            parse(reply)
            took[which] += time.thread_time_ns() - began
    return took[0] / 1e9, took[1] / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--over", choices=["memory"], default="memory", help="what brings the segments")
    parser.add_argument("--replies", type=int, default=300, help="replies in a round")
    parser.add_argument("--chunks", type=int, default=400, help="chunks of text in a reply")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--split", choices=["event", "packed", "torn"], default="event")
    asked = parser.parse_args()
    chance = random.Random(1)
    replies = [segments(asked.chunks, asked.split, chance) for _ in range(asked.replies)]
    assert all(barest(reply) == ours(reply) for reply in replies[:10]), "the two parsers disagree"
    rounds = [measured(replies) for _ in range(asked.rounds)]
    print(f"{asked.replies} replies of {asked.chunks} chunks over {asked.over}, {asked.split} segments")
    for name, seconds in zip(("barest", "ours"), zip(*rounds, strict=True), strict=True):
        times = [each / (asked.replies * asked.chunks) * 1e6 for each in seconds]
        print(f"{name:>7}: {statistics.median(times):.2f} us of CPU per chunk ({min(times):.2f} to {max(times):.2f})")
    ratios = sorted(one / other for other, one in rounds)
    print(f"  ratio: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); the bar is 1.50")


if __name__ == "__main__":
    main()
