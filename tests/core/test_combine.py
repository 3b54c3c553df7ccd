"""Seeds made of lists: every combination, in order; fewer of them evenly; more of them again."""

import math
from collections import Counter
from itertools import islice, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepswarm.core.combine import MOST_COMBINATIONS, MOST_SEEDS, combinations, count_of, problems, seeds_of
from deepswarm.core.identity import content_of
from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.spec import SeedsSection

sizes = st.lists(st.integers(1, 7), min_size=1, max_size=4)


def section(values, count=None, template=None):
    return SeedsSection(template=template, values=values, count=count)


def lists_of(sizes_of_lists):
    return {f"n{place}": [f"v{number}" for number in range(size)] for place, size in enumerate(sizes_of_lists)}


def test_every_combination_comes_once_and_the_first_name_varies_slowest():
    made = list(seeds_of(section({"topic": ["tides", "glaciers"], "n": "1..2"}, template="{{topic}} {{n}}")))
    assert made == [
        {"seed": "tides 1", "topic": "tides", "n": 1},
        {"seed": "tides 2", "topic": "tides", "n": 2},
        {"seed": "glaciers 1", "topic": "glaciers", "n": 1},
        {"seed": "glaciers 2", "topic": "glaciers", "n": 2},
    ]


@given(sizes=sizes)
def test_without_a_count_the_seeds_are_the_product_of_the_lists(sizes):
    lists = lists_of(sizes)
    made = [tuple(fields.values()) for fields in seeds_of(section(lists))]
    assert made == list(product(*lists.values()))
    assert len(made) == combinations(section(lists)) == count_of(section(lists))


@given(sizes=sizes, data=st.data())
def test_a_small_count_never_takes_a_combination_twice_and_each_value_before_any_comes_again(sizes, data):
    lists = lists_of(sizes)
    total = math.prod(sizes)
    count = data.draw(st.integers(1, total))
    made = list(seeds_of(section(lists, count)))
    assert len(made) == count == len({tuple(fields.values()) for fields in made})
    for name, values in lists.items():
        times = Counter(fields[name] for fields in made)
        assert max(times.values()) - min(times[value] for value in values) <= 1


@given(sizes=sizes, data=st.data())
def test_the_seeds_of_a_count_are_among_those_of_every_larger_one(sizes, data):
    lists = lists_of(sizes)
    small = data.draw(st.integers(1, 2 * math.prod(sizes)))
    large = data.draw(st.integers(small, 3 * math.prod(sizes)))
    few, many = (Counter(content_of(f) for f in seeds_of(section(lists, count))) for count in (small, large))
    assert few <= many


@given(sizes=sizes, more=st.integers(0, 50))
def test_a_large_count_begins_again_in_the_same_order(sizes, more):
    lists = lists_of(sizes)
    total = math.prod(sizes)
    made = list(seeds_of(section(lists, total + more)))
    assert len(made) == total + more == count_of(section(lists, total + more))
    assert made[:total] == list(seeds_of(section(lists)))
    assert all(fields == made[place % total] for place, fields in enumerate(made))


def test_long_ranges_are_never_held_in_memory():
    enormous = section({"a": "1..100000000000000", "b": "1..100000000000000", "c": ["x", "y"]}, 3)
    assert problems(enormous) == []
    assert list(seeds_of(enormous)) == [
        {"a": 1, "b": 1, "c": "x"},
        {"a": 2, "b": 2, "c": "y"},
        {"a": 3, "b": 3, "c": "x"},
    ]
    everything = seeds_of(section({"a": "1..100000000000000", "b": "1..100000000000000"}))
    assert list(islice(everything, 2)) == [{"a": 1, "b": 1}, {"a": 1, "b": 2}]


def test_values_keep_their_types_and_without_a_template_there_is_no_text():
    made = list(seeds_of(section({"v": [1, 1.5, None, True, "x", ["a"], {"b": 1}]})))
    assert made == [{"v": value} for value in (1, 1.5, None, True, "x", ["a"], {"b": 1})]


@pytest.mark.parametrize(
    ("values", "count", "template", "told"),
    [
        ({"a": []}, None, None, ["'a' is an empty list"]),
        ({"a": [], "b": "5..1"}, None, None, ["'a' is an empty list", "'b': the range 5..1 holds no number"]),
        ({"a": "1..5..0"}, None, None, ["holds no number"]),
        ({"topic": ["x"]}, None, "{{topik}}", ["uses {{topik}}, for which there are no values"]),
        ({"topic": ["x"]}, None, "{{topic", ["template cannot be read"]),
        ({"seed": ["x"]}, None, "{{seed}}", ["'seed' is what the template's text is named"]),
        ({"id": ["x"]}, None, None, ["ids must differ"]),
        ({"a": "1..4000", "b": "1..4000"}, None, None, ["the lists make 16,000,000 combinations (4,000 x 4,000)"]),
        ({"a": "1..9"}, MOST_SEEDS + 1, None, ["is too many seeds"]),
    ],
)
def test_everything_that_is_wrong_is_told_at_once_with_what_to_do(values, count, template, told):
    found = problems(section(values, count, template))
    assert len(found) == len(told)
    for problem, words in zip(found, told, strict=True):
        assert words in problem.what
        assert problem.hint


def test_a_near_name_is_suggested_for_a_placeholder_without_values():
    (problem,) = problems(section({"topic": ["x"]}, template="{{topik}}"))
    assert problem.hint == "did you mean {{topic}}?"


def test_a_range_that_is_none_is_a_problem_also_where_the_types_were_not_checked():
    (problem,) = problems(SeedsSection(template=None, values={"a": "1-5"}, count=None))
    assert problem.what == "'a' is not a range: 1-5"


def test_many_combinations_are_made_when_a_count_asks_for_them():
    assert combinations(section({"a": "1..4000", "b": "1..4000"})) > MOST_COMBINATIONS
    assert problems(section({"a": "1..4000", "b": "1..4000"}, 5)) == []


def test_a_template_that_fails_says_on_which_values():
    made = seeds_of(section({"a": [1, "x"]}, template="{{ a + 1 }}"))
    assert next(made) == {"seed": "2", "a": 1}
    with pytest.raises(TemplateProblem, match=r"with a: x"):
        next(made)
