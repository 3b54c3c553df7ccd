"""Rules for the values of a task that no type can say.

Templates must be templates, a template of seeds may use only names that have values, a parameter that has a key of its
own belongs there, a path is a path. (The rules for the address and its key are in `address.py`.) The values come as the
task file has them; a value whose type is wrong is passed over, since it has been found already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from deepswarm.core.address import address_flaws
from deepswarm.core.advicekeys import advice_flaws
from deepswarm.core.flaws import Flaw, Where, named_at, nearest, secret_flaw
from deepswarm.core.price_rules import price_flaws
from deepswarm.core.prompt import TemplateProblem, compile_template
from deepswarm.core.ranges import RANGE, range_of
from deepswarm.core.secret import holds_a_secret, masked, names_a_secret
from deepswarm.core.seed_rules import description_flaws
from deepswarm.core.tierkeys import orchestrator_flaws
from deepswarm.core.turnkeys import turn_flaws
from deepswarm.core.typekeys import type_rule_flaws

_OWN_PARAMS: Final[Mapping[str, tuple[str, str, Callable[[object], bool]]]] = {
    "model": ("has a key of its own", "write worker_model instead", lambda _: True),
    "messages": ("is made from the templates", "write prompt_template and system_prompt instead", lambda _: True),
    "max_tokens": ("has a key of its own", "write worker_max_tokens instead", lambda _: True),
    "stream": ("cannot be switched on: replies are read whole", "leave it out", lambda value: value is not False),
    "n": ("must be 1: only one answer of each call is kept", "leave it out", lambda value: value != 1 or value is True),
}
"""Parameters of the request body that `worker_params` cannot carry: what it is about them, what to do, which values."""


def rule_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    """Everything that breaks a rule."""
    for key in ("prompt_template", "system_prompt"):
        yield from _template_flaws((key,), values.get(key))
    prompt = values.get("prompt_template")
    if isinstance(prompt, str) and prompt and not prompt.strip():
        yield Flaw(("prompt_template",), "'prompt_template' is blank", "write what the model is asked")
    yield from address_flaws(values)
    yield from orchestrator_flaws(values)
    if values.get("pace") == "fixed" and values.get("workers", "auto") == "auto":
        yield Flaw(("pace",), "'pace: fixed' needs a number of workers", "write workers: N, or pace: adaptive")
    if values.get("rate_limit") is not None and values.get("pace") != "page-formula":
        hint = "write pace: page-formula with it, or rpm for a hard ceiling"
        yield Flaw(("rate_limit",), "'rate_limit' is for 'pace: page-formula' alone", hint)
    yield from type_rule_flaws(values)
    yield from turn_flaws(values)
    yield from advice_flaws(values)
    yield from price_flaws(values)
    params, seeds = values.get("worker_params"), values.get("seeds")
    for key, given in (("worker_params", params), ("orchestrator_params", values.get("orchestrator_params"))):
        if isinstance(given, Mapping):
            yield from _param_flaws(key, given)
    if isinstance(seeds, Mapping):
        yield from _seeds_flaws(seeds)
    for key in ("seeds_file", "output_dir"):
        path = values.get(key)
        if isinstance(path, str) and path.startswith("~"):
            yield Flaw((key,), f"'{key}' begins with ~, which is not replaced here", "write the whole path")
        elif isinstance(path, str) and "\0" in path:
            yield Flaw((key,), f"'{key}' holds a null character, which no path can", "take it out")


def _template_flaws(path: Where, text: object) -> Iterator[Flaw]:
    if not isinstance(text, str):
        return
    try:
        compile_template(text)
    except TemplateProblem as error:
        hint = "{{name}} takes a seed's field; between {% raw %} and {% endraw %}, {{ and {% stand for themselves"
        yield Flaw(path, f"{named_at(path)} is not a template: {masked(str(error))}", hint, line=error.line)


def _seeds_flaws(section: Mapping[str, object]) -> Iterator[Flaw]:
    template, values = section.get("template"), section.get("values")
    flaws = list(_template_flaws(("seeds", "template"), template))
    yield from flaws
    yield from description_flaws(section)
    if not isinstance(values, Mapping):
        return
    for name, choice in values.items():
        path = ("seeds", "values", name)
        if choice == []:
            yield Flaw(path, f"{named_at(path)} is an empty list: no seed can be made", "add a value, or take it out")
        elif isinstance(choice, str) and re.match(RANGE, choice) and not range_of(choice):
            hint = "to count down, give a step below 0, such as 10..1..-1"
            yield Flaw(path, f"{named_at(path)}: the range {choice} holds no number", hint)
    if isinstance(template, str) and not flaws:
        for name in sorted(compile_template(template).names - set(values)):
            near = nearest(name, values)
            hint = f"did you mean {{{{{near}}}}}?" if near else f"add {masked(name)} to seeds.values"
            what = f"'seeds.template' uses {{{{{masked(name)}}}}}, which seeds.values does not hold"
            yield Flaw(("seeds", "template"), what, hint)


def _param_flaws(key: str, params: Mapping[str, object]) -> Iterator[Flaw]:
    for name, value in params.items():
        path = (key, name)
        if names_a_secret(name, value) or holds_a_secret(value):
            yield secret_flaw(path)
        elif name in _OWN_PARAMS and _OWN_PARAMS[name][2](value):
            yield Flaw(path, f"{named_at(path)} {_OWN_PARAMS[name][0]}", _OWN_PARAMS[name][1], on_key=True)
