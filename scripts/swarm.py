#!/usr/bin/env python3
"""Run a task: `python3 scripts/swarm.py --task task.yaml --total 1000` is `./swarm run` with these arguments."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
os.execv(sys.executable, [sys.executable, os.path.join(ROOT, "swarm"), "run", *sys.argv[1:]])
