"""Law files: what they take, and what they say about what they do not take."""

import re
from dataclasses import fields

import pytest

from deepswarm.core.errors import TaskFileError
from deepswarm.simulator import faultlaw
from deepswarm.simulator import law as law_module
from deepswarm.simulator.faultlaw import BodyKind, Fault, FaultKind
from deepswarm.simulator.law import (
    Latency,
    Law,
    ReplyKind,
    ReplyLaw,
    StreamLaw,
    Tokens,
    UsageWhen,
    description,
    load_law,
    presets,
    read_law,
)
from deepswarm.simulator.limitlaw import (
    BalanceLaw,
    CacheLaw,
    CapAt,
    Charge,
    Counted,
    GrowthLaw,
    HeaderDialect,
    InFlightBudget,
    Prices,
    QueueLaw,
    RateLaw,
    RefusalBody,
    RefusalLaw,
    RetryAfter,
    Shape,
    Step,
    Tenant,
    TopUp,
)


def tables_of(kind):
    """A table of a law, and all tables within it."""
    found = [kind]
    for key in fields(kind):
        for inner in (key.metadata.get("table"), key.metadata.get("tables")):
            found += [] if inner is None else tables_of(inner)
    return found


WHOLE = """\
concurrency = 8
retry_after_s = 1.5
assumed_tokens = 900
headers = "groq"
[refusal]
status = 503
message = "No"
code = "no"
body = "html"
retry_after = "both"
[[rates]]
counts = "tokens"
amount = 6
per_s = 10
name = "tpm"
shape = "bucket"
burst_s = 2
charge = "reserve"
refused = true
failed = false
advertise = 7
grow = 0.5
most = 8
[[rates]]
counts = "requests"
amount = 3
shape = "window"
first_reset_s = 5
[growth]
factor = 1.5
counts = "tokens"
period_s = 9
least = 2
most = 3
freeze_s = 4
[balance]
usd = 3
[[balance.caps]]
at_least = 1
concurrency = 2
[[balance.top_ups]]
at_s = 5
usd = 6
[in_flight_budget]
usd = 1
balance_share = 0.5
retry_after_s = 2
[queue]
slots = 4
most_waiting = 0
knee = 5
thrash_above = 3
[[tenants]]
share = 0.25
from_s = 1
until_s = 2
every_s = 3
[[steps]]
at_s = 1
concurrency = 0
slots = 2
slowdown = 3
answer_tokens = 4
rate = "tpm"
amount = 5
[cache]
unit_tokens = 64
least_tokens = 128
after = 1
ttl_s = 60
most_units = 9
[prices]
input = 1
cached = 0.5
output = 2
[stream]
chunk_tokens = 4
keep_alive_s = 1
reasoning = 0.5
usage = "each"
[latency]
median_s = 2
sigma = 0.5
per_token_s = 0.01
first_token_s = 1
first_token_sigma = 0.25
tokens_per_s = 40
tokens_per_s_sigma = 0.75
[tokens]
median = 30
sigma = 0.2
[reply]
kind = "json"
fenced = 0.25
prose = 0.25
trailing_comma = 0.25
truncated = 0.25
[[faults]]
kind = "status"
status = 503
body = "html"
rate = 0.125
retry_after_s = 3
[[faults]]
kind = "huge"
size_bytes = 1_000
seeds = [7, "x"]
attempts = [1, 2]
after_s = 9
"""


def written(folder, text):
    path = folder / "law.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder, text):
    path = written(folder, text)
    with pytest.raises(TaskFileError) as caught:
        load_law(path)
    assert {problem.file for problem in caught.value.problems} == {str(path)}
    return caught.value.problems


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_a_law_and_explains_itself(name):
    assert load_law(name).name == name
    assert (law_module.LAWS / f"{name}.toml").read_text(encoding="utf-8").startswith("# ")
    assert description(name).endswith(".")


def test_the_presets_of_this_version_are_there():
    providers = {
        "deepseek", "deepseek-low-balance", "openai-tier1", "openai-tier5", "azure", "anthropic", "anthropic-ramp",
        "openrouter", "groq", "together", "fireworks", "mistral", "gemini", "vllm",
    }  # fmt: skip
    trials = {"unlimited", "concurrency-cap", "rehearsal", "storm", "brownout", "shared-account"}
    assert providers | trials <= set(presets())
    assert load_law("unlimited").concurrency == 0
    assert load_law("concurrency-cap").concurrency > 0


