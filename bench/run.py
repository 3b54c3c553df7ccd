"""The harness: see README.md of this folder."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = {"lm-deluge": ("lm_deluge==0.0.168", "lm_deluge.py")}
IN_FLIGHT = (300, 600, 900, 1_250, 2_500)
PAD = "lorem ipsum dolor " * 28
TASK = """\
system_prompt: You translate.
prompt_template: "{{{{prompt}}}}"
worker_model: mock
worker_api_base: http://127.0.0.1:{port}/v1
api_key_env: none
worker_max_tokens: 1024
workers: {in_flight}
stagger: 0
seeds_file: {seeds}
output_dir: {output}
stream: {stream}
"""


@dataclass(frozen=True)
class Measured:
    """A whole process: seconds of wall and CPU, peak MB, and what the server saw of it."""

    wall: float
    cpu: float
    rss_mb: float
    to_first: float
    served: int
    on_disk: int


class Bench:
    """A folder for everything, and the programs that are compared."""

    def __init__(self, folder: Path, peers: list[str], repeat: int) -> None:
        self.folder, self.peers, self.repeat = folder, peers, repeat

    def seeds(self, count: int) -> Path:
        path = self.folder / f"seeds-{count}.jsonl"
        if not path.exists():
            with path.open("w") as file:
                for n in range(1, count + 1):
                    file.write(json.dumps({"id": str(n), "prompt": f"[[id:{n}]] {PAD}"}) + "\n")
        return path

    def task(self, seeds: Path, output: Path, port: int, in_flight: int, *, stream: bool = False) -> Path:
        path = self.folder / "task.yaml"
        values = {"port": port, "in_flight": in_flight, "seeds": seeds, "output": output, "stream": str(stream).lower()}
        path.write_text(TASK.format(**values))
        return path

    def watched(self, count: int, in_flight: int, port: int, every_s: float, *, stream: bool) -> dict[str, Any]:
        """A whole run with `inside.py` in it, and what that saw."""
        output = self.folder / "output"
        shutil.rmtree(output, ignore_errors=True)
        task = self.task(self.seeds(count), output, port, in_flight, stream=stream)
        command = [sys.executable, str(HERE / "inside.py"), str(task), str(every_s)]
        seen: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        if seen["done"] != count:
            sys.exit(f"{seen['done']} of {count} seeds are done")
        return seen

    def command(self, who: str, seeds: Path, output: Path, port: int, in_flight: int) -> list[str]:
        file = str(output / "results.jsonl")
        if who == "floor":
            return [sys.executable, str(HERE / "floor.py"), str(seeds), file, str(port), str(in_flight)]
        if who in PEERS:
            python = ROOT / ".cache" / who / "bin" / "python"
            return [str(python), str(HERE / "peers" / PEERS[who][1]), str(seeds), file, str(port), str(in_flight)]
        task = self.task(seeds, output, port, in_flight)
        return [sys.executable, "-m", "deepswarm", "run", str(task), "--quiet"]

    def once(
        self, who: str, count: int, in_flight: int, port: int, until: Callable[[], bool] | None = None
    ) -> Measured:
        output = self.folder / "output"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        ask(port, "reset")
        command = self.command(who, self.seeds(count), output, port, in_flight)
        measured = measure(command, port, until)
        return Measured(*measured, len(answered(output / "results.jsonl")))


def ask(port: int, what: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{what}", timeout=30) as reply:
        stats: dict[str, float] = json.load(reply)
    return stats


@contextmanager
def server(*how: float, program: str = "server.py") -> Iterator[int]:
    """The mock server in a process of its own; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(HERE / program), str(port), *map(str, how)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield port
        finally:
            process.terminate()


def measure(command: list[str], port: int, until: Callable[[], bool] | None) -> tuple[float, float, float, float, int]:
    """Run a program to its end, or until the condition holds, and then ask it to end."""
    begun = time.time()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while until is not None and process.poll() is None:
            time.sleep(0.2)
            if until():
                process.send_signal(signal.SIGTERM)
                break
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.stderr is not None
        if process.returncode not in {0, 130}:
            sys.exit(f"{command}: exit code {process.returncode}\n{process.stderr.read().decode()}")
    wall = time.time() - begun
    stats = ask(port, "stats")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, stats["first"] - begun, int(stats["served"])


def answered(path: Path) -> set[str]:
    """Ids of the lines that hold an answer with their own mark."""
    found = set()
    with path.open() as file:
        for line in file:
            row = json.loads(line)
            if f"[[id:{row['id']}]]" in (row.get("text") or row.get("answer") or ""):
                found.add(row["id"])
    return found


