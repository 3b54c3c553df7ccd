"""What can be found out before a run: what would stop it, and what would make it dear.

`warnings`, `disk_of` and `balance_of` are asked at the start of every run, whose own first call shows whether key and
model are accepted, and the provider's time (`clock_of`). `examine` is `deepswarm doctor`: it makes one tiny call of its
own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from deepswarm.core.errors import CallError, Disposition
from deepswarm.core.records import Deadlines, HttpReply, Message
from deepswarm.core.spec import TaskSpec
from deepswarm.dialects import Balance, Dialect
from deepswarm.engine.clock import Clock
from deepswarm.engine.opening import call_of
from deepswarm.transports import Transport

TINY_TOKENS: Final = 16
TINY_DEADLINES: Final = Deadlines(total_s=60.0, first_s=60.0, stall_s=60.0, connect_s=15.0)
BALANCE_DEADLINES: Final = Deadlines(total_s=10.0, connect_s=5.0)
ROOM_FOR_THINKING: Final = 8192
"""Tokens below which a thinking model may use up all of them before it answers: 1,000 to 6,000 tokens of reasoning are
ordinary. Source: api-docs.deepseek.com, thinking mode (November 2026): on by default, counted with the answer."""
THINK_BY_THEMSELVES: Final = frozenset({"deepseek"})
"""Dialects whose models think unless they are told not to."""
LEAST_FREE: Final = 64 * 1024 * 1024
LITTLE_FREE: Final = 1024 * 1024 * 1024
CLOCK_S: Final = 60.0


class Verdict(Enum):
    """How a check ended: `LATER` is a failure that may be gone the next time."""

    OK = "ok"
    WARN = "warning"
    LATER = "not now"
    BAD = "bad"


class Check(NamedTuple):
    """One thing that was looked at; `hint` says what to do about it."""

    name: str
    verdict: Verdict
    what: str
    hint: str = ""

    def __str__(self) -> str:
        """As a line for people."""
        return f"{self.verdict.value}: {self.what}{f'; {self.hint}' if self.hint else ''}"


def warnings(spec: TaskSpec, dialect_name: str) -> Iterator[Check]:
    """What the task alone shows to be risky."""
    thinks = spec.thinking in {"low", "high", "max"} or (
        spec.thinking == "default" and dialect_name in THINK_BY_THEMSELVES and "thinking" not in spec.worker_params
    )
    if thinks and spec.worker_max_tokens is not None and spec.worker_max_tokens < ROOM_FOR_THINKING:
        what = (
            f"thinking is on and worker_max_tokens is {spec.worker_max_tokens:,}: it may use them up before it answers"
        )
        yield Check("thinking", Verdict.WARN, what, "write thinking: off, or raise worker_max_tokens")


async def balance_of(dialect: Dialect, url: str, transport: Transport) -> Balance | None:
    """What is left on the account; None where the provider does not tell, or not now."""
    request = dialect.balance_request(url)
    if request is None:
        return None
    try:
        return dialect.balance(await transport.send(request, BALANCE_DEADLINES))
    except CallError:
        return None


async def examine(
    spec: TaskSpec,
    dialect: Dialect,
    dialect_name: str,
    transport: Transport,
    folder: Path,
    connections: int,
    clock: Clock,
) -> list[Check]:
    """Everything that a run would stumble over, with one call of TINY_TOKENS tokens and one for the balance."""
    url = dialect.address(spec.worker_api_base)
    checks = [disk_of(folder), _files(spec, connections), *warnings(spec, dialect_name)]
    reply, answer = await _tiny_call(spec, dialect, url, transport, clock)
    checks.append(answer)
    if reply is not None:
        checks.append(clock_of(reply, clock.utc()))
    if answer.verdict is not Verdict.BAD:
        checks.append(_money(await balance_of(dialect, url, transport)))
    return checks


async def _tiny_call(
    spec: TaskSpec, dialect: Dialect, url: str, transport: Transport, clock: Clock
) -> tuple[HttpReply | None, Check]:
    """Whether key, model and address are accepted; anything that the model says will do."""
    call = call_of(spec)._replace(messages=(Message("user", "Answer with the word ok."),), max_tokens=TINY_TOKENS)
    began, reply = clock.monotonic(), None
    name = f"model {spec.worker_model}"
    try:
        reply = await transport.send(
            dialect.encode(call, url), TINY_DEADLINES, dialect.assembler() if call.stream else None
        )
        answered = dialect.decode(reply).model
    except CallError as error:
        if error.disposition is Disposition.SEMANTIC:
            return reply, Check(name, Verdict.OK, f"answers in {clock.monotonic() - began:.1f} s")
        definite = error.disposition in {Disposition.PAUSE, Disposition.FAIL_ROW}
        hint = "see the hint in the provider's words" if definite else "try again later; a run waits for it by itself"
        return reply, Check(name, Verdict.BAD if definite else Verdict.LATER, f"{error.label}: {error}", hint)
    other = f", as {answered}" if answered and answered != spec.worker_model else ""
    return reply, Check(name, Verdict.OK, f"answers in {clock.monotonic() - began:.1f} s{other}")


def _money(balance: Balance | None) -> Check:
    if balance is None:
        return Check("balance", Verdict.OK, "the provider does not tell it")
    what = f"{balance.amount:,.2f} {balance.currency}"
    if balance.enough:
        return Check("balance", Verdict.OK, what)
    return Check("balance", Verdict.BAD, f"{what}: not enough for a call", "top up the account")


def disk_of(folder: Path) -> Check:
    """Whether the output folder can be written, and has room."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    what = f"{free / 1e9:,.1f} GB free at {folder}"
    if not there.is_dir():
        return Check("disk", Verdict.BAD, f"{there} is a file", "name another output_dir")
    if not os.access(there, os.W_OK):
        return Check("disk", Verdict.BAD, f"{there} cannot be written", "name another output_dir")
    if free < LEAST_FREE:
        return Check("disk", Verdict.BAD, what, "free some space, or name another output_dir")
    return Check("disk", Verdict.WARN if free < LITTLE_FREE else Verdict.OK, what)


def _files(spec: TaskSpec, connections: int) -> Check:
    what = f"{connections:,} connections may be open at once"
    if spec.workers != "auto" and spec.workers > connections:
        return Check("open files", Verdict.WARN, f"{what}, {spec.workers:,} workers are wanted", "raise ulimit -n")
    return Check("open files", Verdict.OK, what)


def clock_of(reply: HttpReply, utc: float) -> Check:
    """This machine's clock against the server's; prices by the hour and waiting times depend on it."""
    try:
        theirs: datetime = parsedate_to_datetime(reply.headers.get("date", ""))
    except (ValueError, TypeError):
        return Check("clock", Verdict.OK, "the provider does not tell the time")
    off_s = utc - theirs.timestamp()
    if abs(off_s) > CLOCK_S:
        what = f"this machine's clock is {abs(off_s):,.0f} s {'ahead' if off_s > 0 else 'behind'}"
        return Check("clock", Verdict.WARN, what, "set it: prices by the hour and waiting times depend on it")
    return Check("clock", Verdict.OK, "agrees with the provider's")
