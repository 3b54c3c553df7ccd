"""Seeds made by the orchestrator's model: topics first, then seeds spread over them, without near-duplicates.

    wanted ─▶ topics ─▶ so many of each ─▶ asks ─▶ seeds ─ near-duplicates out ─▶ kept ─┬─▶ enough: the seeds file
                            ▲                                                          │
                            └──────────── what is missing of each, and what to avoid ◀─┘

All of it is told from the replies that there are, in the order in which they were asked for: the same replies give the
same seeds and the same next asks, so that a run that stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from deepswarm.core import jsontext
from deepswarm.core.records import Drop, Json, Record
from deepswarm.filters.near_duplicate import NearDuplicate
from deepswarm.orchestrator.advice import MOST_SEEDS, MOST_TOPICS, Topic
from deepswarm.orchestrator.quoting import material

BATCH: Final = 20
"""Seeds that are asked for in one call: more come out alike, fewer repeat the prompt too often."""
SPARE: Final = 0.1
"""More than are missing, since some will be near to others."""
AVOIDED: Final = 15
"""Seeds of the topic that an ask shows, so that others come."""
MOST_ROUNDS: Final = 20
_SHOWN_CHARACTERS: Final = 400


class Ask(NamedTuple):
    """A request for seeds.

    Attributes:
        id: Unique, in the order of asking.
        topic: Number of the topic, from 0.
        size: How many seeds.
        ask: The whole text.
    """

    id: str
    topic: int
    size: int
    ask: str


class Made(NamedTuple):
    """What the replies so far come to.

    Attributes:
        kept: Seeds by topic, in the order in which they came; the topic's number stands in none of them.
        near: How many were left out because they are near to one that was kept.
    """

    kept: tuple[tuple[dict[str, Json], ...], ...]
    near: int

    @property
    def seeds(self) -> int:
        """How many seeds were kept."""
        return sum(map(len, self.kept))


def topics_schema() -> dict[str, Json]:
    """What the reply with the topics fits."""
    topic: dict[str, Json] = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 120},
            "covers": {"type": "string", "maxLength": 300},
        },
        "required": ["name", "covers"],
        "additionalProperties": False,
    }
    listed: dict[str, Json] = {"type": "array", "items": topic, "minItems": 1, "maxItems": MOST_TOPICS}
    return {
        "type": "object",
        "properties": {"topics": listed},
        "required": ["topics"],
        "additionalProperties": False,
    }


def seeds_schema(names: Iterable[str]) -> dict[str, Json]:
    """What a reply with seeds fits: each has just the fields that the task's prompt uses, as texts."""
    fields = sorted(names)
    seed: dict[str, Json] = {
        "type": "object",
        "properties": {name: {"type": "string", "minLength": 1} for name in fields},
        "required": list[Json](fields),
        "additionalProperties": False,
    }
    listed: dict[str, Json] = {"type": "array", "items": seed, "minItems": 1, "maxItems": MOST_SEEDS}
    return {
        "type": "object",
        "properties": {"seeds": listed},
        "required": ["seeds"],
        "additionalProperties": False,
    }


def topics_ask(wanted: str, names: Iterable[str]) -> str:
    """What is asked first."""
    fields = ", ".join(sorted(names))
    return (
        "Seeds are the inputs of a batch job. Make a taxonomy for them: 8 to 40 topics that do not overlap and that "
        f"together cover all that is wanted. Each seed will have the fields: {fields}.\n\n"
        f"What is wanted:\n{wanted}"
    )


def topics_in(answer: str) -> list[Topic]:
    """The topics of an answer that fits `topics_schema`; names that only differ in case and space stand once."""
    value = jsontext.loads(answer)
    listed = value.get("topics") if isinstance(value, dict) else None
    found: dict[str, Topic] = {}
    for row in listed if isinstance(listed, list) else []:
        if isinstance(row, dict):
            topic = Topic(name=str(row.get("name")), covers=str(row.get("covers") or ""))
            found.setdefault(" ".join(topic.name.casefold().split()), topic)
    return list(found.values())


