"""Time and memory of writing so many records, each format in a process of its own.

    python bench/formats.py [--records 1000000] [--formats jsonl json parquet]

Prints one JSON object a line: seconds, peak MB above that of an empty export, MB of the file. Memory must not follow
the number of records: run it with two numbers and compare.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def records(count: int) -> Iterator[dict[str, Any]]:
    """Records of about 2 kB whose seeds differ in shape."""
    text = "The tide turns when the moon has passed, and the sand remembers it for an hour or two. " * 20
    for number in range(count):
        seed = {"q": number, "nested": [number, {"deep": str(number)}]} if number % 2 else {"q": "text", "more": None}
        yield {
            "id": f"s{number}",
            "outcome": "done",
            "answer": f"{number} {text}",
            "seed": seed,
            "model_asked": "m",
            "model_answered": "m-1",
            "finish_reason": "stop",
            "usage": {"tokens_in": 10, "tokens_out": number, "cached": 0, "reasoning": None},
            "attempts": 1,
            "tier": "worker",
            "timings": {"started_utc": 1.8e9, "ended_utc": 1.8e9 + 1, "call_s": 1.0},
            "request_id": f"r{number}",
            "fingerprint": "f",
            "simulated": False,
        }


def measured(kind: str, count: int) -> dict[str, Any]:
    """One export in this process."""
    from deepswarm.formats import writer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"f.{kind}")
        writer(kind)(records(100), path)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        written = writer(kind)(records(count), path)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = path.stat().st_size
    return {
        "format": kind,
        "records": written,
        "seconds": round(seconds, 1),
        "peak_mb_above_empty": round((peak - before) / 1024),
        "peak_mb": round(peak / 1024),
        "file_mb": round(size / 1e6, 1),
    }


def main() -> None:
    """Each format in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", default=["jsonl", "json", "parquet"])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measured(given.formats[0], given.records)))
        return
    for kind in given.formats:
        words = [sys.executable, __file__, "--here", "--records", str(given.records), "--formats", kind]
        subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
