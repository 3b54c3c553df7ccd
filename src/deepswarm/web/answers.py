"""What the live page is answered: its own files, the figures as they stand, and conversations page by page.

Every answer costs a bounded piece of work, however large the run is: a page of conversations looks at one stretch of
the journal or of a file, and says where the next one begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from deepswarm.core.errors import DeepSwarmError
from deepswarm.core.jsontext import dumps, loads
from deepswarm.core.records import Json, Outcome, Record
from deepswarm.engine.exporting import Prompts
from deepswarm.engine.filtering import RecordedRun, recorded
from deepswarm.engine.looking import look_at, with_messages
from deepswarm.engine.output import record_from
from deepswarm.journals.browsing import Browser, spellings
from deepswarm.report.page import SCRIPTS, STYLES, asset
from deepswarm.report.rows import row_of
from deepswarm.web.following import Following

MOST_ROWS: Final = 50
MOST_FOUND: Final = 200
"""Characters that can be searched for."""
STRETCH_BYTES: Final = 4_000_000
"""Of a filter's file that are looked at for one answer."""
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_OUTCOMES: Final[Mapping[str, frozenset[Outcome]]] = {
    "all": frozenset(Outcome),
    "answered": frozenset({Outcome.DONE}),
    "failed": frozenset({Outcome.FAILED, Outcome.REJECTED}),
}
_FILES: Final = {"kept": "clean.jsonl", "dropped": "errors.jsonl"}


class Answer(NamedTuple):
    """An HTTP status, the kind of the body, and the body."""

    status: int
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers about one run; called from many threads."""

    folder: Path
    following: Following
    _routes: Mapping[str, Callable[[Mapping[str, str]], Answer]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Name what can be asked for."""
        routes = {"api/state": self._state, "api/rows": self._rows, "api/attempts": self._attempts}
        object.__setattr__(self, "_routes", routes)

    def answer(self, wanted: str) -> Answer:
        """The answer to a path below the secret, with its query."""
        parts = urlsplit(f"/{wanted}")
        name = parts.path.removeprefix("/") or "index.html"
        route = self._routes.get(name)
        if route is None:
            return page_file(name)
        query = {key: values[-1] for key, values in parse_qs(parts.query, max_num_fields=10).items()}
        try:
            return route(query)
        except ValueError:
            return _json({"error": "this cannot be asked for"}, 400)
        except DeepSwarmError as error:
            return _json({"error": str(error)}, 500)

    def _state(self, query: Mapping[str, str]) -> Answer:
        """The facts, when they are newer than those that the page has `seen`; else nothing (204)."""
        seen = int(query.get("seen", "0"))
        told = self.following.told
        if told.number in {0, seen}:
            return Answer(204, "application/json", b"")
        return Answer(200, "application/json", b'{"number":%d,"facts":%b}' % told)

    def _rows(self, query: Mapping[str, str]) -> Answer:
        which, find = query.get("which", "all"), query.get("find", "")[:MOST_FOUND]
        start = int(query["from"]) if "from" in query else None
        if which in _FILES:
            return _json(file_page(self.folder / _FILES[which], start or 0, find))
        with self._run() as (run, browser):
            prompts = Prompts(run.journal.tasks())
            page = browser.page(_OUTCOMES[which] if which in _OUTCOMES else _OUTCOMES["all"], start, find, MOST_ROWS)
            rows = [row_of(_record(run, prompts, story)) for story in browser.stories(page.events)]
        return _json({"rows": rows, "next": page.before, "looked": page.looked})

    def _attempts(self, query: Mapping[str, str]) -> Answer:
        """All that happened to a seed, with raw replies; without an index for it, a second on a run of a million."""
        with recorded(self.folder) as run:
            found = [attempt for _, made in look_at(run, query.get("id", "")) for attempt in made]
        return _json({"attempts": [_shown(attempt) for attempt in found]})

    @contextmanager
    def _run(self) -> Iterator[tuple[RecordedRun, Browser]]:
        with recorded(self.folder) as run:
            browser = Browser(run.journal.path)
            try:
                yield run, browser
            finally:
                browser.close()


def _record(run: RecordedRun, prompts: Prompts, story: object) -> Record:
    record, payload = record_from(story, run.dialect)  # type: ignore[arg-type]
    record["seed"] = loads(payload)
    return with_messages(record, prompts)


def _shown(attempt: Mapping[str, Json]) -> dict[str, Json]:
    """An attempt with its raw reply cut to what a page can hold."""
    reply = str(attempt.get("reply") or "")
    return {**attempt, "reply": reply[:MOST_REPLY], "cut": max(0, len(reply) - MOST_REPLY)}


MOST_REPLY: Final = 20_000
"""Characters of a raw reply on the page; `deepswarm show` has all."""


def file_page(path: Path, start: int, find: str) -> dict[str, Json]:
    """Rows of a filter's file from this byte on: at most MOST_ROWS of at most STRETCH_BYTES."""
    wanted = [each.lower().encode("utf-8", "replace") for each in spellings(find)] if find else []
    rows: list[Json] = []
    looked = 0
    if not path.is_file():
        return {"rows": rows, "next": None, "looked": 0}
    with path.open("rb") as file:
        place = file.seek(max(0, start))
        for line in file:
            if not line.endswith(b"\n"):
                break  # it is being written
            place += len(line)
            looked += 1
            if not wanted or any(each in line.lower() for each in wanted):
                rows.append(_row_in(line))
            if len(rows) >= MOST_ROWS or place - start >= STRETCH_BYTES:
                return {"rows": rows, "next": place, "looked": looked}
    return {"rows": rows, "next": None, "looked": looked}


def _row_in(line: bytes) -> dict[str, Json]:
    """A line of clean.jsonl, or of errors.jsonl with its filter and reason."""
    row = loads(line)
    if not isinstance(row, dict):
        return {"id": "?", "answer": line.decode("utf-8", "replace")[:1000]}
    inner = row.get("record")
    return row_of(
        {**inner, "filter": row.get("filter"), "reason": row.get("reason")} if isinstance(inner, dict) else row
    )


@cache
def page_file(name: str) -> Answer:
    """One of the files that the page is made of; nothing else of this machine can be named."""
    if name in {*STYLES, *SCRIPTS}:
        text = asset(name)
    elif name in {"index.html", "live.js"}:
        text = files("deepswarm.web").joinpath("assets", name).read_text(encoding="utf-8")
    else:
        return Answer(404, "text/plain", b"there is nothing of that name here\n")
    return Answer(200, f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8", text.encode())


def _json(value: Mapping[str, object], status: int = 200) -> Answer:
    return Answer(status, "application/json", dumps(value))
