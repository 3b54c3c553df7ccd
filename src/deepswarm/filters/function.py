"""The filter `python`: a function of the user's own judges each record. It runs as their code, with their rights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from deepswarm.core.errors import DoorError
from deepswarm.core.records import Amend, Drop, Keep, Record, Verdict
from deepswarm.doors import find


@dataclass(frozen=True, slots=True)
class Function:
    """Keep what a Python function keeps.

    It is given the record, a dict, and returns True or None to keep it, False to drop it, a text to drop it for that
    reason, or a verdict (Keep, Amend, Drop). What it raises drops the record. The same record must get the same.

    Attributes:
        function: Where it stands: "checks.py:is_good" (the file seen from the current folder), or "module:name".
        reason: Why records are dropped for which it returns False.
    """

    function: str
    reason: str = ""
    _call: Callable[[Record], Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Load the function: its file is run.

        Raises:
            ValueError: If there is no such function.
            TypeError: If it is none.
        """
        if ":" not in self.function:
            raise ValueError(f"'function' must be written as file.py:name, not {self.function!r}")
        try:
            found = find("function", self.function, {})
        except DoorError as error:
            raise ValueError(str(error)) from error
        if not callable(found):
            raise TypeError(f"'{self.function}' is no function, but {type(found).__name__}")
        object.__setattr__(self, "_call", found)

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        from copy import deepcopy

        said = self._call(deepcopy(record))  # what it does to its record is its own affair
        if said is None or said is True:
            return Keep()
        if said is False:
            return Drop(self.reason or f"{self.function.rpartition(':')[2]} said no")
        if isinstance(said, str):
            return Drop(said or self.reason or f"{self.function.rpartition(':')[2]} said no")
        if isinstance(said, (Keep, Amend, Drop)):
            return said
        return Drop(f"{self.function} gave {type(said).__name__}, not True, False, a reason or a verdict")


def provenance(address: str) -> str:
    """What is run: "PATH (sha256 …)" for a function in a file, else the address itself.

    Args:
        address: "file.py:name" or "module:name".
    """
    file = Path(address.rpartition(":")[0])
    if file.suffix != ".py" or not file.is_file():
        return address
    return f"{file.resolve()} (sha256 {sha256(file.read_bytes()).hexdigest()[:16]})"
