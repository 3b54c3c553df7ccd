"""What an admitted request gets: an answer, or one of the law's faults. Pure: law and draws in, a behaviour out.

To add a fault: a word and its keys in `faultlaw.py`, and a function in one of the tables of `wrong_answers.py` (what is
written is of no use) or `wrong_deliveries.py` (what is written does not arrive as it should).
"""

from __future__ import annotations

from typing import NamedTuple

from deepswarm.simulator.case import Case, Timing
from deepswarm.simulator.fault_replies import breaks_rule
from deepswarm.simulator.faultlaw import Fault, FaultKind
from deepswarm.simulator.play import Play
from deepswarm.simulator.wrong_answers import WRONG_ANSWERS
from deepswarm.simulator.wrong_deliveries import WRONG_DELIVERIES

__all__ = ["Behaviour", "Case", "behave", "fault_of"]


class Behaviour(NamedTuple):
    """What is done about a request.

    Attributes:
        play: What goes over the wire, and when.
        tokens_out: Tokens of a completion that is made, and billed, on the way; None when none is made.
        reasoning: Those of them that are spent on thinking.
        fault: What went wrong; None for a plain answer.
    """

    play: Play
    tokens_out: int | None
    reasoning: int = 0
    fault: FaultKind | None = None


def behave(case: Case) -> Behaviour:
    """What becomes of an admitted request."""
    fault = fault_of(case)
    if fault is None:
        answer = case.write()
        return Behaviour(case.play(answer, case.timing()), answer.tokens, answer.reasoning_tokens)
    timing = case.timing() if fault.after_s is None else Timing(fault.after_s, 0.0)
    if fault.kind in WRONG_ANSWERS:
        answer = WRONG_ANSWERS[fault.kind](case, fault, case.write())
        return Behaviour(case.play(answer, timing), answer.tokens, answer.reasoning_tokens, fault.kind)
    play, billed = WRONG_DELIVERIES[fault.kind](case, fault, timing)
    if billed is None:
        return Behaviour(play, None, 0, fault.kind)
    return Behaviour(play, billed.tokens, billed.reasoning_tokens, fault.kind)


def fault_of(case: Case) -> Fault | None:
    """The fault that hits this attempt: one draw, and each fault in turn takes its rate of it.

    So a fault hits exactly the share that it says, as long as the rates of faults that can meet add up to 1 at most,
    and a fault appended to the list changes nobody's fate who was hit before.
    """
    if not case.law.faults:
        return None
    reached = 0.0
    chance = case.draws.uniform(b"fault")
    for fault in case.law.faults:
        if _may_hit(fault, case):
            reached += fault.rate
            if chance < reached:
                return fault
    return None


def _may_hit(fault: Fault, case: Case) -> bool:
    asked = case.asked
    return (
        (not fault.seeds or asked.marker in fault.seeds)
        and (not fault.attempts or case.attempt in fault.attempts)
        and (not fault.keys or asked.authorization in fault.keys)
        and fault.from_s <= case.since_s
        and (fault.until_s is None or case.since_s < fault.until_s)
        and (fault.kind is not FaultKind.REJECT or breaks_rule(fault, asked))
    )
