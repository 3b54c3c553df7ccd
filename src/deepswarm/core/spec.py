"""The task: every key of a task file, its type, its meaning and its one default.

`TaskSpec` is what `taskfile.py` makes of a task file and what everything else reads. `check` makes it from plain values
and otherwise returns every flaw at once. Nothing is parsed and ignored: a key or value whose capability is not built
yet stands in `NOT_BUILT` and is refused with a sentence that says so. No sentence repeats anything that may be a key.

The words of the sentences ("a whole number from 1 to 100000") are made from the types below, which are their only
definition.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deepswarm.core.prompt import TemplateProblem, compile_template

if TYPE_CHECKING:
    from deepswarm.core.records import Json
else:  # the same type, in the form that pydantic can follow into its own depth
    from pydantic import JsonValue as Json

AUTO: Final = "auto"

ASK, PACE, OUTPUT, SEEDS, JUDGE = "ask", "pace", "output", "seeds", "judge"
"""What a key changes: what is asked (part of the fingerprint), how fast, what is written, which seeds, what is kept."""

_RANGE = r"^(-?[0-9]{1,15})\.\.(-?[0-9]{1,15})(\.\.(-?[0-9]{1,15}))?$"


def _key(part: str, meaning: str, default: Any = ..., **rules: Any) -> Any:
    return Field(default, description=meaning, json_schema_extra={"x-part": part}, **rules)


_RangeText = Annotated[str, Field(pattern=_RANGE, description="a range such as 1..100 or 0..100..5")]


class SeedsSection(BaseModel):
    """How `deepswarm seed` makes seeds: every combination of the lists, in order, put into the template."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    template: str | None = _key(
        SEEDS, "Text of a seed; {{name}} takes a value of `values`. Omit it to write only the values.", None
    )
    values: dict[str, list[Json] | _RangeText] = _key(
        SEEDS, "Lists of values by name, or ranges written as 'first..last' or 'first..last..step'.", min_length=1
    )
    count: Annotated[int, Field(ge=1)] | None = _key(SEEDS, "How many seeds; default: every combination once.", None)


