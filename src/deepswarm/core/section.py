"""Sections of the task file as types: what each key takes, means and changes stands in one line, once.

    class SeedsSection(Section):
        count: Annotated[int, Rule(ge=1)] | None = key(None, "How many seeds; default: every combination once.")

From that line come the check of a value (`misfits`), the sentence about a wrong one and the JSON Schema for editors
(`schema_of`), the fingerprint's parts and the reference page (`keys_of`).

Types are strict: a text is no number, true is no number, and 1.0 is no whole number. What they may be: str, bool, int,
float, Json, Literal, list[...], dict[str, ...], sections, `... | ...` of these, and Annotated[..., Rule(...)].

Why not a library: pydantic, which stood here, needs 0.2 s at every start for some twenty sections, which is a third of
the time to the first request; msgspec 0.19 to 0.22 ends in a segmentation fault when the collector runs after types
like these were refused a value (November 2026).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from deepswarm.core.flaws import Where

if TYPE_CHECKING:
    from deepswarm.core.records import Json as Json  # noqa: PLC0414 - the sections take it from here
else:  # the same type, without its recursion; what JSON cannot hold is found by `misfits`
    Json = Any

REQUIRED: Final = object()
"""The default of a key that must not be left out."""


class Rule(NamedTuple):
    """What a value must be beside its type; the words of JSON Schema stand in `_WORDS`.

    Attributes:
        ge, gt, le: Bounds of a number.
        min_length, max_length: Of a text, a list or a section.
        pattern: What is found in a text.
        description: What the pattern asks for, in words.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    min_length: int = 0
    max_length: int | None = None
    pattern: str = ""
    description: str = ""

    def allows(self, value: Any) -> bool:
        """Whether a value of the right type is as it must be."""
        if isinstance(value, str | list | dict):
            fits = self.min_length <= len(value) and (self.max_length is None or len(value) <= self.max_length)
            return fits and (not self.pattern or re.search(self.pattern, value) is not None)  # type: ignore[arg-type]  # patterns stand at texts only
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
        )


class Key(NamedTuple):
    """A key of a section.

    Attributes:
        default: Its value when it is left out; REQUIRED where it must not be.
        meaning: A sentence.
        part: What it changes, for keys at the top of the task file.
        rule: For the whole value.
        type: What its value is.
    """

    default: Any
    meaning: str
    part: str = ""
    rule: Rule = Rule()
    type: Any = None

    @property
    def section(self) -> type[Section] | None:
        """The section that its value is; None when it is none."""
        return next((option for option in _options(self.type) if _is_section(option)), None)

    @property
    def only_text(self) -> bool:
        """Whether it takes text and nothing else."""
        return {_bare(option) for option in _options(self.type)} == {str}


def key(default: Any, meaning: str, part: str = "", **rule: Any) -> Any:
    """What stands behind a key's type; see `Key` and `Rule`."""
    return Key(default, meaning, part, Rule(**rule))


class Section:  # noqa: PLW1641 - its values may be lists, which have no hash
    """A section of the task file, or all of it. Its values are what its types say, and stay so."""

    def __init__(self, **values: Any) -> None:
        """With these values, which nobody checks, and the defaults of all other keys."""
        for name, known in type(self).__dict__.items():
            if isinstance(known, Key):
                self.__dict__[name] = values[name] if name in values else deepcopy(known.default)

    def __setattr__(self, name: str, value: object) -> None:
        message = f"a {type(self).__name__} is frozen: {name} cannot be set"
        raise AttributeError(message)

    __delattr__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in chosen(self).items())})"

    def but(self, **values: Any) -> Self:
        """The same with other values, which nobody checks."""
        return type(self)(**{**self.__dict__, **values})


_KEYS: Final[dict[type, Mapping[str, Key]]] = {}


def keys_of(section: type[Section]) -> Mapping[str, Key]:
    """The keys of a section by name, in their order."""
    if section not in _KEYS:  # their types are read once, and not before somebody asks
        hints = get_type_hints(section, include_extras=True)
        given = {name: known for name, known in vars(section).items() if isinstance(known, Key)}
        _KEYS[section] = {name: known._replace(type=hints[name]) for name, known in given.items()}
    return _KEYS[section]


