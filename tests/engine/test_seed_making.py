"""Seeds made by a model from a description: whole runs in virtual time, with the simulated provider as the model."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from deepswarm.core.errors import TaskFileError
from deepswarm.core.scheduler import How
from deepswarm.engine.clock import virtual_clock
from deepswarm.engine.pipeline import Provider, Surroundings, Wishes
from deepswarm.engine.seed_making import Making
from deepswarm.simulator import virtual_time
from deepswarm.simulator.law import Law, read_law
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.taskfile import load
from deepswarm.testing.builders import START_UTC, SilentScreen
from deepswarm.transports.simulated import SimulatedTransport

TASK = """\
worker_model: deepseek-v4-flash
prompt_template: "{{question}}"
seeds:
  wanted: Questions that a curious child asks about the sea.
  count: 100
"""
TOPICS = json.dumps({"topics": [{"name": name, "covers": ""} for name in ("tides", "fish", "ships", "ice")]})
WORDS = [
    a + b for a in ("bar", "lo", "mi", "su", "ke", "ta") for b in ("ren", "dol", "vik", "pas", "gum", "zor", "nel")
]


class Model:
    """Writes seeds; what it writes follows from how many it has written."""

    def __init__(self, *, alike=0.0, most=10**9, topics=TOPICS):
        self.chance, self.alike, self.most, self.topics, self.written = random.Random(3), alike, most, topics, 0

    def __call__(self, said, _mark):
        if any("taxonomy" in message.content for message in said):
            return self.topics
        count = int(said[-1].content.split()[1])
        return json.dumps({"seeds": [{"question": self.text()} for _ in range(count)]})

    def text(self):
        if self.written >= self.most or (self.written and self.chance.random() < self.alike):
            return "Why is the sea salt and not sweet like the lake behind our house?"
        self.written += 1
        return " ".join(self.chance.choices(WORDS, k=12)) + "?"


def making(folder, model, *, task=TASK, law=None, screen=None):
    (folder / "task.yaml").write_text(task)
    provider = model if isinstance(model, SimulatedProvider) else SimulatedProvider(law or Law(), writer=model)
    loaded = load(folder / "task.yaml")
    return provider, Making(
        loaded,
        frozenset({"question"}),
        folder / "seeds.jsonl",
        lambda _: Provider(lambda: SimulatedTransport(provider), simulated=False),
        screen or SilentScreen(),
        Surroundings(
            lambda: virtual_clock(START_UTC), lambda: START_UTC, random.Random(1).random, virtual_time.run, "seed"
        ),
    )


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_just_so_many_seeds_are_made_spread_over_the_topics_and_all_different(tmp_path):
    provider, make = making(tmp_path, Model(alike=0.2))
    made = make.write(replace=False)
    seeds = lines(tmp_path / "seeds.jsonl")
    assert made.exit_code == 0
    assert made.count == len(seeds) == 100
    assert made.near > 0
    assert len({seed["question"] for seed in seeds}) == 100
    assert all(set(seed) == {"question"} for seed in seeds)
    assert made.topics == 4
    assert made.calls == provider.counts().served
    assert made.spent is not None
    assert made.spent > 0


def test_the_orchestrators_model_makes_them_when_there_is_one(tmp_path):
    task = TASK + "orchestrator_model: deepseek-v4-pro\norchestrator_budget: {max_calls: 3}\n"
    provider, make = making(tmp_path, Model(), task=task)
    made = make.write(replace=False)
    assert made.model == "deepseek-v4-pro"
    assert made.exit_code == 75
    assert provider.counts().served <= 4


def test_the_same_command_again_asks_nothing_and_changes_nothing(tmp_path):
    provider, make = making(tmp_path, Model())
    make.write(replace=False)
    served = provider.counts().served
    again = make.write(replace=False)
    assert again.unchanged
    assert again.exit_code == 0
    assert provider.counts().served == served


def test_a_higher_count_asks_only_for_what_is_missing(tmp_path):
    model = Model()
    provider, make = making(tmp_path, model)
    make.write(replace=False)
    before = provider.counts().served
    first = {seed["question"] for seed in lines(tmp_path / "seeds.jsonl")}
    _, more = making(tmp_path, provider, task=TASK.replace("100", "140"))
    made = more.write(replace=True)
    assert made.count == 140
    assert first <= {seed["question"] for seed in lines(tmp_path / "seeds.jsonl")}
    assert provider.counts().served - before <= 8


def test_seeds_of_another_description_begin_anew_beside_the_old_ones(tmp_path):
    provider, make = making(tmp_path, Model())
    make.write(replace=False)
    _, other = making(tmp_path, provider, task=TASK.replace("the sea", "the moon"))
    assert other.folder != make.folder
    with pytest.raises(TaskFileError, match="other seeds"):
        other.write(replace=False)


def test_a_model_that_runs_out_of_different_seeds_ends_and_says_so(tmp_path):
    provider, make = making(tmp_path, Model(most=30))
    made = make.write(replace=False)
    assert made.exit_code == 1
    assert made.count == 31
    assert not (tmp_path / "seeds.jsonl").exists()
    assert provider.counts().served < 40


def test_a_spent_account_pauses_and_the_same_command_goes_on_without_asking_anything_twice(tmp_path):
    model = Model()
    poor = read_law("[balance]\nusd = 0.004\n[prices]\ninput = 1.0\noutput = 2.0\n", "poor")
    provider, make = making(tmp_path, model, task=TASK + "pause_limit: 1\n", law=poor)
    made = make.write(replace=False)
    assert made.stopped.how is How.PAUSED
    assert made.exit_code == 75
    assert not (tmp_path / "seeds.jsonl").exists()
    answered = provider.counts().served
    provider.law = Law()
    made = make.write(replace=False)
    assert made.exit_code == 0
    assert made.calls == provider.counts().served > answered
    names = [row.name for row in provider.rows() if row.served]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("topics", ["no", "{}", '{"topics": []}'])
def test_a_model_that_makes_no_taxonomy_ends_the_command_with_the_reason(tmp_path, topics):
    _, make = making(tmp_path, Model(topics=topics))
    made = make.write(replace=False)
    assert made.exit_code == 1
    assert made.count == 0


def test_a_run_does_not_make_described_seeds_by_itself(tmp_path):
    from deepswarm.engine.folder import RunFolder
    from deepswarm.engine.pipeline import run

    _, make = making(tmp_path, Model())
    with pytest.raises(TaskFileError, match="deepswarm seed"):
        run(make.task, RunFolder(tmp_path / "output"), Wishes(), make.provider(make.task), make.screen, make.around)
