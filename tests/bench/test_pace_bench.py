import itertools
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deepswarm.core.pace import Cost, Go, Refused, Sent, Served
from deepswarm.engine.opening import call_of
from deepswarm.simulator.law import load_law, pace_laws, read_law
from deepswarm.simulator.provider import SimulatedProvider

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from pace import command, shared
from pace.baselines import Aimd, Slots
from pace.figures import figures, jain, most_within, reached_s
from pace.load import requests
from pace.plays import oracle, play, spec_of
from pace.policies import POLICIES
from pace.sensitivity import changed

COST = Cost()


def shortened(name, horizon_s):
    law = load_law(name)
    return replace(law, bench=replace(law.bench, horizon_s=horizon_s))


def some_requests(law):
    spec = spec_of(law, {"stream": False})
    return requests(law, 1, spec, call_of(spec))


@pytest.mark.parametrize("name", pace_laws())
def test_every_law_says_what_it_is_and_how_it_is_loaded(name):
    law = load_law(name)
    assert law.bench.horizon_s >= 900.0
    assert law.refusal.after_s == 0.25


def test_the_oracle_keeps_a_cap_full_from_the_first_moment():
    law = shortened("pace/a2", 600.0)
    done = oracle(law, 1)
    mean_s = 1.5 * math.exp(0.25**2 / 2) + (700 / 51.85) * math.exp(0.6**2 / 2 + 0.25**2 / 2)
    assert len(done) == pytest.approx(40 * 600.0 / mean_s, rel=0.06)


def test_the_oracle_is_never_refused_and_takes_every_call_of_a_bucket():
    law = shortened("pace/b1", 600.0)
    assert len(oracle(law, 1)) == pytest.approx(60 + 600 - 15, abs=12)


def test_looking_whether_a_limit_is_open_counts_nothing():
    law = load_law("pace/f1")
    looked, left_alone = SimulatedProvider(law), SimulatedProvider(law)
    for request in itertools.islice(some_requests(law), 40):
        looked.receive(request, 0.0)
        left_alone.receive(request, 0.0)
    request = next(some_requests(law))
    assert looked.opens_in_s(request, 1.0) == pytest.approx(59.0)
    assert looked.counts().refused == 0
    later = [provider.receive(request, 60.5).play.status for provider in (looked, left_alone)]
    assert later == [200, 200]


def test_a_refusal_takes_the_time_that_its_law_says():
    law = read_law("concurrency = 1\n[refusal]\nafter_s = 0.25", "one at a time")
    provider = SimulatedProvider(law)
    asked = some_requests(law)
    provider.receive(next(asked), 0.0)
    ends = [provider.receive(request, 0.0).play.end_s for request in itertools.islice(asked, 50)]
    assert 0.15 <= min(ends) < max(ends) <= 0.4


def test_eight_calls_at_once_get_a_fifth_of_a_cap_of_forty():
    law = shortened("pace/a2", 600.0)
    found = figures(play(law, POLICIES["fixed-8"], 1), oracle(law, 1))
    assert found.share == pytest.approx(0.2, abs=0.02)
    assert (found.refused, found.lost) == (0.0, 0)


def test_the_adaptive_pace_finds_a_cap_and_loses_nothing():
    law = shortened("pace/a2", 600.0)
    found = figures(play(law, POLICIES["adaptive"], 1), oracle(law, 1))
    assert found.share > 0.9
    assert found.refused_later < 1.0
    assert found.lost == 0
    assert found.reached_s < 300.0


def test_the_same_play_again_gives_the_same_figures():
    law = shortened("pace/b2", 120.0)
    first, second = (figures(play(law, POLICIES["unlimited"], 3), oracle(law, 3)) for _ in range(2))
    assert first == second
    assert first.refused > 100.0


def test_two_processes_share_one_account():
    law = shortened("pace/a2", 1300.0)
    played = play(law, POLICIES["fixed-8"], 1, starts_s=(0.0, 300.0))
    assert min(played.done[1]) > 300.0
    assert jain(shared.later(played)) > 0.98
    assert sum(len(times) for times in played.done) == sum(row.served for row in played.rows)


def test_a_slot_whose_call_was_refused_is_held_for_its_back_off():
    slots = Slots(2, seed=1)
    for call in (1, 2):
        assert isinstance(slots.admit(0.0, COST), Go)
        slots.observe(Sent(call, COST), 0.0)
    slots.observe(Refused(1, retry_after_s=5.0), 0.5)
    assert slots.admit(1.0, COST).at == pytest.approx(5.5)
    slots.observe(Served(2), 2.0)
    assert isinstance(slots.admit(2.0, COST), Go)


def test_aimd_adds_one_and_takes_a_tenth():
    pace = Aimd()
    for call in range(20):
        pace.observe(Sent(call, COST), 0.0)
    pace.observe(Served(0), 1.0)
    assert pace.limit == 21
    pace.observe(Refused(1), 1.0)
    assert pace.limit == 18


def test_figures_of_moments():
    assert most_within([0.0, 10.0, 59.0, 61.0, 200.0], 60.0) == 3
    assert reached_s([], [1.0], 120.0) == math.inf
    assert jain([1.0, 1.0]) == 1.0
    assert jain([1.0, 0.0]) == 0.5


def test_a_share_near_one_changes_by_what_it_leaves_out():
    assert changed("give_way", 2.0).give_way == pytest.approx(0.8)
    assert changed("cool", 2.0).cool == 1.0


def test_the_command_prints_a_table_with_the_geometric_mean(tmp_path, capsys):
    (tmp_path / "two.toml").write_text("concurrency = 2\n[latency]\nmedian_s = 2.0\n[bench]\nhorizon_s = 60.0\n")
    command.main(["--laws", str(tmp_path), "--seeds", "1-2", "--policies", "fixed-8,adaptive"])
    said = capsys.readouterr().out
    assert "| two |" in said
    assert said.count("geometric mean of the shares") == 2
    command.main(["--laws", str(tmp_path), "--policies", "fixed-8", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["law"], row["policy"], row["lost"]) == ("two", "fixed-8", 0)
