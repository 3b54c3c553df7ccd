"""What every run looks at by itself before its first call and with its reply."""

from __future__ import annotations

import shutil
from email.utils import formatdate
from typing import NamedTuple

import pytest

from deepswarm.core.records import HttpReply
from deepswarm.engine.preflight import Verdict, clock_of, disk_of

UTC = 1_800_000_000.0


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "words"),
    [
        (0.0, Verdict.OK, "agrees"),
        (50.0, Verdict.OK, "agrees"),
        (300.0, Verdict.WARN, "300 s ahead"),
        (-300.0, Verdict.WARN, "300 s behind"),
    ],
)
def test_a_clock_that_is_not_the_providers_is_told(ahead_s, verdict, words):
    check = clock_of(HttpReply(200, {"date": formatdate(UTC, usegmt=True)}, b""), UTC + ahead_s)
    assert check.verdict is verdict
    assert words in str(check)


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Nov 2026 00:00:00 GMT"])
def test_a_date_that_is_none_says_nothing_of_the_clock(date):
    assert clock_of(HttpReply(200, {"date": date}, b""), UTC).verdict is Verdict.OK


@pytest.mark.parametrize(("free", "verdict"), [(10**6, Verdict.BAD), (500 * 10**6, Verdict.WARN), (10**10, Verdict.OK)])
def test_a_disk_with_little_room_is_told_before_a_run(tmp_path, monkeypatch, free, verdict):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - free, free))
    check = disk_of(tmp_path / "output")
    assert check.verdict is verdict
    assert f"{free / 1e9:.1f} GB free" in str(check)