def test_every_key_of_a_file_arrives(tmp_path):
    path = written(tmp_path, WHOLE)
    assert load_law(path) == Law(
        concurrency=8,
        retry_after_s=1.5,
        assumed_tokens=900,
        headers=HeaderDialect.GROQ,
        refusal=RefusalLaw(503, "No", "no", RefusalBody.HTML, RetryAfter.BOTH),
        rates=(
            RateLaw(
                Counted.TOKENS, 6.0, "tpm", 10.0, Shape.BUCKET, 2.0, 0.0, Charge.RESERVE,
                refused=True, failed=False, advertise=7.0, grow=0.5, most=8.0,
            ),
            RateLaw(Counted.REQUESTS, 3.0, shape=Shape.WINDOW, first_reset_s=5.0),
        ),
        growth=GrowthLaw(1.5, Counted.TOKENS, 9.0, 2.0, 3.0, 4.0),
        balance=BalanceLaw(3.0, caps=(CapAt(1.0, 2),), top_ups=(TopUp(5.0, 6.0),)),
        in_flight_budget=InFlightBudget(1.0, 0.5, 2.0),
        queue=QueueLaw(4, 0, 5.0, 3),
        tenants=(Tenant(0.25, 1.0, 2.0, 3.0),),
        steps=(Step(1.0, 0, 2, 3.0, 4, "tpm", 5.0),),
        cache=CacheLaw(64, 128, 1, 60.0, 9),
        prices=Prices(1.0, 0.5, 2.0),
        stream=StreamLaw(4, 1.0, 0.5, UsageWhen.EACH),
        latency=Latency(2.0, 0.5, 0.01, 1.0, 0.25, 40.0, 0.75),
        tokens=Tokens(30, 0.2),
        reply=ReplyLaw(ReplyKind.JSON, 0.25, 0.25, 0.25, 0.25),
        faults=(
            Fault(FaultKind.STATUS, 0.125, status=503, body=BodyKind.HTML, retry_after_s=3.0),
            Fault(
                FaultKind.HUGE, seeds=frozenset({"7", "x"}), attempts=frozenset({1, 2}), after_s=9.0, size_bytes=1000
            ),
        ),
        name=str(path),
    )  # fmt: skip


def test_an_empty_file_is_the_law_of_all_defaults(tmp_path):
    path = written(tmp_path, "")
    assert load_law(path) == Law(name=str(path))


