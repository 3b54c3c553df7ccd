"""Python functions of the user's own, called on behalf of seeds: in threads, with a time limit, errors as results.

A function that hangs cannot be stopped: its thread is left alone (it ends with the process) and its call is given up.
What it prints goes nowhere; what it raises, and what it returns that is no JSON value, belongs to the seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from deepswarm.core.errors import DoorError, Problem, TaskFileError
from deepswarm.core.jsontext import dumps
from deepswarm.core.turns import Heard, Run
from deepswarm.doors import find

AT_ONCE: Final = 32
"""Functions that run at the same time, at most."""
_NAME: Final = "deepswarm-code"


class Code:
    """The functions that a task names, loaded once."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]], timeout_s: float) -> None:
        """Take the functions by name; `timeout_s` is for each call."""
        self._functions, self._timeout_s = functions, timeout_s
        self._threads: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"Code({', '.join(self._functions)}; {self._timeout_s:g} s)"

    async def run(self, step: Run) -> Heard:
        """Call a function; whatever goes wrong is in `Heard.error`."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="code")
            _hush()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._bounded, step)

    def close(self) -> None:
        """Let go of the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    def _bounded(self, step: Run) -> Heard:
        """In a thread of the pool: wait for another one, which may hang, no longer than the limit."""
        found: list[Heard] = []
        work = threading.Thread(target=lambda: found.append(self._called(step)), name=_NAME, daemon=True)
        work.start()
        work.join(self._timeout_s)
        if found:
            return found[0]
        return Heard("", f"{step.function} took more than {self._timeout_s:g} s (code_timeout); it was given up")

    def _called(self, step: Run) -> Heard:
        try:
            value = self._functions[step.function](*step.arguments, **step.named)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises is the seed's
            return Heard("", f"{step.function} raised {type(error).__name__}: {str(error)[:500]}")
        try:
            return Heard(dumps(value).decode())
        except (TypeError, ValueError) as error:
            return Heard("", f"{step.function} gave {type(value).__name__}, which is no JSON value: {error}")


def code_of(names: Iterable[str], base: Path, timeout_s: float) -> Code:
    """The functions of these names, each written as file.py:name; the file is seen from `base`.

    Raises:
        TaskFileError: If one cannot be loaded, or is no function.
    """
    functions: dict[str, Callable[..., Any]] = {}
    for name in names:
        file, _, function = name.rpartition(":")
        try:
            found = find("function", f"{base / file}:{function}", {})
        except DoorError as error:
            raise TaskFileError([Problem(str(error), hint="the path starts at the task file's folder")]) from error
        except Exception as error:  # what a file raises when it is run
            what = f"{file} cannot be run: {type(error).__name__}: {error}"
            raise TaskFileError(
                [Problem(what, hint="correct it, or run it by itself to see where it fails")]
            ) from error
        if not callable(found):
            raise TaskFileError([Problem(f"'{name}' is no function, but {type(found).__name__}")])
        functions[name] = found
    return Code(functions, timeout_s)


# --- what functions print --------------------------------------------------------------------------------------------


class _Hushed:
    """Standard output for everybody but the functions: what these write goes nowhere."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, text: str) -> int:
        if threading.current_thread().name == _NAME:
            return len(text)
        with contextlib.suppress(ValueError):  # a closed stream at the end of a process
            self._real.write(text)
        return len(text)


def _hush() -> None:
    """Make sure that no function can write between the lines of a run's own output."""
    if not isinstance(sys.stdout, _Hushed):
        sys.stdout = _Hushed(sys.stdout)
