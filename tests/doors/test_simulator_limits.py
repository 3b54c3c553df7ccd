"""What the simulated provider lets in: each kind of limit against arithmetic by hand, in virtual time."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.records import HttpRequest
from deepswarm.simulator.law import Law, load_law, presets, read_law
from deepswarm.simulator.ledger import FREE, Bill, tariff_of
from deepswarm.simulator.limitlaw import Charge, Counted, Prices, QueueLaw, RateLaw, Shape
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.simulator.queueing import RequestQueue, slowdown
from deepswarm.simulator.rates import Demand, Rate

TOKENS = "[tokens]\nmedian = 100\n"


def request(name="1", *, text="", **more):
    """A request of 10 prompt tokens, or of a quarter of the text's characters."""
    content = text or f"[[id:{name}]]".ljust(40, ".")
    body = {"model": "some-model", "messages": [{"role": "user", "content": content}], **more}
    return HttpRequest("http://127.0.0.1/v1/chat/completions", {}, json.dumps(body).encode())


def provider_of(text, **more):
    return SimulatedProvider(read_law(text, "test"), **more)


def arrive(provider, now, name="1", **more):
    return provider.receive(request(name, **more), now)


def status_at(provider, now, **more):
    """The status of a request that ends in the moment in which it arrives."""
    ticket = arrive(provider, now, **more)
    provider.release(ticket, now, client_gone=False)
    return ticket.play.status


def statuses(provider, moments, **more):
    return [status_at(provider, now, **more) for now in moments]


def error_of(ticket):
    return json.loads(ticket.play.scenes[0].data)["error"]


def last_refusal(provider):
    return provider.rows()[-1].refused


# --- rate limits -----------------------------------------------------------------------------------------------------


def test_a_bucket_of_requests_fills_evenly():
    provider = provider_of('[[rates]]\ncounts = "requests"\namount = 60\nburst_s = 3')
    assert statuses(provider, [0.0] * 4) == [200, 200, 200, 429]
    assert statuses(provider, [0.9, 1.0, 1.1, 2.0]) == [429, 200, 429, 200]


def test_a_limit_per_minute_that_is_enforced_per_second_admits_a_sixtieth_each_second():
    provider = provider_of('[[rates]]\ncounts = "requests"\namount = 600\nburst_s = 1')
    assert statuses(provider, [0.0] * 11).count(200) == 10
    assert statuses(provider, [1.0] * 11).count(200) == 10


def test_a_window_starts_anew_and_remembers_nothing():
    provider = provider_of('[[rates]]\ncounts = "requests"\namount = 2\nper_s = 60\nshape = "window"')
    assert statuses(provider, [100.0, 159.0, 159.5]) == [200, 200, 429]
    assert statuses(provider, [160.0, 160.0, 160.0]) == [200, 200, 429]


def test_the_first_window_ends_when_the_law_says():
    law = '[[rates]]\ncounts = "requests"\namount = 1\nper_s = 86400\nshape = "window"\nfirst_reset_s = 3600'
    assert statuses(provider_of(law), [0.0, 3599.0, 3600.0, 80000.0, 90000.0]) == [200, 429, 200, 429, 200]


def test_reserved_tokens_are_prompt_and_max_tokens_and_stay_charged():
    provider = provider_of('[[rates]]\ncounts = "tokens"\namount = 600\ncharge = "reserve"\n' + TOKENS)
    assert statuses(provider, [0.0] * 3, max_tokens=290) == [200, 200, 429]
    assert statuses(provider, [29.9, 30.0], max_tokens=290) == [429, 200]


def test_what_was_reserved_and_not_used_comes_back_at_the_end():
    provider = provider_of('[[rates]]\ncounts = "tokens"\namount = 600\n' + TOKENS)
    ticket = arrive(provider, 0.0, max_tokens=500)
    assert status_at(provider, 0.0, max_tokens=100) == 429
    provider.release(ticket, 0.0, client_gone=False)
    assert statuses(provider, [0.0] * 2, max_tokens=480) == [200, 429]


def test_a_request_without_max_tokens_reserves_what_the_law_assumes():
    provider = provider_of('assumed_tokens = 590\n[[rates]]\ncounts = "tokens"\namount = 600\ncharge = "reserve"')
    assert statuses(provider, [0.0, 59.0, 60.0]) == [200, 429, 200]


