"""The floor: read the seeds, post each one, append the answer. No retries, no journal, nothing durable.

floor.py SEEDS OUTPUT PORT IN_FLIGHT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson
import uvloop

HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer none\r\nContent-Length: "
)


class Connection(asyncio.Protocol):
    """The barest client: one request, one reply with a Content-Length."""

    transport: Any
    waiting: asyncio.Future[bytes]

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, mark, body = self.buffer.partition(b"\r\n\r\n")
        if mark and len(body) >= int(head.rsplit(b"Content-Length: ", 1)[1].split(b"\r\n")[0]):
            self.buffer = b""
            self.waiting.set_result(body)


async def main(seeds: Path, output: Path, port: int, in_flight: int) -> None:
    loop = asyncio.get_running_loop()
    with seeds.open("rb") as source, output.open("ab", buffering=0) as results:

        async def work() -> None:
            _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
            for line in source:
                seed = orjson.loads(line)
                system = {"role": "system", "content": "You translate."}
                messages = [system, {"role": "user", "content": seed["prompt"]}]
                body = orjson.dumps({"model": "mock", "messages": messages, "max_tokens": 1024})
                connection.waiting = loop.create_future()
                connection.transport.write(HEAD + str(len(body)).encode() + b"\r\n\r\n" + body)
                reply = orjson.loads(await connection.waiting)
                text = reply["choices"][0]["message"]["content"]
                results.write(orjson.dumps({"id": seed["id"], "text": text, "usage": reply["usage"]}) + b"\n")

        await asyncio.gather(*(work() for _ in range(in_flight)))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
