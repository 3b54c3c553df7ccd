"""JSON Schema, in one place: what a schema says about a value. The only file that knows the library behind it.

References to other files or to the network are refused: a schema is data, whole in itself. The dialect is the one that
`$schema` names, draft 2020-12 otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from deepswarm.core.records import Json

WIDEST: Final = 200
"""Most characters of one message; the library repeats the value, which may be long."""


class Schema:
    """A compiled JSON Schema."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        """Compile it.

        Raises:
            ValueError: If it is no JSON Schema; says where.
        """
        import jsonschema_rs

        try:
            self._validator = jsonschema_rs.validator_for(dict(schema), offline=True)
        except jsonschema_rs.ValidationError as error:
            raise ValueError(f"{_place(error.instance_path)}: {_short(error.message)}") from error

    def __repr__(self) -> str:
        return f"Schema({self._validator!r})"

    def allows(self, value: Json) -> bool:
        """Whether a value fits."""
        return not self.flaws(value, 1)

    def flaws(self, value: Json, most: int) -> list[str]:
        """What is wrong with a value: "path: message" each, at most `most`; empty when it fits."""
        try:
            if self._validator.is_valid(value):
                return []
            found = [f"{_place(error.instance_path)}: {_short(error.message)}" for error in self._some(value, most)]
        except UnicodeEncodeError:  # the library is strict about text, our records need not be
            return self.flaws(_encodable(value), most)
        except ValueError:  # it refuses values that are nested more than some 250 deep
            return ["$: nested too deeply to be judged"]
        return found

    def _some(self, value: Json, most: int) -> list[Any]:
        return list(islice(self._validator.iter_errors(value), most))


def _place(path: list[str | int]) -> str:
    """A path as people write it: $.findings[0].line."""
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{step}" if step.isidentifier() else f"['{step}']" for step in path
    )
    return "$" + "".join(steps)


def _short(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST // 2]} … {text[-WIDEST // 2 :]}"


def _encodable(value: Json) -> Json:
    """The value with lone surrogates, which UTF-8 cannot hold, replaced by as many U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {str(_encodable(key)): _encodable(item) for key, item in value.items()}
    return value
