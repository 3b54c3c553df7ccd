"""The task: every key of a task file, its type, its meaning and its one default.

`TaskSpec` is what `taskfile/` makes of a task file and what everything else reads. `check` makes it from plain values
and otherwise returns every flaw at once. The rules:
    - the types below are the only definition: the sentences about them, the fingerprint's parts and the JSON schema are
      made from them;
    - nothing is parsed and ignored: a key or value whose capability is not built yet stands in `NOT_BUILT` and is
      refused with a sentence that says so;
    - an unknown key is a flaw, with what was probably meant.

What is said of a wrong value is in `flaws.py`, what no type can say in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

from deepswarm.core.advicekeys import AdviceSection, JudgeSection
from deepswarm.core.flaws import Flaw, meant, nearest, secret_flaw, type_flaws
from deepswarm.core.price_rules import table_flaw
from deepswarm.core.ranges import RANGE
from deepswarm.core.rules import rule_flaws
from deepswarm.core.secret import masked, names_a_secret, plainly
from deepswarm.core.section import REQUIRED, Json, Rule, Section, key, keys_of, misfits, schema_of, section_of
from deepswarm.core.tierkeys import BudgetSection, Dollars
from deepswarm.core.turnkeys import (
    MOST_TURNS,
    CompleteSection,
    FollowUpSection,
    LimitsSection,
    ToolResponseSection,
    ToolSection,
)
from deepswarm.core.typekeys import (
    NEEDED,
    ClassificationSection,
    CodeReviewSection,
    ExtractionSection,
    SummarizationSection,
    TranslationSection,
    VerifySection,
    unbuilt_flaws,
)

AUTO: Final = "auto"

ASK, PACE, OUTPUT, SEEDS, JUDGE = "ask", "pace", "output", "seeds", "judge"
"""What a key changes: what is asked (part of the fingerprint), how fast, what is written, which seeds, what is kept."""


def _key(part: str, meaning: str, default: Any = REQUIRED, **rules: Any) -> Any:
    return key(default, meaning, part, **rules)


_Seconds = Annotated[float, Rule(gt=0, le=86_400)]
_RangeText = Annotated[str, Rule(pattern=RANGE, description="a range such as 1..100 or 0..100..5")]


class SeedsSection(Section):
    """How `deepswarm seed` makes seeds: every combination of the lists, in order, put into the template."""

    template: str | None = _key(
        SEEDS, "Text of a seed; {{name}} takes a value of `values`. Omit it to write only the values.", None
    )
    values: dict[str, list[Json] | _RangeText] = _key(
        SEEDS, "Lists of values by name, or ranges written as 'first..last' or 'first..last..step'.", {}, min_length=1
    )
    count: Annotated[int, Rule(ge=1)] | None = _key(SEEDS, "How many seeds; default: every combination once.", None)
    wanted: Annotated[str, Rule(min_length=1, max_length=10_000)] | None = _key(
        SEEDS,
        "Instead of values: a description of the seeds, from which the orchestrator's model makes `count` of them"
        " (`deepswarm seed`, which costs calls).",
        None,
    )
    distinct: Annotated[float, Rule(ge=0.3, le=1)] = _key(
        SEEDS, "Of seeds made from a description: those that are as near to each other count as one.", 0.6
    )


class PricesSection(Section):
    """What a model costs, in US dollars per million tokens; wins over every other source of prices."""

    input: Annotated[float, Rule(ge=0, le=1_000_000)] = _key(OUTPUT, "Of the prompt.")
    cached: Annotated[float, Rule(ge=0, le=1_000_000)] | None = _key(
        OUTPUT, "Of the prompt's part that comes from the cache; default: as the rest of it.", None
    )
    output: Annotated[float, Rule(ge=0, le=1_000_000)] = _key(OUTPUT, "Of the answer, its thinking included.")


class TaskSpec(Section):
    """One task. Made by `check`, which also knows the rules that no type can say."""

    task_type: Literal[
        "generation", "translation", "summarization", "classification", "extraction", "code_review", "custom"
    ] = _key(ASK, "What kind of task it is.", "generation")
    translation: TranslationSection | None = _key(ASK, "Of task_type translation: the languages and terms.", None)
    summarization: SummarizationSection | None = _key(ASK, "Of task_type summarization: how long.", None)
    classification: ClassificationSection | None = _key(ASK, "Of task_type classification: the labels.", None)
    extraction: ExtractionSection | None = _key(ASK, "Of task_type extraction: the shape of the answers.", None)
    code_review: CodeReviewSection | None = _key(ASK, "Of task_type code_review: what a finding may be.", None)
    verify: VerifySection | None = _key(
        ASK, "Of task_type generation and custom: the reference answer that answers are compared with.", None
    )
    prompt_template: str = _key(ASK, "The user message; {{name}} takes the seed's field of that name.", min_length=1)
    system_prompt: str | None = _key(ASK, "The system message; may use {{name}} as well.", None)
    worker_model: str = _key(ASK, "The model that does the work, as its provider names it.", min_length=1)
    worker_api_base: str = _key(
        ASK, "Address of the API, with or without /chat/completions at its end.", "https://api.deepseek.com/v1"
    )
    api_key_env: str | None = _key(
        OUTPUT, "Name of the environment variable that holds the key; 'none' for a server without keys.", None
    )
    worker_max_tokens: Annotated[int, Rule(ge=1)] | None = _key(ASK, "Most tokens of one answer.", None)
    worker_dialect: Literal["auto", "openai_chat", "deepseek", "openrouter", "vllm", "anthropic"] = _key(
        ASK, "How the API wants to be spoken to: auto tells by its address.", AUTO
    )
    thinking: Literal["off", "low", "high", "max", "default"] = _key(
        ASK, "How much the model thinks before it answers; default leaves it to the provider.", "default"
    )
    stream: bool | Literal["auto"] = _key(
        PACE,
        "Whether replies come in pieces, so that a call that hangs is found early: auto does so for long ones.",
        AUTO,
    )
    worker_params: dict[str, Json] = _key(ASK, "Further parameters of the request body, passed on as given.", {})
    orchestrator_model: str | None = _key(
        ASK,
        "The dear model, a tier of its own: asked beside the workers. Answers do not go up to it yet.",
        None,
        min_length=1,
    )
    orchestrator_api_base: str | None = _key(ASK, "Address of its API; default: the worker's.", None)
    orchestrator_api_key_env: str | None = _key(
        OUTPUT, "Name of the environment variable that holds its key; default: the worker's at the same address.", None
    )
    orchestrator_dialect: Literal["auto", "openai_chat", "deepseek", "openrouter", "vllm", "anthropic"] = _key(
        ASK, "How its API wants to be spoken to: auto tells by its address.", AUTO
    )
    orchestrator_max_tokens: Annotated[int, Rule(ge=1)] | None = _key(
        ASK, "Most tokens of one answer of it; default: as the worker.", None
    )
    orchestrator_thinking: Literal["off", "low", "high", "max", "default"] = _key(
        ASK, "How much it thinks before it answers.", "default"
    )
    orchestrator_params: dict[str, Json] = _key(ASK, "Further parameters of its request body.", {})
    multi_turn: bool = _key(ASK, "Whether a worker loops through conversation turns.", default=False)
    max_turns: Annotated[int, Rule(ge=1, le=MOST_TURNS)] = _key(
        ASK, "Most turns (replies of the worker model) of a conversation; 1 means 20 with multi_turn.", 1
    )
    complete_when: CompleteSection | None = _key(
        ASK, "How a conversation is complete; without it a reply that calls no tool ends what follow_up does not.", None
    )
    follow_up: FollowUpSection | None = _key(ASK, "What the next user message is.", None)
    tools: list[ToolSection] = _key(ASK, "Tools that the model may call.", [])
    tool_responses: dict[str, ToolResponseSection] = _key(ASK, "What each tool answers, by its name.", {})
    tool_form: Literal["native", "hermes"] = _key(
        ASK, "How tools are offered: native in the request, hermes in the system message.", "native"
    )
    tool_errors: Annotated[int, Rule(ge=0, le=1000)] = _key(
        ASK, "Tool calls of a conversation that may go wrong; the model is told, and one more ends it.", 3
    )
    reasoning: Literal["auto", "echo", "strip"] = _key(
        ASK, "Whether the model's earlier thinking is sent back to it; auto learns it from the provider.", AUTO
    )
    context_window: Annotated[int, Rule(ge=1)] | None = _key(
        ASK, "Tokens that the model reads at most (four bytes count as a token), looked at before each call.", None
    )
    context_policy: Literal["fail", "drop_oldest", "summarise"] = _key(
        ASK, "What becomes of a conversation that outgrows the window.", "fail"
    )
    conversation_limits: LimitsSection | None = _key(PACE, "What one conversation may cost.", None)
    code_timeout: _Seconds = _key(PACE, "Most seconds of one call of a Python function.", 30.0)
    seeds_file: str = _key(
        SEEDS,
        "The seeds: JSONL, JSON, CSV, Parquet, plain lines (also .gz), or a folder of texts;"
        " a relative path starts at the task file's folder.",
        "seeds.jsonl",
        min_length=1,
    )
    seeds: SeedsSection | None = _key(SEEDS, "How `deepswarm seed` makes the seeds file.", None)
    workers: Annotated[int, Rule(ge=1, le=100_000)] | Literal["auto"] = _key(
        PACE,
        "How many calls at once. A number means so many at once, as soon as the first one was heard, and fewer only"
        " after refusals; with `pace: adaptive` it is a ceiling. auto leaves it to the pace.",
        AUTO,
    )
    pace: Literal["auto", "adaptive", "page-formula", "page-table", "fixed"] = _key(
        PACE,
        "How the number of calls at once is found. auto: adaptive where workers is auto, fixed where it is a number."
        " adaptive finds what the provider allows and keeps to it; page-formula and page-table time one call and do as"
        " the DeepSwarm page says.",
        AUTO,
    )
    rpm: Annotated[float, Rule(gt=0)] | None = _key(PACE, "Never more calls a minute than this, evenly spread.", None)
    tpm: Annotated[float, Rule(gt=0)] | None = _key(
        PACE, "Never more tokens a minute than this, of prompts and answers together.", None
    )
    courtesy: Annotated[float, Rule(gt=0, le=1)] = _key(
        PACE, "Share of what the provider allows that this run uses; the rest is for others on the same account.", 1.0
    )
    rate_limit: Annotated[float, Rule(gt=0)] | None = _key(
        PACE, "Calls a minute that the provider allows, for `pace: page-formula`; without it 8 workers.", None
    )
    stagger: Annotated[float, Rule(ge=0, le=3600)] | Literal["auto"] = _key(
        PACE, "Least seconds between two calls at the start and after a pause: auto, or a number.", AUTO
    )
    batch_size: Annotated[int, Rule(ge=1)] | Literal["auto"] = _key(
        PACE, "How many seeds a worker leases at once; one that runs out helps the others. auto: 1.", AUTO
    )
    worker_retries: Annotated[int, Rule(ge=0, le=100)] = _key(
        PACE, "How often a seed is asked again after a reply that was no use (empty, cut short, refused).", 3
    )
    call_retries: Annotated[int, Rule(ge=0, le=100)] = _key(
        PACE, "How often a seed is tried again after a call that failed on the way; waiting for a limit costs none.", 6
    )
    call_timeout: _Seconds | Literal["auto"] = _key(
        PACE,
        "Most seconds of one call. auto: learnt from the calls so far; none for a stream while content comes.",
        AUTO,
    )
    connect_timeout: _Seconds = _key(PACE, "Most seconds until there is a connection.", 15.0)
    first_token_timeout: _Seconds | Literal["auto"] = _key(
        PACE, "Most seconds until a streamed reply's first content; keep-alives do not count.", AUTO
    )
    stall_timeout: _Seconds = _key(PACE, "Most seconds between two pieces of content of a streamed reply.", 120.0)
    seed_timeout: _Seconds = _key(
        PACE, "Most seconds of all calls and back-offs of one seed; waits for limits do not count.", 7200.0
    )
    pause_limit: Annotated[float, Rule(ge=0, le=864_000)] = _key(
        PACE,
        "Most seconds that a run pauses (balance, key, outage) and looks again, before it ends as resumable.",
        1800.0,
    )
    max_cost: Dollars | None = _key(
        PACE,
        "US dollars that the run spends at most, all its sessions together. Before a call its worst case is held back;"
        " when there is no room for one the run pauses, and goes on with a raised cap.",
        None,
    )
    max_tokens_total: Annotated[int, Rule(ge=1)] | None = _key(
        PACE, "Tokens of prompts and answers together that the run uses up at most, in the same way.", None
    )
    max_calls: Annotated[int, Rule(ge=1)] | None = _key(
        PACE, "Calls that the run makes at most; those that were refused for a limit do not count.", None
    )
    max_time: Annotated[float, Rule(gt=0)] | None = _key(
        PACE, "Seconds of the run, all its sessions together, after which it starts no call.", None
    )
    worker_budget: BudgetSection | None = _key(PACE, "The same caps for the worker tier alone.", None)
    orchestrator_budget: BudgetSection | None = _key(
        PACE, "The same caps for the orchestrator; when they are used up the run goes on without it.", None
    )
    prices: dict[str, PricesSection] = _key(
        OUTPUT, "What models cost, by name: input, cached and output in US dollars per million tokens.", {}
    )
    output_dir: str = _key(
        OUTPUT, "Folder of the results; a relative path starts at the task file's folder.", "output/", min_length=1
    )
    output_format: Literal["jsonl", "json", "parquet"] = _key(
        OUTPUT, "Written at the end, beside the results.jsonl that grows during the run.", "jsonl"
    )
    checkpoint_every: Annotated[int, Rule(ge=1)] = _key(
        OUTPUT, "Bring results.jsonl up to date every so many results; a crash loses none in any case.", 10
    )
    plan: Literal["apply", "propose", "off"] = _key(
        PACE,
        "Whether the orchestrator is asked for a plan before the run (notes for the workers, max_tokens, thinking,"
        " thresholds, risks), and whether it is applied or only shown.",
        "propose",
    )
    monitor: Literal["apply", "propose", "off"] = _key(
        PACE,
        "Whether the orchestrator is asked about failures that are alike; apply tries what it answers and adopts what"
        " measurably helps, propose only shows it.",
        "apply",
    )
    advice: AdviceSection | None = _key(PACE, "What planning and monitoring may use up.", None)
    judge: JudgeSection | None = _key(PACE, "A rubric by which the orchestrator's model judges answers.", None)
    filters: list[dict[str, Json] | str] = _key(
        JUDGE, "Filters for `deepswarm filter`, in order; run at the end of a run when given.", []
    )


# --- what the page promises and this version does not hold yet -------------------------------------------------------


class NotBuilt(NamedTuple):
    """A key whose capability is missing. `asks` says of a value whether it asks for that capability."""

    what: str
    hint: str
    asks: Callable[[object], bool] = lambda _: True


NOT_BUILT: Final[Mapping[str, NotBuilt]] = {
    "worker_script": NotBuilt("worker code of your own is not built yet", "leave the key out"),
    "task_type": NotBuilt(
        "task types of your own are not built yet",
        "write the instructions into prompt_template and use task_type: custom",
        lambda value: isinstance(value, str) and ":" in value,
    ),
}
"""Keys of the mission page that are refused, wholly or for the values that ask for the missing capability."""


# --- checking --------------------------------------------------------------------------------------------------------


def check(values: Mapping[str, object]) -> TaskSpec | list[Flaw]:
    """The task, or everything that is wrong with it.

    Args:
        values: The task file's content as JSON values.

    Returns:
        A TaskSpec; or, when anything is wrong, every flaw at once, in no special order, at least one.
    """
    flaws = [flaw for key, value in values.items() for flaw in _key_flaws(key, value)]
    refused = {flaw.path[0] for flaw in flaws}
    known = {key: value for key, value in values.items() if key not in refused}
    found = [*misfits(TaskSpec, known)]
    if found:
        flaws += type_flaws(found, known, schema_of(TaskSpec))
    addressed = {"worker_api_base": keys_of(TaskSpec)["worker_api_base"].default, **known}
    told = {flaw.path for flaw in flaws}
    flaws += [
        flaw
        for flaw in rule_flaws(addressed)
        if told.isdisjoint(flaw.path[:end] for end in range(1, len(flaw.path) + 1))
    ]
    # a key that is there under a misspelt name is not missing as well
    misspelt = {flaw.hint for flaw in flaws}
    flaws = [flaw for flaw in flaws if flaw.path[0] in values or meant(str(flaw.path[0])) not in misspelt]
    if flaws:
        return flaws
    spec: TaskSpec = section_of(TaskSpec, known)
    return spec


# --- unknown keys ----------------------------------------------------------------------------------------------------


_OTHER_WORDS: Final[Mapping[str, str]] = {
    "model": "worker_model",
    "prompt": "prompt_template",
    "system": "system_prompt",
    "base_url": "worker_api_base",
    "api_base": "worker_api_base",
    "endpoint": "worker_api_base",
    "max_tokens": "worker_max_tokens",
    "max_completion_tokens": "worker_max_tokens",
    "retries": "worker_retries",
    "max_retries": "worker_retries",
    "timeout": "call_timeout",
    "concurrency": "workers",
    "max_workers": "workers",
    "input": "seeds_file",
    "input_file": "seeds_file",
    "output": "output_dir",
    "format": "output_format",
}
"""What other tools call a key."""

_BODY_PARAMS: Final = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "stop", "seed", "response_format", "reasoning_effort", "logit_bias"}
    | {"frequency_penalty", "presence_penalty", "thinking", "tool_choice", "extra_body", "logprobs"}
)
"""Parameters of a request body that people look for at the top of the task file."""


def _key_flaws(key: str, value: object) -> Iterator[Flaw]:
    """What can be said from the key alone, or from a key and value that ask for something that is not built."""
    if key in NOT_BUILT:
        later = NOT_BUILT[key]
        if later.asks(value):
            partly = key in keys_of(TaskSpec)
            named = f"'{key}: {plainly(value)}'" if partly else f"'{key}'"
            yield Flaw((key,), f"{named}: {later.what}", later.hint, on_key=not partly)
            return
    yield from unbuilt_flaws(key, value)
    if key == "prices" and (flaw := table_flaw(value)):
        yield flaw
        return
    if key not in keys_of(TaskSpec):
        if names_a_secret(key, value, top=True):
            yield secret_flaw((key,))
        else:
            yield Flaw((key,), f"unknown key '{masked(key)}'", _hint_for(key), on_key=True)


def _hint_for(key: str) -> str:
    """What to do about an unknown key at the top of the file."""
    plain = key.lower().replace("-", "_")
    if plain in _BODY_PARAMS:
        return f"put it under worker_params, as {plain}"
    near = _OTHER_WORDS.get(plain) or nearest(key, [*keys_of(TaskSpec), *NOT_BUILT])
    if near and near not in keys_of(TaskSpec):
        return f"{meant(near)} {NOT_BUILT[near].what}; {NOT_BUILT[near].hint}"
    return meant(near) if near else "`deepswarm schema` shows all keys"


# --- for editors -----------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Json]:
    """The JSON Schema (draft 2020-12) of a task file. Keys that are not built yet are not in it."""
    schema: dict[str, Json] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "DeepSwarm task"}
    schema |= {key: _tidy(value) for key, value in schema_of(TaskSpec).items() if key not in {"title", "description"}}
    schema["allOf"] = [
        {"if": {"properties": {"task_type": {"const": kind}}, "required": ["task_type"]}, "then": {"required": [kind]}}
        for kind in NEEDED
    ]
    return schema


def _tidy(value: Any) -> Json:
    """Without titles (the sections' own names again) and our marks."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        tidied: Json = value
        return tidied
    return {
        key: _tidy(item)
        for key, item in value.items()
        if not (key == "x-part" or (key == "title" and isinstance(item, str)))
    }
