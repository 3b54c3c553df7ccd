"""The seeds that a law is loaded with: the same for the oracle and for every pace."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

from deepswarm.core.records import Call, HttpRequest, Json, Message
from deepswarm.core.spec import TaskSpec
from deepswarm.dialects import openai_chat
from deepswarm.simulator.law import Law

BYTES_PER_TOKEN = 4
_FILLER = "lorem ipsum dolor sit amet "


def prompts(law: Law, seed: int) -> Iterator[str]:
    """Prompts without end; their lengths are lognormal around the law's median."""
    chance = random.Random(seed)
    bench = law.bench
    for number in itertools.count(1):
        mark = f"[[id:{number}]] "
        tokens = bench.prompt_tokens * math.exp(bench.prompt_sigma * chance.gauss(0.0, 1.0))
        filler = max(0, int(tokens * BYTES_PER_TOKEN) - len(mark))
        yield mark + (_FILLER * (filler // len(_FILLER) + 1))[:filler]


def seeds(law: Law, seed: int, count: int) -> list[dict[str, Json]]:
    """The first so many, as a seeds file has them."""
    return [
        {"id": str(number), "prompt": prompt}
        for number, prompt in enumerate(itertools.islice(prompts(law, seed), count), start=1)
    ]


def requests(law: Law, seed: int, spec: TaskSpec, call: Call) -> Iterator[HttpRequest]:
    """The requests that the engine makes of them."""
    url = openai_chat.address(spec.worker_api_base)
    for prompt in prompts(law, seed):
        yield openai_chat.encode(call._replace(messages=(Message("user", prompt),)), url)