def turns(bench: Bench, who: list[str], count: int, in_flight: int, port: int) -> dict[str, list[Measured]]:
    """Every program once, then every program again."""
    rows: dict[str, list[Measured]] = {name: [] for name in who}
    for _ in range(bench.repeat):
        for name in who:
            rows[name].append(bench.once(name, count, in_flight, port))
            if rows[name][-1].on_disk != count:
                sys.exit(f"{name}: {rows[name][-1].on_disk} of {count} answers are on disk")
    return rows


def spread(values: list[float], form: str = "{:.3g}") -> str:
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


def table(header: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def speed(bench: Bench) -> None:
    count, in_flight = 10_000, 64
    print(f"## speed: {count:,} calls, server latency 0, {in_flight} in flight, journal on and durable\n")
    with server() as port:
        rows = turns(bench, ["floor", "deepswarm", *bench.peers], count, in_flight, port)
    floor = [row.cpu for row in rows["floor"]]
    table(
        ["who", "CPU per task, µs", "× floor's", "tasks/s", "peak MB"],
        [
            [
                name,
                spread([row.cpu / count * 1e6 for row in all_]),
                spread([row.cpu / base for row, base in zip(all_, floor, strict=True)]),
                spread([count / row.wall for row in all_], "{:,.0f}"),
                spread([row.rss_mb for row in all_]),
            ]
            for name, all_ in rows.items()
        ],
    )
    for peer in bench.peers:
        ratios = [theirs.wall / ours.wall for theirs, ours in zip(rows[peer], rows["deepswarm"], strict=True)]
        print(f"tasks/s of deepswarm against {peer}: {spread(ratios)} ×\n")


def inflight(bench: Bench) -> None:
    count, in_flight = 16_384, 2_048
    print(f"## inflight: {count:,} calls, median 1 s (lognormal, sigma 0.5), {in_flight:,} in flight\n")
    with server(1.0, 0.5) as port:
        rows = turns(bench, ["floor", "deepswarm", *bench.peers], count, in_flight, port)
    floor = [row.wall for row in rows["floor"]]
    table(
        ["who", "wall, s", "× floor's", "peak MB"],
        [
            [
                name,
                spread([row.wall for row in all_]),
                spread([row.wall / base for row, base in zip(all_, floor, strict=True)]),
                spread([row.rss_mb for row in all_]),
            ]
            for name, all_ in rows.items()
        ],
    )


def startup(bench: Bench) -> None:
    print("## startup: spawn to first request with 1,000 seeds; CPU of --help\n")
    with server() as port:
        rows = turns(bench, ["floor", "deepswarm"], 1_000, 8, port)
    helps = []
    for _ in range(max(bench.repeat, 3)):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "deepswarm", "--help"], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        helps.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    table(
        ["what", "seconds"],
        [
            *(
                [f"{name}: spawn to first request", spread([row.to_first for row in all_])]
                for name, all_ in rows.items()
            ),
            ["deepswarm --help, CPU", spread(helps)],
        ],
    )


def memory(bench: Bench) -> None:
    print("## memory: peak resident MB\n")
    with server() as port:
        small = bench.once("deepswarm", 1_000, 64, port)
        large = bench.once("deepswarm", 1_000_000, 64, port, lambda: ask(port, "stats")["served"] >= 20_000)
    table(
        ["seeds", "peak MB", "growth"],
        [
            ["1,000", f"{small.rss_mb:.1f}", ""],
            [
                f"1,000,000 (stopped after {large.served:,} calls)",
                f"{large.rss_mb:.1f}",
                f"{large.rss_mb - small.rss_mb:+.1f}",
            ],
        ],
    )
    print(f"the first start with 1,000,000 seeds reads and enrols them all: {large.to_first:.1f} s to the first call\n")


def resume(bench: Bench) -> None:
    print("## resume: 1,000,000 seeds, 90 % done, seeds file unchanged, the same command again\n")
    output = bench.folder / "resumed"
    shutil.rmtree(output, ignore_errors=True)
    with server(1.0, 0.0) as port:
        task = bench.task(bench.seeds(1_000_000), output, port, 64)
        subprocess.run([sys.executable, str(HERE / "prepared.py"), str(task), str(output)], check=True)
        command = [sys.executable, "-m", "deepswarm", "run", str(task), "--quiet"]
        rows = []
        for _ in range(max(bench.repeat, 3)):
            ask(port, "reset")
            rows.append(measure(command, port, lambda: ask(port, "stats")["served"] > 0))
    table(
        ["what", "median (range)"],
        [
            ["spawn to first call, s", spread([row[3] for row in rows])],
            ["peak MB", spread([row[2] for row in rows])],
        ],
    )


