"""Code review: findings with line numbers that exist in the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.records import Json, Message, Reply
from deepswarm.core.spec import TaskSpec
from deepswarm.core.turns import Answer, Conversation, Reject, Step
from deepswarm.core.typekeys import CodeReviewSection
from deepswarm.tasks.prompts import Prompts, asked_in, source_name, source_text
from deepswarm.tasks.reading import Shape, compact, json_in
from deepswarm.tasks.refusals import refusal

_ROLE: Final = "You review code. Report only real defects; no findings is a good answer."


class CodeReview:
    """The answer is JSON: findings, each with line, severity and what, and a summary. Lines count from 1."""

    def __init__(self, spec: TaskSpec) -> None:
        """Read the templates.

        Raises:
            TemplateProblem: If one cannot be read.
        """
        section = spec.code_review or CodeReviewSection()
        self._severities = section.severities
        schema = _schema(section)
        self.schema: Mapping[str, Json] | None = schema
        self._shape = Shape(schema)
        self._prompts = Prompts(spec, _ROLE, _rules(section))
        self._source = source_name(self._prompts.fields, section.source)
        self.names = self._prompts.names | ({section.source} if section.source else set())

    def open(self, fields: Mapping[str, Json]) -> Conversation:
        """See `TaskType.open`."""
        return self._prompts.open(fields)

    def step(self, conversation: Conversation, reply: Reply) -> Step:
        """See `TaskType.step`."""
        value: Any = json_in(reply.text)
        if isinstance(value, Reject):
            return refusal(reply.text) or value
        if misshapen := self._shape.wrong(value):
            return misshapen
        lines = max(1, len(source_text(conversation, self._source).splitlines()))
        beyond = [finding["line"] for finding in value["findings"] if finding["line"] > lines]
        if beyond:
            return Reject("no_such_line", f"a finding names line {beyond[0]}, and the code has {lines} lines")
        return Answer(compact(reply.text))

    def extract(self, text: str) -> str:
        """See `TaskType.extract`."""
        return compact(text)

    def rehearse(self, messages: Sequence[Message], mark: str) -> str:
        """See `TaskType.rehearse`: one finding, in a line that every code has."""
        finding = {"line": 1, "severity": self._severities[-1], "what": "A made-up finding of a rehearsal."}
        size = len(asked_in(messages))
        value = {"findings": [finding] if size % 2 else [], "summary": f"{mark} {size} characters were looked at."}
        return jsontext.dumps(value).decode()


def _schema(section: CodeReviewSection) -> dict[str, Json]:
    finding: dict[str, Json] = {
        "type": "object",
        "required": ["line", "severity", "what"],
        "properties": {
            "line": {"type": "integer", "minimum": 1},
            "severity": {"enum": list(section.severities)},
            "what": {"type": "string", "minLength": 1},
        },
    }
    return {
        "type": "object",
        "required": ["findings", "summary"],
        "properties": {
            "findings": {"type": "array", "maxItems": section.most_findings, "items": finding},
            "summary": {"type": "string", "minLength": 1},
        },
    }


def _rules(section: CodeReviewSection) -> str:
    shown = '{"findings": [{"line": 3, "severity": "%s", "what": "one sentence"}], "summary": "one sentence"}'
    return (
        f"Answer with one JSON object and nothing else:\n{shown % section.severities[0]}\n"
        f"line counts the lines of the code from 1; severity is one of: {', '.join(section.severities)}; "
        f"at most {section.most_findings} findings."
    )