# --- values ----------------------------------------------------------------------------------------------------------


def section_of(section: type[Section], values: Mapping[str, Any]) -> Any:
    """The section with these values, which fit it; see `misfits`."""
    keys = keys_of(section)
    return section(**{name: _made(keys[name].type, value) for name, value in values.items()})


def _made(kind: Any, value: Any) -> Any:
    """A value that fits its type, with sections in it as such, and whole numbers as floats where the type says so."""
    options = [_bare(option) for option in _options(kind)]
    if isinstance(value, dict):
        for option in options:
            if _is_section(option):
                return section_of(option, value)
            if get_origin(option) is dict:
                return {name: _made(get_args(option)[1], item) for name, item in value.items()}
    if isinstance(value, list):
        for option in options:
            if get_origin(option) is list:
                return [_made(get_args(option)[0], item) for item in value]
    return float(value) if type(value) is int and float in options and int not in options else value


def plain(section: Section) -> dict[str, Json]:
    """All values of a section as JSON values, those at their defaults among them."""
    return {name: _written(value, plain) for name, value in section.__dict__.items()}


def chosen(section: Section) -> dict[str, Json]:
    """The values of a section that are not at their defaults, as JSON values."""
    defaults = vars(type(section))
    return {
        name: _written(value, chosen) for name, value in section.__dict__.items() if value != defaults[name].default
    }


def _written(value: Any, written: Any) -> Json:
    if isinstance(value, Section):
        found: Json = written(value)
        return found
    if isinstance(value, list):
        return [_written(item, written) for item in value]
    if isinstance(value, dict):
        return {name: _written(item, written) for name, item in value.items()}
    as_is: Json = value
    return as_is


# --- what does not fit -----------------------------------------------------------------------------------------------


class Misfit(NamedTuple):
    """A place where the values are not what the types say. `kind` is "missing", "unknown" or "wrong"."""

    path: Where
    kind: Literal["missing", "unknown", "wrong"]


def misfits(section: type[Section], values: Mapping[str, object], path: Where = ()) -> Iterator[Misfit]:
    """Every place in the values that does not fit the section, the innermost of each; none when all fit."""
    keys = keys_of(section)
    for name, known in keys.items():
        if name not in values:
            if known.default is REQUIRED:
                yield Misfit((*path, name), "missing")
            continue
        here, found = (*path, name), False
        for misfit in _misfits(known.type, values[name], here):
            found = True
            yield misfit
        if not found and values[name] is not None and not known.rule.allows(values[name]):
            yield Misfit(here, "wrong")
    for name in values:
        if name not in keys:
            yield Misfit((*path, name), "unknown")


def _misfits(kind: Any, value: object, path: Where) -> Iterator[Misfit]:
    """What does not fit within a value; the value as a whole where it is of no right kind."""
    tried: list[list[Misfit]] = [list(_unfit(option, value, path)) for option in _parts(kind)]
    if all(tried):
        # of several kinds the one that the user meant is that whose flaws lie deepest
        yield from max(tried, key=lambda found: max(len(misfit.path) for misfit in found))


def _unfit(kind: Any, value: Any, path: Where) -> Iterator[Misfit]:
    """What does not fit one type that is no union."""
    bare, whole = _bare(kind), Misfit(path, "wrong")
    origin = get_origin(bare)
    if bare is Any:
        yield from (Misfit(place, "wrong") for place in _unreal(value, path))
    elif _is_section(bare) and isinstance(value, Mapping):
        yield from misfits(bare, value, path)
    elif (origin is dict and isinstance(value, Mapping)) or (origin is list and isinstance(value, list)):
        inner = get_args(bare)[-1]
        found = [
            misfit
            for step, item in (value.items() if isinstance(value, Mapping) else enumerate(value))
            for misfit in _misfits(inner, item, (*path, step))
        ]
        yield from found or (() if _allowed(kind, value) else [whole])
    elif not (_is_of(bare, value) and _allowed(kind, value)):
        yield whole


