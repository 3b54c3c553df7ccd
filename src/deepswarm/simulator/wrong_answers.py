"""Faults of what the model writes: it is delivered, and billed, like any other answer, and is of no use."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count
from typing import Final

from deepswarm.core import jsontext
from deepswarm.simulator.answer import Answer, UsageForm
from deepswarm.simulator.case import Case
from deepswarm.simulator.faultlaw import Fault, FaultKind
from deepswarm.simulator.law import ReplyKind
from deepswarm.simulator.replies import spoiled

_SORRY: Final = "I'm sorry, but I can't help with that."
_LOOP_CHARACTERS: Final = 20_000
_CHARACTERS_PER_TOKEN: Final = 4


def _empty(case: Case, fault: Fault, answer: Answer) -> Answer:
    del case
    if fault.chosen_form == "absent":
        return answer._replace(text=None, absent=frozenset({"content"}))
    return answer._replace(text=None if fault.chosen_form == "null" else "")


def _think(case: Case, fault: Fault, answer: Answer) -> Answer:
    """Thinking that used up the room for tokens or, when it ends by "stop", was taken for the answer."""
    tokens = _room(case, answer) if fault.finish == "length" else answer.tokens
    return Answer(answer.model, "", tokens, case.think(tokens), tokens, fault.finish)


def _whitespace(case: Case, fault: Fault, answer: Answer) -> Answer:
    del fault
    tokens = _room(case, answer)
    return answer._replace(text=" \n  " * tokens, tokens=tokens, reasoning="", reasoning_tokens=0, finish="length")


def _loop(case: Case, fault: Fault, answer: Answer) -> Answer:
    room = case.asked.max_tokens
    size = room * _CHARACTERS_PER_TOKEN if room else fault.size_bytes or _LOOP_CHARACTERS
    tokens = max(1, size // _CHARACTERS_PER_TOKEN)
    unit = (case.think(fault.period)[len("[simulated] ") :] * fault.period)[: fault.period]
    if fault.chosen_form == "near":
        text = "".join(f"{unit} {number}. " for number, _ in zip(count(1), range(0, size, len(unit)), strict=False))
    else:
        text = unit * math.ceil(size / len(unit))
    text = f"{case.asked.mark} {text}"[:size]
    if fault.chosen_form == "reasoning":
        return Answer(answer.model, "", tokens, text, tokens, "length")
    return Answer(answer.model, text, tokens, finish="length")


def _length(case: Case, fault: Fault, answer: Answer) -> Answer:
    del fault
    return answer._replace(text=_half(case, answer), tokens=_room(case, answer), finish="length")


def _content_filter(case: Case, fault: Fault, answer: Answer) -> Answer:
    del fault
    return answer._replace(text=_half(case, answer), finish="content_filter")


def _finish(case: Case, fault: Fault, answer: Answer) -> Answer:
    half = answer._replace(text=_half(case, answer))
    if fault.finish == "missing":
        return half._replace(finish=None, absent=frozenset({"finish_reason"}))
    return half._replace(finish=None if fault.finish == "null" else fault.finish)


def _refusal(case: Case, fault: Fault, answer: Answer) -> Answer:
    if fault.chosen_form == "field":
        return answer._replace(text=None, refusal=f"{case.asked.mark} {_SORRY}")
    return answer._replace(text=f"{case.asked.mark} {_SORRY}")


def _spoiled(case: Case, fault: Fault, answer: Answer) -> Answer:
    """JSON with a defect; where the law's answers are text, the text is put into an object first."""
    text = answer.text or ""
    if case.law.reply.kind is ReplyKind.TEXT:
        text = jsontext.dumps({"text": text, "number": 1}).decode()
    return answer._replace(text=spoiled(text, fault.chosen_form))


def _usage(case: Case, fault: Fault, answer: Answer) -> Answer:
    del case
    if fault.chosen_form == "late":
        return answer._replace(usage_late=True)
    return answer._replace(usage=UsageForm(fault.chosen_form))


def _model(case: Case, fault: Fault, answer: Answer) -> Answer:
    del case
    return answer._replace(model=fault.model)


def _mixed(case: Case, fault: Fault, answer: Answer) -> Answer:
    """The text says for whom it is: here for another one than the one who asked."""
    other = fault.marker or f"{case.asked.marker}-of-another"
    return answer._replace(text=(answer.text or "").replace(case.asked.mark, f"[simulated] [[id:{other}]]", 1))


def _huge(case: Case, fault: Fault, answer: Answer) -> Answer:
    line = f"{case.asked.mark} far too much\n"
    text = (line * (fault.size_bytes // len(line) + 1))[: fault.size_bytes]
    return Answer(answer.model, text, max(1, fault.size_bytes // _CHARACTERS_PER_TOKEN))


def _half(case: Case, answer: Answer) -> str:
    """The first half of a text, but never less than the mark that says what it is."""
    text = answer.text or ""
    return text[: max(len(case.asked.mark), len(text) // 2)]


def _room(case: Case, answer: Answer) -> int:
    """Tokens that the request allows; those of the answer when it does not say."""
    return case.asked.max_tokens or answer.tokens


WRONG_ANSWERS: Final[dict[FaultKind, Callable[[Case, Fault, Answer], Answer]]] = {
    FaultKind.EMPTY: _empty,
    FaultKind.THINK: _think,
    FaultKind.WHITESPACE: _whitespace,
    FaultKind.LOOP: _loop,
    FaultKind.LENGTH: _length,
    FaultKind.CONTENT_FILTER: _content_filter,
    FaultKind.FINISH: _finish,
    FaultKind.REFUSAL: _refusal,
    FaultKind.SPOILED: _spoiled,
    FaultKind.USAGE: _usage,
    FaultKind.MODEL: _model,
    FaultKind.MIXED: _mixed,
    FaultKind.HUGE: _huge,
}
"""What each kind makes of the answer that would have been written."""
