"""Leaving: the first Ctrl-C lets what is in flight finish, the second one leaves at once; the journal stays whole."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from deepswarm.core.scheduler import How
from deepswarm.engine.dispatcher import Dispatcher

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupts:
    """While entered, signals drain the run; a second one cancels it."""

    def __init__(
        self, dispatcher: Dispatcher, serving: asyncio.Task[Any], say: Callable[[str], None], most_s: float
    ) -> None:
        """`most_s` is the longest that draining can take: a call's whole deadline."""
        self._dispatcher, self._serving, self._say, self._most_s = dispatcher, serving, say, most_s
        self._caught: list[int] = []

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            # Not in the main thread (a program that runs us in another one): then signals are its business.
            with suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._interrupt, number)
                self._caught.append(number)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in self._caught:
            loop.remove_signal_handler(number)

    def _interrupt(self, number: int) -> None:
        name = signal.Signals(number).name
        stopped = self._dispatcher.scheduler.stopped
        if stopped is not None and stopped.how is How.INTERRUPTED:
            self._say("leaving at once; calls in flight are noted as possibly billed")
            self._serving.cancel()
            return
        self._dispatcher.stop(How.INTERRUPTED, name)
        self._say(
            f"{name}: starting nothing new; calls in flight may take up to {self._most_s:g} s to end. "
            "Once more to leave at once"
        )
