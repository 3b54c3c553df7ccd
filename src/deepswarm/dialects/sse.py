"""Event streams: bytes, split anywhere, -> the JSON values of their events.

Tolerated beyond the standard: a missing blank line between events and at the end; no space after the colon; bytes that
are no event stream at all (a gateway's page, a whole JSON body), which come out as they came in. An event that cannot
be read makes the stream a broken one: what it held may have been text.

Source: WHATWG HTML, 9.2.5 and 9.2.6 (server-sent events).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.errors import Looping
from deepswarm.core.jsontext import fast_loads
from deepswarm.dialects.fields import members, value_of
from deepswarm.dialects.loops import Repeating

_MARK: Final = b"\xef\xbb\xbf"
_END: Final = b"[DONE]"
_CR: Final = 0x0D
_NO_NEWS: Final = (b":", b"id:", b"retry:")
_EMPTY_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry"})
_BEGINNINGS: Final = (b"data:", b"event:", *_NO_NEWS)


def looks_like_events(body: bytes) -> bool:
    """Whether a body that was read whole is an event stream nevertheless, whatever its content type says."""
    return body.removeprefix(_MARK).lstrip().startswith(_BEGINNINGS)


class StreamAssembler(ABC):
    """What all assemblers share; see `Assembler` for the contract.

    Attributes:
        done: Whether the stream has said that it is at its end.
        error: The error that it brought; None when it brought none.
    """

    def __init__(self) -> None:
        """Nothing came yet."""
        self.done = False
        self.error: Any = None
        self._began = False  # whether an event was seen
        self._nothing = True  # whether no byte came
        self._first = True  # whether no line came
        self._idle = False  # whether the next byte begins an event, and not the first
        self._skip = False  # whether a line feed would belong to the carriage return before it
        self._rest: list[bytes] = []  # pieces of a line that has no end yet
        self._open = False  # whether an event has a name, or lines that wait for its end
        self._data: list[bytes] = []  # lines of an event that are no JSON value by themselves
        self._event = b""
        self._foreign: list[bytes] = []  # lines that are not of an event stream

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'done' if self.done else 'under way'}, error={self.error!r})"

    def feed(self, data: bytes) -> bool:
        """See `Assembler.feed`."""
        if self.done:
            return False
        try:
            line, _, rest = data.partition(b"\n")
            # by far the most frequent: exactly one event, whole
            if rest == b"\n" and line[:7] == b"data: {" and self._idle and _CR not in line:
                try:
                    value = fast_loads(line[6:])
                except ValueError:
                    return self._feed_lines(data)
                self._began = True
                return self.take(value)
            return self._feed_lines(data)
        except Repeating as error:
            raise Looping(str(error), status=200, maybe_billed=True, body=self.body()) from None

    def body(self) -> bytes:
        """See `Assembler.body`."""
        self._end()
        if self._began or self.error is not None:
            return self._written()
        if self._foreign:
            return b"\n".join(self._foreign)
        return b"" if self._nothing else b"\n"

    @abstractmethod
    def take(self, value: Any) -> bool:
        """Take the JSON value of the next event.

        Returns:
            Whether content came with it.

        Raises:
            Repeating: The text repeats itself.
        """

    @abstractmethod
    def broke(self) -> None:
        """Take note that an event could not be read."""

    @abstractmethod
    def whole(self) -> Mapping[str, Any]:
        """What came, as the value of a whole reply; without the error."""

    def fail(self, error: Any) -> None:
        """The stream brought this error, which ends it."""
        self.error, self.done = error, True

    def _written(self) -> bytes:
        value = dict(self.whole())
        if self.error is not None:
            value["error"] = self.error
        try:
            return jsontext.dumps(value)
        except (ValueError, TypeError):  # something in it is nested so deeply that it can be read and not written
            return jsontext.dumps({"error": {"message": "the stream is nested too deeply"}})

    def _feed_lines(self, data: bytes) -> bool:
        came = False
        for line in self._lines(data):
            if not line:
                if self._open:
                    came = self._blank_line() or came
            elif line[:7] == b"data: {" and not self._open:
                try:
                    value = fast_loads(line[6:])
                except ValueError:
                    came = self._data_line(line[6:]) or came
                else:
                    self._began = True
                    came = self.take(value) or came
            else:
                came = self._other_line(line) or came
            if self.done:
                break
        self._idle = not (self._first or self._rest or self._open or self._skip)
        return came

    def _lines(self, data: bytes) -> list[bytes]:
        """The lines that end in these bytes; what comes after the last end is kept."""
        if data:
            self._nothing = False
            if self._skip:
                data, self._skip = data.removeprefix(b"\n"), False
        if _CR in data:
            self._skip = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        last = lines.pop()
        if lines and self._rest:
            lines[0] = b"".join((*self._rest, lines[0]))
            self._rest = []
        if last:
            self._rest.append(last)
        if lines and self._first:
            lines[0], self._first = lines[0].removeprefix(_MARK), False
        return lines

    def _data_line(self, data: bytes) -> bool:
        if not self._data:
            if data.strip() == _END:
                self._began = self.done = True
                return False
            try:
                value = jsontext.loads_message(data)
            except ValueError:
                self._open = True  # an event of several lines, perhaps: its end shows that
            else:
                return self._take(value)
        self._data.append(data)
        return False

    def _other_line(self, line: bytes) -> bool:
        if line.startswith(b"data:"):
            return self._data_line(line[5:].removeprefix(b" "))
        if line.startswith(b"event:"):
            self._event, self._open = line[6:].strip(), True
        elif not line.startswith(_NO_NEWS) and line not in _EMPTY_FIELDS:
            self._foreign.append(line)
        return False

    def _blank_line(self) -> bool:
        """The end of an event: what its lines hold together, if they hold nothing by themselves."""
        came = False
        data, self._data = b"\n".join(self._data), []
        if data.strip() or (data and self._event == b"error"):
            self._began = True
            try:
                value = jsontext.loads_message(data)
            except ValueError:
                if self._event == b"error":
                    self.fail({"message": data.decode("utf-8", "replace")})
                else:
                    self.broke()
            else:
                came = self._take(value)
        self._event, self._open = b"", False
        return came

    def _take(self, value: Any) -> bool:
        self._began = True
        if self._event == b"error":
            self.fail(members(value).get("error") or value)
            return False
        return self.take(value)

    def _end(self) -> None:
        """Look at what has no end: a whole event is one also without; what can only be a part of one is left out."""
        line, self._rest = b"".join(self._rest), []
        if self.done:
            return
        if self._first:
            line = line.removeprefix(_MARK)
        with suppress(ValueError, Repeating):
            if line:
                self._other_line(line)
            if self._data:
                self._take(jsontext.loads_message(b"\n".join(self._data)))
        self._data = []
        if self._began and self._foreign:  # an error may come bare, without being made an event of
            self.error = self.error or members(value_of(b"\n".join(self._foreign))).get("error")


def assembled(assembler: StreamAssembler, body: bytes) -> bytes:
    """The body of a whole reply that an event stream, read whole, amounts to.

    Raises:
        Looping: See `Assembler.feed`.
    """
    assembler.feed(body)
    return assembler.body()
