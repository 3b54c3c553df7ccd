"""The road of a request: which host, through which proxy, and the bytes that stand before its body.

Proxies come from `--proxy`, for every call, or else from the usual environment variables (HTTPS_PROXY, HTTP_PROXY,
ALL_PROXY, NO_PROXY). Only plain HTTP is spoken to a proxy; what is https goes through it sealed (CONNECT).
"""

from __future__ import annotations

import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.records import HttpRequest
from deepswarm.core.secret import masked

_PORTS: Final = {"http": 80, "https": 443}
_IN_A_TARGET: Final = "/%:@!$&'()*+,;=~-._?"
_USUAL: Final = {"user-agent": "deepswarm", "accept-encoding": "identity"}
"""Headers of every request that does not say otherwise. Nothing packed is asked for: unpacking a short reply costs more
than its bytes on the way, and whoever packs a stream holds its pieces back."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens; `authorization` is what its Proxy-Authorization header says, empty for none."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown of it: the password, and the header that carries it."""
        if not self.authorization:
            return ()
        packed = self.authorization.removeprefix("Basic ")
        return packed, b64decode(packed).decode().partition(":")[2]


@dataclass(frozen=True, slots=True)
class Road:
    """Where requests to one address go.

    Attributes:
        host: The server's name or number.
        port: Its port.
        tls: Whether it speaks TLS.
        proxy: What carries the connection; None for none.
        authority: `host:port` as the Host header has it.
        target: As the request's first line has it.
    """

    host: str
    port: int
    tls: bool
    proxy: Proxy | None
    authority: str
    target: str

    @property
    def end(self) -> tuple[str, int, bool]:
        """What two roads must have in common to share a connection; proxies do not change during a run."""
        if self.proxy is not None and not self.tls:
            return self.proxy.host, self.proxy.port, False
        return self.host, self.port, self.tls

    @property
    def place(self) -> str:
        """The server, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Proxies:
    """Which proxy carries what."""

    def __init__(self, address: str | None) -> None:
        """Read the proxies.

        Args:
            address: Of the one proxy for everything; None leaves it to the environment.

        Raises:
            TaskFileError: If an address is none; a password in it is not shown.
        """
        self._named = None if address is None else _proxy(address)
        self._found: dict[str, Proxy] = {}
        if self._named is None and (_environment_names_some() or sys.platform == "darwin"):
            from urllib.request import getproxies

            found = getproxies()
            self._found = {kind: _proxy(found[kind]) for kind in ("http", "https", "all") if found.get(kind)}

    def of(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for a host; None for the straight way."""
        found = self._found.get(scheme) or self._found.get("all")
        if self._named is not None or found is None:
            return self._named
        from urllib.request import proxy_bypass

        return None if proxy_bypass(f"{host}:{port}") else found

    def secrets(self) -> list[str]:
        """What must not be shown of them."""
        proxies = [*self._found.values(), *([self._named] if self._named else [])]
        return [text for proxy in proxies for text in proxy.secrets]


def road_to(url: str, proxies: Proxies) -> Road:
    """The road to an address.

    Raises:
        TaskFileError: If it is no address.
    """
    try:
        parts = urlsplit(url)
        host, port = _place(parts)
    except ValueError:
        hint = "it looks like https://host/v1"
        raise TaskFileError([Problem(f"'{masked(url)}' is no address", hint=hint)]) from None
    tls = parts.scheme == "https"
    proxy = proxies.of(parts.scheme, host, port)
    authority = f"[{host}]" if ":" in host else host
    authority = authority if port == _PORTS[parts.scheme] else f"{authority}:{port}"
    target = _target(parts)
    if proxy is not None and not tls:
        target = f"http://{authority}{target}"
    return Road(host, port, tls, proxy, authority, target)


def head_of(road: Road, request: HttpRequest, authorization: Mapping[str, str]) -> bytes:
    """What comes before the number of the body's bytes: everything else of the request's head.

    Raises:
        TaskFileError: If a header cannot carry its value; the value is not shown.
    """
    fields = {"host": road.authority, **_USUAL, **authorization}
    if road.proxy is not None and not road.tls and road.proxy.authorization:
        fields["proxy-authorization"] = road.proxy.authorization
    fields.update((name.lower(), value) for name, value in request.headers.items())
    for name, value in fields.items():
        if not can_carry(name, value):
            raise TaskFileError([Problem(f"no header can carry the value of {name!r}", hint=_INVISIBLE)])
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{request.method} {road.target} HTTP/1.1\r\n{lines}content-length: ".encode("ascii")


_INVISIBLE: Final = "look for a line break or another invisible character in it"


def checked(authorization: Mapping[str, str]) -> dict[str, str]:
    """The headers that carry the key, with names in lower case.

    Raises:
        TaskFileError: If they cannot; the key is not shown.
    """
    if not all(can_carry(name, value) for name, value in authorization.items()):
        raise TaskFileError([Problem("the API key cannot be sent: no header can carry it", hint=_INVISIBLE)])
    return {name.lower(): value for name, value in authorization.items()}


def can_carry(name: str, value: str) -> bool:
    """Whether a header can have this name and value: what can be seen of ASCII, and spaces."""
    return (
        name.isascii() and name.isprintable() and value.isascii() and value.isprintable() and not set(" :") & set(name)
    )


def _place(parts: SplitResult) -> tuple[str, int]:
    """Host and port; a ValueError when they are not both there."""
    host = parts.hostname or ""
    if not host or parts.scheme not in _PORTS:
        raise ValueError
    return host if host.isascii() else host.encode("idna").decode(), parts.port or _PORTS[parts.scheme]


def _target(parts: SplitResult) -> str:
    path = parts.path or "/"
    return quote(f"{path}?{parts.query}" if parts.query else path, safe=_IN_A_TARGET)


def _environment_names_some() -> bool:
    """Whether the environment can name a proxy: reading it costs the import of a large module."""
    return any(name.lower().endswith("_proxy") for name in os.environ)


def _proxy(address: str) -> Proxy:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = _place(parts)
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    if parts.scheme != "http":
        hint = "it looks like http://host:port; no other kind of proxy is spoken to"
        raise TaskFileError([Problem(f"'{_without_user(address)}' is no address of a proxy", hint=hint)])
    if parts.username is None:
        return Proxy(host, port)
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(host, port, f"Basic {b64encode(user).decode()}")


def _without_user(address: str) -> str:
    scheme, mark, rest = address.rpartition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}{mark}{'***' if user else ''}{at}{place}"
