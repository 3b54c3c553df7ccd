"""The room of accounts: what runs on this machine remember of an endpoint, and share of its limits while they run.

    run ── recall ──▶ what the last run learnt, and when      ── cautious ──▶ the start of the next
    run ── meet ────▶ who else uses the account at this moment ── share ────▶ what this one may use of it
    run ── keep ────▶ what it has learnt

Nothing here stops a run: a store that is missing, locked, damaged or of a newer format is one sentence, and the run
goes on as if it were alone. A store never holds a key; see `Store.account`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from deepswarm.core.pace import Memory
from deepswarm.core.pace.sharing import Member


class Scope(NamedTuple):
    """What has one limit: an endpoint's address, an account (see `Store.account`), and a model."""

    base: str
    account: str
    model: str


class Remembered(NamedTuple):
    """What was learnt, and when: seconds since 1970."""

    memory: Memory
    utc: float


class Store(Protocol):
    """Where it is kept. No method raises, or waits for longer than some tens of milliseconds."""

    def account(self, base: str, secret: str | None) -> str:
        """The name of the account that a key opens: a hash with a key of this store's own, of no use elsewhere."""

    def recall(self, scope: Scope) -> Remembered | None:
        """What was learnt last; None when nothing is known."""

    def keep(self, scope: Scope, memory: Memory, utc: float) -> None:
        """Keep what was learnt, in place of what was kept before."""

    def meet(self, scope: Scope, me: Member, utc: float, lease_s: float) -> tuple[Member, ...]:
        """Renew this process's lease, and give all others whose leases hold, the oldest first."""

    def leave(self, scope: Scope, name: str) -> None:
        """Give this process's lease back."""
