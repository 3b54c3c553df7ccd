"""Asking the same thing otherwise, and what the replies to some seeds teach about the others."""

from deepswarm.core.asking import Change, changed, difference, possible
from deepswarm.core.errors import Empty, Starved
from deepswarm.core.lessons import OFTEN, Lessons
from deepswarm.core.records import Call, Message

PLAIN = Call("m", (Message("user", "hello"),))
FULL = Call("m", PLAIN.messages, 100, {"response_format": {"type": "json_object"}, "temperature": 0.2})


def test_each_change_changes_what_it_says_and_nothing_else():
    assert changed(FULL, Change.NONE) == FULL
    assert changed(FULL, Change.MORE_ROOM) == FULL._replace(max_tokens=200)
    assert changed(FULL, Change.NO_THINKING) == FULL._replace(thinking="off")
    assert changed(FULL, Change.NO_JSON_MODE) == FULL._replace(params={"temperature": 0.2})
    assert changed(FULL, Change.OTHER_SAMPLING).params == {**FULL.params, "temperature": 0.5}


def test_only_changes_that_make_a_difference_are_possible():
    assert possible(FULL) == frozenset(Change)
    assert possible(PLAIN) == {Change.NONE, Change.NO_THINKING, Change.OTHER_SAMPLING}


def test_what_the_task_says_explicitly_about_thinking_is_not_undone():
    for thinking in ("off", "low", "high", "max"):
        assert Change.NO_THINKING not in possible(FULL._replace(thinking=thinking))


def test_a_temperature_that_is_no_number_or_at_its_highest_stays():
    for temperature in ("hot", 1.5):
        call = PLAIN._replace(params={"temperature": temperature})
        assert Change.OTHER_SAMPLING not in possible(call)


def test_after_five_starved_seeds_the_others_get_more_room_from_the_start():
    lessons = Lessons()
    told = [lessons.learn(Starved("all thought"), Change.MORE_ROOM) for _ in range(2 * OFTEN)]
    assert told == [False] * (OFTEN - 1) + [True] + [False] * OFTEN
    assert lessons.first(FULL, FULL.messages) == FULL._replace(max_tokens=200)


def test_other_failures_teach_nothing():
    lessons = Lessons()
    assert not any(lessons.learn(Empty(""), Change.NO_JSON_MODE) for _ in range(3 * OFTEN))
    assert lessons.first(FULL, FULL.messages) == FULL


def test_how_a_call_was_asked_otherwise_is_told_by_its_own_values():
    assert difference(FULL, FULL._replace(messages=())) == {}
    otherwise = changed(changed(FULL, Change.MORE_ROOM), Change.NO_JSON_MODE)
    assert difference(FULL, otherwise) == {"max_tokens": 200, "response_format": None}
    assert difference(PLAIN, changed(PLAIN, Change.NO_THINKING)) == {"thinking": "off"}
    assert difference(PLAIN, changed(PLAIN, Change.OTHER_SAMPLING)) == {"temperature": 1.3}
