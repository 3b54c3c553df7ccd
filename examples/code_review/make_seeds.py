#!/usr/bin/env python3
"""Write seeds.jsonl: functions of this machine's own Python standard library, each with its numbered source.

Standard library only. The same Python gives the same seeds.
"""

from __future__ import annotations

import ast
import json
import platform
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

MODULES = ["argparse", "bisect", "calendar", "cmd", "configparser", "csv", "difflib", "fnmatch", "fractions", "glob"]
MODULES += ["gzip", "heapq", "imaplib", "ipaddress", "mailbox", "netrc", "optparse", "pprint", "random", "sched"]
MODULES += ["shelve", "shlex", "shutil", "smtplib", "statistics", "tarfile", "tempfile", "textwrap", "zipfile"]
SHORTEST, LONGEST, MOST = 12, 60, 200
"""Lines of a function that is worth a review, and how many functions to take."""


def functions(module: str) -> Iterator[dict[str, object]]:
    """The functions of a module, in the order of its source."""
    path = Path(sysconfig.get_path("stdlib")) / f"{module}.py"
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or node.end_lineno is None:
            continue
        body = lines[node.lineno - 1 : node.end_lineno]
        if SHORTEST <= len(body) <= LONGEST:
            yield {
                "id": f"{module}.{node.name}:{node.lineno}",
                "module": module,
                "function": node.name,
                "python": platform.python_version(),
                "lines": len(body),
                "numbered": "\n".join(f"{number:3} {line}" for number, line in enumerate(body, 1)),
            }


def main() -> None:
    """Take the functions of all modules in turn, up to MOST."""
    found = [seed for module in MODULES for seed in functions(module)]
    step = max(1, len(found) // MOST)
    chosen = found[::step][:MOST]
    target = Path(__file__).with_name("seeds.jsonl")
    target.write_text("".join(json.dumps(seed) + "\n" for seed in chosen), encoding="utf-8")
    print(f"{target}: {len(chosen)} functions of {len(found)} from {len(MODULES)} modules", file=sys.stderr)


if __name__ == "__main__":
    main()