@pytest.mark.parametrize("kind", tables_of(Law))
def test_every_key_is_explained(kind):
    explained = faultlaw.__doc__ if kind is Fault else law_module.__doc__
    for key in fields(kind):
        if key.metadata:
            assert f"{key.name} =" in explained or re.search(rf"\[(\w+\.)?{key.name}\]", explained)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_kind_of_fault_can_be_written(tmp_path, kind):
    needed = {FaultKind.STATUS: "status = 500", FaultKind.HUGE: "size_bytes = 10"}.get(kind, "")
    assert load_law(written(tmp_path, f'[[faults]]\nkind = "{kind}"\n{needed}\n')).faults[0].kind is kind


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one(tmp_path):
    (problem,) = problems_of(tmp_path, "# a law\nconcurency = 3\n")
    assert (problem.line, problem.source, problem.hint) == (2, "concurency = 3", "did you mean 'concurrency'?")
    assert "concurency" in problem.what


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path):
    text = 'concurrency = -1\n[latency]\nmedian = 2\n[[faults]]\nkind = "hang"\n[[faults]]\nkind = "hangs"\nrate = 2\n'
    problems = problems_of(tmp_path, text)
    assert [problem.what.partition(":")[0] for problem in problems] == [
        "concurrency",
        "latency.median",
        "faults[1].kind",
        "faults[1].rate",
    ]
    assert [problem.line for problem in problems] == [1, 3, 7, 8]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concurrency = 1.5", "whole number"),
        ("concurrency = true", "whole number"),
        ('retry_after_s = "2"', "number"),
        ("retry_after_s = nan", "number"),
        ("retry_after_s = inf", "number"),
        ("latency = 3", "table"),
        ("faults = 3", "list of tables"),
        ("faults = [3]", "table"),
        ('reply.kind = "xml"', "one of text, json"),
        ("reply.kind = [1]", "one of text, json"),
        ("reply.fenced = 1.5", "from 0 to 1"),
        ("[reply]\nfenced = 0.6\nprose = 0.6", "more than 1"),
        ("[[faults]]\nrate = 0.1", "'kind' is missing"),
        ('[[faults]]\nkind = "status"', "needs the key 'status'"),
        ('[[faults]]\nkind = "status"\nstatus = 200', "from 300 up"),
        ('[[faults]]\nkind = "huge"', "needs the key 'size_bytes'"),
        ('[[faults]]\nkind = "hang"\nstatus = 500', "means nothing for the kind 'hang'"),
        ('[[faults]]\nkind = "hang"\nseeds = 7', "list"),
        ('[[faults]]\nkind = "hang"\nseeds = [1.5]', "names or whole numbers"),
        ('[[faults]]\nkind = "hang"\nattempts = [0]', "from 1 up"),
        ('[[faults]]\nkind = "status"\nstatus = 500\nmessage = 5', "must be text"),
        ("[[rates]]\namount = 5", "'counts' is missing"),
        ('[[rates]]\ncounts = "requests"', "'amount' is missing"),
        ('[[rates]]\ncounts = "calls"\namount = 5', "one of requests, tokens"),
        ('[[rates]]\ncounts = "usd"\namount = 1\nrefused = 1', "true or false"),
        ('[[rates]]\ncounts = "usd"\namount = 1\nshape = "window"\nburst_s = 1', "nothing for the shape 'window'"),
        ('[[rates]]\ncounts = "usd"\namount = 1\nfirst_reset_s = 1', "nothing for the shape 'bucket'"),
        ('[[rates]]\ncounts = "usd"\namount = 1\ngrow = 1', "'grow' and 'most' stand together"),
        ("[growth]\nfactor = 0.5", "1 or more"),
        ('[growth]\nfactor = 2\ncounts = "output_tokens"', "known when a request arrives"),
        ("[balance]\ncap_per_usd = 2", "'usd' is missing"),
        ("[balance]\nusd = 2\ncap_per_usd = 2\n[[balance.caps]]\nconcurrency = 2", "a table of caps"),
        ("[[balance.caps]]\nconcurrency = 0", "from 1 up"),
        ("[queue]\nmost_waiting = 2", "without 'slots'"),
        ("[[tenants]]\nfrom_s = 5\nuntil_s = 5", "later than from_s"),
        ("[[tenants]]\nfrom_s = 5\nuntil_s = 9\nevery_s = 3", "at least as long"),
        ('[[steps]]\nrate = "requests"', "'rate' and 'amount' stand together"),
        ('[[steps]]\nrate = "requests"\namount = 5', "no rate limit 'requests'"),
        ('headers = "openia"', "one of none, deepseek"),
    ],
)
def test_a_value_that_a_key_does_not_take_is_refused(tmp_path, text, said):
    (problem,) = problems_of(tmp_path, text)
    assert said in problem.what


def test_problems_in_tables_within_tables_are_told_with_their_line(tmp_path):
    (problem,) = problems_of(tmp_path, "[balance]\nusd = 1\n[[balance.caps]]\nconcurrency = 2\nat_lest = 3\n")
    assert (problem.line, problem.hint) == (5, "did you mean 'at_least'?")


def test_what_is_not_toml_is_told_with_its_place(tmp_path):
    (problem,) = problems_of(tmp_path, "concurrency = 1\nlatency = = 2\n")
    assert (problem.line, problem.source) == (2, "latency = = 2")
    assert problem.column > 0


def test_a_file_that_ends_too_early_is_told(tmp_path):
    (problem,) = problems_of(tmp_path, "concurrency = [1,")
    assert "not TOML" in problem.what


def test_a_misspelt_preset_gets_a_suggestion():
    with pytest.raises(TaskFileError, match="did you mean 'concurrency-cap'"):
        load_law("concurency-cap")


def test_an_unknown_law_lists_the_presets():
    with pytest.raises(TaskFileError, match=", ".join(presets())):
        load_law("nothing/like/it.toml")


def test_a_folder_is_not_a_law(tmp_path):
    with pytest.raises(TaskFileError, match="cannot be read"):
        load_law(tmp_path)


def test_a_law_can_be_read_from_text():
    assert read_law("concurrency = 3", "mine") == Law(concurrency=3, name="mine")
    with pytest.raises(TaskFileError, match="mine:1: concurency"):
        read_law("concurency = 3", "mine")


def test_a_schema_turns_answers_into_json():
    law = load_law("unlimited").with_schema({"type": "array"})
    assert (law.reply.kind, law.schema) == (ReplyKind.JSON, {"type": "array"})
