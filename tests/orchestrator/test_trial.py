"""Trials: a change is adopted when it measurably helps, and only then."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepswarm.orchestrator.trial import LEVEL, at_least, verdict, worse

WON = (False, True)
SAME = (True, True)
NEITHER = (False, False)
LOST = (True, False)
FINE = [True] * 20


@pytest.mark.parametrize(
    ("pairs", "controls", "adopt"),
    [
        ([WON] * 10, FINE, True),
        ([WON] * 5 + [NEITHER] * 5, FINE, True),
        ([WON] * 4 + [NEITHER] * 6, FINE, False),  # four heads in a row come once in sixteen times
        ([SAME] * 10, FINE, False),  # a second try would have done
        ([WON] * 6 + [LOST] * 4, FINE, False),
        ([NEITHER] * 10, FINE, False),
        ([WON] * 10, [True] * 10 + [False] * 10, False),  # it breaks what was right
        ([WON] * 10, [], True),  # a hint touches no other seeds
        ([], [], False),
    ],
)
def test_the_rule(pairs, controls, adopt):
    found = verdict(pairs, controls, 0.05, 0.3)
    assert found.adopt is adopt
    assert found.why


def test_a_change_that_saves_a_few_and_breaks_many_is_not_adopted():
    found = verdict([WON] * 10, [False] * 3 + [True] * 17, expected=0.08, share=0.02)
    assert not found.adopt
    assert verdict([WON] * 10, [False] * 3 + [True] * 17, expected=0.08, share=0.5).adopt


def test_a_change_without_effect_is_adopted_as_rarely_as_the_level_says():
    chance = random.Random(7)
    adopted = sum(
        verdict([(chance.random() < 0.4, chance.random() < 0.4) for _ in range(10)], FINE, 0.0, 0.5).adopt
        for _ in range(2000)
    )
    assert adopted <= 2000 * LEVEL


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 1))
def test_the_tail_is_a_chance_and_falls(hits, tries, rate):
    here, further = at_least(hits, tries, rate), at_least(hits + 1, tries, rate)
    assert 0 <= further <= here <= 1


def test_the_tail_is_exact():
    assert at_least(5, 5, 0.5) == 1 / 32
    assert at_least(0, 0, 0.5) == 1
    assert at_least(1, 3, 0.5) == 7 / 8
    assert at_least(9, 10, 0.5) == 11 / 1024


def test_a_change_is_taken_back_when_failures_come_more_often_than_before():
    assert worse(20, 50, 0.1)
    assert not worse(6, 50, 0.1)
    assert not worse(0, 0, 0.1)
