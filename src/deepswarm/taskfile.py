"""The task file: YAML or JSON text -> TaskSpec. The only file that knows YAML.

The parser gives events with their places; the values are made of them here, so that every value knows where it stands
and every mistake is found at once: a key written twice, a key that is no text, a tag, an alias that leads nowhere.

The rules of reading:
    - YAML 1.2: true and false are the only booleans, 010 is ten, dates and `yes` are text; JSON is YAML;
    - UTF-8, with or without a byte order mark, any kind of line ends;
    - one document of at most 1 MiB and 20,000 values; aliases may repeat at most 10,000, so that small stays small;
    - no message shows anything that may be a key: what is suspicious is shown as stars.

The environment and the command line are not read here.
"""

from __future__ import annotations

import bisect
import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.records import Json
from deepswarm.core.spec import Flaw, SeedsSection, TaskSpec, Where, check, masked, shown

MOST_BYTES: Final = 1 << 20
MOST_DEPTH: Final = 40
MOST_VALUES: Final = 20_000
MOST_REPEATS: Final = 10_000
MOST_PROBLEMS: Final = 100
_WIDEST_LINE: Final = 116

_SMALLEST = 'for example two lines:  worker_model: deepseek-v4-flash  and  prompt_template: "Write about {{topic}}."'
_TOO_MUCH = "seeds belong into a file of their own, which seeds_file names"
_QUOTE_BRACES = 'put quotes around a value that begins with {{, such as prompt_template: "{{seed}}"'


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A task file that has been read and is sound.

    Attributes:
        path: As the user gave it.
        text: Its content, all line ends made line feeds.
        spec: What it asks for, with the overrides of the command line.
    """

    path: Path
    text: str = field(repr=False)
    spec: TaskSpec


def load(path: str | Path, overrides: Sequence[str] = ()) -> TaskFile:
    """Read a task file.

    Args:
        path: The file.
        overrides: `key=value` each, as `--set` takes them; a later one wins. The value is read as YAML; a dotted key
            reaches into a section (`worker_params.temperature=0.2`). For a key that takes text, everything but quoted
            text and null is taken as it stands (`worker_model=4.1`, `system_prompt=Be brief: # is not a comment`).

    Raises:
        TaskFileError: With every problem of the file and of the overrides, in the order of the file.
    """
    path = Path(path)
    name = _printable(masked(str(path)))
    changes = [_Override(text) for text in overrides]
    try:
        text = _text_of(path, name)
    except TaskFileError as error:
        raise _refusal(
            [*error.problems, *(problem for change in changes for problem in change.problems)], name
        ) from None
    sheet = _Sheet(text, name)
    reader = _Reader(sheet)
    values = reader.section()
    spec: TaskSpec | None = None
    problems: list[Problem] = []
    if values is not None:
        for change in changes:
            change.put_into(values)
        checked = check(values)
        if isinstance(checked, TaskSpec):
            spec = checked
        else:
            flaws = [flaw for flaw in checked if not reader.is_broken(flaw.path)]
            sheet.hide(span for flaw in flaws if flaw.secret for span in reader.spans(flaw.path))
            problems = [_placed(flaw, reader, changes) for flaw in flaws]
    problems += reader.problems
    problems += [problem for change in changes for problem in change.problems]
    order = [name, *(change.name for change in changes)]
    problems.sort(key=lambda problem: (order.index(problem.file), problem.line, problem.column))
    if spec is None or problems:
        raise _refusal(problems, name)
    return TaskFile(path, text, spec)


def _refusal(problems: Sequence[Problem], name: str) -> TaskFileError:
    """All problems; of very many, as some other kind of file has, only the first ones."""
    listed = [
        replace(problem, what=_printable(problem.what), hint=_printable(problem.hint))
        for problem in problems[:MOST_PROBLEMS]
    ]
    if len(problems) > MOST_PROBLEMS:
        what = f"and {len(problems) - MOST_PROBLEMS:,} more problems"
        listed.append(Problem(what, name, hint="is this a task file?"))
    return TaskFileError(listed)


def resolve(task: TaskFile, name: str) -> Path:
    """The path that a task file means by a name (`seeds_file`, `output_dir`).

    A relative name starts at the folder of the task file, not at the working folder, so that
    `deepswarm run examples/stories/task.yaml` does the same from anywhere.
    """
    return task.path.parent / name


# --- getting the text ------------------------------------------------------------------------------------------------


def _text_of(path: Path, name: str) -> str:
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
        raise TaskFileError([Problem(what, name, hint=_TOO_MUCH)])
    text = _decoded(data, name)
    lines = (line.strip() for line in text.splitlines())
    if all(not line or line.startswith("#") or line in {"---", "..."} for line in lines):
        raise TaskFileError([Problem("the task file is empty", name, 1, 1, hint=_SMALLEST)])
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

_Span: TypeAlias = tuple[int, int]


class _Sheet:
    """A text with its lines: what problems point into. Places are counted in letters, from 0."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._shown = _SECRETS.sub(lambda found: found[1] + "*" * len(found[2]), masked(text))

    def hide(self, spans: Iterable[_Span]) -> None:
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
        return Problem(what, self.name, line, column, _printable(source), hint)


