"""DeepSeek: thinking is a switch and an effort, and the account tells its balance.

Thinking is on by default, at high effort. Blank lines before a body and comments in a stream keep a connection alive.

Source: api-docs.deepseek.com/guides/thinking_mode and /api/get-user-balance (November 2026).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from deepswarm.core.records import Json
from deepswarm.dialects import Balance
from deepswarm.dialects.chat import Account, ChatDialect
from deepswarm.dialects.fields import members, objects, text


def _thinking(_model: str, level: str) -> Mapping[str, Json]:
    if level == "off":
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "enabled"}, "reasoning_effort": level}


def _beta(url: str) -> str:
    """Where a prefix is gone on with: the provider's own address has a place for that, others of its kind have not."""
    return url.replace("https://api.deepseek.com/v1/", _BETA).replace("https://api.deepseek.com/chat/", f"{_BETA}chat/")


def _balance(value: Any) -> Balance | None:
    """The balance in the first currency of which there is something; amounts are decimal numbers as text."""
    enough = members(value).get("is_available")
    known = [
        Balance(amount, text(info.get("currency")), bool(enough))
        for info in objects(members(value).get("balance_infos"))
        if (amount := _amount(info.get("total_balance"))) is not None
    ]
    return next((balance for balance in known if balance.amount > 0), known[0] if known else None)


def _amount(given: Any) -> float | None:
    try:
        amount = float(given)
    except (TypeError, ValueError, OverflowError):
        return None
    return amount if math.isfinite(amount) else None


_BETA: Final = "https://api.deepseek.com/beta/"
"""Source: api-docs.deepseek.com/guides/chat_prefix_completion (November 2026)."""

DEEPSEEK: Final = ChatDialect(_thinking, account=Account("/user/balance", _balance), prefix=_beta)