class TaskSpec(BaseModel):
    """One task. Made by `check`, which also knows the rules that no type can say."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=(), title="DeepSwarm task"
    )

    task_type: Literal["generation"] = _key(ASK, "What kind of task it is.", "generation")
    prompt_template: str = _key(ASK, "The user message; {{name}} takes the seed's field of that name.", min_length=1)
    system_prompt: str | None = _key(ASK, "The system message; may use {{name}} as well.", None)
    worker_model: str = _key(ASK, "The model that does the work, as its provider names it.", min_length=1)
    worker_api_base: str = _key(
        ASK, "Address of the API, with or without /chat/completions at its end.", "https://api.deepseek.com/v1"
    )
    api_key_env: str | None = _key(
        OUTPUT, "Name of the environment variable that holds the key; 'none' for a server without keys.", None
    )
    worker_max_tokens: Annotated[int, Field(ge=1)] | None = _key(ASK, "Most tokens of one answer.", None)
    worker_params: dict[str, Json] = _key(ASK, "Further parameters of the request body, passed on as given.", {})
    multi_turn: Literal[False] = _key(ASK, "Whether a worker loops through conversation turns.", default=False)
    max_turns: Literal[1] = _key(ASK, "Most turns of a conversation.", 1)
    seeds_file: str = _key(
        SEEDS,
        "The seeds: JSONL, JSON, CSV, Parquet, plain lines (also .gz), or a folder of texts;"
        " a relative path starts at the task file's folder.",
        "seeds.jsonl",
        min_length=1,
    )
    seeds: SeedsSection | None = _key(SEEDS, "How `deepswarm seed` makes the seeds file.", None)
    workers: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = _key(
        PACE, "How many calls at once: auto, or a number.", AUTO
    )
    stagger: Annotated[float, Field(ge=0, le=3600)] | Literal["auto"] = _key(
        PACE, "Seconds between the starts of workers: auto, or a number.", AUTO
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = _key(
        PACE, "How many seeds a worker leases at once: auto, or a number.", AUTO
    )
    worker_retries: Annotated[int, Field(ge=0, le=100)] = _key(
        PACE, "How often a seed is tried again after a failure; waiting for a limit costs none.", 3
    )
    call_timeout: Annotated[float, Field(gt=0, le=86_400)] = _key(
        PACE, "Most seconds of one call, from connecting to its last byte.", 600.0
    )
    output_dir: str = _key(
        OUTPUT, "Folder of the results; a relative path starts at the task file's folder.", "output/", min_length=1
    )
    output_format: Literal["jsonl", "json", "parquet"] = _key(
        OUTPUT, "Written at the end, beside the results.jsonl that grows during the run.", "jsonl"
    )
    checkpoint_every: Annotated[int, Field(ge=1)] = _key(
        OUTPUT, "Bring results.jsonl up to date every so many results; a crash loses none in any case.", 10
    )
    filters: list[dict[str, Json] | str] = _key(
        JUDGE, "Filters for `deepswarm filter`, in order; run at the end of a run when given.", []
    )


# --- what the page promises and this version does not hold yet -------------------------------------------------------


class NotBuilt(NamedTuple):
    """A key whose capability is missing. `asks` says of a value whether it asks for that capability."""

    what: str
    hint: str
    asks: Callable[[object], bool] = lambda _: True


_LATER_TYPES: Final = ("translation", "summarization", "classification", "extraction", "code_review", "custom")
_ORCHESTRATOR: Final = NotBuilt(
    "planning, monitoring and escalation by an orchestrator are not built yet", "leave the key out"
)
_TURNS: Final = "conversations of several turns are not built yet"

NOT_BUILT: Final[Mapping[str, NotBuilt]] = {
    "orchestrator_model": _ORCHESTRATOR,
    "orchestrator_api_base": _ORCHESTRATOR,
    "orchestrator_api_key_env": _ORCHESTRATOR,
    "multi_turn": NotBuilt(_TURNS, "write multi_turn: false, or leave the key out", lambda value: value is True),
    "max_turns": NotBuilt(
        _TURNS,
        "write max_turns: 1, or leave the key out",
        lambda value: isinstance(value, (int, float)) and value > 1,
    ),
    "worker_script": NotBuilt("worker code of your own is not built yet", "leave the key out"),
    "task_type": NotBuilt(
        "this task type is not built yet",
        "write the instructions into prompt_template and use task_type: generation",
        lambda value: isinstance(value, str) and (value in _LATER_TYPES or ":" in value),
    ),
}
"""Keys of the mission page that are refused, wholly or for the values that ask for the missing capability."""

_OWN_PARAMS: Final[Mapping[str, tuple[str, str, Callable[[object], bool]]]] = {
    "model": ("has a key of its own", "write worker_model instead", lambda _: True),
    "messages": ("is made from the templates", "write prompt_template and system_prompt instead", lambda _: True),
    "max_tokens": ("has a key of its own", "write worker_max_tokens instead", lambda _: True),
    "stream": ("cannot be switched on: replies are read whole", "leave it out", lambda value: value is not False),
    "n": ("must be 1: only one answer of each call is kept", "leave it out", lambda value: value != 1 or value is True),
}
"""Parameters of the request body that `worker_params` cannot carry: what it is about them, what to do, which values."""

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
    | {"frequency_penalty", "presence_penalty", "thinking", "tools", "tool_choice", "extra_body", "logprobs"}
)
"""Parameters of a request body that people look for at the top of the task file."""


# --- checking --------------------------------------------------------------------------------------------------------


Where: TypeAlias = tuple[str | int, ...]
"""Names and list places (from 0) that lead from the top of the task file to a value."""


class Flaw(NamedTuple):
    """One thing that is wrong with the values of a task.

    Attributes:
        path: Where; for a key that is missing, where it should be.
        what: One sentence.
        hint: What to do next; may be empty.
        on_key: It is about the key itself, not about its value.
        line: For texts of several lines: which of them, from 1; 0 is the whole value.
        secret: The value may be a secret and must not be shown.
    """

    path: Where
    what: str
    hint: str = ""
    on_key: bool = False
    line: int = 0
    secret: bool = False


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
    spec: TaskSpec | None = None
    try:
        spec = TaskSpec.model_validate(known)
    except ValidationError as error:
        flaws += _type_flaws(error, known)
    told = {flaw.path for flaw in flaws}
    flaws += [
        flaw for flaw in _rule_flaws(known) if told.isdisjoint(flaw.path[:end] for end in range(1, len(flaw.path) + 1))
    ]
    # a key that is there under a misspelt name is not missing as well
    misspelt = {flaw.hint for flaw in flaws}
    flaws = [flaw for flaw in flaws if flaw.path[0] in values or _meant(str(flaw.path[0])) not in misspelt]
    return flaws if flaws or spec is None else spec


def _key_flaws(key: str, value: object) -> Iterator[Flaw]:
    """What can be said from the key alone, or from a key and value that ask for something that is not built."""
    if key in NOT_BUILT:
        later = NOT_BUILT[key]
        if later.asks(value):
            partly = key in TaskSpec.model_fields
            named = f"'{key}: {_plainly(value)}'" if partly else f"'{key}'"
            yield Flaw((key,), f"{named}: {later.what}", later.hint, on_key=not partly)
            return
    field = TaskSpec.model_fields.get(key)
    if field is None:
        if _names_a_secret(key, value, top=True):
            yield Flaw((key,), *_SECRET, on_key=True, secret=True)
        else:
            yield Flaw((key,), f"unknown key '{masked(key)}'", _hint_for(key), on_key=True)
    elif key in {"multi_turn", "max_turns"} and type(value) is not type(field.default) and value == field.default:
        # Python holds False and 0, True and 1, 1.0 and 1 for equal, and so does pydantic's Literal
        yield _misfit((key,), value)


def _hint_for(key: str) -> str:
    """What to do about an unknown key at the top of the file."""
    plain = key.lower().replace("-", "_")
    if plain in _BODY_PARAMS:
        return f"put it under worker_params, as {plain}"
    near = _OTHER_WORDS.get(plain) or _nearest(key, [*TaskSpec.model_fields, *NOT_BUILT])
    if near and near not in TaskSpec.model_fields:
        return f"{_meant(near)} {NOT_BUILT[near].what}; {NOT_BUILT[near].hint}"
    return _meant(near) if near else "`deepswarm schema` shows all keys"


def _meant(key: str) -> str:
    return f"did you mean '{key}'?"


def _nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is spelt most like this one; empty when none is near."""
    near = difflib.get_close_matches(word.lower().replace("-", "_"), known, n=1, cutoff=0.7)
    return near[0] if near else ""


