"""Leaving a run early: a real process, real signals, and the provider's own account of what was asked and served."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

BOUND_S = 60
SEEDS = [f"s{n}" for n in range(400)]
WORKERS = 8
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, with seeds in it."""
    monkeypatch.chdir(tmp_path)
    Path("seeds.jsonl").write_text("".join(json.dumps({"id": name}) + "\n" for name in SEEDS))
    return tmp_path


@contextmanager
def serving(law):
    """The simulated provider as a process, named by the task; yields its address."""
    Path("law.toml").write_text(law)
    command = [sys.executable, "-m", "deepswarm", "simulate", "--law", "law.toml", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            Path("task.yaml").write_text(
                f'prompt_template: "[[id:{{{{id}}}}]] go"\nworker_model: mock\nworker_api_base: {address}\n'
                f"api_key_env: none\nworkers: {WORKERS}\nstagger: 0\n"
            )
            yield address.removesuffix("/v1")
        finally:
            process.terminate()


def steady():
    """Answers of a tenth of a second: a run of several seconds."""
    return serving("[latency]\nmedian_s = 0.1\n[tokens]\nmedian = 5\n")


def silent_at_first():
    """The first call of each of the first seeds gets no answer; all others are quick."""
    return serving(f'[tokens]\nmedian = 5\n[[faults]]\nkind = "hang"\nattempts = [1]\nseeds = {SEEDS[:WORKERS]}\n')


def account(address, path):
    with urllib.request.urlopen(f"{address}/{path}", timeout=30) as reply:  # noqa: S310 - loopback
        return reply.read()


def counts(address):
    return json.loads(account(address, "_counts"))


def served(address):
    rows = [json.loads(line) for line in account(address, "_ledger").split(b"\n") if line]
    return Counter(row["name"] for row in rows if row["served"])


@contextmanager
def running(**streams):
    """A run that is killed when the test takes too long, and in any case at its end."""
    command = [sys.executable, "-m", "deepswarm", "run", "task.yaml"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **streams}
    with subprocess.Popen(command, **pipes) as process:
        guard = threading.Timer(BOUND_S, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()


def until(process, address, name, number):
    """Wait until the provider has counted so many."""
    while counts(address)[name] < number:
        assert process.poll() is None, "the run ended before it could be interrupted"


def results():
    data = Path("output/results.jsonl").read_bytes()
    return sorted(json.loads(line)["id"] for line in data.split(b"\n") if line)


def resumed(said):
    """Give the command that a summary names."""
    command = said.strip().splitlines()[-1].removeprefix("to go on: ")
    words = shlex.split(command)
    assert words[:2] == ["deepswarm", "run"]
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=BOUND_S, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_first_signal_lets_calls_in_flight_end_and_names_the_command_that_ends_the_run(number):
    with steady() as address:
        with running() as process:
            until(process, address, "served", 40)
            process.send_signal(number)
            said, errors = process.communicate()
        assert process.returncode == 130, errors
        assert f"{number.name}: starting nothing new" in errors
        assert "Once more to leave at once" in errors
        assert said.startswith(f"interrupted: {number.name}\n")
        paid = counts(address)
        assert paid["received"] == paid["served"] < len(SEEDS)
        assert paid["client_gone"] == 0
        assert Counter(results()) == served(address), "every answer that was paid for is there"

        ended = resumed(said)
        assert ended.returncode == 0, ended.stderr
        assert served(address) == Counter(SEEDS), "nothing was paid twice"
    assert results() == sorted(SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_leaves_within_two_seconds_and_loses_no_seed(second):
    with silent_at_first() as address:
        with running() as process:
            until(process, address, "in_flight", WORKERS)
            process.send_signal(signal.SIGINT)
            assert any("Once more to leave at once" in line for line in process.stderr)
            assert process.poll() is None, "the first signal waits for the calls in flight"
            process.send_signal(second)
            start = time.monotonic()
            said, errors = process.communicate()
            assert time.monotonic() - start < 2.0
        assert process.returncode == 130, errors
        assert "leaving at once; calls in flight are noted as possibly billed" in errors
        assert "Traceback" not in errors
        assert f"{WORKERS} calls that may have been billed all the same" in said
        assert said.splitlines()[-1] == "to go on: deepswarm run task.yaml"
        assert counts(address)["received"] == WORKERS

        ended = resumed(said)
        assert ended.returncode == 0, ended.stderr
        assert f" {WORKERS} calls that may have been billed all the same" in ended.stdout
        assert served(address) == Counter(SEEDS)
    assert results() == sorted(SEEDS)


@pytest.mark.slow
def test_a_terminal_that_is_closed_lets_the_run_keep_what_is_in_flight():
    with steady() as address:
        ours, theirs = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if k not in {"CI", "AGENT", "AI_AGENT"}}
        environment["TERM"] = "xterm"
        with running(stderr=theirs, stdout=subprocess.PIPE, start_new_session=True, env=environment) as process:
            os.close(theirs)
            until(process, address, "served", 20)
            drawn = os.read(ours, 1 << 16)
            os.close(ours)  # from now on every line to the terminal is an error
            process.send_signal(signal.SIGHUP)
            said, _ = process.communicate()
        assert b"\x1b" in drawn, "a terminal gets the live line"
        assert process.returncode == 130
        assert said.startswith("interrupted: SIGHUP\n")
        assert Counter(results()) == served(address)
        assert resumed(said).returncode == 0
        assert served(address) == Counter(SEEDS)


@pytest.mark.slow
def test_an_interruption_while_waiting_out_refusals_does_not_wait_for_the_provider():
    with serving('[[faults]]\nkind = "status"\nstatus = 429\nretry_after_s = 60\n') as address:
        with running() as process:
            until(process, address, "received", 1)
            process.send_signal(signal.SIGINT)
            start = time.monotonic()
            said, errors = process.communicate()
            assert time.monotonic() - start < 5.0
        assert process.returncode == 130, errors
        assert f"seeds            {len(SEEDS)} = 0 done" in said
        assert "to go on: deepswarm run task.yaml" in said
