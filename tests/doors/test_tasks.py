"""Task types: the suite for every one that is listed, then what each of them rejects, and with which class."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.spec import TaskSpec, check
from deepswarm.core.turns import Answer, InputTooLong
from deepswarm.tasks import TABLE, made
from deepswarm.tasks.language import other_language
from deepswarm.tasks.reading import json_in
from deepswarm.tasks.reference import number_in
from deepswarm.tasks.translation import _SAMPLES, lost
from deepswarm.testing.suites.task_type import BAD_TEXTS, check_any_reply, check_open, check_rehearsal, reply_of

SOURCE = "The <b>harbour</b> has 1,250 boats, says {name}, and each of them came here a long time ago."
GERMAN = "Im <b>Hafen</b> liegen 1.250 Boote, sagt {name}, und jedes von ihnen kam vor langer Zeit hierher."
SHAPE = {"type": "object", "required": ["boats"], "properties": {"boats": {"type": "integer", "minimum": 1}}}
SECTIONS = {
    "translation": {"target_language": "de", "glossary": {"harbour": "Hafen"}},
    "classification": {"labels": ["Place", "Person"]},
    "extraction": {"json_schema": SHAPE},
}
"""Of the types that need one."""


def spec_of(kind, section=None, **keys):
    section = SECTIONS.get(kind) if section is None else section
    keys |= {} if section is None else {kind: section}
    spec = check({"task_type": kind, "prompt_template": "{{text}}", "worker_model": "mock", **keys})
    assert isinstance(spec, TaskSpec), spec
    return spec


def step(kind, text, section=None, source=SOURCE, **keys):
    task = made(spec_of(kind, section, **keys))
    return task.step(task.open({"text": source, "answer": "1,250"}), reply_of(text))


def label(*args, **keys):
    found = step(*args, **keys)
    return "ok" if isinstance(found, Answer) else found.label


# --- the suite -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TABLE)
def test_every_type_opens_a_conversation_and_misses_what_a_seed_does_not_have(kind):
    check_open(made(spec_of(kind)), {"text": SOURCE})


@pytest.mark.parametrize("kind", TABLE)
def test_every_type_accepts_what_its_own_rehearsal_answers(kind):
    check_rehearsal(made(spec_of(kind)), {"text": SOURCE})


@pytest.mark.parametrize("kind", TABLE)
@pytest.mark.parametrize("text", BAD_TEXTS)
def test_every_type_ends_the_known_bad_replies_with_a_class_and_a_reason(kind, text):
    check_any_reply(made(spec_of(kind)), {"text": SOURCE}, text)


@pytest.mark.parametrize("kind", TABLE)
def test_every_type_judges_any_text_without_raising(kind):
    task = made(spec_of(kind))

    @settings(max_examples=60, deadline=None)
    @given(
        st.one_of(
            st.text(max_size=80), st.recursive(st.none() | st.integers() | st.text(max_size=9), _nested).map(json.dumps)
        )
    )
    def judged(text):
        check_any_reply(task, {"text": SOURCE}, text)

    judged()


def _nested(inner):
    names = st.sampled_from(["label", "labels", "findings", "line", "severity", "what", "summary", "boats"])
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)


@pytest.mark.parametrize("kind", TABLE)
def test_a_system_prompt_of_the_task_s_own_keeps_the_rules_of_the_type(kind):
    mine = made(spec_of(kind, system_prompt="Be kind.")).open({"text": SOURCE}).messages[0].content
    own = made(spec_of(kind)).open({"text": SOURCE}).messages[0].content
    assert mine.startswith("Be kind.")
    assert kind in {"generation", "custom"} or own.partition("\n\n")[2] in mine


# --- translation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GERMAN, "ok"),
        (SOURCE, "echo"),
        (f"  {SOURCE.upper()}", "echo"),
        (
            "Le <b>port</b> compte 1 250 bateaux, dit {name}, et ils sont tous arrivés ici il y a longtemps.",
            "lost_number",
        ),
        ("Le <b>port</b> compte 1.250 bateaux, dit {name}, et ils sont arrivés il y a longtemps.", "wrong_language"),
        (GERMAN.replace("{name}", "Name"), "lost_placeholder"),
        (GERMAN.replace("</b>", ""), "lost_tag"),
        (GERMAN.replace("1.250", "1.260"), "lost_number"),
        ("I'm sorry, but I can't translate that.", "refused"),
        ("Es tut mir leid.", "lost_placeholder"),
    ],
)
def test_a_translation_is_whole_and_in_the_target_language(text, expected):
    assert label("translation", text) == expected


def test_a_name_may_stay_what_it_is():
    assert label("translation", "Oslo 7", source="Oslo 7") == "ok"


@pytest.mark.parametrize(
    ("source", "text", "kept"),
    [("3 cats", "drei Katzen", True), ("in 1984", "neunzehnhundert", False), ("%s of %d", "%d %s", True),
     ('<a href="x">y</a>', '<a href="x" title="z">ü</a>', True), ("{{a}} {{a}}", "{{a}}", False)],
)  # fmt: skip
def test_what_must_be_kept_is_counted(source, text, kept):
    assert (lost(source, text) is None) is kept


def test_only_the_terms_that_occur_and_the_neighbours_are_context():
    section = {
        "target_language": "de",
        "glossary": {"harbour": "Hafen", "whale": "Wal"},
        "before": "was",
        "source": "text",
    }
    task = made(spec_of("translation", section))
    system = task.open({"text": SOURCE, "was": "It was evening."}).messages[0].content
    assert "harbour = Hafen" in system
    assert "whale" not in system
    assert "It was evening." in system


# --- summarization ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A harbour with many boats.", "ok"), ("Boats.", "short_answer"),
     ("one two three four five six seven", "long_answer"),
     ("x" * 200 + " two three", "long_answer"), ("I cannot summarize this text.", "refused")],
)  # fmt: skip
def test_a_summary_has_its_length_and_is_shorter_than_its_source(text, expected):
    assert label("summarization", text, {"least_words": 2, "most_words": 6}) == expected


def test_a_text_beyond_the_window_fails_before_it_is_asked():
    task = made(spec_of("summarization", {"window_tokens": 100}))
    task.open({"text": "word " * 10})
    with pytest.raises(InputTooLong, match="window_tokens"):
        task.open({"text": "word " * 100})


# --- classification --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"label": "Place"}', "Place"), ('```json\n{"label": "place"}\n```', "Place"), ("Person.", "Person"),
     ('It is {"label": "Person"}.', "Person")],
)  # fmt: skip
def test_the_answer_is_the_label_as_the_task_spells_it(text, expected):
    assert step("classification", text) == Answer(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"label": "Thing"}', "unknown_label"), ('{"label": ["Place"]}', "wrong_shape"), ("a place, I think", "not_json"),
     ('{"kind": "Place"}', "wrong_shape"), ("I cannot classify this.", "refused")],
)  # fmt: skip
def test_what_is_no_label_is_rejected(text, expected):
    assert label("classification", text) == expected


def test_several_labels_come_in_the_order_of_the_task():
    section = {"labels": ["a", "b", "c"], "multi_label": True}
    assert step("classification", '{"labels": ["C", "a"]}', section) == Answer('["a","c"]')
    assert step("classification", '{"labels": []}', section) == Answer("[]")
    assert label("classification", '{"labels": ["a", "d"]}', section) == "unknown_label"


# --- extraction and code review --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"boats": 1250}', "ok"), ('{"boats": 0}', "wrong_shape"), ('{"boats": "1250"}', "wrong_shape"),
     ("[]", "wrong_shape"),
     ("1250 boats", "not_json"), ('{"boats": 1', "not_json"), ("I can't help with that.", "refused")],
)  # fmt: skip
def test_extracted_data_fits_the_schema(text, expected):
    assert label("extraction", text) == expected


def test_only_what_stands_around_the_json_is_taken_away():
    number = '{ "boats": 12345678901234567890123 }'
    assert step("extraction", number) == Answer(number)
    assert step("extraction", f"Here:\n```json\n{number}\n```\nBye {{x}}") == Answer(
        '{"boats":12345678901234567890123}'
    )


def test_a_schema_that_is_none_is_told_before_the_run():
    with pytest.raises(ValueError, match="no JSON Schema"):
        made(spec_of("extraction", {"json_schema": {"type": "obect"}}))


@pytest.mark.parametrize(("line", "expected"), [(1, "ok"), (3, "ok"), (4, "no_such_line"), (0, "wrong_shape")])
def test_a_finding_names_a_line_that_exists(line, expected):
    review = {"findings": [{"line": line, "severity": "high", "what": "x"}], "summary": "s"}
    assert label("code_review", json.dumps(review), source="a = 1\nb = 2\nc = 3\n") == expected


def test_two_answers_are_not_one():
    assert json_in('{"a": 1} {"a": 2}').label == "not_json"


# --- a reference answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "verify", "expected"),
    [
        ("There are 1250 boats", {"compare": "numeric"}, "ok"),
        ("First 3, so 1,251", {"compare": "numeric"}, "wrong_answer"),
        ("1,251", {"compare": "numeric", "tolerance": 0.01}, "ok"),
        ("many", {"compare": "numeric"}, "no_answer"),
        ("So it is\n 1,250. ", {}, "ok"),
        ("So it is\n1250", {}, "wrong_answer"),
        ("The answer is <1,250>, clearly", {"pattern": "<(.*?)>"}, "ok"),
        ("The answer is 1,250", {"pattern": "<(.*?)>"}, "no_answer"),
    ],
)
@pytest.mark.parametrize("kind", ["generation", "custom"])
def test_an_answer_is_compared_with_the_seed_s_reference_and_the_reason_does_not_tell_it(kind, text, verify, expected):
    found = step(kind, text, verify={"reference": "answer", **verify})
    assert ("ok" if isinstance(found, Answer) else found.label) == expected
    assert isinstance(found, Answer) or "1,250" not in found.reason


@pytest.mark.parametrize(
    ("text", "same"), [("2/4", "0.5"), ("1,000", "1e3"), ("-3", "-3.0"), ("$5", "5")]
)  # fmt: skip
def test_numbers_are_read_exactly(text, same):
    assert number_in(text) == number_in(same)


@pytest.mark.parametrize("text", ["", "x", "1/0", "NaN", "1e999999999", "1/x"])
def test_what_is_no_number_is_none(text):
    assert number_in(text) is None


# --- the language ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", _SAMPLES)
def test_a_sentence_is_in_its_own_language_and_in_no_other(code):
    assert [other for other in _SAMPLES if not other_language(_SAMPLES[code], other)] == [code]


@pytest.mark.parametrize(
    "text", ["", "1234", "Oslo", "https://example.com/die/und/das/oder", "```\nfor x in y:\n    pass\n```"]
)
def test_what_has_no_language_is_in_none(text):
    assert not other_language(text, "de")
