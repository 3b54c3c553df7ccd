#!/usr/bin/env python3
"""Run a task with one worker: `python3 scripts/worker.py --task task.yaml` is `./swarm run --set workers=1`."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
os.execv(sys.executable, [sys.executable, os.path.join(ROOT, "swarm"), "run", "--set", "workers=1", *sys.argv[1:]])
