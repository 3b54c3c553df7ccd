"""The error tree: every class has a label and a disposition of its own, and problems have one form."""

import re

import pytest

from deepswarm.core import errors
from deepswarm.core.errors import CallError, DeepSwarmError, Disposition, Problem, TaskFileError, TimedOut
from deepswarm.core.records import NO_USAGE, Usage

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DeepSwarmError)]
CALL_ERRORS = [kind for kind in CLASSES if issubclass(kind, CallError)]
DRAWN = dict(re.findall(r"^ *[│ ]*[├└]─ (\w+) *(.*)$", errors.__doc__, re.MULTILINE))
"""The tree at the top of the file: class and what stands beside it."""


def made(kind):
    if kind is TimedOut:
        return TimedOut("late", phase="total", maybe_billed=True)
    return kind("what happened")


def test_every_class_is_drawn_in_the_tree_at_the_top_of_the_file():
    assert set(DRAWN) == {kind.__name__ for kind in CLASSES} - {"DeepSwarmError"}


@pytest.mark.parametrize("kind", [kind for kind in CALL_ERRORS if kind is not CallError])
def test_a_call_error_asks_for_what_its_row_of_the_tree_says(kind):
    *_, asked = re.findall("|".join(Disposition.__members__), DRAWN[kind.__name__])
    assert kind.disposition is Disposition[asked]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_ends_the_command_with_a_documented_exit_code(kind):
    assert kind.exit_code in {2, 65, 70, 75}
    drawn = re.search(r"exit (\d+)", DRAWN.get(kind.__name__, ""))
    if drawn:
        assert kind.exit_code == int(drawn.group(1))


def test_every_call_error_has_a_label_of_its_own():
    labels = [kind.label for kind in CALL_ERRORS]
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"[a-z_]+", label) for label in labels)
    assert not {"ok", "lost", "unsent", "template"} & set(labels)  # the journal's own words for calls


@pytest.mark.parametrize("kind", CALL_ERRORS)
def test_the_disposition_is_the_classes_own_and_not_the_errors(kind):
    assert isinstance(kind.disposition, Disposition)
    assert "disposition" not in vars(made(kind))


@pytest.mark.parametrize("kind", CALL_ERRORS)
def test_a_call_error_carries_data_with_honest_defaults(kind):
    error = made(kind)
    assert str(error)
    assert (error.status, error.retry_after_s, error.request_id, error.body) == (0, None, "", b"")
    assert error.usage == NO_USAGE
    assert error.maybe_billed is (kind is TimedOut)


def test_a_call_error_keeps_what_it_is_given():
    usage = Usage(1, 2)
    error = errors.Throttled(
        "slow down", status=429, retry_after_s=2.5, request_id="r", maybe_billed=True, usage=usage, body=b"x"
    )
    assert (error.status, error.retry_after_s, error.request_id) == (429, 2.5, "r")
    assert (error.maybe_billed, error.usage, error.body) == (True, usage, b"x")
    assert repr(error) == "Throttled('slow down', status=429, retry_after_s=2.5)"


def test_a_timeout_says_its_phase():
    assert TimedOut("late", phase="connect").phase == "connect"


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("it is wrong"), "it is wrong"),
        (Problem("it is wrong", "task.yaml"), "task.yaml: it is wrong"),
        (Problem("it is wrong", "task.yaml", 3), "task.yaml:3: it is wrong"),
        (Problem("it is wrong", "task.yaml", 3, 7), "task.yaml:3:7: it is wrong"),
        (Problem("it is wrong", hint="mend it"), "it is wrong\n    hint: mend it"),
        (
            Problem("unknown key 'wrkers'", "task.yaml", 3, 1, "wrkers: 4\n", "did you mean 'workers'?"),
            "task.yaml:3:1: unknown key 'wrkers'\n    wrkers: 4\n    ^\n    hint: did you mean 'workers'?",
        ),
        (
            Problem("too many", "task.yaml", 3, 12, "  workers: 4000000"),
            "task.yaml:3:12: too many\n      workers: 4000000\n               ^",
        ),
        (
            Problem("no line end", "t.yaml", 1, source="a: 1"),
            "t.yaml:1: no line end\n    a: 1",
        ),
    ],
)
def test_a_problem_says_where_what_and_what_to_do_next(problem, text):
    assert str(problem) == text


def test_the_caret_stands_below_the_column():
    source = "  key: value"
    lines = str(Problem("wrong", "f", 1, source.index("value") + 1, source)).splitlines()
    assert lines[1][lines[2].index("^") :].startswith("value")


def test_a_task_file_error_lists_every_problem_in_its_order():
    problems = [Problem(f"wrong {n}", "task.yaml", n) for n in (1, 2, 3)]
    error = TaskFileError(problems)
    assert error.problems == tuple(problems)
    assert str(error).splitlines() == ["task.yaml:1: wrong 1", "task.yaml:2: wrong 2", "task.yaml:3: wrong 3"]
    assert error.exit_code == 2
