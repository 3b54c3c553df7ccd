"""Sections of the task file about the orchestrator's advice, and about the judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from deepswarm.core.flaws import Flaw
from deepswarm.core.section import REQUIRED, Rule, Section, key
from deepswarm.core.tierkeys import Dollars


def _key(meaning: str, default: Any = REQUIRED, **rules: Any) -> Any:
    return key(default, meaning, **rules)


class AdviceSection(Section):
    """What planning and monitoring may use up, their trials included; beside the budgets of the run and its tiers."""

    max_calls: Annotated[int, Rule(ge=0)] = _key("Calls, in one session of the run.", 200)
    max_cost: Dollars | None = _key("US dollars, in one session of the run.", None)


class JudgeSection(Section):
    """How the orchestrator's model judges answers; one below `least` is rejected, and asked again."""

    rubric: Annotated[str, Rule(min_length=1, max_length=10_000)] = _key("What a good answer is, for the judge.")
    share: Annotated[float, Rule(gt=0, le=1)] = _key("Share of the answers that are judged, drawn by chance.", 1.0)
    least: Annotated[int, Rule(ge=1, le=5)] = _key("The least score that is accepted, of 1 to 5.", 3)


def advice_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    """What asks for advice where there is nobody to give it."""
    if values.get("orchestrator_model") is not None:
        return
    for name in ("plan", "monitor", "advice", "judge"):
        if values.get(name) is not None and values[name] != "off":
            what = f"'{name}' needs 'orchestrator_model': nobody could be asked"
            yield Flaw((name,), what, "name a model, such as orchestrator_model: deepseek-v4-pro", on_key=True)
