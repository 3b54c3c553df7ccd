"""Who may ask the live page for something. Pure: a request's head in, a refusal or the wanted path out.

Other people's pages run in the same browser, and a name of theirs can be made to point at this machine. So:

* the address holds a secret, without which there is nothing to be had; no cookie, which other ports would get as well;
* Host must be the loopback address that was served, which a foreign name that points here is not (DNS rebinding);
* Origin and Sec-Fetch-Site, where a browser sends them, must be our own;
* nothing can be changed: GET and HEAD are all there is.

Source: fetch.spec.whatwg.org (Origin, Sec-Fetch-Site); owasp.org, DNS Rebinding.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

METHODS: Final = ("GET", "HEAD")
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer, refusals included."""


class Refusal(NamedTuple):
    """An HTTP status, and why, for whoever tries by hand."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one server.

    Attributes:
        token: The secret in the address.
        port: That it listens on.
    """

    token: str
    port: int

    @property
    def address(self) -> str:
        """Where the page is; whoever knows it may look."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def check(self, method: str, target: str, headers: Mapping[str, str]) -> Refusal | str:
        """What is wanted, as a path below the secret with its query, or why it is refused.

        Args:
            method: Of the request.
            target: Path and query, as they came.
            headers: Names in lower case.
        """
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        host = headers.get("host", "")
        if host not in hosts:
            return Refusal(403, "this page answers to its own address alone")
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return Refusal(403, "another page may not ask for this")
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            return Refusal(403, "another page may not ask for this")
        token, slash, rest = target.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.token.encode()):
            return Refusal(403, "the address lacks its secret: take the one that `deepswarm view` has printed")
        if method not in METHODS:
            return Refusal(405, "a run can be looked at here, not changed")
        return rest