def _is_of(kind: Any, value: object) -> bool:
    """Whether a value is of a simple type."""
    if get_origin(kind) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(kind))
    if kind is float:
        return type(value) is int or (type(value) is float and math.isfinite(value))
    return type(value) is kind


def _allowed(kind: Any, value: object) -> bool:
    return all(rule.allows(value) for rule in _rules(kind))


def _rules(kind: Any) -> tuple[Rule, ...]:
    return tuple(get_args(kind)[1:]) if get_origin(kind) is Annotated else ()


def _parts(kind: Any) -> list[Any]:
    """The types of which a value must have one."""
    return [*get_args(kind)] if get_origin(kind) in {Union, UnionType} else [kind]


def _options(kind: Any) -> list[Any]:
    """The same without None, which means 'left out'."""
    return [part for part in _parts(kind) if part is not NoneType]


def _bare(kind: Any) -> Any:
    """A type without its rules."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _unreal(value: object, path: Where) -> Iterator[Where]:
    """Where something stands that JSON cannot hold: a number that is not finite, an object of Python's."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _unreal(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _unreal(item, (*path, place))
    elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
        yield path


# --- JSON Schema -----------------------------------------------------------------------------------------------------


_NAMES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", NoneType: "null"}
_WORDS: Final = (("minimum", "ge"), ("exclusiveMinimum", "gt"), ("maximum", "le"), ("pattern", "pattern"))
_LENGTHS: Final = {"string": "Length", "array": "Items", "object": "Properties"}


def schema_of(section: type[Section]) -> Mapping[str, Any]:
    """The JSON Schema (draft 2020-12) of a section; the other sections that it uses stand under $defs."""
    parts: dict[str, Any] = {}
    schema = _section_schema(section, parts)
    return {**schema, "$defs": dict(sorted(parts.items()))}


def _section_schema(section: type[Section], parts: dict[str, Any]) -> dict[str, Any]:
    keys = keys_of(section)
    properties = {}
    for name, known in keys.items():
        properties[name] = {**_ruled(_schema(known.type, parts), known.rule), "description": known.meaning}
        if known.default is not REQUIRED:
            properties[name]["default"] = known.default
    schema = {"type": "object", "description": section.__doc__, "properties": properties, "additionalProperties": False}
    required = [name for name, known in keys.items() if known.default is REQUIRED]
    return {**schema, "required": required} if required else schema


def _schema(kind: Any, parts: dict[str, Any]) -> dict[str, Any]:
    bare, options = _bare(kind), _parts(kind)
    if len(options) > 1:
        return {"anyOf": [_schema(option, parts) for option in options]}
    if bare is Any:
        return {}
    if get_origin(bare) is Literal:
        return {"enum": [*get_args(bare)], "type": _NAMES[type(get_args(bare)[0])]}
    if _is_section(bare):
        name = bare.__name__
        if name not in parts:
            parts[name] = {}  # a section may stand within itself
            parts[name] = _section_schema(bare, parts)
        return {"$ref": f"#/$defs/{name}"}
    if get_origin(bare) is list:
        schema: dict[str, Any] = {"type": "array", "items": _schema(get_args(bare)[0], parts)}
    elif get_origin(bare) is dict:
        schema = {"type": "object", "additionalProperties": _schema(get_args(bare)[1], parts) or True}
    else:
        schema = {"type": _NAMES[bare]}
    for rule in _rules(kind):
        schema = _ruled(schema, rule)
    return schema


def _ruled(schema: dict[str, Any], rule: Rule) -> dict[str, Any]:
    """A schema with a rule in it."""
    more = {word: getattr(rule, name) for word, name in _WORDS if getattr(rule, name) not in {None, ""}}
    if rule.min_length:
        more[f"min{_length_of(schema)}"] = rule.min_length
    if rule.max_length is not None:
        more[f"max{_length_of(schema)}"] = rule.max_length
    if rule.description:
        more["description"] = rule.description
    return {**schema, **more}


def _length_of(schema: dict[str, Any]) -> str:
    """The word for its length; of a choice, that of its first kind."""
    while "anyOf" in schema:
        schema = schema["anyOf"][0]
    return _LENGTHS[schema["type"]]