# --- from pydantic's errors to our sentences -------------------------------------------------------------------------


_EXAMPLES: Final[Mapping[str, str]] = {
    "prompt_template": 'prompt_template: "Write a story about {{topic}}."',
    "worker_model": "worker_model: deepseek-v4-flash",
    "seeds.values": "values: {topic: [tides, glaciers], length: 1..3}",
}


def _type_flaws(error: ValidationError, values: Mapping[str, object]) -> Iterator[Flaw]:
    """One flaw for every place that pydantic complains about; a choice of types gives it several complaints."""
    places: dict[Where, tuple[str, object]] = {}
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        path, value = _walk(detail["loc"], values, missing=detail["type"] == "missing")
        places.setdefault(path, (detail["type"], value))
    for path, (kind, value) in places.items():
        named = _named(path)
        if kind == "missing":
            example = _EXAMPLES.get(".".join(map(str, path)), "")
            yield Flaw(path, f"the key {named} is missing", f"for example: {example}" if example else "", on_key=True)
        elif kind == "extra_forbidden":
            key = str(path[-1])
            if _names_a_secret(key, value):
                yield Flaw(path, *_SECRET, on_key=True, secret=True)
            else:
                near = _nearest(key, SeedsSection.model_fields)
                yield Flaw(path, f"unknown key {named}", _meant(near) if near else "", on_key=True)
        elif value is None:
            yield Flaw(path, f"{named} has no value", "write a value behind the colon, or leave the key out")
        elif value == "":
            yield Flaw(path, f"{named} is empty", "write a value, or leave the key out")
        elif not any(other[: len(path)] == path != other for other in places):
            yield _misfit(path, value)


