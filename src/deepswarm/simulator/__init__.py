"""The simulated provider: a small model of LLM APIs, to rehearse a task on without spending anything.

    HttpRequest ─ asked ─▶ Asked ─ provider ─▶ limits ─▶ refused: limit_replies ─┐
                                                 │ queueing, cache               ├─▶ Ticket ─▶ whoever delivers its play
                                                 └──────▶ admitted: behaviour ───┘               │ first_byte, release
                                                                 ledger ◀────────────────────────┘

A law (`law.py`, presets in `laws/*.toml`) says how the provider behaves: what it admits (`limits.py`, `rates.py`,
`terms.py`, `queueing.py`), what its headers tell (`headers.py`), what it remembers of prompts (`cache.py`) and charges,
how long it takes, what it answers and what goes wrong (`behaviour.py` and below). `SimulatedProvider` decides at once
and purely by its arguments: it has no clock and does no I/O. Two rooms deliver what it decides:
`transports/simulated.py` inside the process, and `server.py` as a real HTTP server on the loopback interface.
`virtual_time.py` lets hours of it pass in moments.

Rules of the room:
    - every answer's text says that it is simulated;
    - the same law, seed and request give the same answer or fault, whatever else arrives and in whatever order. What
      depends on the others is being refused, which counts as no attempt, waiting in the queue, and the cache;
    - limits depend on when requests arrive and end, and on nothing else;
    - the provider keeps its own account of what it served (`ledger.py`). Tests compare what a client saw with it.

What it is not: it serves no tool calls, all models share the same limits and prices, tokens are estimated from
characters, and the text means nothing.
"""
