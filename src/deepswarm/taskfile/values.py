"""From nodes to JSON values that know where they stand.

The rules of reading:
    - YAML 1.2: true and false are the only booleans, 010 is ten, dates and `yes` are text; JSON is YAML;
    - a key is text and stands once in its section; tags and merge keys are refused;
    - aliases may repeat at most 10,000 values, so that a small file stays small;
    - a value that cannot be read is told once, and nothing more is said of it or of what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from deepswarm.core.errors import Problem
from deepswarm.core.flaws import Flaw, Where
from deepswarm.core.records import Json
from deepswarm.core.secret import masked, shown
from deepswarm.taskfile.nodes import MOST_DEPTH, QUOTE_BRACES, Node, Unreadable, compose
from deepswarm.taskfile.text import SMALLEST, Sheet, Span

MOST_REPEATS: Final = 10_000

_NULL: Final = re.compile(r"|~|null|Null|NULL")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAGS: Final = frozenset({"", "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})


class Broken:
    """Stands for a value that could not be read; the problem has been told."""


_BROKEN: Final = Broken()


class Reader:
    """Makes JSON values of a sheet and remembers where each stands. `problems` is what it found on its way."""

    def __init__(self, sheet: Sheet) -> None:
        self.problems: list[Problem] = []
        self._sheet = sheet
        self._places: dict[Where, tuple[int, Node]] = {}
        self._broken: set[Where] = set()
        self._within: list[Node] = []
        self._aliases = 0
        self._repeated = 0
        self._repeating = 0

    def section(self) -> dict[str, Json] | None:
        """The top of a task file; None, and a problem, when the text is something else."""
        value = self.read()
        if isinstance(value, dict):
            return value
        if not isinstance(value, Broken):
            found = "a list" if isinstance(value, list) else "nothing" if value is None else "only a value"
            what = f"a task file is made of 'key: value' lines, and this is {found}"
            self._wrong(self._places[()][1].at, (), what, SMALLEST)
        return None

    def read(self) -> Json | Broken:
        """The value of the whole text, whatever it is."""
        try:
            root = compose(self._sheet, self.problems)
            return None if root is None else self._value(root, root.at, ())
        except Unreadable as error:
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

    def spans(self, path: Where) -> Iterator[Span]:
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

    def _value(self, node: Node, key_at: int, path: Where) -> Json | Broken:
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
            raise Unreadable(self._sheet.problem(self._repeating, what, "write out what is needed"))

    def _repeat(self, node: Node, key_at: int, path: Where) -> Json | Broken:
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

    def _section(self, node: Node, path: Where) -> dict[str, Json]:
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
            if not isinstance(value, Broken):
                section[key] = value
        return section

    def _list(self, node: Node, path: Where) -> list[Json]:
        items = (self._value(item, item.at, (*path, place)) for place, item in enumerate(node.children))
        return [None if isinstance(item, Broken) else item for item in items]

    def _key(self, section: Node, node: Node, path: Where) -> str | None:
        """A key's text; None, and a problem, when it is none."""
        written = node.target or node
        if written.text is None and self._sheet.text[section.at : section.at + 2] == "{{":
            self._wrong(section.at, path, "{{ begins a section in YAML, not text", QUOTE_BRACES)
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
            elif not isinstance(key, Broken):
                what, hint = f"a key must be text, and this is {shown(key)}", f'put quotes around it: "{shown(key)}"'
        self.problems.append(self._sheet.problem(node.at, what, hint))
        return None

    def _scalar(self, node: Node, path: Where) -> Json | Broken:
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

    def _wrong(self, at: int, path: Where, what: str, hint: str) -> Broken:
        self._broken.add(path)
        self.problems.append(self._sheet.problem(at, what, hint))
        return _BROKEN
