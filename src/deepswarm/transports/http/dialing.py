"""Opening connections: names, TCP, proxies and TLS; each with an error that says which of them failed.

Names are looked up once in a while and not for every connection: thousands may open at once. Where a name has several
addresses they are tried in order, each with its share of the time, so that one that swallows everything costs the
others nothing.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeVar, cast

from deepswarm.core.errors import Problem, TaskFileError, TimedOut, Unreachable
from deepswarm.transports.http.incoming import HEAD_BYTES
from deepswarm.transports.http.roads import Proxy, Road

KNOWN_S: Final = 30.0
"""Seconds after which a name is looked up again."""
KEEPALIVE_S: Final = 60
"""Seconds of silence after which TCP asks whether the other side is there: a long wait must not be forgotten by the
networks between. Source: the Anthropic SDK's values."""

_P = TypeVar("_P", bound=asyncio.Protocol)


class Dialer:
    """Opens connections for one transport."""

    def __init__(self, certificates: Path | None) -> None:
        """Make it.

        Args:
            certificates: PEM file of an authority that is trusted beside the usual ones.

        Raises:
            TaskFileError: If there are no certificates in that file.
        """
        self._context = None if certificates is None else _trusting(certificates)
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._looking: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def open(self, road: Road, connect_s: float, make: Callable[[], _P]) -> _P:
        """A protocol with an open connection.

        Args:
            road: Where to.
            connect_s: Most seconds.
            make: Makes the protocol; its `connection_made` is called when all is open.

        Raises:
            TimedOut: It took too long.
            Unreachable: It failed; the message says what.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + connect_s
        try:
            async with asyncio.timeout(connect_s if connect_s < math.inf else None):
                if road.proxy is None:
                    return await self._direct(road.host, road.port, make, ends, tls=road.tls)
                if not road.tls:
                    return await self._direct(road.proxy.host, road.proxy.port, make, ends, tls=False)
                return await self._through(road.proxy, road, make, ends)
        except TimeoutError:
            raise TimedOut(f"no connection to {road.place} within {connect_s:g} s", phase="connect") from None

    def close(self) -> None:
        """Stop looking names up."""
        for task in self._looking.values():
            task.cancel()

    # --- ways --------------------------------------------------------------------------------------------------------

    async def _direct(self, host: str, port: int, make: Callable[[], _P], ends: float, *, tls: bool) -> _P:
        loop = asyncio.get_running_loop()
        context = self._trusted() if tls else None
        addresses = await self._addresses(host, port)
        failed: OSError | None = None
        for tried, address in enumerate(addresses):
            left = len(addresses) - tried
            try:
                async with asyncio.timeout((ends - loop.time()) / left if left > 1 and ends < math.inf else None):
                    transport, protocol = await loop.create_connection(
                        make, address, port, ssl=context, server_hostname=host if tls else None
                    )
            except OSError as error:
                failed = error
            else:
                _keep_alive(transport)
                return protocol
        self._known.pop((host, port), None)
        raise _unreachable(f"{host}:{port}", failed)

    async def _through(self, proxy: Proxy, road: Road, make: Callable[[], _P], ends: float) -> _P:
        """Through a proxy by CONNECT, and TLS inside."""
        loop = asyncio.get_running_loop()
        tunnel = await self._direct(proxy.host, proxy.port, _Tunnel, ends, tls=False)
        raw = cast("asyncio.Transport", tunnel.transport)
        try:
            await tunnel.dig(road, proxy)
            protocol = make()
            transport = await loop.start_tls(raw, protocol, self._trusted(), server_hostname=road.host)
        except OSError as error:
            raw.abort()
            raise _unreachable(road.place, error) from error
        except BaseException:
            raw.abort()
            raise
        if transport is None:
            raise _unreachable(road.place, ConnectionAbortedError("closed within the TLS handshake"))
        protocol.connection_made(transport)
        return protocol

    def _trusted(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = _trusting(None)
        return self._context

    # --- names -------------------------------------------------------------------------------------------------------

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Addresses of a host; all who ask for the same name at the same time share one look-up."""
        if _is_number(host):
            return [host]
        loop = asyncio.get_running_loop()
        key = (host, port)
        when, known = self._known.get(key, (-math.inf, []))
        if loop.time() < when + KNOWN_S:
            return known
        task = self._looking.get(key)
        if task is None:
            task = self._looking[key] = loop.create_task(self._look_up(host, port))
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(task)

    async def _look_up(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            said = getattr(error, "strerror", None) or error
            hint = "check the address in the task file, and this machine's network"
            raise Unreachable(f"the name {host} has no address ({said}); {hint}") from None
        finally:
            self._looking.pop((host, port), None)
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        self._known[host, port] = loop.time(), addresses
        return addresses


class _Tunnel(asyncio.Protocol):
    """Asks a proxy for a tunnel and waits for its answer."""

    def __init__(self) -> None:
        self.transport: asyncio.BaseTransport | None = None
        self._came = b""
        self._answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        if (b"\r\n\r\n" in self._came or len(self._came) > HEAD_BYTES) and not self._answered.done():
            self._answered.set_result(self._came)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self._answered.done():
            self._answered.set_result(self._came)

    async def dig(self, road: Road, proxy: Proxy) -> None:
        """Ask for a tunnel to the road's end.

        Raises:
            Unreachable: The proxy refuses; nothing of the request has left.
        """
        place = road.place
        lines = [f"CONNECT {place} HTTP/1.1", f"host: {place}"]
        lines += [f"proxy-authorization: {proxy.authorization}"] if proxy.authorization else []
        cast("asyncio.Transport", self.transport).write("\r\n".join([*lines, "", ""]).encode("ascii"))
        said = (await self._answered).partition(b"\r\n")[0]
        words = said.split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].startswith(b"2"):
            shown = said[:200].decode("ascii", "backslashreplace") or "nothing"
            where = f"the proxy {proxy.host}:{proxy.port}"
            raise Unreachable(f"{where} opens no way to {place}: it said {shown!r}; check --proxy or HTTPS_PROXY")


@lru_cache(maxsize=256)
def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):  # the first is Linux's, the second macOS's
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), KEEPALIVE_S)


def _trusting(certificates: Path | None) -> ssl.SSLContext:
    """What the system trusts (certifi's list where it trusts nobody), and this authority beside it.

    SSL_CERT_FILE takes the place of the system's list in OpenSSL; here it comes on top of it.
    """
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if certificates is not None:
        try:
            context.load_verify_locations(certificates)
        except OSError as error:
            hint = "let --ca-file, or SSL_CERT_FILE, name a PEM file"
            raise TaskFileError([Problem("the file holds no certificates", str(certificates), hint=hint)]) from error
        if Path(paths.openssl_cafile).is_file():
            context.load_verify_locations(paths.openssl_cafile)
    if paths.cafile is None and paths.capath is None:
        import certifi

        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _unreachable(place: str, error: OSError | None) -> Unreachable:
    """What failed, for whom, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "if a private authority signed it: --ca-file; else check the address, and this machine's clock"
        return Unreachable(f"the certificate of {place} is not trusted: {error.verify_message}; {hint}")
    if isinstance(error, ssl.SSLError):
        hint = "check whether the address begins with https or http"
        return Unreachable(f"no TLS with {place}: {error.reason or error}; {hint}")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"{place} refuses connections: is the server up, and the address right?")
    if isinstance(error, (ConnectionResetError, ConnectionAbortedError)):
        return Unreachable(f"{place} closed the connection before it was open (TCP, or the TLS handshake)")
    said = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
    return Unreachable(f"no connection to {place}: {said}")