def _walk(loc: Sequence[str | int], values: object, *, missing: bool) -> tuple[Where, object]:
    """The path in the user's own values, without pydantic's marks for choices of types, and the value there."""
    path: list[str | int] = []
    here: Any = values
    for step in loc:
        if step in here if isinstance(here, Mapping) else isinstance(here, list) and isinstance(step, int):
            here = here[step]
            path.append(step)
    return ((*path, loc[-1]), None) if missing else (tuple(path), here)


def _misfit(path: Where, value: object) -> Flaw:
    """A value that is not what its key takes."""
    named = _named(path)
    options = sorted(_options(path), key=lambda option: not _choices(option))
    if isinstance(value, float) and not math.isfinite(value):
        return Flaw(path, f"{named} must be a finite number")
    wanted = _either([words for option in options if (words := _words(option))]) or "a value that JSON can hold"
    kinds = {option.get("type") for option in options if not _choices(option)}
    choices = [choice for option in options for choice in _choices(option)]
    found, hint = shown(value), ""
    if isinstance(value, str):
        near = _nearest(value, choices)
        if kinds & {"integer", "number"}:
            found = f"the text {found}"
        if near:
            hint = f"did you mean {near}?"
        elif kinds & {"integer", "number"} and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            hint = "leave the quotes out"
        elif choices == ["false"] and value.lower() in {"no", "off", "n"}:
            hint = "write false"
    elif kinds == {"string"} and isinstance(value, (bool, int, float)):
        hint = f'put quotes around it: "{found}"'
    elif kinds == {"array"}:
        hint = "begin each item with '- '"
    return Flaw(path, f"{named} must be {wanted}, not {found}", hint)


def _named(path: Where) -> str:
    return f"'{masked('.'.join(str(step) if isinstance(step, str) else str(step + 1) for step in path))}'"


def _options(path: Where) -> Iterator[Mapping[str, Any]]:
    """The schemas of which a value at this path must satisfy one; null, which means 'left out', is not among them."""
    whole = _whole_schema()
    found: list[Mapping[str, Any]] = [whole]
    for step in path:
        following: list[Mapping[str, Any]] = []
        for schema in _alternatives(found, whole):
            if isinstance(step, int):
                following.append(schema.get("items", {}))
            else:
                rest = schema.get("additionalProperties")
                named = schema.get("properties", {}).get(step, rest if isinstance(rest, Mapping) else None)
                following += [named] if named is not None else []
        found = following
    yield from (schema for schema in _alternatives(found, whole) if schema.get("type") != "null")


@cache
def _whole_schema() -> Mapping[str, Any]:
    return TaskSpec.model_json_schema()


