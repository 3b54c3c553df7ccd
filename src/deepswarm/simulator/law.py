"""Laws: how a simulated provider behaves. Data only; `behaviour.py` and `provider.py` carry them out.

A law file is TOML. Every key is optional but `kind` of a fault; unknown keys are refused.

    concurrency = 64            most requests in flight, 0 = no cap; one more gets a 429 that states the numbers
    retry_after_s = 2.0         Retry-After of that 429; leave it out to send none

    [latency]                   seconds of an answer: lognormal(median_s, sigma) + per_token_s * tokens of the answer
    median_s = 2.0              0 = at once
    sigma = 0.5                 0 = always the median
    per_token_s = 0.0

    [tokens]                    tokens of a text answer: lognormal, never more than the request's max_tokens
    median = 100
    sigma = 0.3

    [reply]
    kind = "text"               "json": a JSON value instead, which fits the task's schema when there is one
    fenced = 0.0                share of JSON replies inside a Markdown fence,
    prose = 0.0                 with prose around,
    trailing_comma = 0.0        with a comma too many,
    truncated = 0.0             or broken off; together at most 1

    [[faults]]                  the first that hits decides; each may appear any number of times
    kind = "status"             status hang disconnect cut empty garbled length content_filter huge
    rate = 0.01                 share of the requests that it may hit; 1 when left out
    seeds = [7, "x"]            only requests that carry [[id:7]] or [[id:x]]; all when left out
    attempts = [1]              only the first attempt at a request; all when left out
    after_s = 5.0               when it shows; by default at once for status, else when the answer would have come
    status = 503                (status) 400 to 599
    message = "Sorry"           (status) what the error says, instead of the usual words of that status
    code = "insufficient_quota" (status) the error's code, likewise
    retry_after_s = 1.0         (status) Retry-After, in seconds
    body = "html"               (status, garbled) a gateway's page, "empty", or "json", which for garbled is half of one
    size_bytes = 50_000_000     (huge) length of the answer's text
"""

# ruff: noqa: RUF009 - the functions of lawfile.py that stand as defaults make dataclass fields
from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.records import Json
from deepswarm.simulator.faultlaw import Fault
from deepswarm.simulator.lawfile import choice, number, rate, read_toml, table, tables, whole

LAWS: Final = Path(__file__).parent / "laws"

ANY_OBJECT: Final[Mapping[str, Json]] = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 20}},
    "required": ["text"],
}
"""What a JSON reply fits as long as no schema was given."""


class ReplyKind(StrEnum):
    """What an answer's text is."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the request to its answer: lognormal, plus a time for each token of the answer."""

    median_s: float = number(0.0)
    sigma: float = number(0.0, high=10.0)
    per_token_s: float = number(0.0)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a text answer: lognormal."""

    median: int = whole(100, low=1, high=10_000_000)
    sigma: float = number(0.0, high=10.0)


@dataclass(frozen=True, slots=True)
class ReplyLaw:
    """What answers are, and the shares of JSON answers that have a defect."""

    kind: ReplyKind = choice(ReplyKind, ReplyKind.TEXT)
    fenced: float = rate(0.0)
    prose: float = rate(0.0)
    trailing_comma: float = rate(0.0)
    truncated: float = rate(0.0)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        if self.fenced + self.prose + self.trailing_comma + self.truncated > 1.0:
            yield "", "the shares of defects add up to more than 1"


@dataclass(frozen=True, slots=True)
class Law:
    """How a provider behaves.

    Attributes:
        concurrency: Most requests in flight; 0 is no cap.
        retry_after_s: Seconds in the Retry-After of a refusal over the cap; None sends no such header.
        latency: How long answers take.
        tokens: How long text answers are.
        reply: What answers are.
        faults: What goes wrong; the first that hits decides.
        name: Of the preset or file, for people.
        schema: JSON Schema that JSON answers fit.
    """

    concurrency: int = whole(0)
    retry_after_s: float | None = number(None)
    latency: Latency = table(Latency)
    tokens: Tokens = table(Tokens)
    reply: ReplyLaw = table(ReplyLaw)
    faults: tuple[Fault, ...] = tables(Fault)
    name: str = "unlimited"
    schema: Mapping[str, Json] = field(default_factory=lambda: ANY_OBJECT)

    def with_schema(self, schema: Mapping[str, Json]) -> Law:
        """The same law, whose answers are JSON that fits this JSON Schema."""
        return replace(self, reply=replace(self.reply, kind=ReplyKind.JSON), schema=schema)


def presets() -> list[str]:
    """The names of the laws that ship with the house, in alphabetical order."""
    return sorted(path.stem for path in LAWS.glob("*.toml"))


def load_law(name_or_path: str | Path) -> Law:
    """The law of a preset's name, or of a TOML file.

    Raises:
        TaskFileError: If there is no such preset or file, or it is not a law; names the file and each wrong key.
    """
    name = str(name_or_path)
    path = LAWS / f"{name}.toml" if name in presets() else Path(name)
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TaskFileError([_unknown(name)]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise TaskFileError([Problem(f"this law cannot be read: {error}", name)]) from error
    made: Law = read_toml(Law, source, name)
    return replace(made, name=name)


def _unknown(name: str) -> Problem:
    known = presets()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"give a TOML file, or one of: {', '.join(known)}"
    return Problem("there is no law of this name and no such file", name, hint=hint)
