"""Virtual time: hours in moments, and no lies about it."""

import asyncio
import gc
import socket
import threading

import pytest

from deepswarm.simulator import virtual_time
from deepswarm.simulator.virtual_time import Deadlock, VirtualTimeLoop

DAY_S = 86_400.0


def now():
    return asyncio.get_running_loop().time()


def test_a_year_of_sleep_passes_at_once():
    async def main():
        await asyncio.sleep(365 * DAY_S)
        return now()

    assert virtual_time.run(main()) == 365 * DAY_S


def test_the_clock_starts_at_zero_and_stands_still_while_something_is_ready():
    async def main():
        started = now()
        for _ in range(100):
            await asyncio.sleep(0)
        return started, now()

    assert virtual_time.run(main()) == (0.0, 0.0)


def test_timers_fire_in_their_order_and_at_their_time():
    async def main():
        fired = []

        async def sleeper(seconds):
            await asyncio.sleep(seconds)
            fired.append((seconds, now()))

        async with asyncio.TaskGroup() as group:
            for seconds in (30.0, 0.001, 7200.0, 30.5, 2.0):
                group.create_task(sleeper(seconds))
        return fired

    assert virtual_time.run(main()) == [(each, each) for each in (0.001, 2.0, 30.0, 30.5, 7200.0)]


def test_ten_thousand_calls_through_a_hundred_workers_take_as_long_as_arithmetic_says():
    async def main():
        left = iter(range(10_000))

        async def worker():
            for _ in left:
                await asyncio.sleep(45.0)

        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(worker())
        return now()

    assert virtual_time.run(main()) == 100 * 45.0


def test_timeouts_work_in_virtual_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await asyncio.sleep(DAY_S)
        return now()

    assert virtual_time.run(main()) == 600.0


def test_a_deadlock_is_reported_with_the_tasks_that_wait():
    async def main():
        asyncio.current_task().set_name("the one that waits")
        await asyncio.sleep(5)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"at 5 s .*the one that waits"):
        virtual_time.run(main())


def test_a_task_that_refuses_to_be_cancelled_after_a_deadlock_does_not_hang_the_end():
    told = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(Deadlock):
        virtual_time.run(main())
    gc.collect()
    assert told == ["Task was destroyed but it is pending!"]


def test_the_clock_stands_still_while_work_is_outside():
    async def main():
        gate = threading.Event()
        log = []

        async def sleeper():
            await asyncio.sleep(1)
            log.append(("timer", now()))

        async def outside(work):
            await asyncio.to_thread(work)
            log.append(("work", now()))

        async with asyncio.TaskGroup() as group:
            group.create_task(sleeper())
            group.create_task(outside(gate.wait))
            group.create_task(outside(gate.set))
        return log

    assert virtual_time.run(main()) == [("work", 0.0), ("work", 0.0), ("timer", 1.0)]


def test_a_result_from_outside_ends_a_wait_that_has_no_timer():
    async def main():
        return await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2, 3])

    assert virtual_time.run(main()) == 6


def test_an_error_from_outside_arrives_and_the_clock_goes_on():
    def fail():
        raise ZeroDivisionError

    async def main():
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(fail)
        await asyncio.sleep(60)
        return now()

    assert virtual_time.run(main()) == 60.0


def test_sockets_are_refused():
    async def main():
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            await asyncio.get_running_loop().sock_recv(left, 1)

    with pytest.raises(RuntimeError, match="no sockets"):
        virtual_time.run(main())


def test_an_error_in_the_coroutine_comes_out_unchanged():
    async def main():
        await asyncio.sleep(1)
        raise LookupError("as it was")

    with pytest.raises(LookupError, match="as it was"):
        virtual_time.run(main())


def test_repr_tells_the_time():
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(asyncio.sleep(90))
        assert repr(loop) == "VirtualTimeLoop(now=90 s, outside=0, closed=False)"
    finally:
        loop.close()
