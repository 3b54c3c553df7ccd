"""The text of simulated answers: English sentences about nothing, or JSON that fits a JSON Schema.

Of JSON Schema it follows type, enum, const, properties, required, items, prefixItems, minItems, maxItems, uniqueItems,
minLength, maxLength, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, format (date, date-time, time,
email, uri, uuid), $ref within the schema, allOf, and the first branch of anyOf and oneOf. Other keywords, above all
`pattern`, `not` and `if`, are not looked at: a reply may then not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.records import Json
from deepswarm.simulator.draws import Draws
from deepswarm.simulator.law import ReplyLaw

_WHO = ("The model", "A careful reader", "The second chapter", "This short example")
_DOES = ("describes", "compares", "leaves out", "explains")
_WHAT = (
    "a long journey by train",
    "the price of fresh bread",
    "how rivers change their course",
    "an old map of the city",
    "the work of a clock maker",
    "why some birds fly south",
    "a letter that never arrived",
    "the rules of a simple game",
    "two ways to bake an apple",
    "the sound of distant bells",
    "a garden behind the school",
    "what the harbour looks like",
    "the first winter in town",
    "a recipe with seven steps",
    "how to mend a broken chair",
    "the history of one street",
)
_SENTENCES: Final = tuple(f"{who} {does} {what}." for who in _WHO for does in _DOES for what in _WHAT)
"""256 sentences, so that a byte chooses one."""
_TOKENS_PER_SENTENCE: Final = 8
_WORDS: Final = tuple(" ".join(_WHAT).split())
_SHORT_MARK: Final = "[simulated]"
_DEEPEST: Final = 5
"""Levels after which a recursive schema gets only what it requires."""
_TOO_DEEP: Final = 64
_FORMATS: Final = {
    "date": "2026-01-{0:02d}",
    "date-time": "2026-01-{0:02d}T12:00:00Z",
    "time": "12:00:{0:02d}Z",
    "email": "simulated{0}@example.com",
    "uri": "https://example.com/simulated/{0}",
    "uuid": "00000000-0000-4000-8000-0000000000{0:02d}",
}


def text_reply(tokens: int, mark: str, draws: Draws, purpose: bytes = b"sentences") -> str:
    """The mark and then sentences, about `tokens` tokens in all (a sentence counts as eight).

    Args:
        tokens: 1 or more.
        mark: What the text starts with.
        draws: The attempt's chance.
        purpose: Of the draw, so that an attempt can hold more than one text.
    """
    count = max(1, tokens // _TOKENS_PER_SENTENCE)
    return " ".join([mark, *map(_SENTENCES.__getitem__, draws.octets(count, purpose))])


def json_reply(schema: Mapping[str, Json], law: ReplyLaw, mark: str, draws: Draws) -> str:
    """JSON text that fits the schema, unless a defect was drawn.

    Args:
        schema: A JSON Schema; see the module's docstring for what is followed.
        law: The shares of replies with a defect.
        mark: Put in front of the first string that is free to hold any text; the others get "[simulated]".
        draws: The attempt's chance.
    """
    value = _Generator(schema, draws, mark).value(schema, "", 0)
    return with_defect(jsontext.dumps(value).decode(), law, draws.uniform(b"defect"))


def with_defect(text: str, law: ReplyLaw, chance: float) -> str:
    """The JSON text as models spoil it, in the shares that the law gives; `chance` in [0, 1) chooses."""
    reached = 0.0
    for defect in ("fenced", "prose", "trailing_comma", "truncated"):
        reached += getattr(law, defect)
        if chance < reached:
            return spoiled(text, defect)
    return text


def spoiled(text: str, defect: str) -> str:
    """JSON text with one of the defects in SPOILERS."""
    return SPOILERS[defect](text)


def _with_trailing_comma(text: str) -> str:
    return f"{text[:-1]},{text[-1]}" if text[-1] in "]}" and len(text) > len("{}") else f"{text},"


def _with_nan(text: str) -> str:
    """One more value, which is no JSON."""
    if text[-1] not in "]}" or len(text) <= len("{}"):
        return "NaN"
    more = "NaN" if text[-1] == "]" else '"more":NaN'
    return f"{text[:-1]},{more}{text[-1]}"


def _without_a_quote(text: str) -> str:
    at = text.rfind('"')
    return f"{text[:at]}{text[at + 1 :]}" if at >= 0 else f'"{text}'


SPOILERS: Final[Mapping[str, Callable[[str], str]]] = {
    "fenced": lambda text: f"```json\n{text}\n```",
    "prose": lambda text: f"Here is the JSON you asked for:\n\n{text}\n\nLet me know if you need anything else.",
    "trailing_comma": _with_trailing_comma,
    "truncated": lambda text: text[: max(1, len(text) * 2 // 3)],
    "single_quotes": lambda text: text.replace('"', "'"),
    "nan": _with_nan,
    "double_encoded": lambda text: jsontext.dumps(text).decode(),
    "missing_quote": _without_a_quote,
}
"""What models make of JSON, by name."""


@dataclass(slots=True)
class _Generator:
    """Makes one value. A draw's purpose is the place in the value, so that a field does not depend on its neighbours.

    `mark` is the mark of the next free string.
    """

    root: Mapping[str, Json]
    draws: Draws
    mark: str

    def value(self, schema: Any, place: str, depth: int) -> Json:
        """A value that fits the schema; None when the schema has no end."""
        if not isinstance(schema, Mapping) or depth > _TOO_DEEP:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            const: Json = schema["const"]
            return const
        if schema.get("enum"):
            chosen: Json = schema["enum"][self._below(len(schema["enum"]), place)]
            return chosen
        return self._of_type(_type_of(schema), schema, place, depth)

    def _of_type(self, kind: str, schema: Mapping[str, Any], place: str, depth: int) -> Json:
        match kind:
            case "object":
                return self._object(schema, place, depth)
            case "array":
                return self._array(schema, place, depth)
            case "string":
                return self._string(schema, place)
            case "integer":
                return self._integer(schema, place)
            case "number":
                return self._number(schema, place)
            case "boolean":
                return self._below(2, place) == 1
        return None

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema with its references followed, its parts merged, and one of its alternatives taken."""
        for _ in range(_TOO_DEEP):
            if "$ref" in schema:
                rest = {key: inner for key, inner in schema.items() if key != "$ref"}
                schema = _merged([_at(self.root, schema["$ref"]), rest])
            elif "allOf" in schema:
                rest = {key: inner for key, inner in schema.items() if key != "allOf"}
                schema = _merged(
                    [rest, *(self._resolved(part) for part in schema["allOf"] if isinstance(part, Mapping))]
                )
            elif alternatives := schema.get("anyOf") or schema.get("oneOf"):
                rest = {key: inner for key, inner in schema.items() if key not in {"anyOf", "oneOf"}}
                schema = _merged([rest, alternatives[0]])
            else:
                break
        return schema

    def _object(self, schema: Mapping[str, Any], place: str, depth: int) -> Json:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        names = [name for name in properties if depth < _DEEPEST or name in required]
        names += [name for name in required if name not in properties]
        other = schema.get("additionalProperties")
        anything = other if isinstance(other, Mapping) else {"type": "string"}
        return {name: self.value(properties.get(name, anything), f"{place}/{name}", depth + 1) for name in names}

    def _array(self, schema: Mapping[str, Any], place: str, depth: int) -> Json:
        least = schema.get("minItems", 0)
        most = max(least, min(schema.get("maxItems", least + 3), least + 3))
        wanted = least if depth >= _DEEPEST else max(min(1, most), least + self._below(most - least + 1, place))
        first = schema.get("prefixItems") or []
        kinds = [*first[:wanted], *[schema.get("items", {"type": "string"})] * (wanted - len(first))]
        values = [self.value(kind, f"{place}/{at}", depth + 1) for at, kind in enumerate(kinds)]
        return self._distinct(values, kinds, place, depth) if schema.get("uniqueItems") else values

    def _distinct(self, values: list[Json], kinds: list[Any], place: str, depth: int) -> Json:
        """The values without repetitions: each repeated one is drawn again, a bounded number of times, or left out."""
        kept: list[Json] = []
        for at, (value, kind) in enumerate(zip(values, kinds, strict=True)):
            fresh = value
            for again in range(100):
                if fresh not in kept:
                    kept.append(fresh)
                    break
                fresh = self.value(kind, f"{place}/{at}#{again}", depth + 1)
        return kept

    def _string(self, schema: Mapping[str, Any], place: str) -> str:
        if form := _FORMATS.get(schema.get("format", "")):
            return form.format(10 + self._below(18, place))
        least = schema.get("minLength", 0)
        most = schema.get("maxLength", max(least, 400))
        octets = self.draws.octets(max(6, least // 2 + 1), place.encode())
        text = " ".join(_WORDS[octet % len(_WORDS)] for octet in octets)
        mark = self._next_mark(most)
        return f"{mark}{text}"[: max(least, min(most, len(mark) + 60))]

    def _next_mark(self, most: int) -> str:
        """What a free string of at most so many characters starts with: the whole mark once, then the short one."""
        if len(self.mark) <= most:
            mark, self.mark = self.mark, _SHORT_MARK
            return f"{mark} "
        return f"{_SHORT_MARK} " if len(_SHORT_MARK) <= most else ""

    def _integer(self, schema: Mapping[str, Any], place: str) -> int:
        step = schema.get("multipleOf", 1)
        step = step if float(step).is_integer() else 1
        low, high = _bounds(schema, step)
        return int(step * (low + self._below(high - low + 1, place)))

    def _number(self, schema: Mapping[str, Any], place: str) -> int | float:
        if "multipleOf" in schema:
            low, high = _bounds(schema, schema["multipleOf"])
            multiple: int | float = round(schema["multipleOf"] * (low + self._below(high - low + 1, place)), 12)
            return multiple
        lowest, highest = _range(schema)
        drawn = lowest + (highest - lowest) * self.draws.uniform(place.encode())
        rounded = round(drawn, 2)
        return rounded if lowest < rounded < highest else drawn

    def _below(self, bound: int, place: str) -> int:
        return self.draws.below(max(1, bound), place.encode())


def _type_of(schema: Mapping[str, Any]) -> str:
    """The schema's type; the first one that is not null where there are several, guessed where there is none."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _range(schema: Mapping[str, Any]) -> tuple[float, float]:
    """Least and greatest value; a side that is not given lies 100 from the other, or at 0."""
    lows = [schema[key] for key in ("minimum", "exclusiveMinimum") if _is_number(schema.get(key))]
    highs = [schema[key] for key in ("maximum", "exclusiveMaximum") if _is_number(schema.get(key))]
    low = max(lows) if lows else min(0, min(highs) - 100) if highs else 0
    return low, min(highs) if highs else low + 100


def _bounds(schema: Mapping[str, Any], step: float) -> tuple[int, int]:
    """The least and the greatest n for which n * step lies within the schema's range."""
    low, high = _range(schema)
    least, most = math.ceil(low / step), math.floor(high / step)
    least += _is_number(schema.get("exclusiveMinimum")) and least * step <= schema["exclusiveMinimum"]
    most -= _is_number(schema.get("exclusiveMaximum")) and most * step >= schema["exclusiveMaximum"]
    return least, max(least, most)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _at(root: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    """What a reference such as "#/$defs/name" points at; an empty schema when nothing is there."""
    here: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        here = here.get(name) if isinstance(here, Mapping) else None
    return here if isinstance(here, Mapping) else {}


def _merged(parts: list[Any]) -> dict[str, Any]:
    """Schemas that must all hold, as one: properties and required names are joined, for the rest the last one wins."""
    merged: dict[str, Any] = {}
    for part in parts:
        for key, inner in part.items() if isinstance(part, Mapping) else ():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **inner}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *(name for name in inner if name not in merged.get(key, []))]
            else:
                merged[key] = inner
    return merged
