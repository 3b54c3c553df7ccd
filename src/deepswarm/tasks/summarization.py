"""Summarization: the summary is shorter than its source, and as long as the task says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deepswarm.core.records import Json, Message, Reply
from deepswarm.core.spec import TaskSpec
from deepswarm.core.turns import Answer, Conversation, InputTooLong, Reject, Step
from deepswarm.core.typekeys import SummarizationSection
from deepswarm.tasks.prompts import Prompts, asked_in, source_name, source_text
from deepswarm.tasks.refusals import refusal

_ROLE: Final = "You summarize texts. State what the text says and nothing that it does not say."
_BYTES_PER_TOKEN: Final = 4
"""Rule of thumb, the same as the simulated provider's; help.openai.com "What are tokens" (November 2026)."""


class Summarization:
    """See the module."""

    schema: Mapping[str, Json] | None = None

    def __init__(self, spec: TaskSpec) -> None:
        """Read the templates.

        Raises:
            TemplateProblem: If one cannot be read.
        """
        self._section = spec.summarization or SummarizationSection()
        least, most = self._section.least_words, self._section.most_words
        bounds = f"at least {least} and at most {most} words" if most else f"at least {least} words"
        rule = f"Write {bounds}, fewer than the text has." if most or least > 1 else "Be shorter than the text."
        self._prompts = Prompts(spec, _ROLE, f"{rule} Answer with the summary and nothing else.")
        self._source = source_name(self._prompts.fields, self._section.source)
        self.names = self._prompts.names | ({self._section.source} if self._section.source else set())

    def open(self, fields: Mapping[str, Json]) -> Conversation:
        """See `TaskType.open`."""
        opened = self._prompts.open(fields)
        window = self._section.window_tokens
        tokens = sum(len(message.content.encode("utf-8", "replace")) for message in opened.messages) // _BYTES_PER_TOKEN
        if window is not None and tokens > window:
            raise InputTooLong(f"the prompt has about {tokens:,} tokens, the window (window_tokens) {window:,}")
        return opened

    def step(self, conversation: Conversation, reply: Reply) -> Step:
        """See `TaskType.step`."""
        if refused := refusal(reply.text):
            return refused
        words, least, most = len(reply.text.split()), self._section.least_words, self._section.most_words
        if words < least:
            return Reject("short_answer", f"the summary has {words} words, and must have at least {least}")
        if most is not None and words > most:
            return Reject("long_answer", f"the summary has {words} words, and must have at most {most}")
        if len(reply.text.strip()) >= len(source_text(conversation, self._source).strip()):
            return Reject("long_answer", "the summary is not shorter than the text")
        return Answer(reply.text)

    def extract(self, text: str) -> str:
        """See `TaskType.extract`."""
        return text

    def rehearse(self, messages: Sequence[Message], mark: str) -> str:
        """See `TaskType.rehearse`: the first words of the message, as many as there may be."""
        words = [*mark.split(), *asked_in(messages).split()]
        least, most = self._section.least_words, self._section.most_words
        count = max(least, min(most or len(words) // 2, len(words) // 2))
        return " ".join(words[:count])
