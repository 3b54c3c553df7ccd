"""From a text to nodes: what the YAML parser sees, each piece with its place. The only file that knows the parser.

The rules:
    - the parser's events are put together here and not by the parser, because its own values forget where they stood;
    - what the parser complains of is said in plain words; a text on which it fails in other ways is no YAML either;
    - one document of at most 20,000 values, nested at most 40 levels deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from deepswarm.core.errors import Problem
from deepswarm.core.secret import masked
from deepswarm.taskfile.text import TOO_MUCH, Sheet, Span

MOST_DEPTH: Final = 40
MOST_VALUES: Final = 20_000

QUOTE_BRACES: Final = 'put quotes around a value that begins with {{, such as prompt_template: "{{seed}}"'
_SAME_COLUMN: Final = "begin all keys of one section in the same column"


class Unreadable(Exception):
    """The text cannot be read beyond this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


@dataclass(slots=True, eq=False)
class Node:
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
    children: list[Node] = field(default_factory=list)
    target: Node | None = None

    def spans(self) -> Iterator[Span]:
        """Where it stands in the text, and where that stands which it repeats."""
        yield self.at, self.end
        for node in [self, *self.children]:
            if node.target:
                yield node.target.at, node.target.end


def compose(sheet: Sheet, problems: list[Problem]) -> Node | None:
    """The nodes of a text; problems that do not end the reading are appended.

    Raises:
        Unreadable: If it is not YAML, or is nested too deeply.
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
        raise Unreadable(_syntax_problem(sheet, error)) from None
    except ReaderError as error:
        what = f"the character U+{error.character:04X} must not stand in a task file"
        raise Unreadable(sheet.problem(error.position, what, "take it out; it may not be visible")) from None
    except Unreadable:
        raise
    except Exception:  # noqa: BLE001 - on some texts that are no YAML the parser fails with errors of Python's own
        what = "from here on this is not YAML"
        raise Unreadable(sheet.problem(reached, what, "look for a missing quotation mark or bracket")) from None
    return composer.root


class _Composer:
    """Puts events together to nodes, without recursion, whatever the text is like."""

    def __init__(self, sheet: Sheet) -> None:
        self.root: Node | None = None
        self._sheet = sheet
        self._open: list[Node] = []
        self._named: dict[str, Node] = {}
        self._count = 0

    def take(self, event: Any) -> None:
        """Put one event into its place."""
        at, end = event.start_mark.index, event.end_mark.index
        match type(event).__name__:
            case "ScalarEvent":
                self._add(Node(at, end, event.tag or "", event.value, event.style or ""), event.anchor)
            case "AliasEvent":
                self._add(Node(at, end, style="*", target=self._named.get(event.anchor)), None)
            case "MappingStartEvent" | "SequenceStartEvent" as kind:
                if len(self._open) >= MOST_DEPTH:
                    what = f"this is nested more than {MOST_DEPTH} levels deep"
                    raise Unreadable(self._sheet.problem(at, what, "no key of a task file needs that"))
                node = Node(at, end, event.tag or "", style="{" if kind.startswith("M") else "[")
                self._add(node, event.anchor)
                self._open.append(node)
            case "MappingEndEvent" | "SequenceEndEvent":
                self._open.pop().end = end

    def _add(self, node: Node, name: str | None) -> None:
        self._count += 1
        if self._count > MOST_VALUES:
            what = f"this file holds more than {MOST_VALUES:,} values, so it is hardly a task file"
            raise Unreadable(self._sheet.problem(node.at, what, TOO_MUCH))
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        if name:
            self._named[name] = node


# --- what the parser says, in plain words ----------------------------------------------------------------------------


def _syntax_problem(sheet: Sheet, error: Any) -> Problem:
    """The parser's complaint as one of ours. `error` has a problem and maybe a context, each with its place."""
    said = str(error.problem or "")
    at = min(error.problem_mark.index if error.problem_mark else 0, len(sheet.text))
    began = error.context_mark.index if error.context_mark else at
    context = str(error.context or "")
    if "cannot start any token" in said and sheet.text[at : at + 1] == "\t":
        return sheet.problem(at, "a tab stands where YAML takes only spaces", "indent with spaces")
    if found := re.match(r"[\w\s.\-]*:\s+(?=\{\{)", sheet.before(at) + sheet.rest(at)):
        at += found.end() - len(sheet.before(at))
        return sheet.problem(at, "{{ begins a section in YAML, not text", QUOTE_BRACES)
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
