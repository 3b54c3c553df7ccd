"""One attempt at one request: what the model writes, how long that takes, and how it is played when all goes well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

from deepswarm.core.records import HttpReply, Message
from deepswarm.simulator import bodies, completions, messages
from deepswarm.simulator.answer import Answer, ToolUse
from deepswarm.simulator.asked import Asked, Form
from deepswarm.simulator.draws import Draws
from deepswarm.simulator.law import Law, ReplyKind, ReplyLaw
from deepswarm.simulator.play import Drip, End, Play, Scene, whole
from deepswarm.simulator.replies import json_reply, text_reply, with_defect
from deepswarm.simulator.script import Script

Writer: TypeAlias = Callable[[Sequence[Message], str], str]
"""Gives the text of an answer to these messages; the second argument is what marks it as simulated."""
_BLANK_LINE: Final = b"\n"
_MOST_PIECES: Final = 10_000
"""Of a streamed answer: one that is longer comes in larger pieces, so that no reply fills the memory."""


class Timing(NamedTuple):
    """When an answer is made: the first token after `start_s` seconds, each in `token_s` seconds."""

    start_s: float
    token_s: float

    def at(self, tokens: int) -> float:
        """When so many tokens are made, in seconds after the request's arrival."""
        return self.start_s + self.token_s * tokens


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that a behaviour depends on.

    Attributes:
        law: How the provider behaves.
        asked: The request.
        attempt: Which one at this request, from 1.
        draws: The attempt's chance.
        wait_s: Seconds that the request waits in the provider's queue before work on it starts.
        slowdown: Factor on the time of each token; 1 is none.
        cached: Prompt tokens that come from the provider's prefix cache.
        since_s: Seconds from the provider's first request to this one's arrival.
        writer: What answers are, when they depend on what is asked; None when the law makes them up.
    """

    law: Law
    asked: Asked
    attempt: int
    draws: Draws
    wait_s: float = 0.0
    slowdown: float = 1.0
    cached: int = 0
    since_s: float = 0.0
    writer: Writer | None = None

    @property
    def request_id(self) -> str:
        """The same for the same attempt at the same request."""
        return f"sim-{self.asked.key.hex()}-{self.attempt}"

    @property
    def keep_alive(self) -> bytes:
        """What says that the provider is still at work on this request."""
        if not self.asked.stream:
            return _BLANK_LINE
        return messages.KEEP_ALIVE if self.asked.form is Form.MESSAGES else completions.KEEP_ALIVE

    def timing(self) -> Timing:
        """How long the attempt takes."""
        latency, draws = self.law.latency, self.draws
        start_s = self.wait_s + draws.lognormal(latency.median_s, latency.sigma, b"latency")
        start_s += draws.lognormal(latency.first_token_s, latency.first_token_sigma, b"first token")
        token_s = latency.per_token_s
        if latency.tokens_per_s:
            token_s += 1.0 / draws.lognormal(latency.tokens_per_s, latency.tokens_per_s_sigma, b"tokens per second")
        return Timing(start_s, token_s * self.slowdown)

    def write(self) -> Answer:
        """What the model writes when nothing goes wrong.

        The law's share of its tokens is thinking; where thinking is switched off these are not made at all. Thinking
        that uses up the room for tokens leaves none for the answer.
        """
        law, asked = self.law, self.asked
        share = law.stream.reasoning
        if (called := self._call()) is not None:
            return called
        if self.writer is not None:
            text = self.writer(asked.said, asked.mark)
            if law.reply.kind is ReplyKind.JSON:
                text = with_defect(text, law.reply, self.draws.uniform(b"defect"))
            tokens = max(1, len(text) // 4)
            thought = round(tokens * share / (1.0 - share)) if share < 1.0 else tokens
        elif law.reply.kind is ReplyKind.JSON:
            text = json_reply(law.schema, law.reply, asked.mark, self.draws)
            tokens = max(1, len(text) // 4)
            thought = round(tokens * share / (1.0 - share)) if share < 1.0 else tokens
        else:
            tokens = max(1, round(self.draws.lognormal(law.tokens.median, law.tokens.sigma, b"tokens")))
            thought = round(tokens * share)
            tokens -= thought
            if asked.max_tokens is not None:
                tokens = min(tokens, max(1, asked.max_tokens - thought * asked.thinking))
            text = text_reply(tokens, asked.mark, self.draws)
        if not thought or not asked.thinking:
            return Answer(asked.model, text, tokens)
        return self._thoughtful(text, tokens, thought)

    def _call(self) -> Answer | None:
        """A call of one of the tools that are offered, each in its turn, when the user has just spoken; else None."""
        asked = self.asked
        tool = asked.tool
        if tool is None:
            return None
        arguments = json_reply(tool.parameters, ReplyLaw(), asked.mark, self.draws)
        tokens = max(1, len(arguments) // 4)
        thought = round(tokens * self.law.stream.reasoning) if asked.thinking else 0
        use = ToolUse(f"call_{self.request_id[4:12]}_{asked.turns}", tool.name, arguments)
        reasoning = self.think(thought) if thought else ""
        return Answer(asked.model, "", tokens + thought, reasoning, thought, "tool_calls", calls=(use,))

    def _thoughtful(self, text: str, tokens: int, thought: int) -> Answer:
        room = self.asked.max_tokens
        if room is not None and thought >= room:
            return Answer(self.asked.model, "", room, self.think(room), room, "length")
        return Answer(self.asked.model, text, thought + tokens, self.think(thought), thought)

    def think(self, tokens: int) -> str:
        """Thinking of so many tokens."""
        return text_reply(tokens, "[simulated]", self.draws, b"reasoning")

    def reply(self, answer: Answer) -> HttpReply:
        """An answer as it goes over the wire when it comes whole."""
        if self.asked.form is Form.MESSAGES:
            return messages.whole(answer, self.asked, self.request_id, self.cached)
        return completions.whole(answer, self.asked, self.request_id, self.cached)

    def script(self, answer: Answer) -> Script:
        """An answer as it goes over the wire when it comes in pieces; there is one or more that carries content."""
        law = self.law.stream
        least = answer.tokens // _MOST_PIECES
        if least > law.chunk_tokens:
            law = replace(law, chunk_tokens=least)
        if self.asked.form is Form.MESSAGES:
            return messages.script(answer, self.asked, self.request_id, self.cached, law)
        return completions.script(answer, self.asked, self.request_id, self.cached, law)

    def play(self, answer: Answer, timing: Timing) -> Play:
        """An answer on its time line, whole or in pieces as the request asks."""
        if self.asked.stream:
            return self.stream(self.script(answer), answer.tokens, timing)
        return self.play_whole(answer, timing)

    def play_whole(self, answer: Answer, timing: Timing) -> Play:
        """An answer on its time line, in one piece and after blank lines if the law wants them."""
        at_s = timing.at(answer.tokens)
        play = whole(self.reply(answer), at_s, at_s)
        drip = self._drip(_BLANK_LINE, at_s)
        return play if drip is None else play._replace(length=None, drip=drip)

    def stream(self, script: Script, tokens: int, timing: Timing) -> Play:
        """The pieces of an answer of so many tokens on their time line."""
        end_s = timing.at(tokens)
        first_s = timing.at(script.lines[0].made) if script.lines else None
        scenes = _all_at_once(script, end_s) if timing.token_s == 0.0 else _one_by_one(script, timing, end_s)
        drip = self._drip(self.keep_alive, timing.start_s)
        return Play(200, bodies.stream_headers(self.request_id), scenes, End.WHOLE, end_s, None, first_s, drip)

    def _drip(self, data: bytes, until_s: float) -> Drip | None:
        """The keep-alives of the law until the answer begins; None when there are none."""
        every_s = self.law.stream.keep_alive_s
        return Drip(data, every_s, 0.0, until_s) if 0.0 < every_s < until_s else None


def _all_at_once(script: Script, at_s: float) -> tuple[Scene, ...]:
    lines = [line.data for line in script.lines]
    return (Scene(at_s, b"".join([script.opening, *lines, script.finish, script.usage, script.done])),)


def _one_by_one(script: Script, timing: Timing, end_s: float) -> tuple[Scene, ...]:
    start_s, token_s = timing
    scenes = [Scene(start_s + token_s * made, data) for made, data in script.lines]
    end = Scene(end_s, script.finish + script.usage + script.done)
    return (Scene(start_s, script.opening), *scenes, end)
