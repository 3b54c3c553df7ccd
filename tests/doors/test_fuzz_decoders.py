"""A small part of `tests/fuzz_decoders.py`, which runs a million inputs; and inputs that are large."""

import importlib.util
import json
import time
from pathlib import Path

import pytest

from deepswarm.core.errors import CallError
from deepswarm.core.records import HttpReply
from deepswarm.dialects import TABLE
from deepswarm.doors import find
from deepswarm.transports import REPLY_BYTES

SCRIPT = Path(__file__).parents[1] / "fuzz_decoders.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_decoders", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(5))
def test_mutated_replies_are_replies_or_call_errors(fuzz, seed):
    fuzzer = fuzz.Fuzzer(seed)
    for _ in range(400):
        fuzzer.attempt(fuzzer.input())


def test_the_same_seed_gives_the_same_inputs(fuzz):
    one, other = fuzz.Fuzzer(3), fuzz.Fuzzer(3)
    assert [one.input() for _ in range(50)] == [other.input() for _ in range(50)]


def test_a_decoder_that_raises_anything_else_is_found(fuzz, monkeypatch):
    def decode(_reply):
        raise KeyError("choices")

    fuzzer = fuzz.Fuzzer(1)
    broken = type("Broken", (), {"decode": staticmethod(decode)})
    monkeypatch.setattr(fuzzer, "dialects", {"broken": broken})
    with pytest.raises(KeyError):
        fuzzer.attempt(fuzzer.input())


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize(
    "unit",
    [b"[", b'{"a":', b"data: {\n", b"data: x\n", b"\r", b"\n", b": x\n", b"event: error\n", b" ", b"<", b'"', b"\xff"],
)
def test_megabytes_of_anything_are_a_call_error_in_good_time(name, unit):
    dialect = find("dialect", name, TABLE)
    body = unit * (4 * 1024 * 1024 // len(unit))
    began = time.process_time()
    with pytest.raises(CallError):
        dialect.decode(HttpReply(200, {}, body))
    assembler = dialect.assembler()
    for at in range(0, len(body), 16_384):
        assembler.feed(body[at : at + 16_384])
    with pytest.raises(CallError):
        dialect.decode(HttpReply(200, {}, assembler.body()))
    assert time.process_time() - began < 60  # of a hang, not of slowness


@pytest.mark.parametrize("unit", [b"[", b'{"choices":', b"\n", b'{"choices": [{"message": {"content": "'])
def test_the_largest_reply_there_is_is_read_in_good_time(unit):
    began = time.process_time()
    body = unit * (REPLY_BYTES // len(unit))
    with pytest.raises(CallError):
        find("dialect", "openai_chat", TABLE).decode(HttpReply(200, {}, body))
    assert time.process_time() - began < 60  # of a hang, not of slowness


@pytest.mark.parametrize(
    "unit",
    [
        "9",
        "9 ",
        "9m",
        "9.",
        "try again in ",
        "try again in 9",
        "model ",
        "input token count ",
        "concurrency ",
        "per ",
        " ",
    ],
)
def test_a_message_that_nearly_matches_over_and_over_is_read_in_good_time(unit):
    said = "try again in " + unit * (1_000_000 // len(unit))
    details = [{"retryDelay": said[13:]}, {"violations": [{"quotaId": said}]}]
    bodies = [{"error": {"message": said}}, {"error": {"message": said[13:], "details": details}}]
    began = time.process_time()
    for status in (400, 422, 429):
        for body in bodies:
            with pytest.raises(CallError):
                find("dialect", "deepseek", TABLE).decode(HttpReply(status, {}, json.dumps(body).encode()))
    assert time.process_time() - began < 30  # of a hang, not of slowness