def test_answers_charged_late_overdraw_the_limit():
    provider = provider_of('[[rates]]\ncounts = "output_tokens"\namount = 60\ncharge = "end"\n' + TOKENS)
    first, second = arrive(provider, 0.0), arrive(provider, 0.0)
    provider.release(first, 0.0, client_gone=False)
    provider.release(second, 0.0, client_gone=False)
    assert statuses(provider, [140.0, 141.0]) == [429, 200]


def test_cached_tokens_do_not_count_as_uncached():
    law = '[[rates]]\ncounts = "uncached_tokens"\namount = 100\ncharge = "reserve"\n[cache]\nunit_tokens = 1\n'
    provider = provider_of(law)
    assert statuses(provider, [0.0] * 3, text="x" * 400) == [200, 200, 200]


def test_a_limit_of_dollars_closes_when_they_are_spent():
    law = '[[rates]]\ncounts = "usd"\namount = 0.001\nper_s = 600\ncharge = "end"\n[prices]\noutput = 10.0\n' + TOKENS
    provider = provider_of(law)
    assert statuses(provider, [0.0, 0.0, 0.0]) == [200, 429, 429]
    assert status_at(provider, 1.0) == 200


def test_refused_requests_count_where_the_law_says_so():
    law = '[[rates]]\ncounts = "requests"\namount = 60\nburst_s = 10\n'
    kind, strict = provider_of(law), provider_of(law + "refused = true")
    for provider in (kind, strict):
        assert statuses(provider, [0.0] * 11).count(429) == 1
    assert statuses(kind, [1.0]) == [200]
    assert statuses(strict, [1.0, 1.9]) == [429, 429]


def test_a_flood_of_refused_requests_comes_to_an_end():
    provider = provider_of('[[rates]]\ncounts = "requests"\namount = 60\nburst_s = 10\nrefused = true')
    statuses(provider, [0.0] * 1000)
    assert statuses(provider, [2.99 + 0.02]) == [200]


@pytest.mark.parametrize(("failed", "later"), [("true", 429), ("false", 200)])
def test_requests_that_failed_count_where_the_law_says_so(failed, later):
    law = f'[[rates]]\ncounts = "requests"\namount = 1\nfailed = {failed}\n'
    provider = provider_of(law + '[[faults]]\nkind = "status"\nstatus = 500\nattempts = [1]\n')
    assert statuses(provider, [0.0, 1.0]) == [500, later]


def test_a_request_larger_than_the_bucket_is_refused_for_good():
    provider = provider_of('headers = "openai"\n[[rates]]\ncounts = "tokens"\namount = 100\n')
    ticket = arrive(provider, 0.0, max_tokens=200)
    assert error_of(ticket)["message"].startswith("Request too large")
    assert "retry-after" not in ticket.play.headers


def test_of_several_limits_the_one_that_opens_last_refuses():
    law = (
        '[[rates]]\nname = "minute"\ncounts = "requests"\namount = 2\nshape = "window"\n'
        '[[rates]]\nname = "day"\ncounts = "requests"\namount = 3\nper_s = 86400\nshape = "window"\n'
    )
    provider = provider_of(law)
    assert statuses(provider, [0.0] * 3) == [200, 200, 429]
    assert last_refusal(provider) == "minute"
    assert statuses(provider, [60.0] * 2) == [200, 429]
    assert last_refusal(provider) == "day"


def test_an_adaptive_limit_grows_with_success_and_shrinks_when_idle():
    law = '[[rates]]\ncounts = "requests"\namount = 10\nshape = "window"\ngrow = 0.5\nmost = 20\n'
    provider = provider_of(law)
    admitted = [statuses(provider, [60.0 * minute] * 30).count(200) for minute in range(4)]
    assert admitted == [10, 15, 20, 20]
    assert statuses(provider, [600.0] * 30).count(200) == 10


def test_an_adaptive_limit_stays_where_it_is_when_nothing_succeeds():
    law = '[[rates]]\ncounts = "requests"\namount = 10\nshape = "window"\ngrow = 0.5\nmost = 20\n'
    provider = provider_of(law + '[[faults]]\nkind = "status"\nstatus = 500\n')
    assert [statuses(provider, [60.0 * minute] * 30).count(500) for minute in range(3)] == [10, 10, 10]


