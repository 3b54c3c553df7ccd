"""The room of filters: judgements over records, after the answers are there and without a call.

A filter is a frozen object whose fields are its options, each with a default where one makes sense, and whose `judge`
sees one record and nothing else: no clock, no network, no file. It keeps the record, amends it, or drops it with a
reason that a person understands without looking anything up. Whatever is wrong with an option it says in its
constructor, as a ValueError whose text completes "filter 'length': ...".

To add a filter, write one file, list it in TABLE, and pass the suite in `testing/suites/filter.py`. The order in which
a task names its filters is the order in which they judge; the first that drops a record is the one that is named.

Fields that filters may add to a record:
    answer_json     the answer's JSON value. `answer` itself stays text in every record (as the model wrote it, or the
                    repaired text), so that a column of answers has one type in every format and lengths mean the same
                    everywhere; what works on the value does not parse it again.
    amended         by filter, what was done to the record; only there when something was done.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

from deepswarm.core.errors import DoorError, Problem, TaskFileError
from deepswarm.core.records import Json, Record, Verdict
from deepswarm.core.secret import shown
from deepswarm.doors import find

TABLE: Final = {
    "json_repair": "deepswarm.filters.json_repair:JsonRepair",
    "structure": "deepswarm.filters.structure:Structure",
    "length": "deepswarm.filters.length:Length",
    "parts": "deepswarm.filters.parts:Parts",
    "language": "deepswarm.filters.language:Language",
    "refusal": "deepswarm.filters.refusal:Refusal",
    "repetition": "deepswarm.filters.repetition:Repetition",
    "echo": "deepswarm.filters.echo:Echo",
    "duplicate": "deepswarm.filters.duplicate:Duplicate",
    "near_duplicate": "deepswarm.filters.near_duplicate:NearDuplicate",
    "contamination": "deepswarm.filters.contamination:Contamination",
    "pattern": "deepswarm.filters.pattern:Pattern",
    "python": "deepswarm.filters.function:Function",
}

FILE_OPTIONS: Final = {
    "duplicate": "against",
    "near_duplicate": "against",
    "contamination": "benchmark",
}
"""Options that name files of records: whoever reads files puts their texts in place of the names."""
INLINE: Final = "inline"
"""The option that every filter has: judge also while the run goes on, so that what it drops is asked again."""


class Filter(Protocol):
    """What judges records, one at a time and always in the same way."""

    def judge(self, record: Record) -> Verdict:
        """Keep, amend or drop a record; the record itself is never changed."""


class SetFilter(Filter, Protocol):
    """A filter that must see all records before it can judge one, such as one that keeps the best of several."""

    def judge_all(self, records: Iterable[Record]) -> Iterator[Verdict]:
        """A verdict for every record, in their order.

        Args:
            records: Read once, to the end, before the first verdict is given; none of them may be held on to.
        """


if TYPE_CHECKING:  # the type checker proves that who is listed fits the door
    from deepswarm.filters.contamination import Contamination
    from deepswarm.filters.duplicate import Duplicate
    from deepswarm.filters.echo import Echo
    from deepswarm.filters.function import Function
    from deepswarm.filters.json_repair import JsonRepair
    from deepswarm.filters.language import Language
    from deepswarm.filters.length import Length
    from deepswarm.filters.near_duplicate import NearDuplicate
    from deepswarm.filters.parts import Parts
    from deepswarm.filters.pattern import Pattern
    from deepswarm.filters.refusal import Refusal
    from deepswarm.filters.repetition import Repetition
    from deepswarm.filters.structure import Structure

    RESIDENTS: tuple[type[Filter], ...] = (
        *(JsonRepair, Structure, Length, Parts, Language, Refusal, Repetition, Echo, Contamination, Pattern, Function),
    )
    SET_RESIDENTS: tuple[type[SetFilter], ...] = (Duplicate, NearDuplicate)


class Named(NamedTuple):
    """A filter and the name under which it is counted."""

    name: str
    filter: Filter


Setting: TypeAlias = str | Mapping[str, Json]
"""A filter as a task file writes it: `length`, or `length: {min_chars: 200}`."""


def build(settings: Sequence[Setting], file: str = "", *, code: bool = True) -> list[Named]:
    """The filters that a task names.

    Args:
        settings: In order, each a name or {name: {option: value}}.
        file: Where the settings stand, for the messages.
        code: Whether filters that run Python of the user's own may be loaded.

    Returns:
        In the same order; a name that comes again is numbered, such as "length (2)".

    Raises:
        TaskFileError: With everything that is wrong, once for every filter and option.
    """
    built: list[Named] = []
    problems: list[Problem] = []
    for place, setting in enumerate(settings, 1):
        try:
            name, options = spelt_out(setting)
            inline = is_inline(setting)
            options.pop(INLINE, None)
            if not code and runs_code(name):
                raise _Unfit([(f"'{name}' runs Python code, which --no-code refuses", "take it out of the filters")])
            made = _made(name, options)
            if inline and hasattr(made, "judge_all"):
                what = f"'{name}' compares all records, so it cannot judge '{INLINE}', while answers come in"
                raise _Unfit([(what, f"leave '{INLINE}' out: it judges at the end of the run")])
        except _Unfit as unfit:
            problems += [Problem(f"filters.{place}: {what}", file, hint=hint) for what, hint in unfit.flaws]
        else:
            again = sum(known.name.partition(" (")[0] == name for known in built)
            built.append(Named(f"{name} ({again + 1})" if again else name, made))
    if problems:
        raise TaskFileError(problems)
    return built


def spelt_out(setting: object) -> tuple[str, dict[str, Json]]:
    """The name of a filter and its options.

    Raises:
        ValueError: If it is neither a name nor {name: {option: value}}.
    """
    if isinstance(setting, str):
        return setting, {}
    if isinstance(setting, Mapping) and len(setting) == 1:
        name, options = next(iter(setting.items()))
        if options is None:
            return name, {}
        if isinstance(options, Mapping):
            return name, dict(options)
        raise _Unfit([(f"the options of '{name}' must be 'name: value' lines, not {shown(options)}", "")])
    hint = "write '- length' or '- length: {min_chars: 200}', each filter behind a '- ' of its own"
    raise _Unfit([("this is not one filter with its options", hint)])


def is_inline(setting: Setting) -> bool:
    """Whether a filter judges while the run goes on, so that what it drops is asked again.

    Raises:
        ValueError: If it is neither a name nor {name: {option: value}}, or `inline` is neither true nor false.
    """
    name, options = spelt_out(setting)
    said = options.get(INLINE, False)
    if not isinstance(said, bool):
        raise _Unfit([(f"filter '{name}': '{INLINE}' must be true or false, not {shown(said)}", "")])
    return said


def runs_code(name: str) -> bool:
    """Whether a filter of this name is, or calls, code that is not the program's own."""
    return name == "python" or ":" in name


