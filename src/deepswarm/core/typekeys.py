"""The keys of the task types: one section each, named like its type, and `verify`, which several types take.

The rules:
    - a section is read only by its type: the section of another type is a flaw, never ignored;
    - what a type cannot do without stands in NEEDED;
    - DEFAULTS are what a type asks for as long as the task file says nothing, at dialects that are known to take it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple

from deepswarm.core.flaws import Flaw, named_at
from deepswarm.core.records import Call
from deepswarm.core.section import REQUIRED, Json, Rule, Section, key

TYPES: Final = (
    "generation",
    "translation",
    "summarization",
    "classification",
    "extraction",
    "code_review",
    "custom",
)
VERIFIED: Final = frozenset({"generation", "custom"})
"""Types whose answers may be compared with a reference answer."""
MADE_UP: Final = VERIFIED
"""Types whose prompt alone says what an answer is: rehearsals take the answers of the law."""
NEEDED: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "translation": ("target_language", "translation: {target_language: de}"),
        "classification": ("labels", "classification: {labels: [praise, complaint, question]}"),
        "extraction": ("json_schema", "extraction: {json_schema: {type: object, required: [name]}}"),
    }
)
"""What a type cannot do without: the key of its section, and how that is written."""


def _key(meaning: str, default: Any = REQUIRED, **rules: Any) -> Any:
    return key(default, meaning, **rules)


_Language = Annotated[str, Rule(pattern="^[a-z]{2}$", description="a language's code of two letters, such as en")]
_Name = Annotated[str, Rule(min_length=1)]


class TranslationSection(Section):
    """How `task_type: translation` translates."""

    target_language: _Language = _key("the code of the language to translate into, such as de")
    source_language: _Language | None = _key("The language of the source; the model tells when it is not given.", None)
    source: _Name | None = _key("The seed's field with the text; the template's only field when it has one.", None)
    glossary: dict[str, _Name] = _key("Terms and how they must be translated.", {})
    before: _Name | None = _key("The seed's field with what stands before the text: context, not translated.", None)
    after: _Name | None = _key("The seed's field with what stands after the text: context, not translated.", None)


class SummarizationSection(Section):
    """How `task_type: summarization` summarizes."""

    source: _Name | None = _key("The seed's field with the text; the template's only field when it has one.", None)
    least_words: Annotated[int, Rule(ge=1)] = _key("Fewest words of a summary.", 1)
    most_words: Annotated[int, Rule(ge=1)] | None = _key("Most words of a summary.", None)
    window_tokens: Annotated[int, Rule(ge=1)] | None = _key(
        "Tokens that the model reads at most: a longer prompt (four bytes count as a token) fails before the call.",
        None,
    )
    beyond_window: Literal["fail"] = _key("What becomes of a longer one.", "fail")


class ClassificationSection(Section):
    """How `task_type: classification` classifies."""

    labels: Annotated[list[_Name], Rule(min_length=1)] = _key("The closed set of labels.")
    multi_label: bool = _key("Whether an answer may have several labels, or none.", default=False)


class ExtractionSection(Section):
    """How `task_type: extraction` extracts."""

    json_schema: dict[str, Json] = _key("The JSON Schema that every answer fits.")


class CodeReviewSection(Section):
    """How `task_type: code_review` reviews."""

    source: _Name | None = _key("The seed's field with the code; the template's only field when it has one.", None)
    severities: Annotated[list[_Name], Rule(min_length=1)] = _key(
        "How bad a finding may be.", ["high", "medium", "low"]
    )
    most_findings: Annotated[int, Rule(ge=1)] = _key("Most findings of a review.", 50)


class VerifySection(Section):
    """How an answer is compared with the reference answer of its seed."""

    reference: _Name = _key("The seed's field with the reference answer.")
    compare: Literal["exact", "numeric"] = _key(
        "exact: the same text, apart from case and space. numeric: the same number, within the tolerance.", "exact"
    )
    tolerance: Annotated[float, Rule(ge=0)] = _key(
        "Largest difference of equal numbers, as a part of the reference (0.01 is one per cent).", 1e-9
    )
    pattern: _Name | None = _key(
        "A regular expression whose first group is what is compared; default: the last line, or the last number.", None
    )


# --- rules -----------------------------------------------------------------------------------------------------------


def unbuilt_flaws(key: str, value: object) -> Iterator[Flaw]:
    """What a type's section asks for and this version does not hold yet."""
    if key == "summarization" and isinstance(value, Mapping) and value.get("beyond_window") == "split":
        what = "'summarization.beyond_window: split': cutting a text into parts and merging them is not built yet"
        yield Flaw(
            (key, "beyond_window"), what, "write beyond_window: fail, and cut long texts into seeds of their own"
        )


