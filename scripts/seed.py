#!/usr/bin/env python3
"""Make the seeds of a task: `python3 scripts/seed.py --task task.yaml` is `./swarm seed --task task.yaml`."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
os.execv(sys.executable, [sys.executable, os.path.join(ROOT, "swarm"), "seed", *sys.argv[1:]])
