"""OpenRouter: one switch for the thinking of all models, and the key tells what may still be spent with it.

Errors come in the body of a 200 once a model runs (code, `metadata`), in a stream as a chunk with `error`; usage comes
always.

Source: openrouter.ai/docs/use-cases/reasoning-tokens, /docs/api-reference/errors and /limits (November 2026).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from deepswarm.core.records import Json
from deepswarm.dialects import Balance
from deepswarm.dialects.chat import Account, ChatDialect
from deepswarm.dialects.fields import members


def _thinking(_model: str, level: str) -> Mapping[str, Json]:
    return {"reasoning": {"enabled": False} if level == "off" else {"effort": level}}


def _balance(value: Any) -> Balance | None:
    """What may still be spent, in US dollars: the least of what the key and its budgets leave; None without limits."""
    data = members(members(value).get("data"))
    left = [data.get("limit_remaining"), members(data.get("effective_budget")).get("remaining_usd")]
    known = [float(amount) for amount in left if isinstance(amount, int | float) and math.isfinite(amount)]
    return Balance(min(known), "USD", min(known) > 0) if known else None


OPENROUTER: Final = ChatDialect(_thinking, account=Account("/api/v1/key", _balance))