def _alternatives(schemas: Iterable[Mapping[str, Any]], whole: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for schema in schemas:
        if "$ref" in schema:
            yield from _alternatives([whole["$defs"][schema["$ref"].rpartition("/")[2]]], whole)
        elif "anyOf" in schema:
            yield from _alternatives(schema["anyOf"], whole)
        else:
            yield schema


def _choices(schema: Mapping[str, Any]) -> list[str]:
    """The values that a schema lists, as the task file spells them."""
    listed = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return [_plainly(choice) for choice in listed]


def _words(schema: Mapping[str, Any]) -> str:
    """What a schema asks for, in words."""
    choices = _choices(schema)
    if choices:
        return _either(choices)
    if "pattern" in schema:
        return str(schema["description"])
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        return ("a whole number" if kind == "integer" else "a number") + _bounds(schema)
    if kind == "object":
        keys = schema.get("properties")
        if keys:
            return f"a section with the keys {_either(list(keys), 'and')}"
        return "a section with at least one name" if "minProperties" in schema else "a section of 'name: value' lines"
    if kind == "string":
        return "text that is not empty" if "minLength" in schema else "text"
    return "a list" if kind == "array" else ""


def _bounds(schema: Mapping[str, Any]) -> str:
    least, most, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if above is not None:
        return f" above {above:g}" + (f", at most {_number(most)}" if most is not None else "")
    return f" from {_number(least)} to {_number(most)}" if most is not None else f" of {_number(least)} or more"


def _number(value: Any) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _either(words: Sequence[str], last: str = "or") -> str:
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def shown(value: object) -> str:
    """A value as a message may repeat it: short, in the task file's spelling, without anything that may be a key."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value) if abs(value) < 10**18 or isinstance(value, float) else "a very large number"
    if isinstance(value, str):
        text = masked(" ".join(value.split()))
        return (f"'{text[:39]}…'" if len(text) > 40 else f"'{text}'") if text else "empty text"
    return "a list" if isinstance(value, list) else "a section"


def _plainly(value: object) -> str:
    return masked(value) if isinstance(value, str) else shown(value)


# --- rules that no type can say --------------------------------------------------------------------------------------


def _rule_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    """Flaws of values whose types are right; other values are passed over, they have been found already."""
    for key in ("prompt_template", "system_prompt"):
        yield from _template_flaws((key,), values.get(key))
    prompt = values.get("prompt_template")
    if isinstance(prompt, str) and prompt and not prompt.strip():
        yield Flaw(("prompt_template",), "'prompt_template' is blank", "write what the model is asked")
    yield from _address_flaws(values)
    params, seeds = values.get("worker_params"), values.get("seeds")
    if isinstance(params, Mapping):
        yield from _param_flaws(params)
    if isinstance(seeds, Mapping):
        yield from _seeds_flaws(seeds)
    for key in ("seeds_file", "output_dir"):
        path = values.get(key)
        if isinstance(path, str) and path.startswith("~"):
            yield Flaw((key,), f"'{key}' begins with ~, which is not replaced here", "write the whole path")
        elif isinstance(path, str) and "\0" in path:
            yield Flaw((key,), f"'{key}' holds a null character, which no path can", "take it out")


def _template_flaws(path: Where, text: object) -> Iterator[Flaw]:
    if not isinstance(text, str):
        return
    try:
        compile_template(text)
    except TemplateProblem as error:
        hint = "{{name}} takes a seed's field; between {% raw %} and {% endraw %}, {{ and {% stand for themselves"
        yield Flaw(path, f"{_named(path)} is not a template: {masked(str(error))}", hint, line=error.line)


def _seeds_flaws(section: Mapping[str, object]) -> Iterator[Flaw]:
    template, values = section.get("template"), section.get("values")
    flaws = list(_template_flaws(("seeds", "template"), template))
    yield from flaws
    if not isinstance(values, Mapping):
        return
    for name, choice in values.items():
        path = ("seeds", "values", name)
        if choice == []:
            yield Flaw(path, f"{_named(path)} is an empty list: no seed can be made", "add a value, or take it out")
        elif isinstance(choice, str) and re.match(_RANGE, choice) and not range_of(choice):
            hint = "to count down, give a step below 0, such as 10..1..-1"
            yield Flaw(path, f"{_named(path)}: the range {choice} holds no number", hint)
    if isinstance(template, str) and not flaws:
        for name in sorted(compile_template(template).names - set(values)):
            near = _nearest(name, values)
            hint = f"did you mean {{{{{near}}}}}?" if near else f"add {masked(name)} to seeds.values"
            what = f"'seeds.template' uses {{{{{masked(name)}}}}}, which seeds.values does not hold"
            yield Flaw(("seeds", "template"), what, hint)


def range_of(text: str) -> range:
    """The numbers of 'first..last' or 'first..last..step', both ends included; empty when the step is 0.

    Raises:
        ValueError: If it is not written like that.
    """
    found = re.match(_RANGE, text)
    if not found:
        message = f"not a range: {shown(text)}"
        raise ValueError(message)
    first, last, step = int(found[1]), int(found[2]), int(found[4] or 1)
    return range(0) if step == 0 else range(first, last + (1 if step > 0 else -1), step)


def _param_flaws(params: Mapping[str, object]) -> Iterator[Flaw]:
    for name, value in params.items():
        path = ("worker_params", name)
        if _names_a_secret(name, value) or _holds_a_secret(value):
            yield Flaw(path, *_SECRET, on_key=True, secret=True)
        elif name in _OWN_PARAMS and _OWN_PARAMS[name][2](value):
            yield Flaw(path, f"{_named(path)} {_OWN_PARAMS[name][0]}", _OWN_PARAMS[name][1], on_key=True)


# --- secrets ---------------------------------------------------------------------------------------------------------


_SECRET: Final = (
    "a key must not stand here: a task file only names the environment variable that holds it",
    "write api_key_env: DEEPSEEK_API_KEY, for example, and put the key there; replace a key that others have seen",
)
_SECRET_NAME: Final = re.compile(
    r"(?:.*[-_.])?(?:api[-_]?key|secret|password|passwd|authorization|bearer)", re.IGNORECASE
)
_SECRET_NAME_AT_TOP: Final = re.compile(r"(?:[a-z]+[-_])?(?:key|token|auth)", re.IGNORECASE)
_KNOWN_KEYS: Final = re.compile(
    r"\b(?:sk-[\w\-.]{6,}|AIza[\w\-]{10,}|A[KS]IA[A-Z0-9]{12,}|eyJ[\w\-]{8,}[\w\-.]*"
    r"|(?:sk|pk|rk|gsk|csk|dsk|xai|hf|r8|ghp|gho|ghu|ghs|glpat|github_pat|pplx|nvapi|fw|tgp)[-_](?=[\w\-.]{0,64}\d)[\w\-.]{6,})"
)
_LONG_RUN: Final = re.compile(r"[A-Za-z0-9+]{20,}={0,2}")
_IN_ADDRESS: Final = re.compile(r"(?<=://)[^/?#\s@]*(?=@)")
_IN_QUERY: Final = re.compile(
    r"(?<=[?&])((?:[\w\-]*[-_])?(?:key|apikey|token|secret|password|sig|signature)=)[^&#\s]+", re.IGNORECASE
)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def masked(text: str) -> str:
    """The text with everything that looks like a secret replaced by as many stars, so that columns stay."""
    text = _KNOWN_KEYS.sub(_stars, text)
    text = _LONG_RUN.sub(lambda found: _stars(found) if _is_random(found[0]) else found[0], text)
    text = _IN_ADDRESS.sub(_stars, text)
    return _IN_QUERY.sub(lambda found: found[1] + "*" * (len(found[0]) - len(found[1])), text)


def _stars(found: re.Match[str]) -> str:
    return "*" * len(found[0])


def _is_random(run: str) -> bool:
    """Letters and digits mixed as no word is."""
    digits = sum(letter.isdigit() for letter in run)
    return 3 <= digits < len(run)  # a word with a version's number at its end has fewer


def _names_a_secret(key: str, value: object, *, top: bool = False) -> bool:
    """Whether a key, by its name, is there to hold a secret; a number is none (`max_token: 5` is only misspelt).

    At the top of the file more names do: within `worker_params`, a `stop_token` is a parameter like others.
    """
    named = _SECRET_NAME.fullmatch(key) or (top and _SECRET_NAME_AT_TOP.fullmatch(key))
    return bool(named) and not isinstance(value, (int, float))


def _holds_a_secret(value: object) -> bool:
    """Whether a text in a value, however deep, is spelt like the keys of a known provider."""
    if isinstance(value, dict):
        return any(_names_a_secret(key, item) or _holds_a_secret(item) for key, item in value.items())
    if isinstance(value, list):
        return any(_holds_a_secret(item) for item in value)
    return isinstance(value, str) and bool(_KNOWN_KEYS.fullmatch(value.strip()))


# --- the address and its key -----------------------------------------------------------------------------------------


KEY_ENV: Final[Mapping[str, str]] = {
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "api.openai.com": "OPENAI_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.together.ai": "TOGETHER_API_KEY",
    "api.fireworks.ai": "FIREWORKS_API_KEY",
    "generativelanguage.googleapis.com": "GEMINI_API_KEY",
    "api.x.ai": "XAI_API_KEY",
    "api.cerebras.ai": "CEREBRAS_API_KEY",
    "api.deepinfra.com": "DEEPINFRA_API_KEY",
    "integrate.api.nvidia.com": "NVIDIA_API_KEY",
    "api.moonshot.ai": "MOONSHOT_API_KEY",
    "api.moonshot.cn": "MOONSHOT_API_KEY",
    "dashscope.aliyuncs.com": "DASHSCOPE_API_KEY",
    "dashscope-intl.aliyuncs.com": "DASHSCOPE_API_KEY",
    "router.huggingface.co": "HF_TOKEN",
    "api.novita.ai": "NOVITA_API_KEY",
    "api.tokenfactory.nebius.com": "NEBIUS_API_KEY",
    "api.siliconflow.com": "SILICONFLOW_API_KEY",
    "api.perplexity.ai": "PERPLEXITY_API_KEY",
    "inference.baseten.co": "BASETEN_API_KEY",
}
"""The environment variable that a provider's own documentation uses, by host (and the hosts below it).

Source: provider files (`env`) of github.com/anomalyco/models.dev at f3fc692, 2026-07-02; checked 2026-11-22.
"""

_CHAT: Final = "/chat/completions"
_OTHER_KINDS: Final = ("/completions", "/responses", "/messages", "/embeddings", "/models")
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-.]*[A-Za-z0-9_])?\.?|[0-9A-Fa-f:.]+")


def api_url(spec: TaskSpec) -> str:
    """The address that calls go to: it ends in /chat/completions, whether `worker_api_base` does or not."""
    return _chat_address(spec.worker_api_base)


def key_env(spec: TaskSpec) -> str | None:
    """The environment variable that holds the key; None for a server that needs none.

    It is `api_key_env`, or else the usual one of the provider. Servers on this machine or in a private network
    need none unless `api_key_env` names one.

    Raises:
        ValueError: If the host is not known and `api_key_env` is not given; `check` refuses such a task.
    """
    if spec.api_key_env is not None:
        return None if spec.api_key_env.lower() == "none" else spec.api_key_env
    host = urlsplit(spec.worker_api_base).hostname or ""
    if _is_private(host):
        return None
    name = _usual_key_env(host)
    if not name:
        message = f"the usual environment variable for the key of {host} is not known; api_key_env must name it"
        raise ValueError(message)
    return name


def _chat_address(base: str) -> str:
    parts = urlsplit(base.strip())
    path = parts.path.rstrip("/")
    port = "" if parts.port in {None, {"http": 80, "https": 443}.get(parts.scheme)} else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    path = path if path.endswith(_CHAT) else path + _CHAT
    return urlunsplit((parts.scheme, f"{host}{port}", path, parts.query, ""))


def _usual_key_env(host: str) -> str:
    """The table's variable for a host or the nearest of its parents; empty when there is none."""
    labels = host.rstrip(".").split(".")
    return next((KEY_ENV[name] for cut in range(len(labels)) if (name := ".".join(labels[cut:])) in KEY_ENV), "")


def _is_private(host: str) -> bool:
    """Loopback, a private network, or a name that only a private network can resolve."""
    try:
        return not ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return "." not in host or host.rstrip(".").endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))


