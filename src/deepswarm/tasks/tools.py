"""Tools: what the model may call, and what each call is answered, as an agent's loop would.

A call of an unknown tool, with bad arguments, or whose function fails is answered by an error, which the model reads;
how many of them a conversation may have is the task's `tool_errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from deepswarm.core.jsontext import dumps
from deepswarm.core.prompt import TemplateProblem, compile_template
from deepswarm.core.records import Json, Message
from deepswarm.core.spec import TaskSpec
from deepswarm.core.toolcalls import Wanted
from deepswarm.core.turnkeys import SimulatedToolSection, ToolResponseSection, ToolSection
from deepswarm.core.turns import Reject
from deepswarm.tasks.hearing import Hearing
from deepswarm.tasks.reading import Shape, json_in

PLAYED: Final = "You play a tool"
_TRIES: Final = 3
"""How often a model is asked for an answer of a tool that fits its schema."""
_HERMES: Final = """\
You are a function calling AI model. You are provided with function signatures within <tools></tools> tags. You may \
call one or more functions. For each call return a JSON object with name and arguments within <tool_call></tool_call> \
tags:
<tool_call>
{"name": <function-name>, "arguments": <args-dict>}
</tool_call>
Here are the available tools:
<tools>
%s
</tools>"""


class Answered(NamedTuple):
    """What a tool call is answered; `failed` when that is an error."""

    message: Message
    failed: bool


class _Tool:
    """One tool."""

    def __init__(self, tool: ToolSection, response: ToolResponseSection) -> None:
        self.name = tool.name
        self.function = tool.definition()["function"]
        self.response = response
        self.parameters = Shape(tool.parameters)
        self.answers = None if response.json_schema is None else Shape(response.json_schema)
        self.template = None if response.template is None else compile_template(response.template)


class Tools:
    """The tools of a task."""

    def __init__(self, spec: TaskSpec) -> None:
        """Read their schemas and templates.

        Raises:
            ValueError: If a schema is none, or a template cannot be read.
        """
        self._tools: dict[str, _Tool] = {}
        for tool in spec.tools:
            try:
                self._tools[tool.name] = _Tool(tool, spec.tool_responses[tool.name])
            except ValueError as error:
                raise ValueError(f"the tool '{tool.name}': {error}") from error
        self._in_text = spec.tool_form == "hermes"

    def __bool__(self) -> bool:
        return bool(self._tools)

    @property
    def system(self) -> str:
        """What the system message says of them; empty when the request does."""
        if not self._tools or not self._in_text:
            return ""
        return _HERMES % "\n".join(dumps(tool.function).decode() for tool in self._tools.values())

    def rehearse(self, system: str, mark: str, asked: str) -> str:
        """A made-up answer of the tool that a system message is about."""
        from deepswarm.simulator.draws import Draws
        from deepswarm.simulator.law import ReplyLaw
        from deepswarm.simulator.replies import json_reply

        for tool in self._tools.values():
            schema = tool.response.json_schema
            if schema is not None and dumps(tool.function).decode() in system:
                return json_reply(schema, ReplyLaw(), mark, Draws(1, asked.encode("utf-8", "replace"), 1))
        return f"{mark} A made-up answer of a tool."

    def answers(self, calls: Sequence[Wanted], fields: Mapping[str, Json], hearing: Hearing) -> list[Answered]:
        """What the calls of one reply are answered, in order.

        Raises:
            Needed: If a function or a model has to be asked first.
        """
        return [self._answer(call, fields, hearing) for call in calls]

    def _answer(self, call: Wanted, fields: Mapping[str, Json], hearing: Hearing) -> Answered:
        tool = self._tools.get(call.name)
        if call.arguments.value is None:
            return _failed(call, f"the call cannot be read ({call.arguments.why}); write its arguments as JSON")
        if tool is None:
            return _failed(call, f"there is no tool '{call.name}'; there are: {', '.join(self._tools)}")
        if wrong := tool.parameters.wrong(dict(call.arguments.value)):
            return _failed(call, f"the arguments do not fit: {wrong.reason}")
        return _given(call, tool, fields, hearing)


def _given(call: Wanted, tool: _Tool, fields: Mapping[str, Json], hearing: Hearing) -> Answered:
    """What a sound call is answered."""
    arguments, response = dict(call.arguments.value or {}), tool.response
    if response.model is not None:
        return _simulated(call, tool, response.model, hearing)
    if response.function is not None:
        heard = hearing.run(response.function, named=arguments)
        if heard.error:
            return _failed(call, heard.error)
        value: Any = json_value(heard.text)
    elif tool.template is not None:
        try:
            value = tool.template.render({**fields, **arguments})
        except TemplateProblem as problem:
            return _failed(call, str(problem))
    else:
        rows = [row for row in response.table or () if row.when.items() <= arguments.items()]
        if not rows:
            return _failed(call, "there is no answer to these arguments")
        value = rows[0].give
    checked = json_value(value) if isinstance(value, str) else value
    if tool.answers is not None and (wrong := tool.answers.wrong(checked)):
        return _failed(call, f"what the tool answered does not fit its schema: {wrong.reason}")
    return Answered(_message(call, value), failed=False)


def _simulated(call: Wanted, tool: _Tool, section: SimulatedToolSection, hearing: Hearing) -> Answered:
    """What a model makes up, asked again while it does not fit the schema."""
    about = dumps(tool.function).decode()
    system = f"{PLAYED} in a simulation and answer its calls as the real one would. The tool:\n{about}"
    if section.instructions:
        system = f"{system}\n\n{section.instructions}"
    if tool.response.json_schema is not None:
        schema = dumps(tool.response.json_schema).decode()
        system = f"{system}\n\nAnswer with one JSON value of this JSON Schema and nothing else:\n{schema}"
    messages: tuple[Message, ...] = (
        Message("system", system),
        Message("user", dumps(dict(call.arguments.value or {})).decode()),
    )
    why = ""
    for _ in range(_TRIES):
        heard = hearing.consult(int(section.tier == "orchestrator"), messages, "simulated_tool")
        if heard.error:
            return _failed(call, heard.error)
        if tool.answers is None:
            return Answered(_message(call, heard.text), failed=False)
        value = json_in(heard.text)
        wrong = value if isinstance(value, Reject) else tool.answers.wrong(value)
        if wrong is None:
            return Answered(_message(call, value), failed=False)
        why = wrong.reason
        again = f"This does not fit: {why}. Answer again."
        messages = (*messages[:2], Message("assistant", heard.text), Message("user", again))
    return _failed(call, f"the tool gave no sound answer: {why}")


def json_value(text: str) -> Json:
    """The JSON value of a text; the text itself when it is none."""
    from deepswarm.core.jsontext import loads

    try:
        return loads(text)
    except ValueError:
        return text


def _failed(call: Wanted, why: str) -> Answered:
    return Answered(_message(call, {"error": why[:2000]}), failed=True)


def _message(call: Wanted, value: Any) -> Message:
    content = value if isinstance(value, str) else dumps(value).decode()
    more: dict[str, Json] = {"tool_call_id": call.id} if call.id else {}
    return Message("tool", content, {**more, "name": call.name})
