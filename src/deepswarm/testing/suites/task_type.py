"""The suite of the task types' door: what must hold for every type, whatever it asks.

check_open(made(spec), seed)
check_rehearsal(made(spec), seed)
check_any_reply(made(spec), seed, text)
"""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import pytest

from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import NO_USAGE, Json, Reply
from deepswarm.core.turns import Answer, Reject, asked_again
from deepswarm.tasks import TaskType

MARK: Final = "[simulated] [[id:7]]"
BAD_TEXTS: Final = (
    "",
    " \n\t ",
    "\0",
    "\ud800",
    "I'm sorry, but I cannot help with that.",
    "{",
    "[]",
    "{}",
    "null",
    "42",
    '{"a": NaN}',
    '{"label": 3, "labels": "x", "findings": "none"}',
    '{"findings": [{"line": 999999999, "severity": "high", "what": "x"}], "summary": "x"}',
    "[" * 2000,
    "```json\n{}\n```\n```json\n{}\n```",
)
"""What models answer when it goes wrong."""


def reply_of(text: str) -> Reply:
    """A whole reply with this text."""
    return Reply(text, "stop", "mock", NO_USAGE)


def check_open(kind: TaskType, seed: Mapping[str, Json]) -> None:
    """A seed becomes messages, the last of them the user's; twice the same; a seed without a field is refused."""
    opened = kind.open(seed)
    assert opened == kind.open(seed)
    assert [message.role for message in opened.messages] in (["user"], ["system", "user"])
    assert opened.fields == seed
    assert kind.names <= set(seed)
    for name in kind.names:
        with pytest.raises(TemplateProblem):
            kind.step(kind.open({key: value for key, value in seed.items() if key != name}), reply_of("x"))


def check_rehearsal(kind: TaskType, seed: Mapping[str, Json]) -> None:
    """The made-up answer is accepted: at once, and after a rejection."""
    opened = kind.open(seed)
    for messages in (opened.messages, asked_again(opened, "wrong", Reject("wrong_answer", "it has 12345 faults"))):
        text = kind.rehearse(messages, MARK)
        step = kind.step(opened, reply_of(text))
        assert isinstance(step, Answer), step
        assert step.text == kind.extract(text)


def check_any_reply(kind: TaskType, seed: Mapping[str, Json], text: str) -> None:
    """Any text is an answer, the same as `extract` tells, or rejected with a class and a reason; nothing raises."""
    opened = kind.open(seed)
    step = kind.step(opened, reply_of(text))
    assert step == kind.step(opened, reply_of(text))
    if isinstance(step, Answer):
        assert step.text == kind.extract(text)
    else:
        assert isinstance(step, Reject)
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", step.label)
        assert step.reason.strip()
        assert len(step.reason) < 3000
        assert asked_again(opened, text, step)[: len(opened.messages)] == opened.messages
    kind.extract(text)
