"""HTTP/1.1 through pyreqwest (Rust's reqwest): the only file that knows the HTTP client.

Measured against aiohttp on this house's own benchmark (`bench/`): half the CPU per call, and a tenth of the import.
Its own retries and redirects are off: retrying has one owner, `core/retry.py`. There is no ceiling on connections: the
pace decides how many calls are in flight, and each has its connection.

Proxies come from the usual environment variables, which the library reads, or from `--proxy`; a private certificate
authority is a PEM file (`--ca-file`, or `SSL_CERT_FILE`, which the command line reads).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError
from pyreqwest.http import Url
from pyreqwest.proxy import ProxyBuilder
from pyreqwest.response import Response, ResponseBodyReader

from deepswarm.core.errors import CallError, Disconnected, Problem, TaskFileError, TimedOut, TooLarge, Unreachable
from deepswarm.core.records import Assembler, Deadlines, HttpReply, HttpRequest
from deepswarm.transports import REPLY_BYTES

CONNECT_S = 15.0
"""Most seconds to open a connection."""
IDLE_S = 4.0
"""Seconds that an idle connection is kept: less than the 5 s after which uvicorn-like servers close theirs."""

_CHUNK = 1 << 20
_CONNECTING = "client error (Connect)"
"""The library's class for a request that never left is also that for one that was sent and not answered; only the list
of causes tells them apart. Source: hyper-util 0.1, `client/legacy/client.rs`, `impl Display for Error`."""


class HttpTransport:
    """One client for the whole run; `secret` goes into every request's header and nowhere else."""

    def __init__(self, secret: str | None, certificates: Path | None = None, proxy: str | None = None) -> None:
        """Make the client.

        Args:
            secret: The API key; None for servers without one.
            certificates: PEM file of a certificate authority that is trusted beside the usual ones.
            proxy: Address that all calls go through; None leaves it to the environment.

        Raises:
            TaskFileError: If no header can carry the key (does not show it), or the proxy's address is none.
        """
        builder = (
            _with_key(ClientBuilder(), secret)
            .http1_only()
            .follow_redirects(False)
            .connect_timeout(timedelta(seconds=CONNECT_S))
            .pool_idle_timeout(timedelta(seconds=IDLE_S))
            .pool_max_idle_per_host(1 << 20)
            .user_agent("deepswarm")
        )
        if certificates is not None:
            builder = builder.add_root_certificate_pem(certificates.read_bytes())
        if proxy is not None:
            builder = builder.proxy(_proxy(proxy))
        self._client: Client = builder.build()
        self._deadline = (0.0, timedelta(0))
        self._address = ("", Url("http://localhost"))

    def __repr__(self) -> str:
        return "HttpTransport()"

    async def send(self, request: HttpRequest, deadlines: Deadlines, assembler: Assembler | None = None) -> HttpReply:
        """See `Transport.send`."""
        del assembler
        timeout_s = deadlines.total_s
        if self._deadline[0] != timeout_s:
            self._deadline = (timeout_s, timedelta(seconds=timeout_s))
        if self._address[0] != request.url:
            self._address = (request.url, Url(request.url))  # read once, not for every call
        building = self._client.post(self._address[1]).headers(request.headers).timeout(self._deadline[1])
        try:
            async with building.body_bytes(request.body).build_streamed() as response:
                announced = response.get_header("content-length")
                size = int(announced) if announced is not None and announced.isdigit() else None
                if size is not None and size > REPLY_BYTES:
                    raise _too_large(size)
                return HttpReply(response.status, _Headers(response), await _body(response.body_reader, size))
        except PyreqwestError as error:
            raise _translated(error, timeout_s) from error

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._client.close()


def _with_key(builder: ClientBuilder, secret: str | None) -> ClientBuilder:
    try:
        return builder.default_headers({} if secret is None else {"authorization": f"Bearer {secret}"})
    except ValueError:
        hint = "look for a line break or another invisible character in it"
        raise TaskFileError([Problem("the API key cannot be sent: no header can carry it", hint=hint)]) from None


def _proxy(address: str) -> ProxyBuilder:
    try:
        return ProxyBuilder.all(address)
    except (ValueError, PyreqwestError):
        hint = "it looks like http://host:port"
        raise TaskFileError([Problem(f"'{address}' is no address of a proxy", hint=hint)]) from None


class _Headers(Mapping[str, str]):
    """The reply's headers by name in lower case, read when asked for: of most replies hardly one ever is.

    One whose value is not ASCII is left out, of one that comes twice the first counts.
    """

    def __init__(self, response: Response) -> None:
        self._response = response

    def __repr__(self) -> str:
        return repr(dict(self))

    def __getitem__(self, name: str) -> str:
        try:
            value = self._response.get_header(name)
        except ValueError:
            value = None
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name in dict.fromkeys(self._response.headers.keys()) if self.get(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


async def _body(reader: ResponseBodyReader, size: int | None) -> bytes:
    """The whole body; `size` is what was announced, which saves asking for more at the end."""
    body = bytes(await reader.read(_CHUNK) or b"")
    if len(body) == size:
        return body
    chunks, length = [body], len(body)
    while (chunk := await reader.read(_CHUNK)) is not None:
        chunks.append(bytes(chunk))
        length += len(chunk)
        if length > REPLY_BYTES:
            raise _too_large(length)
    return b"".join(chunks)


def _too_large(size: int) -> TooLarge:
    return TooLarge(f"a reply of {size:,} bytes or more; reading stops at {REPLY_BYTES:,}", maybe_billed=True)


def _translated(error: PyreqwestError, timeout_s: float) -> CallError:
    """The library's error as one of ours. Where nothing can have been sent, nothing can have been billed."""
    causes = (getattr(error, "details", None) or {}).get("causes") or ()
    messages = list(dict.fromkeys(cause["message"] for cause in causes))
    said = "; ".join(messages) or str(error)
    if _CONNECTING in messages:
        if isinstance(error, RequestTimeoutError):
            return TimedOut(f"no connection within {CONNECT_S:g} s ({said})", phase="connect")
        return Unreachable(f"no connection: {said}")
    if isinstance(error, RequestTimeoutError):
        return TimedOut(f"no whole reply within {timeout_s:g} s", phase="total", maybe_billed=True)
    return Disconnected(f"the connection broke: {said}", maybe_billed=True)