def _address_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    """Flaws of the address, of the name of the key's variable, and of the two together."""
    base = values.get("worker_api_base", _default("worker_api_base"))
    flaw = _address_flaw(base) if isinstance(base, str) else None
    if flaw:
        yield flaw
    host = urlsplit(base.strip()).hostname if isinstance(base, str) and not flaw else ""
    usual = _usual_key_env(host or "")
    variable = values.get("api_key_env")
    if isinstance(variable, str) and (not _VARIABLE.fullmatch(variable) or masked(variable) != variable):
        what = "'api_key_env' only names the environment variable that holds the key"
        yield Flaw(
            ("api_key_env",),
            f"{what}, and this {'looks like a key itself' if masked(variable) != variable else 'is no such name'}",
            f"write api_key_env: {usual or 'DEEPSEEK_API_KEY'}, for example, and put the key there;"
            " replace a key that others have seen",
            secret=True,
        )
    if host and variable is None and not usual and not _is_private(host):
        yield Flaw(
            ("worker_api_base",),
            f"which environment variable holds the key for {masked(host)} is not known",
            "add api_key_env: and the variable's name, or api_key_env: none for a server without keys",
        )


def _address_flaw(base: str) -> Flaw | None:
    path = ("worker_api_base",)
    text = base.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        return Flaw(path, "'worker_api_base' must not hold a user name, password or key", _SECRET[1], secret=True)
    if _IN_QUERY.search(text) or _KNOWN_KEYS.search(text):
        return Flaw(path, "'worker_api_base' must not hold a key", _SECRET[1], secret=True)
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host) or port == 0 or re.search(r"[\s\\#]", text):
        what = f"'worker_api_base' must be an address that begins with https:// or http://, not {shown(base)}"
        bare = "://" not in text and re.fullmatch(r"[\w\-]+(\.[\w\-]+)*(:[0-9]+)?(/\S*)?", text)
        return Flaw(path, what, f"write https://{text}" if bare else "for example: https://api.deepseek.com/v1")
    ending = parts.path.rstrip("/")
    if not ending.endswith(_CHAT):
        for kind in _OTHER_KINDS:
            if ending.endswith(kind):
                what = f"'worker_api_base' ends in {kind}, which is another kind of API than {_CHAT}"
                return Flaw(path, what, f"write the address without {kind}")
    return None


