"""Coverage-guided fuzzing of the reply, stream and error decoders, with atheris (libFuzzer for Python).

fuzz_guided.py [--runs 1000000] [--seed 1] [CORPUS]

Needs `pip install atheris` beside the package: it is no dependency, since it has no wheel for every machine. The inputs
of `fuzz_decoders.py` are the first corpus; inputs that reach code that none before them has reached are kept and
changed further. It stops at the first exception that is not a call error, or at an input that takes longer than 5 s,
and writes that input beside CORPUS (a folder; default: a temporary one).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["deepswarm.dialects", "deepswarm.core.jsontext"]):
    from fuzz_decoders import HEADER_VALUES, HEADERS, STATUSES, Fuzzer

    from deepswarm.core.records import HttpReply

    Fuzzer(1)  # the dialects' files are imported when one is asked for

SEEDED = 2_000
"""Inputs of the unguided fuzzer that the corpus begins with."""
LONGEST = 4096
"""Most bytes of an input."""


def reply_of(data: bytes) -> HttpReply:
    """The reply that an input stands for: its first three bytes choose status and a header, the rest is the body."""
    status, name, value = data[:3]
    headers = {HEADERS[name % len(HEADERS)]: HEADER_VALUES[value % len(HEADER_VALUES)]} if value else {}
    return HttpReply(STATUSES[status % len(STATUSES)], headers, data[3:])


def main() -> None:
    """Fuzz until as many inputs were tried, or one shows a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("corpus", nargs="?", type=Path)
    asked = parser.parse_args()
    corpus = asked.corpus or Path(tempfile.mkdtemp(prefix="deepswarm-fuzz-"))
    corpus.mkdir(exist_ok=True)
    fuzzer = Fuzzer(asked.seed)
    for number in range(SEEDED):
        (corpus / f"seed-{number}").write_bytes(b"\0\0\0" + fuzzer.input().body[:LONGEST])

    def attempt(data: bytes) -> None:
        if len(data) > 3:
            fuzzer.attempt(reply_of(data))

    options = [
        f"-runs={asked.runs}",
        f"-seed={asked.seed}",
        "-timeout=5",
        f"-max_len={LONGEST}",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={corpus}/", str(corpus)], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
