"""Conversations as their notes add up, what is sent of them, and how pieces of a reply are joined."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core import continuing, reasoning, transcript, window
from deepswarm.core.events import TurnNoted
from deepswarm.core.records import Message
from deepswarm.core.transcript import Spent, latest, transcript_of

THINKING = Message("assistant", "b", {"reasoning_content": "why"})


def note(kind, data, turn=1, call=1):
    return TurnNoted(0.0, 0.0, call, 7, turn, kind, data)


def said(text, call=1, **more):
    return note("said", transcript.said(Message("assistant", text, more), "stop", Spent(tokens_in=call)), call=call)


def added(*texts, errors=0):
    return note("added", transcript.added([Message("user", text) for text in texts], errors))


def opened(text="a"):
    return note("opened", transcript.added([Message("user", text)]))


def test_notes_add_up_to_the_conversation_and_tell_whether_its_last_reply_is_owed_an_answer():
    so_far = transcript_of([opened(), said("b", 3), added("c", errors=1), said("d", 5)])
    assert [message.content for message in so_far.messages] == ["a", "b", "c", "d"]
    assert (so_far.turns, so_far.owed, so_far.call) == (2, True, 5)
    assert so_far.spent == Spent(tokens_in=5)
    assert not transcript_of([opened(), said("b"), added("c")]).owed


def test_a_rejected_reply_is_no_part_of_the_conversation():
    so_far = transcript_of([opened(), said("b"), note("unsaid", transcript.unsaid(Spent(tokens_in=9)))])
    assert so_far.messages == (Message("user", "a"),)
    assert (so_far.turns, so_far.owed, so_far.spent.tokens_in) == (0, False, 9)


def test_a_conversation_that_was_begun_anew_has_nothing_of_the_earlier_one():
    notes = [opened("old"), said("x"), opened("new"), said("y")]
    assert [message.content for message in transcript_of(notes).messages] == ["new", "y"]
    assert latest(notes) == notes[2:]
    assert latest([said("x")]) == ()


FIELDS = st.dictionaries(
    st.sampled_from(["reasoning_content", "tool_call_id", "name"]), st.text(max_size=4), max_size=2
)
MESSAGES = st.builds(Message, st.sampled_from(["user", "assistant", "tool"]), st.text(max_size=30), FIELDS)


@settings(max_examples=50)
@given(MESSAGES)
def test_a_message_comes_back_from_its_note_as_it_was(message):
    again = transcript.message_of(transcript.fields_of(message))
    assert again == message._replace(more=again.more)
    assert dict(again.more) == dict(message.more)


@settings(max_examples=100)
@given(st.lists(MESSAGES, min_size=1, max_size=12), st.integers(20, 120))
def test_what_is_sent_fits_the_window_and_no_tool_answers_a_call_that_is_left_out(messages, most):
    messages = [Message("user", "begin"), *messages]
    found = window.cut(messages, most, 5)
    if found is not None:
        sent = window.shortened(messages, found)
        assert window.tokens_of(sent) + 5 <= most
        assert sent[0] == messages[0]
        assert found.start == found.first or messages[found.start].role != "tool"


@given(st.text(min_size=1, max_size=200), st.text(max_size=50))
def test_pieces_are_joined_to_the_letter_or_not_at_all(text, rest):
    assert continuing.joined(text, rest, by_prefix=True) == text + rest
    anchor = continuing.anchor_of(text)
    if anchor:
        assert continuing.joined(text, anchor + rest, by_prefix=False) == text + rest
        assert continuing.joined(text, "Sure: " + rest, by_prefix=False) is None or anchor.startswith("Sure")


def test_thinking_is_sent_back_or_taken_away_by_the_policy():
    messages = [Message("user", "a"), THINKING, Message("assistant", "c")]
    echoed = reasoning.sent(messages, reasoning.ECHO)
    assert [dict(message.more) for message in echoed] == [{}, {"reasoning_content": "why"}, {"reasoning_content": ""}]
    assert [dict(message.more) for message in reasoning.sent(messages, reasoning.STRIP)] == [{}, {}, {}]
    plain = [Message("user", "a")]
    assert reasoning.sent(plain, reasoning.ECHO) is plain
