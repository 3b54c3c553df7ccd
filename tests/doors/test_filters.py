"""Filters: the suite for every one that is listed, then what each of them promises."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepswarm.core import jsontext
from deepswarm.core.errors import DeepSwarmError, Problem, TaskFileError
from deepswarm.core.records import Amend, Drop, Keep
from deepswarm.filters import TABLE, Named, build
from deepswarm.filters.json_repair import JsonRepair
from deepswarm.filters.judging import Dropped, Tally, judge_all
from deepswarm.filters.length import Length
from deepswarm.filters.structure import Structure
from deepswarm.testing.suites.filter import any_json, any_records, check_options, check_verdict, check_verdicts, same

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "maximum": 10}}}
NEEDED = {
    "structure": {"schema": SCHEMA},
    "parts": {"required": ["a"], "tags": ["think"]},
    "language": {"wanted": ["en", "de"]},
    "contamination": {"benchmark": ["one two three four five six seven eight nine"]},
    "pattern": {"match": "[a-z]+", "forbid": "TODO"},
    "python": {"function": "builtins:bool"},
}
"""Options without which a filter cannot be made."""


@pytest.mark.parametrize("name", TABLE)
def test_every_filter_explains_its_options_and_refuses_others(name):
    check_options(name, NEEDED.get(name, {}))


@pytest.mark.parametrize("name", TABLE)
def test_filters_that_look_at_all_records_give_each_of_them_one_verdict_and_always_the_same(name):
    ((_, judge),) = build([{name: NEEDED.get(name, {})}])
    if not hasattr(judge, "judge_all"):
        return

    @settings(max_examples=50, deadline=None)
    @given(st.lists(any_records(), max_size=6))
    def judged(records):
        check_verdicts(judge, records)

    judged()


@pytest.mark.parametrize("name", TABLE)
def test_every_filter_judges_any_record_repeatably_and_changes_only_what_is_its_own(name):
    ((_, judge),) = build([{name: NEEDED.get(name, {})}])

    @settings(max_examples=150, deadline=None)
    @given(any_records())
    def judged(record):
        check_verdict(judge, record)

    judged()


# --- building --------------------------------------------------------------------------------------------------------


def problems_of(*filters):
    with pytest.raises(TaskFileError) as caught:
        build(list(filters), "task.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_everything_that_is_wrong_with_the_filters_is_said_at_once():
    found = problems_of(
        "lenght",
        {"length": {"min_char": 3, "max_chars": "many", "min_words": True}},
        {"structure": None},
        {"length": {"min_chars": 9, "max_chars": 3}},
        {"structure": {"schema": {"type": "objct"}}},
        {"json_repair": [1]},
        {"json_repair": None, "length": None},
        7,
    )
    assert [line.split(":")[1].strip() for line in found] == [
        "filters.1", "filters.2", "filters.2", "filters.2", "filters.3", "filters.4", "filters.5", "filters.6",
        "filters.7", "filters.8",
    ]  # fmt: skip
    text = "\n".join(found)
    assert "did you mean 'length'?" in text
    assert "did you mean 'min_chars'?" in text
    assert "'max_chars' must be a whole number, not 'many'" in text
    assert "'min_words' must be a whole number, not true" in text
    assert "needs the option 'schema'" in text
    assert "'min_chars' is 9, above 'max_chars', which is 3" in text
    assert "no JSON Schema: $.type" in text


def test_an_option_may_be_set_to_nothing_where_nothing_means_no_bound():
    ((_, judge),) = build([{"length": {"min_chars": None}}])
    assert judge == Length(min_chars=None)


def test_a_filter_that_is_named_twice_is_counted_twice():
    assert [name for name, _ in build(["length", "json_repair", {"length": {"max_chars": 3}}])] == [
        "length",
        "json_repair",
        "length (2)",
    ]


def test_a_filter_of_the_users_own_is_found_in_its_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from deepswarm.core.records import Drop, Keep\n"
        "class Loud:\n"
        "    def __init__(self, mark: str = '!'):\n"
        "        self.mark = mark\n"
        "    def judge(self, record):\n"
        "        return Drop('too loud') if self.mark in record['answer'] else Keep()\n"
    )
    ((_, judge),) = build([{f"{file}:Loud": {"mark": "?"}}])
    assert judge.judge({"answer": "what?"}) == Drop("too loud")
    assert "has no option 'marc'" in problems_of({f"{file}:Loud": {"marc": "?"}})[0]


# --- judging ---------------------------------------------------------------------------------------------------------


class Dropping:
    def judge(self, record):
        return Drop("no") if record.get("drop") else Keep()


class Failing:
    def judge(self, record):
        return record["missing"]


class Shouting:
    def judge(self, record):
        return Amend({**record, "answer": record["answer"].upper()}, ("made it loud",))


def test_every_record_is_either_kept_or_dropped_by_one_filter():
    tally = Tally()
    rows = [{"id": str(n), "answer": "a", "drop": n % 3 == 0, "simulated": n == 1} for n in range(10)]
    judged = list(judge_all(rows, [Named("shout", Shouting()), Named("drop", Dropping())], tally))
    assert (tally.read, tally.kept, tally.dropped, tally.simulated) == (10, 6, 4, 1)
    assert [(c.name, c.judged, c.amended, c.dropped, c.example) for c in tally.filters] == [
        ("shout", 10, 10, 0, ""),
        ("drop", 10, 0, 4, "0: no"),
    ]
    assert judged[0] == (rows[0], Dropped("drop", "no"))
    assert judged[1][0]["answer"] == "A"
    assert judged[1][0]["amended"] == {"shout": ["made it loud"]}


def test_what_is_no_record_is_counted_as_dropped_in_reading():
    tally = Tally()
    problem = Problem("not JSON: eh", "x.jsonl", 7, source="{torn")
    ((row, dropped), _) = judge_all([problem, {"id": "1"}], [Named("drop", Dropping())], tally)
    assert row == {"file": "x.jsonl", "line": 7, "text": "{torn"}
    assert dropped == Dropped("reading", "not JSON: eh")
    assert (tally.read, tally.kept, tally.dropped) == (2, 1, 1)
    assert [(count.name, count.judged) for count in tally.filters] == [("reading", 0), ("drop", 1)]


def test_a_filter_that_fails_drops_the_record_and_the_others_go_on():
    tally = Tally()
    ((_, dropped),) = judge_all([{"id": "1"}], [Named("mine", Failing())], tally)
    assert dropped.reason == "the filter itself failed: KeyError: 'missing'"


def test_a_filter_that_gives_something_else_than_a_verdict_drops_the_record():
    ((_, dropped),) = judge_all([{"missing": 1}], [Named("mine", Failing())], Tally())
    assert "gave int, not Keep, Amend or Drop" in dropped.reason


def test_counts_that_do_not_add_up_are_a_fault_of_ours():
    tally = Tally()
    judged = judge_all([{"id": "1"}], [], tally)
    next(judged)
    tally.kept += 1
    with pytest.raises(DeepSwarmError, match="1 records were read, 2 kept"):
        list(judged)


# --- length ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "answer", "reason"),
    [
        ({}, " \n", "0 characters, fewer than 1"),
        ({}, "a", None),
        ({"min_chars": 3}, " ab ", "2 characters, fewer than 3"),
        ({"max_chars": 1}, "\U0001f40b", None),
        ({"max_chars": 1000}, "a" * 1001, "1,001 characters, more than 1,000"),
        ({"min_words": 2}, "one", "1 words, fewer than 2"),
        ({"max_words": 2}, "one two\nthree", "3 words, more than 2"),
        ({"min_chars": None}, "", None),
        ({}, None, "there is no answer"),
    ],
)
def test_length_counts_characters_and_words_without_the_space_around(options, answer, reason):
    assert Length(**options).judge({"answer": answer}) == (Drop(reason) if reason else Keep())


# --- structure -------------------------------------------------------------------------------------------------------


def test_structure_names_every_place_that_does_not_fit():
    schema = {
        "type": "object",
        "required": ["b"],
        "properties": {"a": {"items": {"maximum": 3}}, "c d": {"type": "null"}},
    }
    verdict = Structure(schema).judge({"answer": '{"a": [1, 5, 7], "c d": 1}'})
    assert set(verdict.reason.split("; ")) == {
        '$: "b" is a required property',
        "$.a[1]: 5 is greater than the maximum of 3",
        "$.a[2]: 7 is greater than the maximum of 3",
        "$['c d']: 1 is not of type \"null\"",
    }
    assert Structure(schema, most_errors=2).judge({"answer_json": {"a": [4, 5, 7]}}).reason.endswith("; and more")


def test_structure_reads_the_value_that_json_repair_left():
    record = {"answer": "anything", "answer_json": {"a": 3}}
    assert Structure(SCHEMA).judge(record) == Keep()
    assert Structure(SCHEMA).judge({"answer": "prose"}).reason.startswith("the answer is not JSON")


def test_structure_never_fetches_a_schema_from_elsewhere():
    for reference in ("http://127.0.0.1:9/schema.json", "file:///etc/hostname"):
        with pytest.raises(ValueError, match="no JSON Schema"):
            Structure({"$ref": reference})


def test_structure_judges_text_that_utf8_cannot_hold():
    assert Structure({"items": {"maxLength": 1}}).judge({"answer_json": ["\ud800"]}) == Keep()
    assert isinstance(Structure({"items": {"maxLength": 1}}).judge({"answer_json": ["\ud800a"]}), Drop)


def test_a_reason_does_not_repeat_a_long_answer():
    verdict = Structure({"type": "object"}).judge({"answer": json.dumps("x" * 100_000)})
    assert len(verdict.reason) < 300


# --- json_repair -----------------------------------------------------------------------------------------------------


def judged(answer, finish_reason="stop", **options):
    return JsonRepair(**options).judge({"answer": answer, "finish_reason": finish_reason})


@settings(deadline=None)
@given(any_json(), st.sampled_from([None, 2]), st.booleans())
def test_strictly_valid_json_is_never_changed(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    verdict = judged(text)
    if verdict.notes[:1] == ("decoded: it was encoded twice",):
        assert same(verdict.record["answer_json"], json.loads(value))
        return
    assert verdict.record["answer"] == text
    assert same(verdict.record["answer_json"], value)
    assert not [note for note in verdict.notes if "LaTeX" not in note]


@settings(deadline=None, max_examples=150)
@given(st.lists(any_json(), min_size=1) | st.dictionaries(st.text(), any_json(), min_size=1), st.data())
@example({"a": '{"b": 1}'}, None)
@example([{"a": 1}, {"b": 2}], None)
@example({"a": {"b": "```"}}, None)
def test_json_that_was_cut_off_is_never_kept(value, data):
    text = json.dumps(value, ensure_ascii=False)
    cuts = [data.draw(st.integers(0, len(text) - 1))] if data else range(len(text))
    for cut in cuts:
        for around in ("{}", "```json\n{}", "```json\n{}\n```", "Here it is: {}", "<think>[1]</think>\n{}"):
            for finish_reason in ("stop", None):
                assert isinstance(judged(around.replace("{}", text[:cut]), finish_reason), Drop), (around, text[:cut])


@settings(deadline=None)
@given(any_json())
def test_whatever_finished_for_length_is_dropped_even_when_it_looks_whole(value):
    text = json.dumps(value)
    assert judged(text, "length") == Drop("cut off: finish reason length")


@settings(deadline=None)
@given(
    st.dictionaries(st.text(min_size=1), any_json(), min_size=1), st.sampled_from(["```json\n%s\n```", "```\n%s```"])
)
def test_a_fence_and_prose_around_are_taken_away_and_the_value_stays(value, fence):
    text = "Of course! Here it is:\n\n" + fence.replace("%s", json.dumps(value)) + "\n\nI hope that makes you {smile}."
    verdict = judged(text)
    assert same(verdict.record["answer_json"], value)
    assert verdict.record["answer"] == jsontext.dumps(value).decode()
    assert verdict.notes[:2] == ("removed a Markdown fence", "removed text around the JSON")


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2, 3,]", [1, 2, 3]),
        ("{'a': True, 'b': None}", {"a": True, "b": None}),
        ('{a: 1, // a comment with a { and a "\n "b": .5}', {"a": 1, "b": 0.5}),
        ('{"a": /* { " */ 1}', {"a": 1}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ('{"a": "he said "hi" to me", "b": [1,]}', {"a": 'he said "hi" to me', "b": [1]}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        (r'{"a": "\frac{1}{2} \sum"}', {"a": r"\frac{1}{2} \sum"}),
        ("{\u201ca\u201d: \u201cb\u201d}", {"a": "b"}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('<think>maybe {"b": 2}</think>\n\n{"a": 1}', {"a": 1}),
        ('so, maybe {"b": 2}\n</think>\n{"a": 1}', {"a": 1}),
        ('The answer is {"a": {"b": "}"}}, I think.', {"a": {"b": "}"}}),
        ('```json\n{"code": "```python\\nx = {}\\n```", "a": 1}\n```', {"code": "```python\nx = {}\n```", "a": 1}),
        ('{"a": 1}\n\n{"a": 1}', {"a": 1}),
        ('See [1], {x, y} and {}.\n```json\n{"a": 1}\n```', {"a": 1}),
        ("[1.50, 2.00, 3.10,]", [1.5, 2.0, 3.1]),
        ("{'a': [''], \"b\": ['', ''],}", {"a": [""], "b": ["", ""]}),
        ("Values:\n[1, 2, 3]\nThat is all.", [1, 2, 3]),
        ('{"a": 123456789012345678901234567890,}', {"a": 123456789012345678901234567890}),
    ],
)
def test_broken_json_with_one_defensible_reading_is_amended(answer, value):
    verdict = judged(answer)
    assert isinstance(verdict, Amend), verdict
    assert same(verdict.record["answer_json"], value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "no JSON: the answer is empty"),
        ("I cannot help with that.", "no JSON"),
        ("As shown in [1], the interval [0, 1] and the set {1, 2} are closed; d['x'] is {}.", "no JSON"),
        ("[1] Smith, 2020: a { text } with brackets", "no JSON"),
        ("[Note: this is prose]", "no JSON"),
        (r"\[ x = 1 \]", "no JSON"),
        ('{"a": 1}{"b": 2}', "ambiguous: 2 JSON values, no schema to choose"),
        ('{"a": 1}\n{"b": 2,}', "ambiguous"),
        ('{"a": 1}\nOr else:\n{"b": 2}', "ambiguous"),
        ('```json\n{"a": 1}\n{"b": 2}\n```', "ambiguous"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "not a number of JSON: 1e999"),
        ('{"a": [1, 2, ...]}', "left something out"),
        ('{"a": [1, 2', "cut off or broken"),
        ('{"a": "b', "cut off or broken"),
        ('{"a": [1, 2}', "cut off or broken"),
        ('Sure: {"a": {"b": 1}', "cut off or broken"),
        ('```json\n{"a": 1}\n```\n```json\n{"b": ', "cut off or broken"),
        ('{"a": 1}}', "the brackets close before"),
        ('"x": {"a": 1}}', "the brackets close before"),
        ('{"a": 1}, "b": 2}', "the brackets close before"),
        ('"x": {"a": 1}', "without its beginning"),
        ("<think>so it is", "cut off: <think> never ends"),
        ('{"a": "b", "a": "c",}', "a name stands twice"),
        ('{"a": "b" + "c"}', "put together with +"),
        ("[" * 2_000, "nested more than 200 deep"),
        ("[" * 300 + "]" * 300, "nested more than 200 deep"),
        ("{'a': '" + "x" * 1_000_000 + "'}", "more than 1,000,000: not repaired"),
    ],
)
def test_what_would_be_a_guess_is_dropped_with_its_reason(answer, reason):
    verdict = judged(answer)
    assert isinstance(verdict, Drop), verdict
    assert reason in verdict.reason


def test_a_schema_chooses_among_several_values_when_exactly_one_fits():
    verdict = judged('An example: {"b": 2}\nand the answer: {"a": 1}', schema=SCHEMA)
    assert verdict.record["answer_json"] == {"a": 1}
    assert verdict.notes[-1] == "chosen among 2 values: the only one that fits the schema"
    assert judged('{"a": 1}{"a": 2}', schema=SCHEMA) == Drop("ambiguous: 2 JSON values, 2 of them fit the schema")
    assert judged('{"c": 1}{"b": 2}', schema=SCHEMA) == Drop("ambiguous: 2 JSON values, 0 of them fit the schema")


def test_latex_with_single_backslashes_is_noted_and_left_alone():
    verdict = judged(r'{"a": "\frac{1}{2}"}')
    assert verdict.record["answer_json"] == {"a": "\frac{1}{2}"}
    assert "LaTeX" in verdict.notes[0]


@pytest.mark.parametrize(
    "answer",
    [
        "some { text } here " * 16_000,
        "{" * 100_000,
        '{"a":' * 50_000,
        '"' * 300_000,
        "{'a': '" * 40_000,
        "[{/*" * 50_000,
        "[ /* " * 100 + "/* " * 100_000,
        "~~~" + " " * 300_000 + "x",
        '{"a": 1}' + " " * 300_000 + "x",
        '{"a": "' + "\\" * 200_000,
        "<think>" * 50_000,
        "``` " * 80_000,
        "\n" * 200_000 + "x",
    ],
)
def test_hostile_text_takes_a_moment_and_no_more(answer):
    # the limit is far above what it takes (0.3 s on a slow machine) and far below what going back would (minutes)
    import time

    begun = time.process_time()
    judged(answer)
    assert time.process_time() - begun < 10


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="{}[]\",:'ab1 \n\\`/*#<>think", max_size=60))
def test_no_text_makes_json_repair_fail(text):
    verdict = judged(text)
    if isinstance(verdict, Amend):
        assert same(jsontext.loads(verdict.record["answer"].strip("\ufeff \t\r\n")), verdict.record["answer_json"])


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(), any_json(), min_size=1), st.integers(0, 3))
def test_a_comma_too_many_is_repaired_without_a_change_of_value(value, indent):
    text = json.dumps(value, indent=indent or None)
    broken = text[:-1].rstrip() + ",}"
    verdict = judged(broken)
    assert same(verdict.record["answer_json"], value)
