"""The simulated provider: a small model of an OpenAI-compatible API, to rehearse a task on without spending anything.

    HttpRequest ─ asked ─▶ Asked ─ provider: admission ─▶ behaviour (law, draws) ─▶ Ticket ─▶ whoever delivers it
                              │                                                                  │ release
                              └────────────────────────── ledger ◀───────────────────────────────┘

A law (`law.py`, presets in `laws/*.toml`) says how the provider behaves: how many requests it admits at once, how long
it takes, what it answers and what goes wrong. `SimulatedProvider` decides at once and purely by its arguments: it
has no clock and does no I/O. Two rooms deliver what it decides: `transports/simulated.py` inside the process, and
`server.py` as a real HTTP server on the loopback interface. `virtual_time.py` lets hours of it pass in moments.

Rules of the room:
    - every answer's text says that it is simulated;
    - the same law, seed and request give the same behaviour, whatever else arrives and in whatever order; only being
      refused over a limit depends on the others, and it counts as no attempt;
    - the provider keeps its own account of what it served (`ledger.py`). Tests compare what a client saw with it.

What it is not: no streaming yet, no request or token buckets, no prefix cache, and the text means nothing.
"""
