"""The keys of the task types: what is refused, at which key, and what a type asks for by itself."""

from __future__ import annotations

import pytest

from deepswarm.core.records import Call
from deepswarm.core.spec import TaskSpec, check
from deepswarm.core.typekeys import with_defaults

SMALLEST = {"prompt_template": "{{text}}", "worker_model": "mock"}


def only(**values):
    found = check(SMALLEST | values)
    assert isinstance(found, list), "it is sound"
    [flaw] = found
    return flaw


@pytest.mark.parametrize(
    ("values", "path", "words"),
    [
        ({"task_type": "translation"}, ("task_type",), "needs the key 'translation.target_language'"),
        ({"task_type": "classification"}, ("task_type",), "needs the key 'classification.labels'"),
        ({"classification": {"labels": ["a"]}}, ("classification",), "this task's is generation"),
        (
            {"task_type": "code_review", "verify": {"reference": "x"}},
            ("verify",),
            "'verify' is for custom and generation",
        ),
        ({"verify": {"reference": "x", "pattern": "("}}, ("verify", "pattern"), "not a regular expression"),
        ({"verify": {"reference": "x", "pattern": "x"}}, ("verify", "pattern"), "has no group"),
        (
            {"task_type": "classification", "classification": {"labels": ["a", "A "]}},
            ("classification", "labels"),
            "names a label twice",
        ),
        (
            {"task_type": "summarization", "summarization": {"least_words": 9, "most_words": 3}},
            ("summarization", "least_words"),
            "is more than most_words",
        ),
        (
            {"task_type": "translation", "translation": {"target_language": "German"}},
            ("translation", "target_language"),
            "must be the code of the language to translate into, such as de, not 'German'",
        ),
        (
            {"task_type": "translation", "translation": {"target_language": "de", "glosary": {}}},
            ("translation", "glosary"),
            "unknown key 'translation.glosary'",
        ),
    ],
)
def test_what_is_wrong_with_a_type_s_section_is_said_at_its_key(values, path, words):
    flaw = only(**values)
    assert flaw.path == path
    assert words in flaw.what


@pytest.mark.parametrize("kind", ["generation", "summarization", "code_review", "custom"])
def test_a_type_a_template_and_a_model_are_enough(kind):
    assert isinstance(check(SMALLEST | {"task_type": kind}), TaskSpec)


def test_a_type_asks_for_its_defaults_only_where_the_task_says_nothing_and_the_dialect_takes_them():
    call = Call("mock", ())
    made = with_defaults(call, "classification", "deepseek", {})
    assert (made.thinking, made.max_tokens) == ("off", 512)
    assert made.params == {"temperature": 0.0, "response_format": {"type": "json_object"}}
    assert with_defaults(call, "classification", "openai_chat", {}) == call
    assert with_defaults(call, "generation", "deepseek", None) == call
    own = Call("mock", (), 99, {"temperature": 1, "response_format": {"type": "text"}}, "high")
    assert with_defaults(own, "classification", "deepseek", {}) == own
    assert with_defaults(call._replace(params={"thinking": {}}), "extraction", "deepseek", {}).thinking == "default"


def test_a_dialect_that_takes_a_schema_is_given_it():
    asked = with_defaults(Call("mock", ()), "extraction", "vllm", {"type": "object"}).params["response_format"]
    assert asked == {"type": "json_schema", "json_schema": {"name": "extraction", "schema": {"type": "object"}}}