# --- comparing tasks -------------------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """A key (dotted within a section), its values before and after, and its part: ASK, PACE, OUTPUT, SEEDS or JUDGE."""

    key: str
    old: Json
    new: Json
    part: str


def part_of(key: str) -> str:
    """What a key changes. A key that this version does not know counts as ASK, to be safe."""
    field = TaskSpec.model_fields.get(key)
    extra = field.json_schema_extra if field else None
    return str(extra["x-part"]) if isinstance(extra, dict) else ASK


def fingerprinted(spec: TaskSpec) -> dict[str, Json]:
    """Everything that changes what is asked, as JSON values.

    A key that is at its default is left out: when a later version brings a new key with a default, old fingerprints
    stay as they are. (So the default of an ASK key, once published, must never change.) The address is the one that
    calls really go to.
    """
    values: dict[str, Json] = spec.model_dump(mode="json")
    return {
        key: _normal(key, value)
        for key, value in values.items()
        if part_of(key) == ASK and not _same(_normal(key, value), _normal(key, _default(key)))
    }


def differences(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Difference]:
    """What changed from one task to another.

    Args:
        old: A task as `TaskSpec.model_dump(mode="json")` or `fingerprinted` gave it, also by another version.
        new: The other one, made in the same way.

    Returns:
        In the order of the task file's keys, unknown keys last. A key that is not there counts as its default.
        Sections are compared name by name, so that a change of one parameter is shown as just that.
    """
    keys = [*TaskSpec.model_fields, *sorted({*old, *new} - set(TaskSpec.model_fields))]
    found: list[Difference] = []
    for key in keys:
        before = old.get(key, _default(key))
        after = new.get(key, _default(key))
        if not _same(_normal(key, before), _normal(key, after)):
            found += [Difference(name, *pair, part_of(key)) for name, pair in _compared(key, before, after)]
    return found


def _compared(name: str, old: Json, new: Json) -> Iterator[tuple[str, tuple[Json, Json]]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if (key in old) != (key in new) or not _same(old.get(key), new.get(key)):
                yield from _compared(f"{name}.{key}", old.get(key), new.get(key))
    else:
        yield name, (old, new)


def _same(old: Json, new: Json) -> bool:
    """Equal as JSON text: unlike for Python, true is not 1 and 1 is not 1.0."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return type(old) is type(new) and old == new


def _default(key: str) -> Json:
    field = TaskSpec.model_fields.get(key)
    value: Json = field.get_default(call_default_factory=True) if field and not field.is_required() else None
    return value


def _normal(key: str, value: Json) -> Json:
    if key != "worker_api_base" or not isinstance(value, str):
        return value
    try:
        return _chat_address(value)
    except ValueError:  # an address that only another version could read
        return value


# --- for editors -----------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Json]:
    """The JSON Schema (draft 2020-12) of a task file. Keys that are not built yet are not in it."""
    schema: dict[str, Json] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= {key: _tidy(value) for key, value in TaskSpec.model_json_schema().items() if key != "description"}
    return schema


def _tidy(value: Any) -> Json:
    """Without pydantic's titles (the keys' own names again) and our marks."""
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
