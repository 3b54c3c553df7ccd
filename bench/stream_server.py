"""A chat-completions server on loopback that streams, made to be cheap; what it says is of no interest.

    stream_server.py PORT CHUNKS PER_S

Each answer is CHUNKS content chunks, PER_S a second (0: all at once in one write, as a fast server on a full socket
would), then a finish chunk, usage and [DONE]. All connections are served by one timer, 40 times a second, so that the
server's own cost per chunk is one write. GET /stats gives counts.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import cast

import uvloop

ID = re.compile(rb"\[\[id:(\d+)\]\]")
TICK_S = 0.025


def chunk(event: object) -> bytes:
    """One event as a chunk of a chunked body."""
    data = b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def delta(**delta: str) -> dict[str, object]:
    return {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": "mock",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST = chunk(delta(role="assistant", content=""))
WORD = chunk(delta(content=" token"))
LAST = delta()
LAST["choices"] = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
USAGE = {**delta(), "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 400, "total_tokens": 410}}
END = chunk(LAST) + chunk(USAGE) + chunk(b"[DONE]") + b"0\r\n\r\n"


class Streams:
    """What is being served."""

    def __init__(self, chunks: int, per_s: float) -> None:
        self.chunks, self.per_s = chunks, per_s
        self.open: dict[Connection, tuple[float, int]] = {}
        self.first = 0.0
        self.served = self.most = self.sent = 0

    async def serve(self) -> None:
        """Send what is due, for ever."""
        while True:
            begun = time.monotonic()
            for connection, (since, sent) in list(self.open.items()):
                due = min(self.chunks, int((begun - since) * self.per_s))
                if due > sent:
                    connection.transport.write(WORD * (due - sent))
                    self.sent += due - sent
                    self.open[connection] = since, due
                if due == self.chunks:
                    self.end(connection)
            await asyncio.sleep(max(0.0, TICK_S - (time.monotonic() - begun)))

    def begin(self, connection: Connection, mark: bytes) -> None:
        self.first = self.first or time.time()
        connection.transport.write(HEAD + FIRST + chunk(delta(content=f"[[id:{mark.decode()}]]")))
        self.open[connection] = time.monotonic(), 0
        self.most = max(self.most, len(self.open))
        if not self.per_s:
            connection.transport.write(WORD * self.chunks)
            self.sent += self.chunks
            self.end(connection)

    def end(self, connection: Connection) -> None:
        del self.open[connection]
        self.served += 1
        connection.transport.write(END)


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after another."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.streams.open.pop(self, None)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            found = re.search(rb"content-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            if head.startswith(b"get"):
                self.stats()
            else:
                mark = ID.search(body)
                self.streams.begin(self, mark[1] if mark else b"0")

    def stats(self) -> None:
        streams = self.streams
        counts = {"served": streams.served, "first": streams.first, "most": streams.most, "sent": streams.sent}
        body = json.dumps(counts).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def main(port: int, chunks: int, per_s: float) -> None:
    streams = Streams(chunks, per_s)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(streams), "127.0.0.1", port, backlog=8192
    )
    print("ready", flush=True)
    async with server:
        await streams.serve()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