def flight(bench: Bench) -> None:
    chunks, per_s = 1_200, 40
    print(f"## flight: streams of {chunks / per_s:.0f} s at {per_s} chunks/s; how late the event loop is\n")
    rows = []
    for in_flight in IN_FLIGHT:
        with server(chunks, per_s, program="stream_server.py") as port:
            seen = bench.watched(in_flight, in_flight, port, 1.0, stream=True)
        cpu = seen["looks"][-1][1] - seen["looks"][0][1]
        lag = seen["lag_ms"]
        rows.append([f"{in_flight:,}", f"{lag['p50']:.1f}", f"{lag['p99']:.1f}", f"{lag['p100']:.0f}", f"{cpu:.1f}"])
    table(["calls in flight", "lag p50, ms", "p99", "longest", "CPU, s"], rows)


def soak(bench: Bench) -> None:
    count, in_flight = 500_000, 64
    print(f"## soak: {count:,} calls, {in_flight} in flight: the last tenth against the first\n")
    with server() as port:
        looks = bench.watched(count, in_flight, port, 0.5, stream=False)["looks"]
    first, last = between(looks, 0.0, count / 10), between(looks, count * 0.9, count)
    table(
        ["what", "first tenth", "last tenth", "ratio"],
        [
            ["CPU per call, µs", *(f"{tenth[0]:.0f}" for tenth in (first, last)), f"{last[0] / first[0]:.2f}"],
            ["resident MB", *(f"{tenth[1]:.1f}" for tenth in (first, last)), f"{last[1] / first[1]:.2f}"],
        ],
    )


def between(looks: list[tuple[int, float, float]], low: float, high: float) -> tuple[float, float]:
    """CPU per call in µs, and the mean of resident MB, of the looks between two numbers of calls."""
    part = [look for look in looks if low <= look[0] <= high]
    cpu = (part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0])
    return cpu * 1e6, statistics.fmean(look[2] for look in part)


def filters(bench: Bench) -> None:
    """Repair, structure and length against the standard library's JSON; near duplicates among planted ones."""

    def asked(*words: object) -> dict[str, float]:
        command = [sys.executable, str(HERE / "filters.py"), *map(str, words)]
        said: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        return said

    rows = []
    for count in (10_000, 100_000):
        file = bench.folder / f"records-{count}.jsonl"
        asked("make", file, count)
        pairs = [(asked("floor", file), asked("judge", file)) for _ in range(bench.repeat)]
        ratios = [ours["cpu_s"] / floor["cpu_s"] for floor, ours in pairs]
        times = spread([ours["cpu_s"] for _, ours in pairs])
        rows.append([f"{count:,}", times, spread(ratios), f"{max(ours['rss_mb'] for _, ours in pairs):.0f}"])
    print("repair, structure, length over records of 2 kB; ratio to json.loads + json.dumps of the same file (CPU)\n")
    table(["records", "CPU s", "ratio", "peak MB"], rows)
    found = asked("near", 100_000)
    print("near duplicates, 100,000 texts of 300 words, one in ten planted\n")
    numbers = [f"{found[name]:.3g}" for name in ("wall_s", "cpu_s", "precision", "recall")]
    table(["wall s", "CPU s", "precision", "recall", "peak MB"], [[*numbers, f"{found['rss_mb']:.0f}"]])


def formats(_: Bench) -> None:
    """Writing 1,000,000 records in each format: a script of its own, see there."""
    subprocess.run(
        [sys.executable, str(HERE / "formats.py")], check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}
    )


BENCHES: dict[str, Callable[[Bench], None]] = {
    "speed": speed,
    "inflight": inflight,
    "startup": startup,
    "memory": memory,
    "resume": resume,
    "flight": flight,
    "soak": soak,
    "filters": filters,
    "formats": formats,
}


def install(peer: str) -> None:
    folder = ROOT / ".cache" / peer
    if not (folder / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "pip"), "install", "-q", PEERS[peer][0]], check=True)


def main() -> None:
    if sys.argv[1:2] == ["pace"]:  # it has options of its own, and runs in virtual time
        from pace.command import main as pace

        pace(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="./swarm bench", description="Benchmarks; see bench/README.md.")
    parser.add_argument("what", choices=[*BENCHES, "all", "pace"], help="pace: see pace --help")
    parser.add_argument("--peer", action="append", choices=list(PEERS), default=[])
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    for peer in arguments.peer:
        install(peer)
    compileall.compile_dir(ROOT / "src", quiet=1)  # as it is for an installed package
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16_384)), hard))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory(prefix="deepswarm-bench-") as folder:
        bench = Bench(Path(folder), arguments.peer, arguments.repeat)
        for name in BENCHES if arguments.what == "all" else [arguments.what]:
            BENCHES[name](bench)


if __name__ == "__main__":
    main()