def _printable(text: str) -> str:
    """As many letters, none of which moves a terminal's cursor."""
    return "".join(" " if c == "\t" else "?" if unicodedata.category(c)[0] == "C" else c for c in text)


# --- from the parser's events to nodes -------------------------------------------------------------------------------


class _Unreadable(Exception):
    """The text cannot be read beyond this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


@dataclass(slots=True, eq=False)
class _Node:
    """A value as it is written: a scalar (`text`), a list or section (`children`), or an alias.

    Attributes:
        at: Where it begins.
        end: Where it ends.
        tag: As written; empty when there is none.
        text: Of a scalar, else None.
        style: "" for plain text, a quotation mark, "|" or ">"; "{" for a section, "[" for a list, "*" for an alias.
        children: Items of a list; keys and values in turn of a section.
        target: What an alias stands for; None when nothing has that name.
    """

    at: int
    end: int
    tag: str = ""
    text: str | None = None
    style: str = ""
    children: list[_Node] = field(default_factory=list)
    target: _Node | None = None

    def spans(self) -> Iterator[_Span]:
        """Where it stands in the text, and where that stands which it repeats."""
        yield self.at, self.end
        for node in [self, *self.children]:
            if node.target:
                yield node.target.at, node.target.end


def _compose(sheet: _Sheet, problems: list[Problem]) -> _Node | None:
    """The nodes of a text; problems that do not end the reading are appended.

    Raises:
        _Unreadable: If it is not YAML, or is nested too deeply.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    reached = 0
    composer = _Composer(sheet)
    try:
        for event in YAML(typ="safe", pure=True).parse(sheet.text):
            reached = event.start_mark.index
            if composer.root is not None and type(event).__name__ == "DocumentStartEvent":
                hint = "a task file holds one task: give the second one a file of its own, or take out this line"
                problems.append(sheet.problem(reached, "a second document begins here", hint))
                break
            composer.take(event)
    except MarkedYAMLError as error:
        raise _Unreadable(_syntax_problem(sheet, error)) from None
    except ReaderError as error:
        what = f"the character U+{error.character:04X} must not stand in a task file"
        raise _Unreadable(sheet.problem(error.position, what, "take it out; it may not be visible")) from None
    except _Unreadable:
        raise
    except Exception:  # noqa: BLE001 - on some texts that are no YAML the parser fails with errors of Python's own
        what = "from here on this is not YAML"
        raise _Unreadable(sheet.problem(reached, what, "look for a missing quotation mark or bracket")) from None
    return composer.root


class _Composer:
    """Puts events together to nodes, without recursion, whatever the text is like."""

    def __init__(self, sheet: _Sheet) -> None:
        self.root: _Node | None = None
        self._sheet = sheet
        self._open: list[_Node] = []
        self._named: dict[str, _Node] = {}
        self._count = 0

    def take(self, event: Any) -> None:
        """Put one event into its place."""
        at, end = event.start_mark.index, event.end_mark.index
        match type(event).__name__:
            case "ScalarEvent":
                self._add(_Node(at, end, event.tag or "", event.value, event.style or ""), event.anchor)
            case "AliasEvent":
                self._add(_Node(at, end, style="*", target=self._named.get(event.anchor)), None)
            case "MappingStartEvent" | "SequenceStartEvent" as kind:
                if len(self._open) >= MOST_DEPTH:
                    what = f"this is nested more than {MOST_DEPTH} levels deep"
                    raise _Unreadable(self._sheet.problem(at, what, "no key of a task file needs that"))
                node = _Node(at, end, event.tag or "", style="{" if kind.startswith("M") else "[")
                self._add(node, event.anchor)
                self._open.append(node)
            case "MappingEndEvent" | "SequenceEndEvent":
                self._open.pop().end = end

    def _add(self, node: _Node, name: str | None) -> None:
        self._count += 1
        if self._count > MOST_VALUES:
            what = f"this file holds more than {MOST_VALUES:,} values, so it is hardly a task file"
            raise _Unreadable(self._sheet.problem(node.at, what, _TOO_MUCH))
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        if name:
            self._named[name] = node


