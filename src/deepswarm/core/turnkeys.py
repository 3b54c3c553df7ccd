"""The keys of conversations: how one is complete, what is said next, which tools there are and what they answer.

The rules:
    - all of them need `multi_turn: true`; without it they are flaws, never ignored;
    - a tool that is defined has a response, and a response belongs to a tool that is defined;
    - what is said next has one source: texts, a template, a function or a simulated user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from deepswarm.core.flaws import Flaw, named_at
from deepswarm.core.prompt import TemplateProblem, compile_template
from deepswarm.core.section import REQUIRED, Json, Rule, Section, key

MOST_TURNS: Final = 1000
TURN_KEYS: Final = (
    "complete_when",
    "follow_up",
    "tools",
    "tool_responses",
    "context_window",
    "conversation_limits",
)
"""Keys that mean nothing without `multi_turn: true`."""


def _key(meaning: str, default: Any = REQUIRED, **rules: Any) -> Any:
    return key(default, meaning, **rules)


_Text = Annotated[str, Rule(min_length=1)]
_Function = Annotated[
    str, Rule(pattern=r"^.+\.py:[A-Za-z_][A-Za-z0-9_]*$", description="a function written as file.py:name")
]
_ToolName = Annotated[
    str, Rule(pattern="^[A-Za-z0-9_-]{1,64}$", description="a name of letters, digits, _ and -, at most 64")
]
Tier = Literal["worker", "orchestrator"]


class CompleteSection(Section):
    """How a conversation is complete: any one of these is enough."""

    finish_reason: _Text | None = _key("A finish reason, as the provider names it.", None)
    marker: _Text | None = _key("A text that stands in the reply.", None)
    pattern: _Text | None = _key("A regular expression that is found in the reply.", None)
    json_field: _Text | None = _key(
        "A field of the JSON object in the reply (dotted) that is there and neither false, null, 0 nor empty.", None
    )
    function: _Function | None = _key("A Python function of the reply and all messages that returns true.", None)
    model_says: _Text | None = _key("A question about the conversation that the worker model answers by yes.", None)


class UserSection(Section):
    """A user that a model plays."""

    persona: _Text = _key("Who the user is.")
    goal: _Text = _key("What the user wants.")
    tier: Tier = _key("Whose model plays; the worker's where there is no orchestrator.", "worker")
    stop_marker: _Text = _key("What the user writes when the goal is reached; ends the conversation.", "[DONE]")


class FollowUpSection(Section):
    """What the next user message is, when a reply does not complete the conversation."""

    texts: Annotated[list[_Text], Rule(min_length=1)] | None = _key(
        "Messages one after another, templates over the seed's fields; after the last the conversation ends.", None
    )
    template: _Text | None = _key("A template over the seed's fields and {{reply}}, {{turn}}.", None)
    function: _Function | None = _key(
        "A Python function of the reply and all messages that returns the next message, or None to end.", None
    )
    simulated_user: UserSection | None = _key("A model plays the user.", None)


class ToolSection(Section):
    """One tool that the model may call."""

    name: _ToolName = _key("Its name.")
    description: str = _key("What it does, for the model.", "")
    parameters: dict[str, Json] = _key("The JSON Schema of its arguments.", {"type": "object", "properties": {}})

    def definition(self) -> dict[str, Json]:
        """As a request offers it, in the form of OpenAI's chat completions."""
        function: dict[str, Json] = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


class RowSection(Section):
    """One row of a scripted tool's table."""

    when: dict[str, Json] = _key("Arguments that must be so; none fit all calls.", {})
    give: Json = _key("The answer.")


class SimulatedToolSection(Section):
    """A tool whose answers a model makes up."""

    instructions: str = _key("What the model should know of the tool.", "")
    tier: Tier = _key("Whose model answers; the worker's where there is no orchestrator.", "worker")


class ToolResponseSection(Section):
    """What a tool answers: one of table, template, function and model."""

    table: Annotated[list[RowSection], Rule(min_length=1)] | None = _key(
        "Rows, of which the first that fits answers.", None
    )
    template: _Text | None = _key("A template over the seed's fields and the arguments.", None)
    function: _Function | None = _key("A Python function of the arguments, by name.", None)
    model: SimulatedToolSection | None = _key("A model makes the answer up.", None)
    json_schema: dict[str, Json] | None = _key("The JSON Schema that every answer fits.", None)


