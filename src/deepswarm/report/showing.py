"""One seed as a readable conversation, with every attempt and raw reply. Pure: events in, text out.

What models, seeds and providers wrote is shown as they wrote it, except for what a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from deepswarm.core.events import CallEnded, CallStarted, Event, SeedEnded, SeedReopened
from deepswarm.core.ledger import usage_fields
from deepswarm.core.records import Json, Record

WIDTH: Final = 78
MOST_RAW: Final = 4_000
"""Characters of a raw reply that are shown; JSON has them all."""


def harmless(text: str) -> str:
    """A text that a terminal shows and does not obey: what controls, reverses or hides becomes an escape."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in "\n\t" else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode()


def attempts_of(events: Sequence[Event]) -> list[dict[str, Json]]:
    """What happened to a seed, as JSON values: every call with its raw reply, every end and reopening, in order."""
    started = {event.call: event for event in events if isinstance(event, CallStarted)}
    ended = {event.call for event in events if isinstance(event, CallEnded)}
    found: list[dict[str, Json]] = []
    for event in events:
        if isinstance(event, CallEnded):
            found.append(_call(event, started.get(event.call)))
        elif isinstance(event, SeedEnded):
            found.append({"event": "ended", "outcome": str(event.outcome), "label": event.label, "utc": event.utc})
            if str(event.outcome) != "done":
                found[-1]["reason"] = event.reason
        elif isinstance(event, SeedReopened):
            found.append({"event": "reopened", "why": event.why, "utc": event.utc})
        elif isinstance(event, CallStarted) and event.call not in ended:
            found.append({"event": "under way", "call": event.call, "attempt": event.attempt, "utc": event.utc})
    return found


def _call(ended: CallEnded, started: CallStarted | None) -> dict[str, Json]:
    return {
        "event": "call",
        "call": ended.call,
        "attempt": started.attempt if started else None,
        "turn": started.turn if started else None,
        "started_utc": started.utc if started else None,
        "utc": ended.utc,
        "label": ended.label,
        "detail": ended.detail,
        "status": ended.status or None,
        "finish_reason": ended.finish_reason,
        "model": ended.model,
        "usage": usage_fields(ended.usage),
        "maybe_billed": ended.maybe_billed,
        "request_id": ended.request_id,
        "reply": ended.body.decode("utf-8", "replace"),
    }


def shown(record: Record, attempts: Iterable[dict[str, Json]], *, raw: bool) -> str:
    """The text for a terminal: the conversation, then what it took."""
    lines = [_rule(f"{record.get('id')}  {record.get('outcome')}")]
    messages = record.get("messages")
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict):
            lines += _message(message)
    for name in ("class", "reason", "asked_otherwise", "amended", "filter"):
        if record.get(name):
            lines.append(f"{name}: {record[name]}")
    made = list(attempts)
    lines += [_rule("attempts")] if made else []
    for attempt in made:
        lines.append(_line(attempt))
        if raw and attempt.get("reply"):
            lines += _indented(str(attempt["reply"]))
    return harmless("\n".join(lines))


def _message(message: dict[str, Json]) -> list[str]:
    lines = []
    if message.get("reasoning_content"):
        lines += [_rule("thinking"), str(message["reasoning_content"])]
    return [*lines, _rule(str(message.get("role"))), str(message.get("content"))]


def _indented(text: str) -> list[str]:
    cut = text[:MOST_RAW]
    lines = [f"    {line}" for line in cut.splitlines()]
    return (
        [*lines, f"    … {len(text) - MOST_RAW:,} more characters: --json has them"] if len(text) > MOST_RAW else lines
    )


def _line(attempt: dict[str, Json]) -> str:
    utc = attempt.get("utc")
    when = datetime.fromtimestamp(float(utc), UTC).strftime("%H:%M:%S") if isinstance(utc, int | float) else "        "
    words = [when, str(attempt["event"])]
    if attempt["event"] == "call":
        usage = attempt["usage"]
        tokens = usage.get("tokens_out") if isinstance(usage, dict) else None
        words += [f"{attempt['call']}, attempt {attempt['attempt']}: {attempt['label']}"]
        words += [f"status {attempt['status']}"] if attempt["status"] else []
        words += [f"{tokens} tokens out"] if tokens is not None else []
        words += ["maybe billed"] if attempt["maybe_billed"] else []
        words += [str(attempt[name]) for name in ("finish_reason", "detail") if attempt[name]]
    else:
        words += [str(attempt[name]) for name in ("outcome", "reason", "why") if attempt.get(name)]
    return "  ".join(words)


def _rule(title: str) -> str:
    return f"── {title} ".ljust(WIDTH, "─")
