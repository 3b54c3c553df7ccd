#!/usr/bin/env python3
"""Filter a run: `python3 scripts/filter.py --input-dir output/ --output clean.jsonl` is `./swarm filter` with them."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
os.execv(sys.executable, [sys.executable, os.path.join(ROOT, "swarm"), "filter", *sys.argv[1:]])