# --- from nodes to values --------------------------------------------------------------------------------------------


_NULL: Final = re.compile(r"|~|null|Null|NULL")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAGS: Final = frozenset({"", "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})


class _Broken:
    """Stands for a value that could not be read; the problem has been told."""


_BROKEN: Final = _Broken()


class _Reader:
    """Makes JSON values of a sheet and remembers where each stands. `problems` is what it found on its way."""

    def __init__(self, sheet: _Sheet) -> None:
        self.problems: list[Problem] = []
        self._sheet = sheet
        self._places: dict[Where, tuple[int, _Node]] = {}
        self._broken: set[Where] = set()
        self._within: list[_Node] = []
        self._aliases = 0
        self._repeated = 0
        self._repeating = 0

    def section(self) -> dict[str, Json] | None:
        """The top of a task file; None, and a problem, when the text is something else."""
        value = self.read()
        if isinstance(value, dict):
            return value
        if not isinstance(value, _Broken):
            found = "a list" if isinstance(value, list) else "nothing" if value is None else "only a value"
            what = f"a task file is made of 'key: value' lines, and this is {found}"
            self._wrong(self._places[()][1].at, (), what, _SMALLEST)
        return None

    def read(self) -> Json | _Broken:
        """The value of the whole text, whatever it is."""
        try:
            root = _compose(self._sheet, self.problems)
            return None if root is None else self._value(root, root.at, ())
        except _Unreadable as error:
            self.problems.append(error.problem)
            return _BROKEN

    def is_null_or_quoted(self) -> bool:
        """Whether the whole text is null, or one text between quotation marks."""
        if self.problems or () not in self._places:
            return not self.problems
        node = self._places[()][1]
        return node.text is not None and (
            node.style in {"'", '"'} or (not node.style and bool(_NULL.fullmatch(node.text)))
        )

    def is_broken(self, path: Where) -> bool:
        """Whether something on the way to a path, or below it, could not be read, so that nothing can be said of it."""
        return any(path[: len(broken)] == broken[: len(path)] for broken in self._broken)

    def holds(self, path: Where) -> bool:
        """Whether the file has a value there."""
        return path in self._places

    def spans(self, path: Where) -> Iterator[_Span]:
        """Where the value at a path is written."""
        if path in self._places:
            yield from self._places[path][1].spans()

    def problem(self, flaw: Flaw) -> Problem:
        """A flaw as a problem at its place; what is missing is said where its section begins."""
        path = flaw.path
        while path not in self._places:
            path = path[:-1]
        key_at, node = self._places[path]
        if path != flaw.path or flaw.on_key or (not node.text and not node.style):
            return self._sheet.problem(key_at, flaw.what, flaw.hint, bare=not path)
        if flaw.line and node.style == "|":
            line = self._sheet.line_of(node.at) + flaw.line
            return self._sheet.problem(self._sheet.start_of(line), flaw.what, flaw.hint)
        return self._sheet.problem(node.at, flaw.what, flaw.hint)

    def _value(self, node: _Node, key_at: int, path: Where) -> Json | _Broken:
        self._places.setdefault(path, (key_at, node))
        self._bound()
        if node.style == "*":
            return self._repeat(node, key_at, path)
        if node.tag not in _TAGS:
            return self._wrong(node.at, path, f"the tag {masked(node.tag)} means nothing here", "take it out")
        if node.text is not None:
            return self._scalar(node, path)
        self._within.append(node)
        value: Json = self._section(node, path) if node.style == "{" else self._list(node, path)
        self._within.pop()
        return value

    def _bound(self) -> None:
        """Keep a small file small: what aliases repeat is counted, and its depth is bounded like all depth."""
        self._repeated += self._aliases > 0
        if self._repeated > MOST_REPEATS or len(self._within) > MOST_DEPTH:
            what = "aliases (*name) repeat too much here"
            raise _Unreadable(self._sheet.problem(self._repeating, what, "write out what is needed"))

    def _repeat(self, node: _Node, key_at: int, path: Where) -> Json | _Broken:
        name = masked(self._sheet.text[node.at : node.end])
        if node.target is None:
            hint = "put quotes around text that begins with *" if path else ""
            return self._wrong(node.at, path, f"{name} repeats a value, but no &{name[1:]} stands before it", hint)
        if node.target in self._within:
            return self._wrong(node.at, path, f"{name} repeats itself without end", "take it out")
        if not self._aliases:
            self._repeating = node.at
        self._aliases += 1
        value = self._value(node.target, key_at, path)
        self._aliases -= 1
        return value

    def _section(self, node: _Node, path: Where) -> dict[str, Json]:
        section: dict[str, Json] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in zip(node.children[::2], node.children[1::2], strict=False):
            key = self._key(node, key_node, path)
            if key is None:
                continue
            if key in lines:
                what = f"the key '{masked(key)}' stands here again; it is on line {lines[key]} already"
                self.problems.append(self._sheet.problem(key_node.at, what, "keep one of the two"))
                continue
            lines[key] = self._sheet.line_of(key_node.at)
            value = self._value(value_node, key_node.at, (*path, key))
            if not isinstance(value, _Broken):
                section[key] = value
        return section

    def _list(self, node: _Node, path: Where) -> list[Json]:
        items = (self._value(item, item.at, (*path, place)) for place, item in enumerate(node.children))
        return [None if isinstance(item, _Broken) else item for item in items]

    def _key(self, section: _Node, node: _Node, path: Where) -> str | None:
        """A key's text; None, and a problem, when it is none."""
        written = node.target or node
        if written.text is None and self._sheet.text[section.at : section.at + 2] == "{{":
            self._wrong(section.at, path, "{{ begins a section in YAML, not text", _QUOTE_BRACES)
            return None
        what, hint = "a key must be text", "write a name, a colon and a value"
        if written.text is not None:
            key = self._scalar(written, path)
            if isinstance(key, str) and (key != "<<" or written.style):
                return key
            if key == "<<":
                what, hint = "merge keys (<<) are not read here", "write the keys out"
            elif key is None:
                what, hint = "there is no key before this colon", "write one"
            elif not isinstance(key, _Broken):
                what, hint = f"a key must be text, and this is {shown(key)}", f'put quotes around it: "{shown(key)}"'
        self.problems.append(self._sheet.problem(node.at, what, hint))
        return None

    def _scalar(self, node: _Node, path: Where) -> Json | _Broken:
        """A scalar by the rules of YAML 1.2: what is neither null, true, false nor a number is text."""
        text = node.text or ""
        if node.style or node.tag in _TEXT_TAGS:
            try:
                # JSON writes letters beyond U+FFFF as two halves, which YAML keeps apart
                return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
            except UnicodeDecodeError:
                what = "this text holds half of a character (one of \\ud800 to \\udfff alone)"
                return self._wrong(node.at, path, what, "write the character itself")
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text.lower() == "true"
        if _INT.fullmatch(text):
            if len(text) > 300:
                return self._wrong(node.at, path, "this number is too large", "put quotes around it if it is text")
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        return float(text.replace(".inf", "inf").replace(".nan", "nan")) if _FLOAT.fullmatch(text) else text

    def _wrong(self, at: int, path: Where, what: str, hint: str) -> _Broken:
        self._broken.add(path)
        self.problems.append(self._sheet.problem(at, what, hint))
        return _BROKEN


# --- overrides -------------------------------------------------------------------------------------------------------


class _Override:
    """One `--set key=value`."""

    def __init__(self, text: str) -> None:
        key, sign, value = text.partition("=")
        self.path: Where = tuple(step.strip() for step in key.split("."))
        self.name = "--set"
        self.problems: list[Problem] = []
        self._value: Json = None
        if not sign or not all(self.path):
            self._wrong("this is not key=value", "for example: --set workers=8")
            return
        self.name = _printable(f"--set {masked(key.strip())}")
        self._read(value)

    def _read(self, value: str) -> None:
        reader = _Reader(_Sheet(value, self.name))
        found = reader.read()
        if _takes_text(self.path) and not reader.is_null_or_quoted():
            self._value = value
        elif isinstance(found, _Broken) or reader.problems:
            self.problems += [Problem(p.what, self.name, hint=p.hint) for p in reader.problems]
        else:
            self._value = found

    def put_into(self, values: dict[str, Json]) -> None:
        """Change the values of a task file."""
        if self.problems:
            return
        here: Json = values
        for step in self.path[:-1]:
            here = here.setdefault(str(step), {}) if isinstance(here, dict) else here
        if isinstance(here, dict):
            here[str(self.path[-1])] = self._value
        else:
            what = f"'{masked('.'.join(map(str, self.path[:-1])))}' is not a section, so nothing can be set in it"
            self._wrong(what, "leave out the dot and what follows it")

    def is_about(self, path: Where) -> bool:
        """Whether it set the value at a path, or the section around it."""
        return not self.problems and path[: len(self.path)] == self.path

    def is_within(self, path: Where) -> bool:
        """Whether it set something in the section at a path."""
        return not self.problems and self.path[: len(path)] == path

    def _wrong(self, what: str, hint: str) -> None:
        self.problems.append(Problem(what, self.name, hint=hint))


def _takes_text(path: Where) -> bool:
    """Whether the key takes text and nothing else."""
    fields = TaskSpec.model_fields if len(path) == 1 else SeedsSection.model_fields if path[0] == "seeds" else {}
    return str(path[-1]) in fields and fields[str(path[-1])].annotation in (str, str | None)


def _placed(flaw: Flaw, reader: _Reader, changes: Sequence[_Override]) -> Problem:
    """A flaw as a problem: of the override that made the value, or of the place in the file."""
    for change in reversed(changes):
        made = (part for part in (flaw.path, flaw.path[:1]) if not reader.holds(part))
        if change.is_about(flaw.path) or any(change.is_within(part) for part in made):
            return Problem(flaw.what, change.name, hint=flaw.hint)
    return reader.problem(flaw)


# --- what the parser says, in plain words ----------------------------------------------------------------------------


def _syntax_problem(sheet: _Sheet, error: Any) -> Problem:
    """The parser's complaint as one of ours. `error` has a problem and maybe a context, each with its place."""
    said = str(error.problem or "")
    at = min(error.problem_mark.index if error.problem_mark else 0, len(sheet.text))
    began = error.context_mark.index if error.context_mark else at
    context = str(error.context or "")
    if "cannot start any token" in said and sheet.text[at : at + 1] == "\t":
        return sheet.problem(at, "a tab stands where YAML takes only spaces", "indent with spaces")
    if found := re.match(r"[\w\s.\-]*:\s+(?=\{\{)", sheet.before(at) + sheet.rest(at)):
        at += found.end() - len(sheet.before(at))
        return sheet.problem(at, "{{ begins a section in YAML, not text", _QUOTE_BRACES)
    if "cannot start any token" in said:
        what = f"plain text cannot begin with {masked(sheet.text[at : at + 1])}"
        return sheet.problem(at, what, "put quotes around the text")
    if "quoted scalar" in context and ("end of stream" in said or "document separator" in said):
        return sheet.problem(began, "the quotation mark that opens here is never closed", "close it, or take it out")
    if "unknown escape character" in said:
        what = f"\\{sheet.text[at : at + 1]} means nothing between double quotation marks"
        return sheet.problem(at, what, "write the backslash twice, or use single quotation marks")
    if "flow sequence" in context or "flow mapping" in context:
        sign = sheet.text[began : began + 1]
        if not sheet.text[at:].strip():
            return sheet.problem(began, f"the {sign} that opens here is never closed", "close it, or take it out")
        what = f"a comma or the closing bracket is missing before this; the {sign} is on line {sheet.line_of(began)}"
        return sheet.problem(at, what, "close the bracket, or put quotes around text that holds brackets or commas")
    if "mapping values are not allowed" in said:
        if ": " in sheet.before(at):
            hint = "put quotes around a value that holds a colon and a space, or write it as a block after |"
            return sheet.problem(at, "a second colon stands on this line", hint)
        return sheet.problem(at, "this line is indented as if it belonged to the line above", _SAME_COLUMN)
    if "could not find expected ':'" in said:
        above = sheet.text[:began].rstrip().rpartition("\n")[2]
        if re.search(r":\s*[|>][-+0-9]*$", above):
            hint = "indent the lines of a block of text more than the key above it"
            return sheet.problem(began, "this line stands outside the block of text above", hint)
        return sheet.problem(began, "this line is not 'key: value'", "text of several lines needs | after its key")
    if "block scalar" in context:
        return sheet.problem(at, "nothing may follow | or > on its line", "begin the text on the next line, indented")
    if "sequence entries are not allowed" in said:
        return sheet.problem(at, "a list cannot begin on the line of its key", "put each '- item' on a line of its own")
    if "expected <block end>" in said or "<document start>" in said:
        if sheet.before(at).strip():
            what = "something stands behind the end of the value"
            return sheet.problem(at, what, "put quotes around the whole value")
        return sheet.problem(
            at, "this line is indented neither like the lines above nor below one of them", _SAME_COLUMN
        )
    if "expected the node content" in said:
        return sheet.problem(at, "a value is missing here", "write one, or put quotes around text that begins so")
    return sheet.problem(at, f"this is not YAML: {said}", "put quotes around text with special characters")


_SAME_COLUMN: Final = "begin all keys of one section in the same column"
