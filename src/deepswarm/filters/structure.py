"""The filter `structure`: the answer's JSON fits a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from deepswarm.core import jsontext
from deepswarm.core.records import Drop, Json, Keep, Record, Verdict
from deepswarm.filters.schema import Schema

ANSWER_JSON: Final = "answer_json"


@dataclass(frozen=True, slots=True)
class Structure:
    """Drop answers whose JSON does not fit; the reason names each place and what is wrong there.

    It reads the value that `json_repair` left; without that filter before it, only answers that are JSON and nothing
    else can fit.

    Attributes:
        schema: A JSON Schema. (A task file may name a file instead; it is read before the filter is made.)
        most_errors: How many errors a reason lists.
    """

    schema: Mapping[str, Json]
    most_errors: int = 5
    _compiled: Schema = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the schema.

        Raises:
            ValueError: If it is no JSON Schema.
        """
        if self.most_errors < 1:
            raise ValueError(f"'most_errors' must be 1 or more, not {self.most_errors}")
        try:
            object.__setattr__(self, "_compiled", Schema(self.schema))
        except ValueError as error:
            raise ValueError(f"'schema' is no JSON Schema: {error}") from error

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        if ANSWER_JSON in record:
            value = record[ANSWER_JSON]
        else:
            answer = record.get("answer")
            if not isinstance(answer, str):
                return Drop("there is no answer")
            try:
                value = jsontext.loads(answer)
            except ValueError as error:
                return Drop(f"the answer is not JSON: {error}")
        flaws = self._compiled.flaws(value, self.most_errors + 1)
        if not flaws:
            return Keep()
        return Drop("; ".join(flaws[: self.most_errors]) + ("; and more" if len(flaws) > self.most_errors else ""))