class LimitsSection(Section):
    """What one conversation may cost; looked at before each of its calls."""

    max_cost: Annotated[float, Rule(gt=0)] | None = _key("US dollars; needs a price of the model.", None)
    max_tokens: Annotated[int, Rule(ge=1)] | None = _key("Tokens of all its calls, in and out.", None)
    max_seconds: Annotated[float, Rule(gt=0)] | None = _key("Seconds of all its calls.", None)


# --- rules -----------------------------------------------------------------------------------------------------------


def turn_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    """Everything about conversations that no type can say."""
    if values.get("multi_turn") is not True:
        most = values.get("max_turns", 1)
        if isinstance(most, int) and not isinstance(most, bool) and 1 < most <= MOST_TURNS:
            yield Flaw(("max_turns",), "'max_turns' is for conversations", "write multi_turn: true as well")
        for key in TURN_KEYS:
            if values.get(key) is not None:
                what = f"'{key}' is for conversations"
                yield Flaw((key,), what, "write multi_turn: true as well", on_key=True)
    yield from _one_of(values.get("follow_up"), ("follow_up",), ("texts", "template", "function", "simulated_user"))
    complete = values.get("complete_when")
    if isinstance(complete, Mapping):
        if not any(value is not None for value in complete.values()):
            yield Flaw(("complete_when",), "'complete_when' says nothing", "name a rule, or leave the key out")
        yield from _pattern_flaws(("complete_when", "pattern"), complete.get("pattern"))
    yield from _template_flaws(values.get("follow_up"), ("follow_up",))
    yield from _tool_flaws(values)


def _tool_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    tools, responses = values.get("tools") or [], values.get("tool_responses") or {}
    if not isinstance(tools, list) or not isinstance(responses, Mapping):
        return
    names: list[object] = [tool.get("name") for tool in tools if isinstance(tool, Mapping)]
    for at, name in enumerate(names):
        if name in names[:at]:
            yield Flaw(("tools", at, "name"), f"{named_at(('tools', at))}: a tool of this name is there already")
        elif isinstance(name, str) and name not in responses:
            what = f"the tool '{name}' has no response"
            yield Flaw(("tools", at), what, f"for example: tool_responses: {{{name}: {{template: done}}}}")
    for name, response in responses.items():
        path = ("tool_responses", str(name))
        if name not in names:
            yield Flaw(path, f"{named_at(path)} is the response of a tool that is not defined", "add it to tools")
        yield from _one_of(response, path, ("table", "template", "function", "model"))
        yield from _template_flaws(response, path)


def _one_of(section: object, path: tuple[str, ...], keys: tuple[str, ...]) -> Iterator[Flaw]:
    if isinstance(section, Mapping) and sum(section.get(key) is not None for key in keys) != 1:
        yield Flaw(path, f"{named_at(path)} must have exactly one of the keys {', '.join(keys)}")


def _template_flaws(section: object, path: tuple[str, ...]) -> Iterator[Flaw]:
    if not isinstance(section, Mapping):
        return
    texts = section.get("texts")
    places: list[tuple[tuple[str | int, ...], object]] = [((*path, "template"), section.get("template"))]
    places += [((*path, "texts", at), text) for at, text in enumerate(texts if isinstance(texts, list) else [])]
    for place, text in places:
        if isinstance(text, str):
            try:
                compile_template(text)
            except TemplateProblem as error:
                yield Flaw(place, f"{named_at(place)} is not a template: {error}", line=error.line)


def _pattern_flaws(path: tuple[str, ...], pattern: object) -> Iterator[Flaw]:
    if isinstance(pattern, str):
        try:
            re.compile(pattern)
        except re.error as error:
            what = f"{named_at(path)} is not a regular expression: {error}"
            yield Flaw(path, what, "put it between single quotes")


# --- code of the user's own ------------------------------------------------------------------------------------------


def functions_in(values: Mapping[str, Any]) -> list[str]:
    """The Python functions that a task's conversations call, as file.py:name.

    Args:
        values: The task as JSON values.
    """
    sections = [values.get("complete_when"), values.get("follow_up"), *(values.get("tool_responses") or {}).values()]
    named = [section.get("function") for section in sections if isinstance(section, Mapping)]
    return sorted({name for name in named if isinstance(name, str)})
