"""What is wrong with a task, in sentences.

A `Flaw` is one thing that is wrong, and where. The rules:
    - every sentence is ours: of the library that checks the types only the places are taken, never the text;
    - what a key takes ("a whole number from 1 to 100000") is said from the JSON schema of the types, which is an
      argument: `TaskSpec` stays the only definition;
    - one flaw for one place; where the user most likely meant something else, the hint says what;
    - no sentence repeats anything that may be a secret.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from deepswarm.core.secret import masked, names_a_secret, plainly, shown

Schema: TypeAlias = Mapping[str, Any]
"""A JSON schema, or the part of one that is about one value."""


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


NAME_THE_VARIABLE: Final = (
    "write api_key_env: DEEPSEEK_API_KEY, for example, and put the key there; replace a key that others have seen"
)
"""What to do about a key that stands in a task file."""


def secret_flaw(path: Where) -> Flaw:
    """A key of the task file that holds, or is there to hold, a secret."""
    what = "a key must not stand here: a task file only names the environment variable that holds it"
    return Flaw(path, what, NAME_THE_VARIABLE, on_key=True, secret=True)


def named_at(path: Where) -> str:
    """A path as the task file's reader knows it: dotted, the items of lists counted from 1, between quotes."""
    return f"'{masked('.'.join(str(step) if isinstance(step, str) else str(step + 1) for step in path))}'"


def meant(key: str) -> str:
    """The question that proposes another key."""
    return f"did you mean '{key}'?"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is spelt most like this one; empty when none is near."""
    near = difflib.get_close_matches(word.lower().replace("-", "_"), known, n=1, cutoff=0.7)
    return near[0] if near else ""


# --- values that do not fit -------------------------------------------------------------------------------------------


_EXAMPLES: Final[Mapping[str, str]] = {
    "prompt_template": 'prompt_template: "Write a story about {{topic}}."',
    "worker_model": "worker_model: deepseek-v4-flash",
    "seeds.values": "values: {topic: [tides, glaciers], length: 1..3}",
}


def type_flaws(found: Iterable[tuple[Where, str]], values: Mapping[str, object], schema: Schema) -> Iterator[Flaw]:
    """One flaw for every place where the values are not what the types say.

    Args:
        found: Those places, each "missing", "unknown" or "wrong"; see `section.misfits`.
        values: The values.
        schema: The JSON schema of the types.
    """
    for path, kind in found:
        named, value = named_at(path), _at(path, values)
        if kind == "missing":
            example = _EXAMPLES.get(".".join(map(str, path)), "")
            yield Flaw(path, f"the key {named} is missing", f"for example: {example}" if example else "", on_key=True)
        elif kind == "unknown":
            if names_a_secret(str(path[-1]), value):
                yield secret_flaw(path)
            else:
                known = [name for section in _options(path[:-1], schema) for name in section.get("properties", {})]
                near = nearest(str(path[-1]), known)
                yield Flaw(path, f"unknown key {named}", meant(near) if near else "", on_key=True)
        elif value is None:
            yield Flaw(path, f"{named} has no value", "write a value behind the colon, or leave the key out")
        elif value == "":
            yield Flaw(path, f"{named} is empty", "write a value, or leave the key out")
        else:
            yield misfit(path, value, schema)


def _at(path: Where, values: object) -> object:
    """The value at a path; None where there is none."""
    here: Any = values
    for step in path:
        held = step in here if isinstance(here, Mapping) else isinstance(here, list) and isinstance(step, int)
        here = here[step] if held else None
    found: object = here
    return found


def misfit(path: Where, value: object, schema: Schema) -> Flaw:
    """A value that is not what its key takes."""
    named = named_at(path)
    options = sorted(_options(path, schema), key=lambda option: not _choices(option))
    if isinstance(value, float) and not math.isfinite(value):
        return Flaw(path, f"{named} must be a finite number")
    wanted = _either([words for option in options if (words := _words(option))]) or "a value that JSON can hold"
    kinds = {option.get("type") for option in options if not _choices(option)}
    choices = [choice for option in options for choice in _choices(option)]
    found, hint = shown(value), ""
    if isinstance(value, str):
        near = nearest(value, choices)
        if kinds & {"integer", "number"}:
            found = f"the text {found}"
        if near:
            hint = f"did you mean {near}?"
        elif kinds & {"integer", "number"} and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            hint = "leave the quotes out"
        elif "boolean" in kinds and value.lower() in _YES | _NO:
            hint = "write false" if value.lower() in _NO else "write true"
    elif kinds == {"string"} and isinstance(value, (bool, int, float)):
        hint = f'put quotes around it: "{found}"'
    elif kinds == {"array"}:
        hint = "begin each item with '- '"
    return Flaw(path, f"{named} must be {wanted}, not {found}", hint)


_YES: Final = frozenset({"yes", "on", "y", "true"})
_NO: Final = frozenset({"no", "off", "n", "false"})
"""What people write for a truth value that YAML 1.2 reads as text."""


# --- what a schema asks for, in words --------------------------------------------------------------------------------


def _options(path: Where, whole: Schema) -> Iterator[Schema]:
    """The schemas of which a value at this path must satisfy one; null, which means 'left out', is not among them."""
    found: list[Schema] = [whole]
    for step in path:
        following: list[Schema] = []
        for schema in _alternatives(found, whole):
            if isinstance(step, int):
                following.append(schema.get("items", {}))
            else:
                rest = schema.get("additionalProperties")
                named = schema.get("properties", {}).get(step, rest if isinstance(rest, Mapping) else None)
                following += [named] if named is not None else []
        found = following
    yield from (schema for schema in _alternatives(found, whole) if schema.get("type") != "null")


def _alternatives(schemas: Iterable[Schema], whole: Schema) -> Iterator[Schema]:
    for schema in schemas:
        if "$ref" in schema:
            yield from _alternatives([whole["$defs"][schema["$ref"].rpartition("/")[2]]], whole)
        elif "anyOf" in schema:
            yield from _alternatives(schema["anyOf"], whole)
        else:
            yield schema


def _choices(schema: Schema) -> list[str]:
    """The values that a schema lists, as the task file spells them."""
    listed = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return [plainly(choice) for choice in listed]


def _words(schema: Schema) -> str:
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
    return {"array": "a list", "boolean": "true or false"}.get(str(kind), "")


def _bounds(schema: Schema) -> str:
    least, most, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if above is not None:
        return f" above {above:g}" + (f", at most {_number(most)}" if most is not None else "")
    return f" from {_number(least)} to {_number(most)}" if most is not None else f" of {_number(least)} or more"


def _number(value: Any) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _either(words: Sequence[str], last: str = "or") -> str:
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
