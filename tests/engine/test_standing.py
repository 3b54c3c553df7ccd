"""The summary of whole runs: what is kept in the journal is what its events add up to, session after session."""

from decimal import Decimal

import pytest

from deepswarm.core.records import Outcome
from deepswarm.core.scheduler import How
from deepswarm.engine.standing import stood
from deepswarm.report.saved import NAME, restored
from deepswarm.report.state import State
from deepswarm.simulator.law import Law, load_law
from deepswarm.testing.builders import rehearse

PRICES = {"mock": {"input": 1, "output": 2}}


def seeds(count):
    return [{"id": f"s{n}", "prompt": f"[[id:{n}]] say something"} for n in range(count)]


def assert_stands(run, total):
    """What is kept equals the fold of all events, and adds up to the totals and to the provider's own account."""
    kept, whole = restored(run.journal.noted(NAME)), State()
    whole.watch(run.journal.events)
    assert kept.number == whole.number == len(run.journal.events)
    seen, folded = kept.look(kept.last[1]), whole.look(whole.last[1])
    totals = run.journal.totals()
    assert (seen.seeds, seen.done, seen.rejected, seen.failed, seen.left) == (
        total,
        totals.done,
        totals.rejected,
        totals.failed,
        totals.left,
    )
    for name in ("done", "failed", "failures", "problems", "calls", "tokens_in", "tokens_out", "maybe_billed"):
        assert getattr(seen, name) == getattr(folded, name), name
    assert seen.calls == run.provider.counts().received
    assert seen.calls_in_flight == seen.in_flight == seen.retrying == 0
    return seen


@pytest.mark.parametrize("law", ["rehearsal", "storm", "concurrency-cap", "openai-tier1"])
def test_what_is_kept_is_what_the_events_add_up_to(tmp_path, law):
    run = rehearse(tmp_path, seeds(300), load_law(law), workers=32, prices=PRICES)
    assert_stands(run, 300)
    assert run.screen.state.look(run.screen.state.last[1]).calls == run.summary.calls


def test_a_run_of_three_sessions_counts_every_call_once_and_spends_every_dollar_once(tmp_path):
    law, keys = Law(), {"workers": 8, "prices": PRICES}
    run = rehearse(tmp_path, seeds(100), law, **keys)
    run = rehearse(tmp_path, seeds(150), law, journal=run.journal, provider=run.provider, **keys)
    run.journal.reopen(frozenset({Outcome.DONE}), None, (2e9, 0.0))
    run = rehearse(tmp_path, seeds(150), law, journal=run.journal, provider=run.provider, **keys)
    assert run.summary.how is How.FINISHED
    seen = assert_stands(run, 150)
    assert (seen.sessions, seen.calls) == (3, 300)
    assert seen.spent == (seen.tokens_in + 2 * seen.tokens_out) / Decimal(1_000_000)


def test_what_was_not_kept_is_folded_anew_with_what_it_cost(tmp_path):
    run = rehearse(tmp_path, seeds(50), Law(), workers=8, prices=PRICES)
    kept = stood(run.journal)
    run.journal.note(NAME, "something else")
    anew = stood(run.journal)
    assert (anew.spent, anew.number, anew.now.calls) == (kept.spent, kept.number, kept.now.calls)
    assert anew.spent > 0