AMOUNTS = st.integers(1, 50)
GAPS = st.lists(st.floats(0.0, 5.0), min_size=1, max_size=80)


@settings(max_examples=60)
@given(amount=AMOUNTS, burst_s=st.floats(0.5, 60.0), gaps=GAPS)
def test_a_bucket_never_admits_more_than_it_holds_and_what_flows_in(amount, burst_s, gaps):
    rate = Rate(RateLaw(Counted.REQUESTS, amount, burst_s=burst_s), 0.0)
    capacity, admitted, t = max(1.0, amount / 60.0 * burst_s), [], 0.0
    for gap in gaps:
        t += gap
        if rate.wait_s(t, Demand(1, 0, 1, 0)) is None:
            rate.take(t, Demand(1, 0, 1, 0))
            admitted.append(t)
    for place, start in enumerate(admitted):
        for more, end in enumerate(admitted[place:], start=1):
            assert more <= capacity + amount / 60.0 * (end - start) + 1e-6


@settings(max_examples=60)
@given(amount=AMOUNTS, per_s=st.sampled_from([1.0, 10.0, 60.0]), gaps=GAPS)
def test_a_window_never_admits_more_than_its_number(amount, per_s, gaps):
    rate = Rate(RateLaw(Counted.REQUESTS, amount, per_s=per_s, shape=Shape.WINDOW), 0.0)
    admitted, t = {}, 0.0
    for gap in gaps:
        t += gap
        window = int(t // per_s)
        if rate.wait_s(t, Demand(1, 0, 1, 0)) is None:
            taken = rate.take(t, Demand(1, 0, 1, 0))
            rate.settle(t, taken, FREE, completed=False)
            admitted[window] = admitted.get(window, 0) + 1
    assert all(count <= amount for count in admitted.values())


@settings(max_examples=60)
@given(gaps=GAPS, used=st.integers(0, 400))
def test_waiting_as_long_as_told_is_enough(gaps, used):
    rate = Rate(RateLaw(Counted.TOKENS, 600, charge=Charge.REFUND), 0.0)
    demand, t = Demand(10, 0, 390, 0), 0.0
    for gap in gaps:
        t += gap
        wait_s = rate.wait_s(t, demand)
        if wait_s is not None:
            t += wait_s
            assert rate.wait_s(t, demand) is None
        rate.settle(t, rate.take(t, demand), Bill(10, 0, min(used, 390), 0, 0), completed=True)


def test_what_a_window_gets_back_after_its_end_does_not_enlarge_the_next():
    rate = Rate(RateLaw(Counted.TOKENS, 100, shape=Shape.WINDOW), 0.0)
    taken = rate.take(0.0, Demand(10, 0, 90, 0))
    rate.take(60.0, Demand(10, 0, 90, 0))
    rate.settle(60.0, taken, Bill(10, 0, 0, 0, 0), completed=True)
    assert rate.quota(60.0).remaining == 0.0


# --- growth, tenants, steps ------------------------------------------------------------------------------------------


def test_the_rate_may_double_from_one_period_to_the_next_and_no_faster():
    provider = provider_of("[growth]\nfactor = 2.0\nleast = 4\nperiod_s = 60\n")
    assert [statuses(provider, [60.0 * minute] * 40).count(200) for minute in range(4)] == [4, 8, 16, 32]
    assert last_refusal(provider) == "growth"


def test_growth_ends_at_the_most():
    provider = provider_of("[growth]\nfactor = 2.0\nleast = 4\nmost = 10\n")
    assert [statuses(provider, [60.0 * minute] * 40).count(200) for minute in range(4)] == [4, 8, 10, 10]


def test_an_allowance_is_frozen_after_a_refusal():
    provider = provider_of('headers = "openai"\n[growth]\nfactor = 2.0\nleast = 2\nfreeze_s = 90\n')
    assert statuses(provider, [0.0] * 3) == [200, 200, 429]
    assert statuses(provider, [60.0] * 3) == [200, 200, 429]
    assert statuses(provider, [120.0] * 5) == [200, 200, 200, 200, 429]
    assert error_of(arrive(provider, 120.0))["code"] == "slow_down"


def test_growth_may_be_counted_in_tokens():
    provider = provider_of('[growth]\nfactor = 1.5\ncounts = "input_tokens"\nleast = 25\n')
    assert statuses(provider, [0.0] * 3) == [200, 200, 429]


def test_a_tenant_takes_its_share_while_it_is_there():
    law = "concurrency = 10\n[[tenants]]\nshare = 0.5\nfrom_s = 100\nuntil_s = 200\nevery_s = 1000\n"
    provider = provider_of(law)
    assert [admitted_at_once(provider, now) for now in (0, 99, 100, 199, 200, 1100, 1200)] == [10, 10, 5, 5, 10, 5, 10]


def admitted_at_once(provider, now):
    tickets = [arrive(provider, float(now)) for _ in range(20)]
    for ticket in tickets:
        provider.release(ticket, float(now), client_gone=True)
    return sum(ticket.play.status != 429 for ticket in tickets)


def test_a_tenant_takes_its_share_of_rates_and_the_headers_do_not_tell():
    law = (
        'headers = "openai"\n[[rates]]\ncounts = "requests"\namount = 60\nburst_s = 10\n'
        "[[tenants]]\nshare = 0.5\nfrom_s = 600\n"
    )
    provider = provider_of(law)
    assert statuses(provider, [0.0] * 12).count(200) == 10
    assert statuses(provider, [700.0] * 12).count(200) == 5
    assert statuses(provider, [702.0] * 3) == [200, 429, 429]
    assert arrive(provider, 704.0).play.headers["x-ratelimit-limit-requests"] == "60"


def test_steps_change_the_cap_when_their_time_has_come():
    law = "concurrency = 4\n[[steps]]\nat_s = 900\nconcurrency = 2\n[[steps]]\nat_s = 1800\nconcurrency = 6\n"
    provider = provider_of(law)
    assert [admitted_at_once(provider, now) for now in (50, 949, 950, 1850)] == [4, 4, 2, 6]


def test_steps_change_a_rate_by_name_or_by_what_it_counts():
    law = (
        '[[rates]]\nname = "a"\ncounts = "requests"\namount = 60\nburst_s = 2\n'
        '[[steps]]\nat_s = 60\nrate = "a"\namount = 240\n[[steps]]\nat_s = 120\nrate = "requests"\namount = 60\n'
    )
    provider = provider_of(law)
    assert statuses(provider, [0.0] * 3).count(200) == 2
    assert statuses(provider, [61.5] * 9).count(200) == 8
    assert statuses(provider, [121.0] * 9).count(200) == 2


def test_a_bucket_fills_at_the_old_rate_until_the_step():
    law = '[[rates]]\ncounts = "requests"\namount = 60\n[[steps]]\nat_s = 10\nrate = "requests"\namount = 600\n'
    provider = provider_of(law)
    assert statuses(provider, [0.0] * 61).count(200) == 60
    assert statuses(provider, [11.0] * 30).count(200) == 20


def test_steps_change_speed_and_length_of_answers():
    law = (
        "[latency]\nper_token_s = 0.1\n[tokens]\nmedian = 10\n[[steps]]\nat_s = 5\nslowdown = 3.0\nanswer_tokens = 20\n"
    )
    provider = provider_of(law)
    before, after = arrive(provider, 0.0), arrive(provider, 5.0)
    assert (before.play.end_s, before.tokens_out) == (pytest.approx(1.0), 10)
    assert (after.play.end_s, after.tokens_out) == (pytest.approx(6.0), 20)


# --- money -----------------------------------------------------------------------------------------------------------


def test_the_cap_shrinks_with_the_balance_until_a_top_up():
    law = (
        'headers = "deepseek"\n[balance]\nusd = 0.010\ncap_per_usd = 1000\n'
        "[[balance.top_ups]]\nat_s = 100\nusd = 0.005\n"
        "[prices]\noutput = 40.0\n[latency]\nmedian_s = 10.0\n" + TOKENS
    )
    provider = provider_of(law)
    assert admitted_at_once(provider, 0) == 10
    assert status_at(provider, 1.0) == 200
    assert admitted_at_once(provider, 2) == 6
    assert "limit of 6 based on your remaining balance" in over_cap_message(provider, 2.0)
    assert statuses(provider, [3.0, 4.0]) == [200, 200]
    ticket = arrive(provider, 5.0)
    assert (ticket.play.status, error_of(ticket)["message"]) == (402, "Insufficient Balance")
    assert provider.balance_usd(6.0) == pytest.approx(-0.002)
    assert status_at(provider, 100.0) == 200


def over_cap_message(provider, now):
    tickets = [arrive(provider, now) for _ in range(20)]
    for ticket in tickets:
        provider.release(ticket, now, client_gone=True)
    return error_of(tickets[-1])["message"]


def test_a_table_of_caps_gives_the_cap_of_the_balance():
    caps = "[[balance.caps]]\nat_least = {}\nconcurrency = {}\n"
    law = "concurrency = 50\n[balance]\nusd = {}\n" + caps.format(5, 100) + caps.format(1, 7)
    assert [admitted_at_once(provider_of(law.format(usd)), 0) for usd in (9, 5, 4.9, 0.5)] == [20, 20, 7, 1]


def test_requests_in_flight_may_cost_no_more_than_the_budget_together():
    law = 'headers = "openrouter"\n[in_flight_budget]\nusd = 0.01\nretry_after_s = 5\n[prices]\noutput = 10.0\n'
    provider = provider_of(law)
    first, second, third = (arrive(provider, 0.0, max_tokens=400) for _ in range(3))
    assert [first.play.status, second.play.status, third.play.status] == [200, 200, 402]
    assert third.play.headers["retry-after"] == "5"
    assert error_of(third)["metadata"]["limit_source"] == "openrouter_in_flight_budget"
    provider.release(first, 1.0, client_gone=False)
    assert arrive(provider, 1.0, max_tokens=400).play.status == 200
    too_dear = arrive(provider, 2.0, max_tokens=2000)
    assert error_of(too_dear)["metadata"]["limit_source"] == "weight_exceeds_budget"
    assert "retry-after" not in too_dear.play.headers


def test_the_budget_may_be_a_share_of_the_balance():
    law = "[balance]\nusd = 1.0\n[in_flight_budget]\nbalance_share = 0.01\n[prices]\noutput = 10.0\n"
    provider = provider_of(law)
    assert [arrive(provider, 0.0, max_tokens=400).play.status for _ in range(3)] == [200, 200, 402]


def test_the_ledger_knows_the_bill():
    law = "[cache]\nunit_tokens = 1\n[prices]\ninput = 0.15\ncached = 0.003\noutput = 0.60\n[tokens]\nmedian = 50\n"
    provider = provider_of(law)
    statuses(provider, [0.0, 1.0], text="x" * 400)
    first, second = provider.rows()
    assert (first.tokens_in, first.cached, first.tokens_out) == (100, 0, 50)
    assert first.cost_usd == pytest.approx((100 * 0.15 + 50 * 0.60) / 1e6)
    assert (second.tokens_in, second.cached) == (100, 100)
    assert second.cost_usd == pytest.approx((100 * 0.003 + 50 * 0.60) / 1e6)
    assert provider.counts().cost_usd == pytest.approx(first.cost_usd + second.cost_usd, rel=1e-12)
    assert provider.counts().cached == 100


def test_cached_tokens_cost_as_others_unless_they_have_a_price():
    assert tariff_of(Prices(input=2.0, output=1.0)).bill(10, 10, 0, 0).cost_usd == pytest.approx(20e-6)


# --- the queue -------------------------------------------------------------------------------------------------------


def test_requests_beyond_the_slots_wait_in_order_of_arrival():
    provider = provider_of("[queue]\nslots = 2\n[latency]\nmedian_s = 10\n")
    ends = [arrive(provider, 0.0, str(n)).play.end_s for n in range(5)]
    assert ends == [10.0, 10.0, 20.0, 20.0, 30.0]
    assert [row.started for row in provider.rows()] == [0.0, 0.0, 10.0, 10.0, 20.0]
    assert arrive(provider, 5.0, "late").play.end_s == 25.0


def test_a_client_that_leaves_makes_room_for_those_who_come_later():
    provider = provider_of("[queue]\nslots = 1\n[latency]\nmedian_s = 10\n")
    first, second = arrive(provider, 0.0, "a"), arrive(provider, 0.0, "b")
    provider.release(second, 1.0, client_gone=True)
    assert arrive(provider, 2.0, "c").play.end_s == 18.0
    provider.release(first, 10.0, client_gone=False)
    row = provider.rows()[1]
    assert (row.tokens_in, row.tokens_out, row.client_gone) == (0, 0, True)


def test_a_bounded_queue_refuses_with_503():
    provider = provider_of('headers = "vllm"\n[queue]\nslots = 1\nmost_waiting = 1\n[latency]\nmedian_s = 10\n')
    tickets = [arrive(provider, 0.0, str(n)) for n in range(3)]
    assert [ticket.play.status for ticket in tickets] == [200, 200, 503]
    assert error_of(tickets[2])["type"] == "ServiceUnavailableError"


def test_the_more_run_the_slower_each_until_all_together_make_no_more():
    law = QueueLaw(slots=1000, knee=80.0)
    assert slowdown(law, 1) == 1.0
    assert slowdown(law, 81) == pytest.approx(2.0)
    totals = [running / slowdown(law, running) for running in (1, 10, 100, 1000, 100_000)]
    assert all(less < more for less, more in pairwise(totals))
    assert totals[-1] == pytest.approx(80.0, rel=0.01)


def test_a_server_that_thrashes_makes_less_with_more():
    law = QueueLaw(slots=512, knee=10.0, thrash_above=160)
    assert 512 / slowdown(law, 512) < 160 / slowdown(law, 160)


def test_the_time_per_token_follows_the_crowd():
    provider = provider_of("[queue]\nslots = 8\nknee = 1.0\n[latency]\nper_token_s = 0.1\n[tokens]\nmedian = 10\n")
    assert [arrive(provider, 0.0, str(n)).play.end_s for n in range(3)] == pytest.approx([1.0, 2.0, 3.0])


def test_a_request_that_hangs_holds_no_slot():
    provider = provider_of('[queue]\nslots = 1\n[latency]\nmedian_s = 1\n[[faults]]\nkind = "hang"\nseeds = ["h"]\n')
    arrive(provider, 0.0, "h")
    assert arrive(provider, 0.0, "x").play.end_s == 1.0


@settings(max_examples=60)
@given(slots=st.integers(1, 4), jobs=st.lists(st.tuples(st.floats(0, 3), st.floats(0.1, 9)), max_size=40))
def test_never_more_than_the_slots_run_at_once(slots, jobs):
    queue, law, now, runs = RequestQueue(), QueueLaw(slots=slots), 0.0, []
    for number, (gap, length) in enumerate(jobs):
        now += gap
        start = now + queue.place(law, slots, now).wait_s
        queue.enter(number, start + length)
        runs.append((start, start + length))
    for start, _ in runs:
        assert sum(begin <= start + 1e-9 < end - 1e-9 for begin, end in runs) <= slots


# --- the prefix cache ------------------------------------------------------------------------------------------------


def chat(provider, now, *contents, **more):
    """The cached tokens of a request with these messages, which is answered at once."""
    messages = [{"role": "user", "content": content} for content in contents]
    body = json.dumps({"model": "m", "messages": messages, **more}).encode()
    ticket = provider.receive(HttpRequest("", {}, body), now)
    provider.first_byte(ticket, now)
    provider.release(ticket, now, client_gone=False)
    return ticket.cached


SYSTEM = "s" * 800


def test_the_third_request_with_a_shared_beginning_is_the_first_to_hit_it():
    provider = provider_of("[cache]\nunit_tokens = 64\n")
    assert [chat(provider, 0.0, SYSTEM, question) for question in ("b", "c", "d")] == [0, 0, 192]


def test_a_cache_that_stores_at_once_hits_with_the_second():
    provider = provider_of("[cache]\nunit_tokens = 64\nafter = 1\n")
    assert [chat(provider, 0.0, SYSTEM, question) for question in ("b", "c")] == [0, 192]


def test_the_next_turn_of_a_conversation_hits_the_last():
    provider = provider_of("[cache]\nunit_tokens = 1\n")
    chat(provider, 0.0, SYSTEM, "x" * 40)
    assert chat(provider, 1.0, SYSTEM, "x" * 40, "an answer", "more") == 210


def test_requests_at_the_same_moment_all_miss():
    provider = provider_of("[cache]\nunit_tokens = 64\nafter = 1\n[latency]\nmedian_s = 1\n")
    same = [arrive(provider, 0.0, text=SYSTEM) for _ in range(3)]
    for ticket in same:
        provider.first_byte(ticket, 1.0)
    assert [ticket.cached for ticket in same] == [0, 0, 0]
    assert arrive(provider, 1.0, text=SYSTEM).cached == 192


def test_short_hits_count_nothing():
    provider = provider_of("[cache]\nunit_tokens = 64\nafter = 1\nleast_tokens = 1024\n")
    assert [chat(provider, 0.0, SYSTEM, question) for question in ("b", "c")] == [0, 0]


def test_each_user_id_has_a_cache_of_its_own():
    provider = provider_of("[cache]\nunit_tokens = 64\nafter = 1\n")
    assert [chat(provider, 0.0, SYSTEM, "b", user_id=user) for user in ("u", "v", "u")] == [0, 0, 192]


def test_what_is_not_used_for_long_is_forgotten():
    provider = provider_of("[cache]\nunit_tokens = 64\nafter = 1\nttl_s = 300\n")
    assert [chat(provider, now, SYSTEM, f"at {now}") for now in (0.0, 300.0, 601.0)] == [0, 192, 0]


def test_the_cache_holds_no_more_than_the_law_says():
    provider = provider_of("[cache]\nunit_tokens = 64\nafter = 1\nmost_units = 2\n")
    chat(provider, 0.0, SYSTEM, "b")
    chat(provider, 0.0, "t" * 800, "b")
    assert chat(provider, 0.0, SYSTEM, "c") == 0


def test_usage_in_replies_tells_the_cached_tokens():
    provider = provider_of("[cache]\nunit_tokens = 64\nafter = 1\n")
    statuses(provider, [0.0], text=SYSTEM)
    reply = json.loads(arrive(provider, 1.0, text=SYSTEM).play.scenes[0].data)
    assert reply["usage"]["prompt_tokens_details"]["cached_tokens"] == 192


# --- another law while it runs ---------------------------------------------------------------------------------------


def test_a_rate_that_stays_keeps_its_state_and_a_new_one_starts_full():
    minute = '[[rates]]\ncounts = "requests"\namount = 3\nshape = "window"\n'
    other = '[[rates]]\ncounts = "input_tokens"\namount = 25\nshape = "window"\n'
    provider = provider_of(minute)
    assert statuses(provider, [0.0] * 2) == [200, 200]
    provider.switch(read_law(minute + other, "more"))
    assert statuses(provider, [0.0] * 2) == [200, 429]
    provider.switch(read_law(other, "other"))
    assert statuses(provider, [0.0] * 2) == [200, 429]


def test_requests_in_flight_count_under_the_new_law():
    provider = provider_of("")
    tickets = [arrive(provider, 0.0) for _ in range(3)]
    provider.law = Law(concurrency=3)
    assert status_at(provider, 1.0) == 429
    provider.release(tickets[0], 1.0, client_gone=False)
    assert status_at(provider, 1.0) == 200


def test_money_spent_stays_spent_under_the_same_balance_and_prices_follow_the_admitting_law():
    law = "[balance]\nusd = 1.0\n[prices]\noutput = {}\n" + TOKENS
    provider = provider_of(law.format("1000.0"))
    old = arrive(provider, 0.0)
    provider.switch(read_law(law.format("0.0"), "free"))
    provider.release(old, 1.0, client_gone=False)
    assert provider.balance_usd(1.0) == pytest.approx(0.9)
    assert status_at(provider, 1.0) == 200
    assert provider.balance_usd(2.0) == pytest.approx(0.9)


def test_times_of_steps_go_on_counting_after_a_switch():
    provider = provider_of("")
    status_at(provider, 100.0)
    provider.switch(read_law("concurrency = 5\n[[steps]]\nat_s = 10\nconcurrency = 1\n", "stepped"))
    assert [admitted_at_once(provider, now) for now in (109, 110)] == [5, 1]


# --- the account -----------------------------------------------------------------------------------------------------


MOVES = st.lists(st.tuples(st.sampled_from(["arrive", "end", "leave", "first"]), st.floats(0, 20)), max_size=80)
BUSY = (
    'concurrency = 6\n[[rates]]\ncounts = "tokens"\namount = 3000\n[queue]\nslots = 3\nmost_waiting = 2\n'
    "[balance]\nusd = 0.01\n[prices]\ninput = 1.0\noutput = 10.0\n[latency]\nmedian_s = 5\nsigma = 0.5\n"
    '[[faults]]\nkind = "status"\nstatus = 500\nrate = 0.2\n[[faults]]\nkind = "hang"\nrate = 0.1\n'
)


@settings(max_examples=80)
@given(moves=MOVES, keep_rows=st.sampled_from([None, 0, 3]))
def test_the_account_adds_up_whatever_happens(moves, keep_rows):
    provider, now, flying = provider_of(BUSY, keep_rows=keep_rows), 0.0, []
    for number, (move, gap) in enumerate(moves):
        now += gap
        if move == "arrive":
            ticket = arrive(provider, now, str(number), max_tokens=200)
            if provider.rows()[-1].admitted:
                flying.append(ticket)
            else:
                provider.release(ticket, now, client_gone=False)
        elif flying and move == "first":
            provider.first_byte(flying[0], now)
        elif flying:
            provider.release(flying.pop(number % len(flying)), now, client_gone=move == "leave")
        sums = provider.counts()
        assert sums.received == sums.refused + sums.served + sums.unserved + sums.in_flight
        assert sums.in_flight == len(flying) <= sums.most_in_flight <= 6
        assert provider.balance_usd(now) == pytest.approx(0.01 - sums.cost_usd)
        assert len(provider.rows()) <= (sums.received if keep_rows is None else keep_rows + len(flying))


def test_a_bounded_ledger_keeps_the_latest_rows_and_all_sums():
    provider = provider_of("", keep_rows=2)
    for number in range(5):
        provider.release(arrive(provider, float(number), str(number)), float(number), client_gone=False)
    assert [row.number for row in provider.rows()] == [4, 5]
    assert (provider.counts().served, provider.served("0")) == (5, 1)


def test_a_row_tells_when_the_first_byte_went_out():
    provider = provider_of("[latency]\nmedian_s = 2\n")
    ticket = arrive(provider, 1.0)
    provider.first_byte(ticket, 3.0)
    provider.first_byte(ticket, 4.0)
    provider.release(ticket, 5.0, client_gone=False)
    (row,) = provider.rows()
    assert (row.received, row.started, row.first_byte, row.finished) == (1.0, 1.0, 3.0, 5.0)


def test_thinking_is_billed_and_told():
    provider = provider_of("[stream]\nreasoning = 0.5\n" + TOKENS)
    status_at(provider, 0.0)
    (row,) = provider.rows()
    assert (row.tokens_out, row.reasoning, provider.counts().reasoning) == (100, 50, 50)


@pytest.mark.parametrize(
    ("law", "limit"),
    [
        ("concurrency = 1\n", "concurrency"),
        ('[[rates]]\nname = "rpm"\ncounts = "requests"\namount = 1\n', "rpm"),
        ('[[rates]]\ncounts = "requests"\namount = 1\n', "requests per 60 s"),
        ("[growth]\nfactor = 1.0\n", "growth"),
        ("[queue]\nslots = 1\nmost_waiting = 0\n", "queue"),
        ("[balance]\nusd = 0.0\n", "balance"),
        ("[in_flight_budget]\nusd = 0.0005\n[prices]\noutput = 1.0\n", "in-flight budget"),
    ],
)
def test_the_ledger_tells_which_limit_refused(law, limit):
    provider = provider_of(law + "[latency]\nmedian_s = 9\n", keep_rows=None)
    arrive(provider, 0.0, max_tokens=400)
    arrive(provider, 0.0, max_tokens=400)
    assert last_refusal(provider) == limit


# --- presets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", presets())
def test_every_preset_serves_and_its_account_adds_up(name):
    provider = SimulatedProvider(load_law(name))
    for number in range(50):
        ticket = arrive(provider, number * 10.0, str(number), max_tokens=300)
        provider.release(ticket, number * 10.0 + min(ticket.play.end_s, 9.0), client_gone=ticket.play.end_s > 9.0)
    sums = provider.counts()
    assert sums.received == 50 == sums.refused + sums.served + sums.unserved
    assert sums.served > 5
