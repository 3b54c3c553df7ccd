"""kill -9 of a real run of conversations with tools: no finished turn is asked again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from conversations import kills


@pytest.mark.slow
def test_kills_at_random_moments_of_conversations_ask_no_finished_turn_again():
    figures = kills(count=8, seeds=60, chance_seed=3)
    assert figures["finished_turns_asked_again"] == 0
    assert figures["paid_beyond"] <= figures["in_flight_at_kills"]
