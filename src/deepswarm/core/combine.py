"""Seeds made of lists of values: which combinations, in which order.

    - Without a count: every combination once, the first name varying slowest, as nested loops would.
    - A count of fewer: combinations spread so evenly that, for every name, each of its values comes up before any comes
      up again. The seeds of a count are the first seeds of every larger one.
    - A count of more: all of them in order, and again from the beginning.

Seeds get no id: each is known by its content, and one that comes again by its number among its equals. So a count can
be raised and a value added to a list, and whatever was answered already stays answered; ids by position would shift.

The spread. Let the lists have n1, n2, … values. Stepping through all lists at once, value i mod n of each, meets
lcm(n1, n2, …) different combinations before it comes back to the first, each value of a list equally often. The other
combinations are met by the same steps from other beginnings: the first list at 0, the second shifted by 0 to
gcd(n1, n2) - 1, the third by 0 to gcd(lcm(n1, n2), n3) - 1, and so on. No two beginnings lie on one circle (their first
shifts that differ would differ by a multiple of that gcd, and are both below it), and their number times the length of
a circle is n1 * n2 * …, so every combination is met exactly once.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice, repeat
from typing import Final, TypeVar

from deepswarm.core.errors import Problem
from deepswarm.core.prompt import TemplateProblem, compile_template
from deepswarm.core.ranges import range_of
from deepswarm.core.records import Json
from deepswarm.core.spec import SeedsSection

MOST_COMBINATIONS: Final = 10_000_000
"""More are only made when a count asks for them: three lists of a few hundred values are easily written by mistake."""

MOST_SEEDS: Final = 1_000_000_000
"""Largest count."""

_T = TypeVar("_T")


def problems(section: SeedsSection) -> list[Problem]:
    """Everything that keeps these seeds from being made."""
    found = [problem for name, choice in section.values.items() for problem in _value_problems(name, choice)]
    found += _template_problems(section)
    if not found and section.count is None and combinations(section) > MOST_COMBINATIONS:
        sizes = " x ".join(f"{len(values):,}" for values in _lists(section).values())
        what = f"the lists make {combinations(section):,} combinations ({sizes})"
        found.append(Problem(what, hint="say how many seeds you want (count), or shorten a list"))
    if section.count is not None and section.count > MOST_SEEDS:
        found.append(Problem(f"a count above {MOST_SEEDS:,} is too many seeds", hint="write a smaller count"))
    return found


def combinations(section: SeedsSection) -> int:
    """How many combinations the lists have."""
    return math.prod(map(len, _lists(section).values()))


def count_of(section: SeedsSection) -> int:
    """How many seeds `seeds_of` gives."""
    return combinations(section) if section.count is None else section.count


def seeds_of(section: SeedsSection) -> Iterator[dict[str, Json]]:
    """The fields of the seeds, in order: the values by name and, when there is a template, its text as `seed`.

    Args:
        section: One in which `problems` finds nothing.

    Raises:
        TemplateProblem: If the template fails on a combination; says on which.
    """
    lists = _lists(section)
    template = None if section.template is None else compile_template(section.template)
    for values in _chosen(list(lists.values()), section.count):
        fields = dict(zip(lists, values, strict=True))
        if template is None:
            yield fields
        else:
            try:
                text = template.render(fields)
            except TemplateProblem as problem:
                shown = ", ".join(f"{name}: {str(value)[:40]}" for name, value in fields.items())
                raise TemplateProblem(f"{problem} (with {shown})", problem.line) from problem
            yield {"seed": text, **fields}


def _lists(section: SeedsSection) -> Mapping[str, Sequence[Json]]:
    return {name: range_of(choice) if isinstance(choice, str) else choice for name, choice in section.values.items()}


def _chosen(lists: Sequence[Sequence[Json]], count: int | None) -> Iterator[tuple[Json, ...]]:
    if count is None:
        return _product(lists)
    if count < math.prod(map(len, lists)):
        return islice(_spread(lists), count)
    return islice(chain.from_iterable(map(_product, repeat(lists))), count)


def _product(lists: Sequence[Sequence[_T]]) -> Iterator[tuple[_T, ...]]:
    """As `itertools.product`, which would make a list of every range."""
    if not lists:
        yield ()
        return
    for value in lists[0]:
        for values in _product(lists[1:]):
            yield (value, *values)


def _spread(lists: Sequence[Sequence[Json]]) -> Iterator[tuple[Json, ...]]:
    """Every combination once, in the order that the module's docstring proves to be even."""
    sizes = [len(values) for values in lists]
    circles = list(accumulate(sizes, math.lcm))
    shifts = [range(1), *(range(math.gcd(circle, size)) for circle, size in zip(circles, sizes[1:], strict=False))]
    for beginning in _product(shifts):
        for step in range(circles[-1]):
            yield tuple(
                values[(shift + step) % size] for values, shift, size in zip(lists, beginning, sizes, strict=True)
            )


# --- what can be wrong -----------------------------------------------------------------------------------------------


def _value_problems(name: str, choice: Sequence[Json] | str) -> Iterator[Problem]:
    if name == "id":
        yield Problem(
            "the values of a name 'id' would be the same for many seeds, and ids must differ", hint="rename it"
        )
    if isinstance(choice, str):
        try:
            empty = not range_of(choice)
        except ValueError:
            hint = "write first..last or first..last..step, such as 1..100"
            yield Problem(f"'{name}' is not a range: {choice[:40]}", hint=hint)
            return
        if empty:
            hint = "to count down, give a step below 0, such as 10..1..-1"
            yield Problem(f"'{name}': the range {choice} holds no number", hint=hint)
    elif not choice:
        yield Problem(f"'{name}' is an empty list: no seed can be made", hint="add a value, or take it out")


def _template_problems(section: SeedsSection) -> Iterator[Problem]:
    if section.template is None:
        return
    if "seed" in section.values:
        yield Problem("'seed' is what the template's text is named", hint="give the list another name")
    try:
        names = compile_template(section.template).names
    except TemplateProblem as problem:
        yield Problem(f"the seeds' template cannot be read: {problem}", hint="placeholders look like {{name}}")
        return
    for name in sorted(names - section.values.keys()):
        near = difflib.get_close_matches(name, section.values, n=1)
        hint = f"did you mean {{{{{near[0]}}}}}?" if near else f"there are: {', '.join(section.values)}"
        yield Problem(f"the seeds' template uses {{{{{name}}}}}, for which there are no values", hint=hint)
