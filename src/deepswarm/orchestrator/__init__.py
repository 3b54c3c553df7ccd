"""The room of the orchestrator: what a frontier model is asked about a run, and what its answers may change.

    statistics, examples ─ quoting ─▶ prompt ─▶ (engine asks) ─▶ reply ─ advice ─▶ a closed schema ─ bounds ─▶ change
                                                                    └▶ Ignored: counted, the run goes on

    quoting.py     how text of strangers is shown: as data that cannot give orders
    advice.py      the closed schemas of all answers, and reading them
    changes.py     what an answer may change, within which bounds, and how a call is asked with it
    probing.py     before the run: whether both tiers understand how the task speaks
    planning.py    before the run: task, seeds and pilot replies in, a difference to the task out
    clusters.py    failures that are alike, found by code
    monitoring.py  during the run: one cluster in, one action out
    trial.py       whether a change measurably helps
    judging.py     an answer and a rubric in, a score out
    taxonomy.py    seeds: topics first, then seeds spread over them

Code decides, the model advises: no answer can do anything that is not in its schema and within the bounds here.
Everything in this room is pure: no clock, no chance, no file, no call.
"""
