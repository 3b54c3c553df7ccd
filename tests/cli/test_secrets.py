"""The API key, a canary, in no byte that a run leaves behind or says: also when the provider repeats it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import sqlite3
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from deepswarm.testing.served import LAW, serving

BOUND_S = 90
KEY = 'sk-CANARY/+9f"8e7d6c5b4a?=0123'
"""With characters that base64, addresses and JSON each write otherwise."""
TASK = """\
prompt_template: "[[id:{{id}}]] Write about {{topic}}."
worker_model: mock
worker_api_base: ADDRESS/v1
api_key_env: SOME_KEY
workers: 4
stagger: 0
worker_retries: 1
call_retries: 2
pause_limit: 0
output_format: parquet
filters: [json_repair]
"""
ECHOES = """
[[faults]]
kind = "status"
status = 400
seeds = ["s1"]
message = "the key {key} asks for too much"
headers = "x-request-id: {key}"

[[faults]]
kind = "status"
status = 500
seeds = ["s2"]
raw = "<html>{key} failed</html>"

[[faults]]
kind = "status"
status = 422
seeds = ["s3"]
message = "{key}"
code = "{key}"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("seeds.jsonl").write_text("".join(json.dumps({"id": f"s{n}", "topic": "tides"}) + "\n" for n in range(6)))
    return tmp_path


def disguises() -> list[bytes]:
    """The key as it may be written: raw, for addresses, as JSON, and as base64 from each of three beginnings."""
    forms = {KEY, urllib.parse.quote(KEY), urllib.parse.quote(KEY, safe=""), urllib.parse.quote_plus(KEY)}
    forms |= {json.dumps(KEY)[1:-1], json.dumps(KEY).replace("/", "\\/")[1:-1]}
    texts = [form.encode() for form in forms]
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + KEY.encode())
        texts.append(coded[4 * (shift > 0) : (len(coded) // 4 - 1) * 4])
    return texts


def found_in(data: bytes) -> list[bytes]:
    return [text for text in disguises() if text in data]


def everything_in(path: Path) -> bytes:
    """A file's bytes, and what they hold once they are read as what they are."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data += gzip.decompress(data)
    if path.suffix == ".sqlite":
        with sqlite3.connect(path) as db:
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in db.execute(f'SELECT * FROM "{table}"'):
                    data += b"\0".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)
    if path.suffix == ".parquet":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        data += json.dumps(table.to_pylist(), default=str).encode() + str(table.schema.metadata).encode()
    return data


def run(address: str, *arguments: str) -> tuple[subprocess.CompletedProcess[bytes], bytes]:
    """What a run did, and what its process showed of itself to others."""
    Path("task.yaml").write_text(TASK.replace("ADDRESS", address))
    command = [sys.executable, "-m", "deepswarm", "run", "task.yaml", *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**clean, "SOME_KEY": KEY}
    ) as process:
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        out, err = process.communicate(timeout=BOUND_S)
    return subprocess.CompletedProcess(command, process.returncode, out, err), shown


def assert_nowhere(folder: Path, done: subprocess.CompletedProcess[bytes], shown: bytes) -> None:
    assert found_in(done.stdout + done.stderr + shown) == []
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in written if found_in(everything_in(path))} == set()


def test_the_search_finds_a_key_in_every_disguise(folder):
    for place in range(3):
        coded = base64.b64encode(b"x" * place + KEY.encode() + b"yyy")
        assert found_in(coded), place
    (folder / "x.jsonl").write_text(json.dumps({"reason": f"no such key: {KEY}"}))
    assert found_in(everything_in(folder / "x.jsonl"))
    with sqlite3.connect(folder / "x.sqlite") as db:
        db.execute("CREATE TABLE t (a)")
        db.execute("INSERT INTO t VALUES (?)", (urllib.parse.quote(KEY, safe="").encode(),))
    assert found_in(everything_in(folder / "x.sqlite"))


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_key_that_the_provider_repeats_is_in_no_byte_of_what_a_run_leaves_behind(folder, stream):
    with serving(folder, LAW + ECHOES) as provider:
        done, shown = run(provider.address, "--set", f"stream={stream}")
        assert provider.counts()["received"] > 6
    assert done.returncode == 1, done.stderr
    failed = [json.loads(line) for line in Path("output/failed.jsonl").read_text().splitlines()]
    assert {record["id"] for record in failed} == {"s1", "s2", "s3"}
    assert any("***" in record["reason"] for record in failed), "the provider's words are kept, without the key"
    assert_nowhere(folder, done, shown)


@pytest.mark.parametrize("status", [401, 402, 404, 429])
def test_a_key_in_the_words_that_stop_a_run_is_not_shown(folder, status):
    law = f'{LAW}[[faults]]\nkind = "status"\nstatus = {status}\nretry_after_s = 7200\nmessage = "for {{key}}"\n'
    with serving(folder, law) as provider:
        done, shown = run(provider.address)
    assert done.returncode in {2, 75}, done.stderr
    assert b"***" in done.stdout + done.stderr
    assert_nowhere(folder, done, shown)
