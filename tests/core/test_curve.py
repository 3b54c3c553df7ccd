from deepswarm.core.events import CallEnded, CallStarted, PaceChanged
from deepswarm.core.records import Usage
from deepswarm.report.curve import curve, table, verdict


def ended(at, call, label="ok"):
    return CallEnded(0.0, at, call, call, label, "", usage=Usage(10, 100))


def pace(what, limit=2):
    return PaceChanged(0.0, 9.0, limit, 2, what, "held at 2 calls at once", 0, 0)


EVENTS = [CallStarted(0.0, 0.0, 1, 1, 1), CallStarted(0.0, 0.0, 2, 2, 1), ended(4.0, 1), ended(6.0, 2)]


def test_answers_count_where_their_calls_were_in_flight():
    one, two = curve(EVENTS)
    assert (one.least, one.seconds, one.served, one.tokens) == (1, 2.0, 1, 100)
    assert (two.least, two.seconds, two.served, two.tokens) == (2, 4.0, 1, 100)
    assert "0.25" in table([one, two])


def test_idle_time_is_nobody_s():
    later = [CallStarted(0.0, 1000.0, 3, 3, 1), ended(1002.0, 3)]
    assert curve([*EVENTS, *later])[0].seconds == 4.0


def test_the_verdict_tells_a_measured_limit_from_none():
    refused = [CallStarted(0.0, 7.0, 3, 3, 1), ended(7.2, 3, "throttled")]
    rows = curve([*EVENTS, *refused])
    assert "held at 2 calls at once (a first measurement: 1 refusals, 2 answers)" in verdict(rows, pace("concurrency"))
    assert "none was met up to 2" in verdict(curve(EVENTS), pace("search"))
    assert "nothing is known" in verdict([], None)
