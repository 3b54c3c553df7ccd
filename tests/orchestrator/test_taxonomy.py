"""Seeds by a model: spread over topics, near-duplicates out, to an exact count."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from deepswarm.orchestrator.advice import Topic
from deepswarm.orchestrator.taxonomy import (
    BATCH,
    Made,
    asks_of,
    chosen,
    exhausted_by,
    made_of,
    missing,
    seeds_in,
    spread,
    topics_in,
)


def seed(text):
    return {"prompt": text}


def kept(*counts):
    return Made(tuple(tuple(seed(f"{topic}-{n}") for n in range(count)) for topic, count in enumerate(counts)), 0)


@given(st.integers(1, 10_000), st.integers(1, 200))
def test_seeds_are_spread_evenly_and_to_the_count(count, topics):
    found = spread(count, topics)
    assert sum(found) == count
    assert max(found) - min(found) <= 1


COUNTS = st.lists(st.integers(0, 30), min_size=1, max_size=8)


@given(COUNTS, st.integers(1, 200), st.data())
def test_what_is_missing_is_asked_of_topics_that_have_more_to_give(counts, count, data):
    made = kept(*counts)
    exhausted = data.draw(st.frozensets(st.sampled_from(range(len(counts)))))
    gaps = missing(made, count, exhausted)
    assert all(gaps[number] == 0 for number in exhausted)
    lacking = max(0, count - made.seeds)
    assert sum(gaps) == (lacking if len(exhausted) < len(counts) else 0)


@given(COUNTS, st.integers(1, 200))
def test_the_count_is_exact_as_soon_as_there_are_enough(counts, count):
    made = kept(*counts)
    found = chosen(made, count)
    assert len(found) == min(count, made.seeds)
    assert len({row["prompt"] for row in found}) == len(found)


def test_the_first_seeds_are_spread_as_well_as_all():
    assert [row["prompt"] for row in chosen(kept(3, 3), 4)] == ["0-0", "1-0", "0-1", "1-1"]


def test_near_duplicates_are_left_out_across_topics_and_counted():
    long = "Explain to a child how the tides of the sea follow the moon through the month"
    replies = [(0, [seed(long), seed("How do glaciers move?")]), (1, [seed(long + "."), seed("What is lava made of?")])]
    made = made_of(replies, 2, 0.6)
    assert [len(part) for part in made.kept] == [2, 1]
    assert made.near == 1
    assert made == made_of(replies, 2, 0.6)


def test_a_topic_that_gave_nothing_new_is_exhausted():
    assert exhausted_by(kept(2, 2), None, frozenset({0})) == frozenset()
    assert exhausted_by(kept(2, 3), kept(2, 2), frozenset({0, 1})) == frozenset({0})


def test_asks_are_numbered_on_and_show_what_to_avoid():
    topics = [Topic(name="Sea", covers="tides"), Topic(name="Ice", covers="glaciers")]
    asks = asks_of("Questions", topics, kept(3, 0), [0, 45], first=7)
    assert [ask.id for ask in asks] == ["000007", "000008", "000009"]
    assert sum(ask.size for ask in asks) == 49
    assert max(ask.size for ask in asks) <= BATCH
    (again,) = asks_of("Questions", topics, kept(3, 0), [2, 0], first=0)
    assert '"0-1"' in again.ask


def test_topics_that_differ_in_case_alone_stand_once():
    answer = json.dumps({"topics": [{"name": "Sea"}, {"name": " sea", "covers": "x"}, {"name": "Ice"}]})
    assert [topic.name for topic in topics_in(answer)] == ["Sea", "Ice"]


def test_seeds_of_an_answer():
    assert seeds_in('{"seeds": [{"prompt": "a"}, 7]}') == [seed("a")]
