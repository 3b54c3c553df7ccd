"""Faults of delivery: replies that are no answers, and answers that do not arrive as they should."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from deepswarm.core import jsontext
from deepswarm.core.records import HttpReply
from deepswarm.simulator import bodies, fault_replies, messages
from deepswarm.simulator.answer import Answer
from deepswarm.simulator.asked import Form
from deepswarm.simulator.case import Case, Timing
from deepswarm.simulator.faultlaw import BodyKind, Ending, Fault, FaultKind
from deepswarm.simulator.play import SILENCE, Drip, End, Play, Scene, whole
from deepswarm.simulator.script import Line, Script

Delivery: TypeAlias = tuple[Play, Answer | None]
"""What is delivered, and the answer that was made, and is billed, on the way; None when none was."""

_ENDS: Final = {Ending.CLOSE: End.CLOSE, Ending.RESET: End.RESET, Ending.CLEAN: End.WHOLE, Ending.DONE: End.WHOLE}
_LONG_LINE_BYTES: Final = 1 << 20
_BOMB_BYTES: Final = 64 << 20
_WRITE_GAP_S: Final = 1e-6
"""Between two writes of one moment, which would else go out as one."""
_FIELD: Final = re.compile(rb"^(event|data): ", re.MULTILINE)


# --- refusals --------------------------------------------------------------------------------------------------------


def _status(case: Case, fault: Fault, timing: Timing) -> Delivery:
    del timing
    return whole(fault_replies.status_reply(fault, case.asked.authorization), fault.after_s or 0.0), None


def _reject(case: Case, fault: Fault, timing: Timing) -> Delivery:
    del case, timing
    return whole(fault_replies.reject_reply(fault), fault.after_s or 0.0), None


# --- connections -----------------------------------------------------------------------------------------------------


def _disconnect(case: Case, fault: Fault, timing: Timing) -> Delivery:
    return Play(0, {}, (), _ENDS[fault.end], timing.at(case.write().tokens), None), None


def _unreachable(case: Case, fault: Fault, timing: Timing) -> Delivery:
    del case, timing
    return Play(0, {}, (), End.REFUSED, fault.after_s or 0.0, None), None


def _hang(case: Case, fault: Fault, timing: Timing) -> Delivery:
    """Silence before the answer, after its head, or between its pieces; for ever, or for a time."""
    answer = case.write()
    play = _in_pieces(case, answer, timing)
    at = _pieces_before(case, play, fault.after_chunks) if fault.after_chunks else 0
    silent_s = timing.start_s if at == 0 else play.scenes[at - 1].at_s
    before = play.scenes[:at]
    if fault.chosen_form == "head" and not before:
        before = (Scene(silent_s, b""),)
    drip = None if fault.every_s is None else Drip(case.keep_alive, fault.every_s, silent_s, silent_s + fault.lasts_s)
    length = play.length if drip is None else None
    if fault.for_s is not None:
        rest = tuple([Scene(scene.at_s + fault.for_s, scene.data) for scene in play.scenes[at:]])
        first_s = play.first_s if at else _first_of(play, fault.for_s)
        end_s = play.end_s + fault.for_s
        return play._replace(scenes=before + rest, length=length, drip=drip, end_s=end_s, first_s=first_s), answer
    if not before and drip is None:
        return SILENCE, None
    first_s = play.first_s if at else None
    hung = play._replace(scenes=before, end=End.HANG, end_s=math.inf, length=length, drip=drip, first_s=first_s)
    return hung, answer if at else None


def _drip(case: Case, fault: Fault, timing: Timing) -> Delivery:
    """Keep-alives in place of the answer, or before it."""
    every_s = 1.0 if fault.every_s is None else fault.every_s
    drip = Drip(case.keep_alive, every_s, 0.0, fault.lasts_s)
    if fault.end is Ending.ANSWER and fault.for_s is not None:
        answer = case.write()
        return case.play(answer, Timing(fault.for_s, timing.token_s))._replace(drip=drip, length=None), answer
    headers = bodies.stream_headers(case.request_id) if case.asked.stream else bodies.JSON_HEADERS
    if fault.for_s is None:
        return Play(200, headers, (), End.HANG, math.inf, None, None, drip), None
    return Play(200, headers, (), _ENDS[fault.end], fault.for_s, None, None, drip), None


def _cut(case: Case, fault: Fault, timing: Timing) -> Delivery:
    """The reply breaks off when its next piece would have come."""
    answer = case.write()
    if fault.end is Ending.DONE and not case.asked.stream:
        return case.play(answer._replace(absent=frozenset({"finish_reason"})), timing), answer
    play = _in_pieces(case, answer, timing)
    at = _pieces_before(case, play, fault.after_chunks)
    scenes, end_s = play.scenes[:at], play.scenes[at].at_s
    if fault.end is Ending.DONE:
        scenes += (Scene(end_s, play.scenes[-1].data),)
    length = play.length
    if fault.end is Ending.CLEAN and length is not None:
        length = sum(len(scene.data) for scene in scenes)
    return play._replace(scenes=scenes, end=_ENDS[fault.end], end_s=end_s, length=length), answer


def _stale(case: Case, fault: Fault, timing: Timing) -> Delivery:
    answer = case.write()
    return case.play(answer, timing)._replace(idle_s=fault.idle_s), answer


def _slow(case: Case, fault: Fault, timing: Timing) -> Delivery:
    answer = case.write()
    token_s = timing.token_s * fault.factor if fault.token_s is None else fault.token_s
    return case.play(answer, Timing(timing.start_s * fault.factor, token_s)), answer


def _split(case: Case, fault: Fault, timing: Timing) -> Delivery:
    answer = case.write()
    play = case.play(answer, timing)
    size = fault.size_bytes or 1
    scenes: list[Scene] = []
    at_s = -math.inf
    for scene in play.scenes:
        for start in range(0, len(scene.data), size):
            at_s = max(scene.at_s, at_s + _WRITE_GAP_S)
            scenes.append(Scene(at_s, scene.data[start : start + size]))
    return play._replace(scenes=tuple(scenes), end_s=max(play.end_s, at_s)), answer


# --- replies that are none, or that no reader expects ----------------------------------------------------------------


def _garbled(case: Case, fault: Fault, timing: Timing) -> Delivery:
    """A gateway's page, for which no completion is made, or bytes that are no answer."""
    answer = case.write()
    at_s = timing.at(answer.tokens)
    headers = bodies.stream_headers(case.request_id) if case.asked.stream else bodies.JSON_HEADERS
    if fault.raw:
        return whole(HttpReply(200, headers, fault.raw.encode()), at_s), answer
    if fault.body is BodyKind.HTML:
        return whole(bodies.page(200), at_s), None
    if fault.body is BodyKind.EMPTY:
        return whole(HttpReply(200, headers, b""), at_s), answer
    if not case.asked.stream:
        reply = case.reply(answer)
        return whole(reply._replace(body=reply.body[: len(reply.body) // 2]), at_s, at_s), answer
    script = case.script(answer)
    middle = len(script.lines) // 2
    made, data = script.lines[middle]
    script.lines[middle] = Line(made, data[: len(data) // 2] + b"\n\n")
    return case.stream(script, answer.tokens, timing), answer


def _error(case: Case, fault: Fault, timing: Timing) -> Delivery:
    """A reply that begins as a success and turns out to be an error."""
    status = fault.status or 500
    said = bodies.ERRORS.get(status, bodies.OTHER)
    message = fault.message or said.message
    value: dict[str, Any] = {"error": {"message": message, "code": fault.code or status, "metadata": {"raw": message}}}
    if case.asked.form is Form.MESSAGES:
        value = {"type": "error", "error": {"type": fault.code or said.type, "message": message}}
    elif fault.chosen_form == "finish":
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        value = {"id": case.request_id, "choices": [choice], **value}
    elif fault.chosen_form in {"null", "empty"}:
        value["choices"] = None if fault.chosen_form == "null" else []
    answer = case.write()
    if not case.asked.stream:
        return whole(bodies.ok(value, case.request_id), timing.at(answer.tokens)), None
    script = case.script(answer)
    lines = script.lines[: fault.after_chunks]
    tokens = script.lines[len(lines)].made if len(lines) < len(script.lines) else answer.tokens
    broken = Script(script.opening, lines, _error_event(case, fault, value), b"", b"")
    return case.stream(broken, tokens, timing), None


def _error_event(case: Case, fault: Fault, value: dict[str, Any]) -> bytes:
    if case.asked.form is Form.MESSAGES:
        return messages.event(value)
    name = b"event: error\n" if fault.chosen_form == "event" else b""
    return b"%sdata: %s\n\n" % (name, jsontext.dumps(value))


def _stream(case: Case, fault: Fault, timing: Timing) -> Delivery:
    answer = case.write()
    if not case.asked.stream or fault.chosen_form == "whole":
        return case.play_whole(answer, timing), answer
    script = _ODD_FORMS[fault.chosen_form](case.script(answer), fault, answer)
    return case.stream(script, answer.tokens, timing), answer


def _deep(case: Case, fault: Fault, timing: Timing) -> Delivery:
    body = b'{"id":"deep","choices":%s%s}' % (b"[" * fault.depth, b"]" * fault.depth)
    at_s = timing.start_s
    if not case.asked.stream:
        return whole(HttpReply(200, bodies.JSON_HEADERS, body), at_s), None
    return whole(HttpReply(200, bodies.stream_headers(case.request_id), b"data: %s\n\n" % body), at_s), None


def _bomb(case: Case, fault: Fault, timing: Timing) -> Delivery:
    answer = case.write()
    headers = bodies.stream_headers(case.request_id) if case.asked.stream else bodies.JSON_HEADERS
    packed = HttpReply(200, {**headers, "content-encoding": "gzip"}, _gzipped_blanks(fault.size_bytes or _BOMB_BYTES))
    return whole(packed, timing.at(answer.tokens)), answer


@lru_cache(maxsize=4)
def _gzipped_blanks(size: int) -> bytes:
    """So many blank lines, gzipped; made block by block, so that it never lies in memory inflated."""
    packer = zlib.compressobj(level=9, wbits=31)
    block = b"\n" * min(size, 1 << 20)
    packed = [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*packed, packer.compress(block[: size % len(block)]), packer.flush()])


# --- odd forms of streams --------------------------------------------------------------------------------------------


def _repeat(script: Script, fault: Fault, answer: Answer) -> Script:
    """What carries no content comes twice: who repeats content cannot be found out."""
    del fault, answer
    return script._replace(opening=script.opening * 2, finish=script.finish * 2, usage=script.usage * 2)


def _terminal(script: Script, fault: Fault, answer: Answer) -> Script:
    del fault
    message = jsontext.dumps({"role": "assistant", "content": answer.text})
    return script._replace(finish=script.finish.replace(b'"delta":{}', b'"delta":{},"message":' + message, 1))


def _two_finishes(script: Script, fault: Fault, answer: Answer) -> Script:
    del fault, answer
    return script._replace(finish=script.finish * 2)


def _long_line(script: Script, fault: Fault, answer: Answer) -> Script:
    del answer
    padding = b'data: {"choices":[],"padding":"%s"}\n\n' % (b"x" * (fault.size_bytes or _LONG_LINE_BYTES))
    middle = len(script.lines) // 2
    lines = [*script.lines[:middle], Line(script.lines[middle].made, padding), *script.lines[middle:]]
    return script._replace(lines=lines)


def _odd_order(script: Script, fault: Fault, answer: Answer) -> Script:
    """Content before the role, comments and empty events between, and the finish reason before the last piece."""
    del fault, answer
    first, *others = script.lines
    if not others:
        return script._replace(opening=first.data + script.opening, lines=[], finish=script.finish)
    between = [Line(made, b": a comment\n\ndata:\n\n\n" + data) for made, data in others[:-1]]
    last = others[-1]
    early = Line(last.made, script.finish + last.data)
    return Script(first.data + script.opening, [*between, early], b"", script.usage, script.done)


def _rewritten(change: Callable[[bytes], bytes]) -> Callable[[Script, Fault, Answer], Script]:
    """A form in which each event's bytes are written another way."""

    def rewrite(script: Script, fault: Fault, answer: Answer) -> Script:
        del fault, answer
        lines = [Line(made, change(data)) for made, data in script.lines]
        opening, finish, usage, done = map(change, (script.opening, script.finish, script.usage, script.done))
        return Script(opening, lines, finish, usage, done)

    return rewrite


_ODD_FORMS: Final[dict[str, Callable[[Script, Fault, Answer], Script]]] = {
    "duplicate": _repeat,
    "terminal": _terminal,
    "two_finishes": _two_finishes,
    "crlf": _rewritten(lambda data: data.replace(b"\n", b"\r\n")),
    "cr": _rewritten(lambda data: data.replace(b"\n", b"\r")),
    "no_space": _rewritten(lambda data: _FIELD.sub(rb"\1:", data)),
    "long_line": _long_line,
    "order": _odd_order,
}


# --- pieces ----------------------------------------------------------------------------------------------------------


def _in_pieces(case: Case, answer: Answer, timing: Timing) -> Play:
    """The play of an answer, one scene for each event of a stream, and two halves of a whole reply.

    A stream's scenes are the opening, the pieces, and what comes after them; there are two or more before the last.
    """
    if not case.asked.stream:
        play = case.play(answer, timing)
        at_s, body = play.scenes[0]
        half = len(body) // 2
        return play._replace(scenes=(Scene(at_s, body[:half]), Scene(at_s, body[half:])))
    script = case.script(answer)
    end_s = timing.at(answer.tokens)
    scenes = [Scene(timing.start_s, script.opening)]
    scenes += [Scene(timing.at(made), data) for made, data in script.lines]
    scenes += [Scene(end_s, script.finish + script.usage), Scene(end_s, script.done)]
    return case.stream(script, answer.tokens, timing)._replace(scenes=tuple(scenes))


def _pieces_before(case: Case, play: Play, after_chunks: int) -> int:
    """How many scenes of `_in_pieces` come before a break after so many pieces of content; 0 is half of them."""
    if not case.asked.stream:
        return 1
    pieces = len(play.scenes) - 3
    return 1 + min(after_chunks or max(1, pieces // 2), pieces)


def _first_of(play: Play, later_s: float) -> float | None:
    return None if play.first_s is None else play.first_s + later_s


WRONG_DELIVERIES: Final[dict[FaultKind, Callable[[Case, Fault, Timing], Delivery]]] = {
    FaultKind.STATUS: _status,
    FaultKind.REJECT: _reject,
    FaultKind.DISCONNECT: _disconnect,
    FaultKind.UNREACHABLE: _unreachable,
    FaultKind.HANG: _hang,
    FaultKind.DRIP: _drip,
    FaultKind.CUT: _cut,
    FaultKind.STALE: _stale,
    FaultKind.SLOW: _slow,
    FaultKind.SPLIT: _split,
    FaultKind.GARBLED: _garbled,
    FaultKind.ERROR: _error,
    FaultKind.STREAM: _stream,
    FaultKind.DEEP: _deep,
    FaultKind.BOMB: _bomb,
}
"""What each kind delivers in place of the answer, or makes of its delivery."""
