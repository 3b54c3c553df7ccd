"""The simulated provider as a process of its own, for tests of the command line; its account is read from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

LAW: Final = """\
[tokens]
median = 5
"""
"""Answers at once, and briefly."""


class Provider:
    """The simulated provider as a process, and its account."""

    def __init__(self, address: str) -> None:
        """`address`: without /v1 at its end."""
        self.address = address

    def counts(self) -> dict[str, int]:
        """The sums of its ledger."""
        counts: dict[str, int] = json.loads(self._get("/_counts"))
        return counts

    def rows(self) -> list[dict[str, Any]]:
        """Its ledger."""
        return [json.loads(line) for line in self._get("/_ledger").split(b"\n") if line]

    def asked(self) -> Counter[str]:
        """How often each seed was asked, whatever the answer."""
        return Counter(row["name"] for row in self.rows())

    def switch(self, law: str) -> None:
        """Let it follow another law, given as TOML, from now on."""
        request = urllib.request.Request(f"{self.address}/_law", law.encode(), method="POST")  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - loopback
            pass

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.address}{path}", timeout=30) as reply:  # noqa: S310 - loopback
            said: bytes = reply.read()
        return said


@contextmanager
def serving(folder: Path, law: str = LAW) -> Iterator[Provider]:
    """A provider with this law, as TOML, as long as it is entered."""
    path = folder / "served-law.toml"
    path.write_text(law)
    command = [sys.executable, "-m", "deepswarm", "simulate", "--law", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603 - our own
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            yield Provider(process.stdout.readline().strip().removesuffix("/v1"))
        finally:
            process.terminate()
