"""The suite of the paces' door: a plain window passes it, and what breaks the contract is caught."""

import math

import pytest
from hypothesis import given, settings

from deepswarm.core.pace import Cost, Fact, Failed, Go, Memory, Reason, Refused, Sent, Served, Unsent, WaitUntil
from deepswarm.testing.suites.pace import Step, any_steps, check_answers, check_same_again, refusals_under_cap


class Window:
    """Up to `limit` calls at once."""

    reason = Reason("user", "up to two calls, as asked")

    def __init__(self, limit: int = 2) -> None:
        self.limit = limit
        self._flying: set[int] = set()

    def observe(self, fact: Fact, now: float) -> None:  # noqa: ARG002 - the door's signature
        if isinstance(fact, Sent):
            self._flying.add(fact.call)
        elif isinstance(fact, Served | Refused | Failed | Unsent):
            self._flying.discard(fact.call)

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:  # noqa: ARG002 - the door's signature
        return Go() if len(self._flying) < self.limit else WaitUntil(math.inf)

    def memory(self) -> Memory:
        return Memory(float(self.limit))


class Forgetful(Window):
    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        answer = super().admit(now, cost)
        self._flying |= {-1, -2}
        return answer


class Late(Window):
    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:  # noqa: ARG002 - the door's signature
        return WaitUntil(now - 1)


class Deaf(Window):
    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:  # noqa: ARG002 - the door's signature
        return WaitUntil(math.inf)


@settings(max_examples=50, deadline=None)
@given(any_steps())
def test_a_plain_window_holds_whatever_it_is_told(steps: list[Step]) -> None:
    check_answers(Window, steps)
    check_same_again(Window, steps)


@pytest.mark.parametrize("wrong", [Forgetful, Late])
def test_a_pace_that_breaks_the_contract_is_caught(wrong: type[Window]) -> None:
    with pytest.raises(AssertionError):
        check_answers(wrong, [Step(0.0, None)] * 3)


def test_a_window_within_the_cap_is_never_refused() -> None:
    assert refusals_under_cap(Window(2), cap=2, tasks=50) == 0


def test_a_window_above_the_cap_is_refused_and_loses_nothing() -> None:
    assert refusals_under_cap(Window(2), cap=1, tasks=50) > 0


def test_a_pace_that_waits_for_ever_is_caught() -> None:
    with pytest.raises(AssertionError, match="waits for ever"):
        refusals_under_cap(Deaf(), cap=2, tasks=1)