def seeds_in(answer: str) -> list[dict[str, Json]]:
    """The seeds of an answer that fits `seeds_schema`."""
    value = jsontext.loads(answer)
    listed = value.get("seeds") if isinstance(value, dict) else None
    return [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []


def spread(count: int, topics: int) -> list[int]:
    """So many seeds over so many topics, as evenly as whole numbers allow; the first topics get one more."""
    each, more = divmod(count, topics)
    return [each + (number < more) for number in range(topics)]


def made_of(replies: Sequence[tuple[int, Sequence[dict[str, Json]]]], topics: int, distinct: float) -> Made:
    """What the replies come to.

    Args:
        replies: Topic and seeds of each, in the order of their asks.
        topics: How many topics there are.
        distinct: Seeds that are nearer to each other than this are the same, 0.3 to 1: see the filter near_duplicate.
    """
    rows = [(topic, seed) for topic, seeds in replies for seed in seeds]
    records: list[Record] = [{"id": str(at), "text": text_of(seed)} for at, (_, seed) in enumerate(rows)]
    kept: list[list[dict[str, Json]]] = [[] for _ in range(topics)]
    near = 0
    for (topic, seed), verdict in zip(rows, NearDuplicate(distinct, of="text").judge_all(records), strict=True):
        if isinstance(verdict, Drop):
            near += 1
        else:
            kept[topic].append(seed)
    return Made(tuple(map(tuple, kept)), near)


def text_of(seed: Mapping[str, Json]) -> str:
    """What of a seed is compared."""
    return "\n".join(str(seed[name]) for name in sorted(seed))


def missing(made: Made, count: int, exhausted: frozenset[int]) -> list[int]:
    """How many seeds of each topic are still to be asked for.

    What exhausted topics do not give is spread over the others.
    """
    topics = len(made.kept)
    lacking = count - made.seeds
    if lacking <= 0 or len(exhausted) == topics:
        return [0] * topics
    wanted = spread(count, topics)
    gaps = [0 if number in exhausted else max(0, wanted[number] - len(kept)) for number, kept in enumerate(made.kept)]
    open_topics = [number for number in range(topics) if number not in exhausted]
    while sum(gaps) > lacking:
        gaps[max(open_topics, key=lambda number: (gaps[number], number))] -= 1
    for turn in range(lacking - sum(gaps)):
        gaps[open_topics[turn % len(open_topics)]] += 1
    return gaps


def exhausted_by(made: Made, before: Made | None, asked: frozenset[int]) -> frozenset[int]:
    """Topics that were asked and gave nothing new."""
    if before is None:
        return frozenset()
    return frozenset(number for number in asked if len(made.kept[number]) == len(before.kept[number]))


def asks_of(wanted: str, topics: Sequence[Topic], made: Made, gaps: Sequence[int], first: int) -> list[Ask]:
    """The next asks.

    Args:
        wanted: What the task says is wanted.
        topics: All of them.
        made: What there is.
        gaps: How many of each topic are missing.
        first: Number of the first of these asks.
    """
    asks: list[Ask] = []
    for number, gap in enumerate(gaps):
        left = gap + int(gap * SPARE)
        while left > 0:
            count = min(left, BATCH)
            part = len(asks) + first
            asks.append(Ask(f"{part:06}", number, count, _ask(wanted, topics[number], made.kept[number], count, part)))
            left -= count
    return asks


def _ask(wanted: str, topic: Topic, kept: Sequence[Mapping[str, Json]], count: int, part: int) -> str:
    shown: dict[str, Json] = {"topic": {"name": topic.name, "covers": topic.covers}}
    if kept:
        step = max(1, len(kept) // AVOIDED)
        shown["already there"] = [text_of(seed) for seed in kept[::step][:AVOIDED]]
    return (
        f"Write {count} seeds of the topic below, as different from each other as the topic allows: in what they are "
        "about, in form, length and difficulty. None may resemble one that is already there. "
        f"(Part {part + 1} of the work.)\n\nWhat is wanted:\n{wanted}\n\n{material(shown, _SHOWN_CHARACTERS)}"
    )


def chosen(made: Made, count: int) -> list[dict[str, Json]]:
    """So many of the kept seeds, in turn from each topic, so that the first of them are spread as well as all."""
    wanted, found = spread(count, len(made.kept)), list[dict[str, Json]]()
    more = count - sum(min(want, len(kept)) for want, kept in zip(wanted, made.kept, strict=True))
    room = []
    for want, kept in zip(wanted, made.kept, strict=True):
        extra = min(max(0, more), max(0, len(kept) - want))
        more -= extra
        room.append(min(want, len(kept)) + extra)
    for turn in range(max(room, default=0)):
        found += [kept[turn] for most, kept in zip(room, made.kept, strict=True) if turn < most]
    return found
