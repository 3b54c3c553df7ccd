"""A chat-completions server on loopback that costs as little as Python allows; what it says is of no interest.

    server.py PORT [MEDIAN_S [SIGMA]]

Every answer repeats the prompt's [[id:…]]. GET /stats gives counts and the time of the first request; GET /reset zeroes
them. Latency is lognormal, drawn from the id: every program under test meets the same one for the same seed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import sys
import time
from statistics import NormalDist

import uvloop

ID = re.compile(rb"\[\[id:(\d+)\]\]")
WORDS = ["a", "model", "answers", "longer", "text", "about", "the", "question", "with", "data", "steps", "café"]
ANSWER = " ".join(WORDS[n * 7 % len(WORDS)] for n in range(400)).encode()
NORMAL = NormalDist()


class Counts:
    """What was served."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.served: dict[bytes, int] = {}
        self.in_flight = self.most = 0


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after another."""

    def __init__(self, counts: Counts, median_s: float, sigma: float) -> None:
        self.counts, self.median_s, self.sigma = counts, median_s, sigma
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            found = re.search(rb"content-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.request(head, body)

    def request(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get"):
            self.control(head)
            return
        counts = self.counts
        counts.first = counts.first or time.time()
        counts.in_flight += 1
        counts.most = max(counts.most, counts.in_flight)
        found = ID.search(body)
        mark = found[1] if found else b"0"
        if self.median_s:
            asyncio.get_running_loop().call_later(self.latency(mark), self.answer, mark)
        else:
            self.answer(mark)

    def latency(self, mark: bytes) -> float:
        share = (int.from_bytes(hashlib.blake2b(mark, digest_size=4).digest(), "big") + 0.5) / 2**32
        return self.median_s * math.exp(self.sigma * NORMAL.inv_cdf(share))

    def answer(self, mark: bytes) -> None:
        counts = self.counts
        counts.in_flight -= 1
        if self.transport.is_closing():
            return
        counts.served[mark] = counts.served.get(mark, 0) + 1
        counts.last = time.time()
        self.send(
            b'{"id":"b","object":"chat.completion","created":0,"model":"mock","choices":[{"index":0,"message":{"role":'
            b'"assistant","content":"[[id:' + mark + b"]] " + ANSWER + b'"},"finish_reason":"stop"}],"usage":'
            b'{"prompt_tokens":120,"completion_tokens":400,"total_tokens":520}}'
        )

    def control(self, head: bytes) -> None:
        counts = self.counts
        if b"/reset" in head:
            counts.__init__()
        served = counts.served
        stats = {"first": counts.first, "last": counts.last, "most_in_flight": counts.most}
        stats |= {"distinct": len(served), "served": sum(served.values())}
        self.send(json.dumps(stats).encode())

    def send(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        self.transport.write(head + str(len(body)).encode() + b"\r\n\r\n" + body)


async def main(port: int, median_s: float, sigma: float) -> None:
    counts = Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counts, median_s, sigma), "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    numbers = [float(word) for word in sys.argv[2:]] + [0.0, 0.5][len(sys.argv) - 2 :]
    uvloop.run(main(int(sys.argv[1]), numbers[0], numbers[1]))