class _Unfit(ValueError):
    """What is wrong with one setting: sentences with hints."""

    def __init__(self, flaws: Iterable[tuple[str, str]]) -> None:
        self.flaws = list(flaws)
        super().__init__("; ".join(what for what, _ in self.flaws))


def _made(name: str, options: Mapping[str, Json]) -> Filter:
    try:
        factory = find("filter", name, TABLE)
    except DoorError as error:
        what, _, hint = str(error).partition("; ")
        raise _Unfit([(what, hint)]) from error
    flaws = list(_option_flaws(factory, name, options))
    if flaws:
        raise _Unfit(flaws)
    try:
        made: Filter = factory(**options)
    except (ValueError, TypeError) as error:
        raise _Unfit([(f"filter '{name}': {error}", "")]) from error
    return made


def _option_flaws(factory: Callable[..., Any], name: str, options: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """What can be said from the names and types of a filter's options alone."""
    known = inspect.signature(factory, eval_str=True).parameters
    if any(each.kind is each.VAR_KEYWORD for each in known.values()):
        return
    for option, value in options.items():
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}"
            yield f"filter '{name}' has no option '{option}'", hint
        elif wanted := _misfit(value, known[option].annotation):
            yield f"filter '{name}': '{option}' must be {wanted}, not {shown(value)}", ""
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in options:
            yield f"filter '{name}' needs the option '{option}'", f"write '- {name}: {{{option}: ...}}'"


_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    Sequence: "a list",
    dict: "a section",
    Mapping: "a section",
}


def _misfit(value: Json, hint: Any) -> str:
    """What an option takes, in words, when this value is something else; empty when it fits."""
    union = typing.get_origin(hint) in {typing.Union, types.UnionType}
    whole = list(typing.get_args(hint) if union else (hint,))
    if isinstance(value, list) and Sequence[str] in whole and not all(isinstance(each, str) for each in value):
        return "a list of texts"
    kinds = [typing.get_origin(kind) or kind for kind in whole]
    if not all(kind in _WORDS or kind is types.NoneType for kind in kinds) or any(_fits(value, k) for k in kinds):
        return ""
    return " or ".join(_WORDS[kind] for kind in kinds if kind in _WORDS)


def _fits(value: Json, kind: Any) -> bool:
    if kind in {int, float} and isinstance(value, bool):
        return False
    if kind is Sequence:
        return isinstance(value, list)
    return isinstance(value, (int, float) if kind is float else kind)
