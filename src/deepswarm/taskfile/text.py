"""From a path to a text with numbered lines: what the problems of a task file point into.

The rules:
    - a task file is UTF-8, with or without a byte order mark, of any kind of line ends, at most 1 MiB;
    - whatever cannot be read is refused with what to do instead, such as the file that was probably meant;
    - a line that is shown has stars in place of what may be a key, and nothing that moves a terminal's cursor.
"""

from __future__ import annotations

import bisect
import difflib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.secret import masked

MOST_BYTES: Final = 1 << 20
_WIDEST_LINE: Final = 116

SMALLEST: Final = (
    'for example two lines:  worker_model: deepseek-v4-flash  and  prompt_template: "Write about {{topic}}."'
)
TOO_MUCH: Final = "seeds belong into a file of their own, which seeds_file names"


def text_of(path: Path, name: str) -> str:
    """The file's text, all line ends made line feeds.

    Raises:
        TaskFileError: If there is no such text: missing, a folder, unreadable, too large, empty, not UTF-8.
    """
    try:
        if path.is_dir():
            raise TaskFileError([Problem("this is a folder, not a task file", name, hint=_in_folder(path))])
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise TaskFileError([Problem("there is no such file", name, hint=_near(path))]) from None
    except PermissionError:
        hint = "give yourself the right to read it (chmod u+r), or name another file"
        raise TaskFileError([Problem("this file may not be read", name, hint=hint)]) from None
    except (OSError, ValueError) as error:  # ValueError: a null character or a lone surrogate in the name
        what = f"this file cannot be read: {getattr(error, 'strerror', None) or error}"
        raise TaskFileError([Problem(what, name, hint="name another file")]) from None
    if len(data) > MOST_BYTES:
        what = f"this file is larger than {MOST_BYTES >> 20} MiB, so it is hardly a task file"
        raise TaskFileError([Problem(what, name, hint=TOO_MUCH)])
    text = _decoded(data, name)
    lines = (line.strip() for line in text.splitlines())
    if all(not line or line.startswith("#") or line in {"---", "..."} for line in lines):
        raise TaskFileError([Problem("the task file is empty", name, 1, 1, hint=SMALLEST)])
    return text


def _decoded(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        what = f"this is not UTF-8: byte {error.start} of the file is 0x{data[error.start]:02x}"
        hint = "save it as UTF-8" + ("; it looks like UTF-16, which Windows tools like to write" if utf16 else "")
        raise TaskFileError([Problem(what, name, line, column, hint=hint)]) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _in_folder(folder: Path) -> str:
    found = _task_files(folder)
    return f"did you mean {_either(str(folder / name) for name in found[:3])}?" if found else "name the file in it"


def _near(path: Path) -> str:
    """What the user may have meant by a name that is not there."""
    try:
        if not path.parent.is_dir():
            return f"there is no folder {masked(str(path.parent))} either"
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return "name another file"
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6) or _task_files(path.parent)[:3]
    if near:
        return f"did you mean {_either(str(path.with_name(name)) for name in near)}?"
    return "name the task file: a file with the keys worker_model and prompt_template"


def _task_files(folder: Path) -> list[str]:
    try:
        return sorted(e.name for e in folder.iterdir() if e.suffix in {".yaml", ".yml"} and e.is_file())
    except OSError:
        return []


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)


# --- the text and its lines ------------------------------------------------------------------------------------------


_SECRETS: Final = re.compile(
    r"""(?im)(
        (?: (?:api[-_]?key|secret|passw(?:or)?d|authorization|bearer|^["'{ ]{0,2}(?:[a-z]+[-_])?(?:key|token|auth))
            ["']?[ \t]*:[ \t]*
          # the name of a variable may be shown, anything else in its place may not
          | api[-_]?key[-_]?env["']?[ \t]*:[ \t]*(?!["']?[a-z_][a-z0-9_]*["']?[ \t]*(?:[#,}]|$)) )
    )("[^"\n]*"|'[^'\n]*'|[^\n]+)""",
    re.VERBOSE,
)
"""What follows the name of a secret: hidden by its looks, also where the text is no YAML."""

Span: TypeAlias = tuple[int, int]


class Sheet:
    """A text with its lines: what problems point into. Places are counted in letters, from 0."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._shown = _SECRETS.sub(lambda found: found[1] + "*" * len(found[2]), masked(text))

    def hide(self, spans: Iterable[Span]) -> None:
        """Show these places, from start to end, as stars."""
        for start, end in spans:
            self._shown = self._shown[:start] + re.sub(r"\S", "*", self._shown[start:end]) + self._shown[end:]

    def line_of(self, at: int) -> int:
        """The line of a place, from 1."""
        return bisect.bisect_right(self._starts, at)

    def start_of(self, line: int) -> int:
        """The place of a line's first letter that is not a space."""
        start = self._starts[min(line, len(self._starts)) - 1]
        return next((at for at in range(start, len(self.text)) if self.text[at] != " "), start)

    def before(self, at: int) -> str:
        """What stands on the line before a place."""
        return self.text[self._starts[self.line_of(at) - 1] : at]

    def rest(self, at: int) -> str:
        """What stands on the line from a place on."""
        return self.text[at : self._end(at)]

    def _end(self, at: int) -> int:
        """Where the line of a place ends."""
        end = self.text.find("\n", at)
        return end if end >= 0 else len(self.text)

    def problem(self, at: int, what: str, hint: str = "", *, bare: bool = False) -> Problem:
        """A problem at a place; a bare one does not show the line."""
        line = self.line_of(at)
        start = self._starts[line - 1]
        column = at - start + 1
        source = "" if bare or column > _WIDEST_LINE else self._shown[start : self._end(start)]
        source = source if len(source) <= _WIDEST_LINE else source[: _WIDEST_LINE - 1] + "…"
        return Problem(what, self.name, line, column, printable(source), hint)


def printable(text: str) -> str:
    """As many letters, none of which moves a terminal's cursor."""
    return "".join(" " if c == "\t" else "?" if unicodedata.category(c)[0] == "C" else c for c in text)