def type_rule_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    """Everything about the sections of the types that no type can say."""
    kind = values.get("task_type", "generation")
    if kind not in TYPES:
        return
    for name in TYPES:
        if name in values and values[name] is not None and name != kind:
            what = f"the section '{name}' is for task_type: {name}, and this task's is {kind}"
            yield Flaw((name,), what, f"take it out, or write task_type: {name}", on_key=True)
    if kind in NEEDED and values.get(str(kind)) is None:
        key, example = NEEDED[str(kind)]
        yield Flaw(("task_type",), f"task_type: {kind} needs the key '{kind}.{key}'", f"for example: {example}")
    if values.get("verify") is not None and kind not in VERIFIED:
        what = f"'verify' is for {' and '.join(sorted(VERIFIED))}: {kind} has a verifier of its own"
        yield Flaw(("verify",), what, "take it out", on_key=True)
    yield from _section_flaws(values)


def _section_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    labels = _within(values, "classification").get("labels")
    if isinstance(labels, list) and len({str(label).casefold().strip() for label in labels}) != len(labels):
        path = ("classification", "labels")
        yield Flaw(path, f"{named_at(path)} names a label twice", "labels must differ in more than case")
    section = _within(values, "summarization")
    least, most = section.get("least_words"), section.get("most_words")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        path = ("summarization", "least_words")
        yield Flaw(path, f"{named_at(path)} is more than most_words", "swap them")
    pattern = _within(values, "verify").get("pattern")
    if isinstance(pattern, str):
        yield from _pattern_flaws(("verify", "pattern"), pattern)


def _pattern_flaws(path: tuple[str, ...], pattern: str) -> Iterator[Flaw]:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        yield Flaw(path, f"{named_at(path)} is not a regular expression: {error}", "put it between single quotes")
        return
    if not groups:
        yield Flaw(path, f"{named_at(path)} has no group", "put ( and ) around what is to be compared")


def _within(values: Mapping[str, object], key: str) -> Mapping[str, object]:
    section = values.get(key)
    return section if isinstance(section, Mapping) else {}


# --- defaults --------------------------------------------------------------------------------------------------------


class Defaults(NamedTuple):
    """What a type asks for as long as the task says nothing; None, and "default", leave it to the provider."""

    thinking: str = "default"
    max_tokens: int | None = None
    temperature: float | None = None


DEFAULTS: Final[Mapping[str, Defaults]] = MappingProxyType(
    {
        "translation": Defaults("off", 8192, 0.3),
        "summarization": Defaults("off", 4096, 0.3),
        "classification": Defaults("off", 512, 0.0),
        "extraction": Defaults("off", 8192, 0.0),
        "code_review": Defaults("default", 32_768, None),
    }
)
"""Labels, translations and copied facts need no thinking, which is paid for; a review does."""
_TAKE_DEFAULTS: Final = frozenset({"deepseek", "vllm"})
"""Dialects whose models take a temperature, a limit and thinking off; some of OpenAI's refuse the call instead.
Source: provider-facts (November 2026), api-docs.deepseek.com, docs.vllm.ai."""
_JSON_TYPES: Final = frozenset({"classification", "extraction", "code_review"})
_JSON_MODE: Final = frozenset({"deepseek"})
_BY_SCHEMA: Final = frozenset({"vllm"})


def with_defaults(call: Call, kind: str, dialect: str, schema: Mapping[str, Json] | None) -> Call:
    """The call of a task type, with what the task file leaves open.

    Args:
        call: What the task file says.
        kind: The task type.
        dialect: How the API wants to be spoken to.
        schema: What the answers fit, for types whose answers are JSON.
    """
    params: dict[str, Json] = {}
    if dialect in _TAKE_DEFAULTS and kind in DEFAULTS:
        thinking, most, temperature = DEFAULTS[kind]
        untouched = call.thinking == "default" and _THINKING.isdisjoint(call.params)
        call = call._replace(
            thinking=thinking if untouched else call.thinking,
            max_tokens=most if call.max_tokens is None else call.max_tokens,
        )
        if temperature is not None:
            params["temperature"] = temperature
    if kind in _JSON_TYPES and dialect in _JSON_MODE:
        params["response_format"] = {"type": "json_object"}
    elif kind in _JSON_TYPES and dialect in _BY_SCHEMA and schema is not None:
        params["response_format"] = {"type": "json_schema", "json_schema": {"name": kind, "schema": dict(schema)}}
    return call._replace(params={**params, **call.params}) if params else call


_THINKING: Final = frozenset({"thinking", "reasoning_effort", "reasoning", "chat_template_kwargs"})
"""Parameters that say how much to think."""
