"""What a provider answers beside completions: its models, the account's balance, and the account that it keeps itself.

GET  /v1/models      also /models
GET  /user/balance   in DeepSeek's form, where the law has a balance
GET  /_ledger        the provider's ledger, one row as JSON per line
GET  /_counts        its sums, as one JSON object
POST /_law           a law's TOML text, which holds from now on
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Final
from urllib.parse import urlsplit

from deepswarm.core import jsontext
from deepswarm.core.errors import TaskFileError
from deepswarm.core.records import HttpReply, HttpRequest
from deepswarm.simulator import bodies
from deepswarm.simulator.law import read_law
from deepswarm.simulator.provider import SimulatedProvider

COMPLETIONS: Final = frozenset({"/v1/chat/completions", "/chat/completions", "/v1/messages", "/messages"})
"""Where requests go that the provider decides about."""
_MODELS: Final = frozenset({"/v1/models", "/models"})
_READABLE: Final = _MODELS | {"/user/balance", "/_ledger", "/_counts"}


def answered(provider: SimulatedProvider, request: HttpRequest, now: float) -> HttpReply:
    """The reply to a request that asks for no completion, at this moment on the provider's clock."""
    path, method = urlsplit(request.url).path, request.method
    if path == "/_law" and method == "POST":
        return _switched(provider, request.body)
    if path in _READABLE and method == "GET":
        return _read(provider, path, now)
    if path in COMPLETIONS | _READABLE | {"/_law"}:
        return bodies.error(405, message=f"{method} is not for this address")
    return bodies.error(404, message="There is nothing at this address", code="not_found")


def _read(provider: SimulatedProvider, path: str, now: float) -> HttpReply:
    if path == "/_counts":
        return bodies.ok(asdict(provider.counts()), "counts")
    if path == "/_ledger":
        lines = [jsontext.dumps(row._asdict()) + b"\n" for row in provider.rows()]
        return HttpReply(200, {"content-type": "application/x-ndjson"}, b"".join(lines))
    if path in _MODELS:
        model = {"id": "simulated", "object": "model", "created": bodies.CREATED, "owned_by": "deepswarm-simulator"}
        return bodies.ok({"object": "list", "data": [model]}, "models")
    left = provider.balance_usd(now)
    if left is None:
        return bodies.error(404, message="This account has no balance", code="not_found")
    return bodies.balance(left)


def _switched(provider: SimulatedProvider, body: bytes) -> HttpReply:
    try:
        law = read_law(body.decode(), "/_law")
    except (TaskFileError, UnicodeDecodeError) as error:
        return bodies.error(400, message=str(error))
    provider.switch(law)
    return bodies.ok({"law": law.name}, "law")
