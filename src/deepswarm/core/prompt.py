"""Templates: {{placeholders}} take the fields of a seed.

The language is Jinja's, sandboxed, with undefined names as errors. Values are data: a seed that contains `{{ … }}`
reaches the model unchanged, because what has been put in is never read as a template again.

Most templates are plain text with plain names. Those are put together without the template engine, which saves its
import (a tenth of a second) and most of the time of each rendering; a property test holds the two ways equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

from deepswarm.core.records import Json

_PLAIN = re.compile(r"(?<!\{)\{\{[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*\}\}")
_JINJA_MARKS = re.compile(r"\{[{%#]|\r")
"""What the engine reads in its own way: its brackets, and line ends, which it makes all alike."""
_KEYWORDS = frozenset(
    {"true", "false", "none", "True", "False", "None", "not", "and", "or", "if", "else", "in", "is", "self"}
)


class TemplateProblem(ValueError):
    """A template that cannot be read, or a seed that cannot fill it. `line` is counted in the template, from 1."""

    label: ClassVar[str] = "template"

    def __init__(self, what: str, line: int = 0) -> None:
        """Keep the line."""
        super().__init__(what)
        self.line = line


class Template(Protocol):
    """A template that has been read. `names` are the fields that every seed must have."""

    names: frozenset[str]

    def render(self, fields: Mapping[str, Json]) -> str:
        """The text for one seed.

        Raises:
            TemplateProblem: If a field is missing or an expression in the template fails on this seed.
        """


def compile_template(text: str) -> Template:
    """Read a template once, to render it for many seeds.

    Raises:
        TemplateProblem: If it is not a template; says the line.
    """
    pieces = _PLAIN.split(text)
    names = pieces[1::2]
    if _JINJA_MARKS.search("".join(pieces[0::2])) or _KEYWORDS.intersection(names):
        return _JinjaTemplate(text)
    return _PlainTemplate(pieces)


def needed_names(text: str) -> frozenset[str]:
    """The fields that a seed must have for this template."""
    return compile_template(text).names


class _PlainTemplate:
    """Text and names in turn: pieces 0, 2, 4 … are text, 1, 3, 5 … are names."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = list(pieces)
        self.names = frozenset(self._pieces[1::2])
        self._slots = [(place, name) for place, name in enumerate(self._pieces) if place % 2]

    def render(self, fields: Mapping[str, Json]) -> str:
        parts = self._pieces.copy()
        for place, name in self._slots:
            try:
                value = fields[name]
            except KeyError:
                raise TemplateProblem(f"the seed has no field '{name}'") from None
            parts[place] = value if type(value) is str else str(value)
        return "".join(parts)


class _JinjaTemplate:
    """A template that needs the engine. `fields["odd name"]` reaches fields whose name is not an identifier."""

    def __init__(self, text: str) -> None:
        from jinja2 import TemplateSyntaxError

        environment = _environment()
        try:
            tree = environment.parse(text)
            self._template = environment.from_string(tree)
        except TemplateSyntaxError as error:
            raise TemplateProblem(error.message or "not a template", error.lineno) from error
        except (RecursionError, SyntaxError, ValueError) as error:
            # Jinja makes Python of it, and works out what is constant: nested too deeply, a number too long to print.
            raise TemplateProblem(f"{type(error).__name__}: {error}") from error
        _refuse_self(tree)
        self.names = _required(tree)

    def render(self, fields: Mapping[str, Json]) -> str:
        from jinja2 import TemplateError

        try:
            return str(self._template.render({"fields": fields, **fields}))
        except TemplateError as error:
            raise TemplateProblem(error.message or type(error).__name__) from error
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            # The expression is the task author's; what it may raise on a value that it did not expect.
            raise TemplateProblem(f"{type(error).__name__}: {error}") from error


def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.globals.clear()  # so that a field may be named `range` or `dict`
    return environment


def _refuse_self(tree: Any) -> None:
    """Jinja's own `self` hides a field of that name, and prints as an address in memory."""
    from jinja2 import nodes

    for node in tree.find_all(nodes.Name):
        if node.name == "self":
            raise TemplateProblem("'self' is a word of the template language; write fields['self']", node.lineno)


def _required(tree: Any) -> frozenset[str]:
    """The undeclared names, less those that the template itself asks about (`is defined`, `default`)."""
    from jinja2 import meta, nodes

    asked = {
        node.node.name
        for node in tree.find_all((nodes.Test, nodes.Filter))
        if isinstance(node.node, nodes.Name) and node.name in {"defined", "undefined", "default", "d"}
    }
    return frozenset(meta.find_undeclared_variables(tree) - asked - {"fields"})
