"""An event loop whose clock jumps to the next timer when nothing else is ready: hours pass in moments.

    something is ready          run it; the clock stands still
    nothing is, work is outside wait for it in real time; the clock stands still
    nothing is, a timer waits   the clock jumps to it
    nothing at all              Deadlock

Rules: no sockets and no pipes (they are refused), and no threads but those of `run_in_executor` and `to_thread`,
which are counted. A loop that is never idle, or a task that sleeps again and again for ever, never ends here either.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


_RESOLUTION_S = 1e-9


class Deadlock(RuntimeError):
    """Everything waits and nothing can ever happen: no task is ready, no timer is set, no work is outside."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop on a virtual clock, which starts at 0 seconds."""

    def __init__(self) -> None:
        self._now = 0.0
        self._outside = 0
        super().__init__(_JumpingSelector(self))

    def __repr__(self) -> str:
        return f"VirtualTimeLoop(now={self._now:g} s, outside={self._outside}, closed={self.is_closed()})"

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """As in any loop; the clock stands still until the work is back."""
        future = super().run_in_executor(executor, func, *args)
        self._outside += 1
        future.add_done_callback(self._back)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """As in any loop; it waits for a thread, which counts as work outside."""
        self._outside += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._outside -= 1

    def idle(self, timeout: float | None) -> float | None:
        """What to do when nothing is ready.

        Args:
            timeout: Seconds until the next timer; None when there is none.

        Returns:
            Seconds to wait in real time, None for as long as it takes. The clock has jumped where it may.

        Raises:
            Deadlock: If nothing can ever happen.
        """
        if self._outside:
            return None
        if timeout is None:
            waiting = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self)))
            raise Deadlock(f"at {self._now:g} s everything waits and no timer is set; tasks: {waiting or 'none'}")
        self._now += timeout
        # A timer fires when it lies before now + resolution, which must not be lost in the rounding of a late hour.
        self._clock_resolution = max(_RESOLUTION_S, 2.0 * math.ulp(self._now))
        return 0.0

    def _back(self, _: asyncio.Future[Any]) -> None:
        self._outside -= 1


class _JumpingSelector(selectors.BaseSelector):
    """Asks the loop what to do where a selector would block. Knows the loop's self-pipe and nothing else."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self._real.get_map():
            raise RuntimeError("virtual time knows no sockets and no pipes; use an ordinary loop for them")
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self._real.select(self._loop.idle(timeout))

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that ran in a virtual-time loop of its own. Not from within a running loop.

    Raises:
        Deadlock: If it waited for something that could never happen.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
