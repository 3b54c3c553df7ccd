"""The providers that a pace has to get along with, as laws: caps, rates, servers with a queue, limits that move.

Each is flooded at some moments; how many get in is arithmetic by hand. All requests of a moment leave before the next.
"""

import json

import pytest

from deepswarm.core.records import HttpRequest
from deepswarm.simulator.law import read_law
from deepswarm.simulator.provider import SimulatedProvider

FLOOD = 1600
RATE = "[[rates]]\n"
SCENARIOS = {
    "a cap of 4": ("concurrency = 4\n", {0: 4, 60: 4}),
    "a cap of 500": ("concurrency = 500\n", {0: 500, 60: 500}),
    "60 requests per minute": (RATE + 'counts = "requests"\namount = 60\n', {0: 60, 30: 30}),
    "600 per minute, by the second, refused ones count": (
        RATE + 'counts = "requests"\namount = 600\nburst_s = 1\nrefused = true\n',
        {0: 10, 1: 8},
    ),
    "1,500 per minute from a bucket of 10 seconds": (
        'headers = "openai"\n' + RATE + 'counts = "requests"\namount = 1500\nburst_s = 10\n',
        {0: 250, 4: 100},
    ),
    "a fixed window of 500": (RATE + 'counts = "requests"\namount = 500\nshape = "window"\n', {0: 500, 59: 0, 60: 500}),
    "tokens that are reserved and given back": (
        RATE + 'counts = "tokens"\namount = 400_000\ncharge = "refund"\n',
        {0: 98, 60: 98},
    ),
    "tokens of answers that are charged late": (
        RATE + 'counts = "output_tokens"\namount = 160_000\ncharge = "end"\n',
        {0: FLOOD, 60: FLOOD},
    ),
    "tokens that are reserved for good": (
        RATE + 'counts = "tokens"\namount = 1_200_000\nburst_s = 10\ncharge = "reserve"\n',
        {0: 49, 10: 49},
    ),
    "a cap that moves": (
        "concurrency = 200\n[[steps]]\nat_s = 900\nconcurrency = 50\n[[steps]]\nat_s = 1800\nconcurrency = 300\n",
        {0: 200, 900: 50, 1800: 300},
    ),
    "a rate that moves": (
        RATE + 'counts = "requests"\namount = 600\n[[steps]]\nat_s = 900\nrate = "requests"\namount = 200\n',
        {0: 600, 890: 600, 960: 200},
    ),
    "a GPU server": ("[queue]\nslots = 256\nknee = 81.0\n", {0: FLOOD}),
    "an acceleration limit": (
        "[growth]\nfactor = 2.0\nleast = 40\nmost = 600\nfreeze_s = 20\n",
        {0: 40, 60: 80, 120: 160},
    ),
    "three limits at once": (
        "concurrency = 60\n"
        + RATE
        + 'counts = "requests"\namount = 200\n'
        + RATE
        + 'counts = "tokens"\namount = 900_000\n',
        {0: 60, 1: 60, 2: 60, 3: 30},
    ),
    "another tenant, of whom the headers do not tell": (
        RATE + 'counts = "requests"\namount = 600\nadvertise = 600\n[[tenants]]\nfrom_s = 600\nuntil_s = 1500\n',
        {0: 600, 700: 300, 1600: 600},
    ),
    "no limit at all": ("", {0: FLOOD}),
}


@pytest.mark.parametrize(("law", "admitted"), SCENARIOS.values(), ids=SCENARIOS)
def test_as_many_get_in_as_the_law_says(law, admitted):
    provider = SimulatedProvider(read_law(law + "[latency]\nmedian_s = 0.5\n", "scenario"))
    assert {now: flood(provider, float(now)) for now in admitted} == admitted


def flood(provider, now):
    """How many of many requests at one moment get in; all leave at once, and nothing of an answer was made."""
    messages = [{"role": "user", "content": "0123456789" * 4}]
    body = json.dumps({"model": "m", "messages": messages, "max_tokens": 4060}).encode()
    tickets = [provider.receive(HttpRequest("", {}, body), now) for _ in range(FLOOD)]
    for ticket in tickets:
        provider.release(ticket, now, client_gone=True)
    return sum(ticket.play.status == 200 for ticket in tickets)
