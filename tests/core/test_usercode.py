"""All code that a task names is found, wherever it is named."""

from __future__ import annotations

from deepswarm.core.usercode import uses_code


def test_a_task_of_data_names_no_code():
    assert uses_code({"worker_model": "m", "filters": ["length", {"pattern": {"matches": "x:y"}}]}) == []


def test_every_place_that_can_name_code_is_looked_at():
    values = {
        "worker_script": "w.py",
        "task_type": "mine.py:Debate",
        "complete_when": {"function": "c.py:done"},
        "follow_up": {"function": "c.py:more"},
        "tool_responses": {"weather": {"function": "t.py:weather"}, "other": {"template": "x"}},
        "filters": ["f.py:Mine", {"python": {"function": "g.py:good"}}],
    }
    assert [(".".join(map(str, path)), code) for path, code in uses_code(values)] == [
        ("worker_script", "w.py"),
        ("task_type", "mine.py:Debate"),
        ("complete_when.function", "c.py:done"),
        ("follow_up.function", "c.py:more"),
        ("tool_responses.weather.function", "t.py:weather"),
        ("filters.0", "f.py:Mine"),
        ("filters.1", "g.py:good"),
    ]
