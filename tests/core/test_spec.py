"""The task's keys: what is sound, what is said about what is not, and what makes two tasks the same."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.address import KEY_ENV, api_url, key_env
from deepswarm.core.changes import differences, fingerprinted, part_of
from deepswarm.core.ranges import range_of
from deepswarm.core.secret import masked
from deepswarm.core.section import chosen, keys_of, plain
from deepswarm.core.spec import ASK, NOT_BUILT, OUTPUT, PACE, TaskSpec, check, json_schema
from deepswarm.core.typekeys import TYPES

SMALLEST = {"prompt_template": "Write about {{seed}}.", "worker_model": "deepseek-v4-flash"}
EVERYTHING = SMALLEST | {
    "task_type": "generation",
    "system_prompt": "You write.",
    "worker_api_base": "https://api.deepseek.com/v1/chat/completions",
    "api_key_env": "MY_KEY",
    "worker_max_tokens": 4096,
    "worker_params": {"temperature": 0.7, "stop": ["\n"], "logit_bias": {"50256": -100}, "stop_token": "</s>"},
    "max_cost": 5.5,
    "max_tokens_total": 1_000_000,
    "max_calls": 5_000,
    "max_time": 7200.0,
    "worker_budget": {"max_cost": 4.0, "max_tokens_total": 900_000, "max_calls": 4_000, "max_time": 3600.0},
    "orchestrator_model": "deepseek-v4-pro",
    "orchestrator_api_base": "https://api.openai.com/v1",
    "orchestrator_api_key_env": "OTHER_KEY",
    "orchestrator_dialect": "openai_chat",
    "orchestrator_max_tokens": 2048,
    "orchestrator_thinking": "high",
    "orchestrator_params": {"temperature": 0.1},
    "orchestrator_budget": {"max_cost": 1.0},
    "plan": "apply",
    "monitor": "off",
    "advice": {"max_calls": 10, "max_cost": 0.5},
    "judge": {"rubric": "It is polite.", "share": 0.5, "least": 4},
    "prices": {"deepseek-v4-flash": {"input": 0.15, "cached": 0.003, "output": 0.6}},
    "multi_turn": True,
    "max_turns": 12,
    "complete_when": {"marker": "[DONE]", "pattern": "^done", "json_field": "status.done", "finish_reason": "stop"},
    "follow_up": {"texts": ["Why?", "And {{seed}}?"]},
    "tools": [{"name": "weather", "description": "of a city", "parameters": {"type": "object"}}],
    "tool_responses": {"weather": {"table": [{"when": {"city": "Paris"}, "give": {"sky": "grey"}}]}},
    "tool_form": "hermes",
    "tool_errors": 1,
    "reasoning": "echo",
    "context_window": 65536,
    "context_policy": "drop_oldest",
    "conversation_limits": {"max_cost": 0.05, "max_tokens": 9000, "max_seconds": 600},
    "code_timeout": 5,
    "seeds_file": "in/seeds.csv",
    "seeds": {"template": "{{a}} of {{b}}", "values": {"a": ["x", 1, None, True], "b": "1..9..2"}, "count": 7},
    "workers": 64,
    "stagger": 0.5,
    "batch_size": 4,
    "worker_retries": 0,
    "worker_dialect": "vllm",
    "thinking": "off",
    "stream": False,
    "call_retries": 0,
    "call_timeout": 30,
    "connect_timeout": 3,
    "first_token_timeout": 20,
    "stall_timeout": 10,
    "seed_timeout": 600,
    "pause_limit": 0,
    "pace": "page-formula",
    "rpm": 600,
    "tpm": 1e6,
    "courtesy": 0.5,
    "rate_limit": 500,
    "output_dir": "out/",
    "output_format": "parquet",
    "checkpoint_every": 100,
    "verify": {"reference": "answer", "compare": "numeric", "tolerance": 0.01, "pattern": "is (.*)"},
    "filters": ["json_repair", {"length": {"shortest": 3}}],
}


CONVERSATION = ("multi_turn", "max_turns", "complete_when", "follow_up", "tools", "tool_responses", "tool_form")
CONVERSATION += ("tool_errors", "reasoning", "context_window", "context_policy")
"""Keys of conversations that change what is asked."""


def sound(**values):
    spec = check(SMALLEST | values)
    assert isinstance(spec, TaskSpec), spec
    return spec


def flaws(**values):
    found = check(SMALLEST | values)
    assert isinstance(found, list), "it is sound"
    return found


def only(**values):
    [flaw] = flaws(**values)
    return flaw


# --- what is sound ---------------------------------------------------------------------------------------------------


def test_two_keys_are_enough_and_the_rest_has_its_default():
    spec = sound()
    assert (spec.workers, spec.stagger, spec.batch_size) == ("auto", "auto", "auto")
    assert (spec.output_dir, spec.output_format, spec.checkpoint_every) == ("output/", "jsonl", 10)


def test_every_key_can_be_given():
    spec = check(EVERYTHING)
    assert isinstance(spec, TaskSpec)
    assert spec.seeds is not None
    assert spec.seeds.count == 7
    assert set(EVERYTHING) | set(TYPES) - {"generation", "custom"} == set(keys_of(TaskSpec)), "add a new key here"


def test_a_key_that_may_be_left_out_may_also_be_null():
    assert sound(system_prompt=None, worker_max_tokens=None, seeds=None, api_key_env=None) == sound()


def test_a_task_cannot_be_changed():
    with pytest.raises(AttributeError, match="frozen"):
        sound().workers = 3


def test_every_key_says_what_it_changes():
    parts = {key: part_of(key) for key in keys_of(TaskSpec)}
    assert parts["prompt_template"] == ASK
    assert parts["workers"] == PACE
    assert parts["output_dir"] == OUTPUT
    assert part_of("a key of a later version") == ASK


# --- what is not built -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["orchestrator_api_base", "orchestrator_api_key_env", "orchestrator_max_tokens"])
def test_what_is_said_of_an_orchestrator_needs_its_model(key):
    flaw = only(
        **{key: {"orchestrator_api_base": "https://api.deepseek.com"}.get(key, "X") if key[-6:] != "tokens" else 9}
    )
    assert flaw.what == f"'{key}' needs an 'orchestrator_model'"
    assert flaw.hint.startswith("add orchestrator_model:")


def test_the_orchestrators_address_is_looked_at_like_the_workers():
    flaw = only(orchestrator_model="m", orchestrator_api_base="ftp://x")
    assert flaw.path == ("orchestrator_api_base",)
    assert flaw.what.startswith("'orchestrator_api_base' must be an address")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"worker_script": "custom_worker.py"}, "'worker_script': worker code of your own is not built yet"),
        (
            {"task_type": "my_task.py:Debate"},
            "'task_type: my_task.py:Debate': task types of your own are not built yet",
        ),
        (
            {"task_type": "summarization", "summarization": {"beyond_window": "split"}},
            "'summarization.beyond_window: split': cutting a text into parts and merging them is not built yet",
        ),
    ],
)
def test_a_value_that_asks_for_something_that_is_not_built_is_refused(values, words):
    assert only(**values).what == words


def test_saying_no_to_what_is_not_built_is_sound():
    sound(multi_turn=False, max_turns=1, task_type="generation")


# --- sentences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("workers", 0, "'workers' must be auto or a whole number from 1 to 100000, not 0"),
        ("workers", True, "'workers' must be auto or a whole number from 1 to 100000, not true"),
        ("workers", 2.5, "'workers' must be auto or a whole number from 1 to 100000, not 2.5"),
        ("workers", "8", "'workers' must be auto or a whole number from 1 to 100000, not the text '8'"),
        ("workers", None, "'workers' has no value"),
        ("workers", [8], "'workers' must be auto or a whole number from 1 to 100000, not a list"),
        ("workers", 10**400, "'workers' must be auto or a whole number from 1 to 100000, not a very large number"),
        ("stagger", -1, "'stagger' must be auto or a number from 0 to 3600, not -1"),
        ("stagger", True, "'stagger' must be auto or a number from 0 to 3600, not true"),
        ("stagger", float("nan"), "'stagger' must be a finite number"),
        ("call_timeout", 0, "'call_timeout' must be auto or a number above 0, at most 86400, not 0"),
        ("worker_retries", -1, "'worker_retries' must be a whole number from 0 to 100, not -1"),
        ("checkpoint_every", 0, "'checkpoint_every' must be a whole number of 1 or more, not 0"),
        ("worker_max_tokens", False, "'worker_max_tokens' must be a whole number of 1 or more, not false"),
        ("worker_model", 4.1, "'worker_model' must be text that is not empty, not 4.1"),
        ("worker_model", "", "'worker_model' is empty"),
        ("prompt_template", " \n", "'prompt_template' is blank"),
        ("output_format", "xml", "'output_format' must be jsonl, json or parquet, not 'xml'"),
        ("multi_turn", 0, "'multi_turn' must be true or false, not 0"),
        ("max_turns", True, "'max_turns' must be a whole number from 1 to 1000, not true"),
        ("max_turns", 0, "'max_turns' must be a whole number from 1 to 1000, not 0"),
        ("filters", "length", "'filters' must be a list, not 'length'"),
        ("worker_params", [1], "'worker_params' must be a section of 'name: value' lines, not a list"),
        ("seeds", 100, "'seeds' must be a section with the keys template, values, count, wanted and distinct, not 100"),
        (
            "task_type",
            "poetry",
            "'task_type' must be generation, translation, summarization, classification, "
            "extraction, code_review or custom, not 'poetry'",
        ),
        ("output_dir", "~/out", "'output_dir' begins with ~, which is not replaced here"),
    ],
)
def test_a_wrong_value_gets_a_plain_sentence(key, value, words):
    flaw = only(**{key: value})
    assert flaw.what == words
    assert flaw.path == (key,)


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("workers", "8", "leave the quotes out"),
        ("workers", "Auto", "did you mean auto?"),
        ("worker_model", 4.1, 'put quotes around it: "4.1"'),
        ("output_format", "jsnol", "did you mean jsonl?"),
        ("multi_turn", "no", "write false"),
        ("filters", {"a": 1}, "begin each item with '- '"),
    ],
)
def test_a_wrong_value_gets_a_hint_where_the_reason_is_plain(key, value, hint):
    assert only(**{key: value}).hint == hint


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("batchsize", "did you mean 'batch_size'?"),
        ("Output-Dir", "did you mean 'output_dir'?"),
        ("model", "did you mean 'worker_model'?"),
        ("max_tokens", "did you mean 'worker_max_tokens'?"),
        ("temperature", "put it under worker_params, as temperature"),
        ("colour", "`deepswarm schema` shows all keys"),
    ],
)
def test_an_unknown_key_gets_the_nearest_known_one(key, hint):
    flaw = only(**{key: 1})
    assert flaw.what == f"unknown key '{key}'"
    assert flaw.hint == hint
    assert flaw.on_key


def test_a_key_near_to_one_that_is_not_built_is_told_so():
    assert only(orchestrater_model="x").hint == "did you mean 'orchestrator_model'?"

    assert only(worker_skript="x").hint.startswith("did you mean 'worker_script'? worker code of your own")


def test_missing_keys_are_named_with_an_example():
    found = check({})
    assert isinstance(found, list)
    assert [flaw.what for flaw in found] == [
        "the key 'prompt_template' is missing",
        "the key 'worker_model' is missing",
    ]
    assert all("for example: " in flaw.hint for flaw in found)


def test_a_misspelt_key_is_not_missing_as_well():
    found = check({"prompt_template": "x", "worker_modle": "m"})
    assert isinstance(found, list)
    assert [flaw.what for flaw in found] == ["unknown key 'worker_modle'"]


def test_all_flaws_are_told_at_once():
    found = flaws(
        workers=0,
        stagger="fast",
        colour=1,
        max_turns=3,
        worker_api_base="ftp://x.com",
        api_key_env="a b",
        worker_params={"n": 3, "temperature": float("inf"), "deep": {"api_key": "x"}},
        seeds={"template": "{{c}}", "values": {"a": [], "b": "5..1", "d": 3}, "cuont": 3},
        filters=[1, {"a": float("nan")}],
        output_dir="~",
    )
    assert sorted(".".join(map(str, flaw.path)) for flaw in found) == [
        "api_key_env",
        "colour",
        "filters.0",
        "filters.1.a",
        "max_turns",
        "output_dir",
        "seeds.cuont",
        "seeds.template",
        "seeds.values.a",
        "seeds.values.b",
        "seeds.values.d",
        "stagger",
        "worker_api_base",
        "worker_params.deep",
        "worker_params.n",
        "worker_params.temperature",
        "workers",
    ]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*keys_of(TaskSpec), *NOT_BUILT, "api_key", "nonsense", "temperature"]) | st.text(),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.sampled_from(["auto", "1..3", "none"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=8,
    )
)
def test_whatever_the_values_are_there_is_a_task_or_there_are_flaws(values):
    found = check(values)
    if isinstance(found, TaskSpec):
        assert set(values) <= set(keys_of(TaskSpec))
        api_url(found)
        key_env(found)
        json.dumps(fingerprinted(found))
    else:
        assert found
        assert all(flaw.what for flaw in found)


# --- rules of their own ----------------------------------------------------------------------------------------------


def test_a_template_that_cannot_be_read_is_told_with_its_line():
    flaw = only(prompt_template="one\ntwo {{seed\n")
    assert flaw.what.startswith("'prompt_template' is not a template: ")
    assert flaw.line >= 2


def test_a_seed_template_may_only_use_the_listed_values():
    flaw = only(seeds={"template": "{{topci}}", "values": {"topic": ["a"]}})
    assert flaw.what == "'seeds.template' uses {{topci}}, which seeds.values does not hold"
    assert flaw.hint == "did you mean {{topic}}?"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1..3", [1, 2, 3]), ("0..10..5", [0, 5, 10]), ("3..1..-1", [3, 2, 1]), ("-1..1", [-1, 0, 1]), ("3..1", [])],
)
def test_a_range_holds_both_its_ends(text, numbers):
    assert list(range_of(text)) == numbers


@pytest.mark.parametrize("text", ["3..1", "1..3..0", "1..3..-1"])
def test_a_range_without_numbers_is_a_flaw(text):
    assert only(seeds={"values": {"a": text}}).what == f"'seeds.values.a': the range {text} holds no number"


@pytest.mark.parametrize("text", ["", "1..", "a..b", "1...3", "1..2..3..4"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ValueError, match="not a range"):
        range_of(text)
    only(seeds={"values": {"a": text}})


@pytest.mark.parametrize(
    "params", [{"model": "x"}, {"messages": []}, {"max_tokens": 3}, {"stream": True}, {"n": 2}, {"n": True}]
)
def test_parameters_that_would_upset_the_request_are_refused(params):
    assert only(worker_params=params).path == ("worker_params", *params)


def test_parameters_that_change_nothing_are_let_through():
    sound(worker_params={"stream": False, "n": 1, "temperature": 0})


# --- secrets ---------------------------------------------------------------------------------------------------------

SECRETS = [
    "sk-0123456789abcdef0123456789abcdef",
    "sk-proj-AbC_dEf-GhIjKlMnOp",
    "gsk_0a1b2c3d4e5f6g7h8i9j",
    "AIzaSyA0123456789-abcdefg",
    "hf_AbCdEfGh1234567890",
    "0123456789abcdef0123456789abcdef",
    "3f2b1c9e-aaaa-4bbb-8ccc-1234567890ab",
    "two words",
    "Bearer x",
    "pass:word",
    "",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_in_the_place_of_the_variables_name_is_refused_and_not_repeated(secret):
    flaw = only(api_key_env=secret)
    assert flaw.what.startswith("'api_key_env' only names the environment variable that holds the key")
    assert flaw.secret
    assert not secret or secret not in f"{flaw.what} {flaw.hint}"


@pytest.mark.parametrize("name", ["DEEPSEEK_API_KEY", "my_key", "_K2", "HF_TOKEN", "none", "OPENAI_API_KEY_2"])
def test_the_name_of_a_variable_is_sound(name):
    sound(api_key_env=name)


@pytest.mark.parametrize(
    "key", ["api_key", "worker_api_key", "key", "token", "API-Key", "password", "openai_key", "hf_token", "secret"]
)
def test_a_key_in_the_file_is_refused_and_not_repeated(key):
    flaw = only(**{key: "hunter2"})
    assert "names the environment variable" in flaw.what
    assert "api_key_env" in flaw.hint
    assert flaw.secret
    assert "hunter2" not in f"{flaw.what} {flaw.hint}"


@pytest.mark.parametrize("params", [{"api_key": "x"}, {"a": {"authorization": "x"}}, {"a": ["sk-0123456789"]}])
def test_a_key_among_the_parameters_is_refused(params):
    assert only(worker_params=params).secret


@pytest.mark.parametrize(
    "base",
    [
        "https://joe:hunter2@api.deepseek.com/v1",
        "https://hunter2@api.deepseek.com/v1",
        "https://api.deepseek.com/v1?key=hunter2",
        "https://api.deepseek.com/v1?x=1&api_key=hunter2",
        "https://api.deepseek.com/sk-hunter2hunter2/v1",
    ],
)
def test_a_key_in_the_address_is_refused_and_not_repeated(base):
    flaw = only(worker_api_base=base)
    assert flaw.secret
    assert "hunter2" not in f"{flaw.what} {flaw.hint}"


@pytest.mark.parametrize("secret", [secret for secret in SECRETS if len(secret) > 12 and secret.count("-") != 4])
@pytest.mark.parametrize("key", ["workers", "output_format", "task_type", "seeds", "filters"])
def test_a_key_in_any_other_place_is_not_repeated_either(secret, key):
    for flaw in flaws(**{key: secret, secret: 1}):
        assert secret not in f"{flaw.what} {flaw.hint}"


@pytest.mark.parametrize(
    "text", ["stories/2024/batch-17", "deepseek-v4-flash-20260801", "task-skeleton", "internationalization"]
)
def test_plain_words_are_not_taken_for_keys(text):
    assert masked(text) == text


# --- the address and its key -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.deepseek.com", "https://api.deepseek.com/chat/completions"),
        ("https://api.deepseek.com/v1", "https://api.deepseek.com/v1/chat/completions"),
        ("https://api.deepseek.com/v1///", "https://api.deepseek.com/v1/chat/completions"),
        ("https://api.deepseek.com/v1/chat/completions", "https://api.deepseek.com/v1/chat/completions"),
        ("https://api.deepseek.com/v1/chat/completions/", "https://api.deepseek.com/v1/chat/completions"),
        ("HTTPS://API.DeepSeek.com:443/v1", "https://api.deepseek.com/v1/chat/completions"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1/chat/completions"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/chat/completions"),
        ("http://127.0.0.1/v1?api-version=2", "http://127.0.0.1/v1/chat/completions?api-version=2"),
    ],
)
def test_calls_go_to_chat_completions_however_the_address_is_written(base, url):
    assert api_url(sound(worker_api_base=base)) == url


@pytest.mark.parametrize(
    "base",
    ["", "api.x.com/v1", "ftp://x.com", "https://", "https:/x", "http://a b/", "http://x:99999", "http://[::", "x"],
)
def test_an_address_that_is_none_is_refused(base):
    flaw = only(worker_api_base=base)
    assert "must be an address that begins with https:// or http://" in flaw.what


def test_an_address_without_its_beginning_is_put_right_in_the_hint():
    assert only(worker_api_base="api.x.com/v1").hint == "write https://api.x.com/v1"


@pytest.mark.parametrize("end", ["/completions", "/responses", "/messages", "/embeddings", "/models"])
def test_the_address_of_another_kind_of_api_is_refused(end):
    assert f"ends in {end}" in only(worker_api_base=f"https://api.openai.com/v1{end}").what


@pytest.mark.parametrize(("host", "name"), KEY_ENV.items())
def test_the_key_of_a_known_provider_has_its_usual_variable(host, name):
    assert key_env(sound(worker_api_base=f"https://{host}/v1")) == name
    assert key_env(sound(worker_api_base=f"https://eu.{host}/v1", api_key_env="OTHER")) == "OTHER"


@pytest.mark.parametrize(
    "host",
    ["localhost:8000", "127.0.0.1:1234", "10.0.0.5", "192.168.1.2", "172.16.0.1", "[::1]:80", "vllm:8000", "box.local",
     "host.docker.internal", "100.64.0.7", "0.0.0.0:8000"],
)  # fmt: skip
def test_a_server_of_ones_own_needs_no_key(host):
    assert key_env(sound(worker_api_base=f"http://{host}/v1")) is None
    assert key_env(sound(worker_api_base=f"http://{host}/v1", api_key_env="LOCAL_KEY")) == "LOCAL_KEY"


def test_an_unknown_host_asks_for_the_variables_name():
    flaw = only(worker_api_base="https://llm.example.org/v1")
    assert flaw.what == "which environment variable holds the key for llm.example.org is not known"
    assert "api_key_env" in flaw.hint
    assert key_env(sound(worker_api_base="https://llm.example.org/v1", api_key_env="none")) is None
    assert key_env(sound(worker_api_base="https://llm.example.org/v1", api_key_env="EXAMPLE_KEY")) == "EXAMPLE_KEY"


@pytest.mark.parametrize("host", ["notapi.deepseek.com.evil.org", "evilapi.openai.com.org", "xapi.openai.com"])
def test_a_host_that_only_looks_like_a_provider_gets_no_key(host):
    assert only(worker_api_base=f"https://{host}/v1").path == ("worker_api_base",)


# --- comparing -------------------------------------------------------------------------------------------------------


_OF_ORCHESTRATOR = [
    f"orchestrator_{key}" for key in ("model", "api_base", "dialect", "max_tokens", "thinking", "params")
]


def test_the_fingerprint_holds_what_is_asked_and_nothing_else():
    spec = check(EVERYTHING)
    assert isinstance(spec, TaskSpec)
    assert fingerprinted(spec) == {
        "prompt_template": EVERYTHING["prompt_template"],
        "system_prompt": "You write.",
        "worker_model": "deepseek-v4-flash",
        "worker_max_tokens": 4096,
        "worker_dialect": "vllm",
        "thinking": "off",
        "worker_params": EVERYTHING["worker_params"],
        **{key: EVERYTHING[key] for key in _OF_ORCHESTRATOR},
        "verify": EVERYTHING["verify"],
        **{key: fingerprinted(check(EVERYTHING))[key] for key in CONVERSATION},
    }


def test_the_fingerprint_leaves_defaults_out_so_that_a_new_key_changes_no_old_one():
    assert fingerprinted(sound()) == SMALLEST
    assert fingerprinted(sound(task_type="generation", worker_params={}, max_turns=1)) == SMALLEST


def test_two_spellings_of_one_address_have_one_fingerprint():
    spellings = ["https://x.org/v1", "https://X.org:443/v1/", "https://x.org/v1/chat/completions/"]
    prints = [fingerprinted(sound(worker_api_base=base, api_key_env="none")) for base in spellings]
    assert prints[0] == prints[1] == prints[2]
    assert prints[0]["worker_api_base"] == "https://x.org/v1/chat/completions"


@pytest.mark.parametrize("key", [key for key in keys_of(TaskSpec) if part_of(key) != ASK])
def test_pace_output_and_the_like_do_not_change_the_fingerprint(key):
    with_it = {"rate_limit": {"pace": "page-formula"}, "conversation_limits": {"multi_turn": True}}.get(key, {})
    if key in {"plan", "monitor", "advice", "judge"} or key.startswith("orchestrator_"):
        with_it = {"orchestrator_model": "big"}
    base = fingerprinted(sound(**with_it))
    assert fingerprinted(sound(**{key: EVERYTHING[key], **with_it})) == base


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"pace": "fixed"}, "pace"),
        ({"rate_limit": 500}, "rate_limit"),
        ({"rpm": 0}, "rpm"),
        ({"tpm": -1}, "tpm"),
        ({"courtesy": 0}, "courtesy"),
        ({"courtesy": 1.5}, "courtesy"),
        ({"workers": 0}, "workers"),
        ({"stagger": -1}, "stagger"),
        ({"pace": "fast"}, "pace"),
    ],
)
def test_a_pace_that_cannot_be_is_said_at_its_key(values, key):
    flaws = check({"prompt_template": "x", "worker_model": "m", "api_key_env": "none", **values})
    assert [flaw.path for flaw in flaws] == [(key,)]


def test_differences_name_the_key_the_values_and_what_they_change():
    old = plain(sound(worker_params={"temperature": 0.2, "top_p": 1}))
    new = plain(sound(worker_params={"temperature": 0.7, "seed": 3}, workers=9, system_prompt="Hi."))
    assert differences(old, new) == [
        ("system_prompt", None, "Hi.", "ask"),
        ("worker_params.temperature", 0.2, 0.7, "ask"),
        ("worker_params.top_p", 1, None, "ask"),
        ("worker_params.seed", None, 3, "ask"),
        ("workers", "auto", 9, "pace"),
    ]


def test_differences_see_what_python_holds_for_equal():
    assert [found.key for found in differences({"worker_params": {"a": 1}}, {"worker_params": {"a": True}})] == [
        "worker_params.a"
    ]


def test_a_task_of_another_version_can_be_compared():
    old = fingerprinted(sound()) | {"later_key": [1], "worker_api_base": "http://[broken"}
    new = plain(sound())
    assert [(found.key, found.part) for found in differences(old, new)] == [
        ("worker_api_base", "ask"),
        ("later_key", "ask"),
    ]


def test_nothing_differs_between_a_task_and_itself():
    spec = check(EVERYTHING)
    assert isinstance(spec, TaskSpec)
    whole, short = plain(spec), chosen(spec)
    assert differences(whole, short) == []


# --- the JSON Schema -------------------------------------------------------------------------------------------------


def test_the_schema_is_draft_2020_12_and_describes_every_key():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(schema)
    assert set(schema["properties"]) == set(keys_of(TaskSpec))
    assert all(rules["description"] for rules in schema["properties"].values())
    assert schema["required"] == ["prompt_template", "worker_model"]
    assert all("default" in rules for key, rules in schema["properties"].items() if key not in schema["required"])
    assert "x-part" not in json.dumps(schema)


@pytest.mark.parametrize("values", [SMALLEST, EVERYTHING, SMALLEST | {"system_prompt": None, "workers": "auto"}])
def test_the_schema_accepts_what_check_accepts(values):
    assert isinstance(check(values), TaskSpec)
    jsonschema_rs.validator_for(json_schema()).validate(values)


@pytest.mark.parametrize(
    "values",
    [{"colour": 1}, {"orchestrator_model": ""}, {"worker_script": "x"}, {"multi_turn": 1}, {"max_turns": 0},
     {"task_type": "translation"}, {"workers": 0}, {"workers": True}, {"stagger": -1}, {"seeds": {"values": {}}},
     {"seeds": {"values": {"a": [1]}, "x": 1}}, {"seeds": {"values": {"a": "1-3"}}}, {"worker_model": ""}],
)  # fmt: skip
def test_the_schema_refuses_what_check_refuses(values):
    assert isinstance(check(SMALLEST | values), list)
    assert not jsonschema_rs.validator_for(json_schema()).is_valid(SMALLEST | values)


def test_an_address_is_the_same_with_and_without_the_end_that_its_named_dialect_wants():
    base = {"worker_api_base": "https://proxy.example.com/v1", "worker_dialect": "anthropic"}
    assert not differences(base, {**base, "worker_api_base": "https://proxy.example.com/v1/messages"})
    assert differences(base, {**base, "worker_dialect": "openai_chat"})


# --- seeds that are described ----------------------------------------------------------------------------------------


def test_seeds_are_combined_or_described():
    spec = sound(seeds={"wanted": "Questions about tides", "count": 100})
    assert spec.seeds.values == {}
    assert spec.seeds.distinct == 0.6


@pytest.mark.parametrize(
    ("section", "what"),
    [
        ({}, "the key 'seeds.values' is missing"),
        ({"wanted": "x"}, "'seeds.wanted' needs 'seeds.count'"),
        ({"wanted": " ", "count": 1}, "'seeds.wanted' is blank"),
        (
            {"wanted": "x", "count": 1, "values": {"a": [1]}},
            "'seeds.values' and 'seeds.wanted' exclude each other: seeds are combined or described",
        ),
        (
            {"wanted": "x", "count": 1, "template": "y"},
            "'seeds.template' and 'seeds.wanted' exclude each other: seeds are combined or described",
        ),
    ],
)
def test_a_description_of_seeds_that_says_too_little_or_too_much(section, what):
    assert only(seeds=section).what == what


def test_a_section_with_its_defaults_written_out_is_the_same_task():
    short = chosen(sound(seeds={"values": {"a": [1]}}))
    long = plain(sound(seeds={"values": {"a": [1]}, "distinct": 0.6}))
    assert differences(short, long) == []
