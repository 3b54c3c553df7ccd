"""lm-deluge 0.0.168 with its own limits lifted; it keeps all results in memory and they are written at the end.

lm_deluge.py SEEDS OUTPUT PORT IN_FLIGHT
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["BENCH_KEY"] = "none"
sys.path.pop(0)  # this file has the package's name

from lm_deluge import Conversation, LLMClient
from lm_deluge.models import register_model

seeds, output, port, in_flight = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
register_model(
    id="mock", name="mock", api_base=f"http://127.0.0.1:{port}/v1", api_key_env_var="BENCH_KEY", api_spec="openai"
)
client = LLMClient(
    "mock",
    max_requests_per_minute=100_000_000,
    max_tokens_per_minute=100_000_000_000,
    max_concurrent_requests=in_flight,
    max_attempts=8,
    request_timeout=120,
    max_new_tokens=1024,
)
rows = [json.loads(line) for line in seeds.open()]
replies = client.process_prompts_sync(
    [Conversation().system("You translate.").user(row["prompt"]) for row in rows], show_progress=False
)
with output.open("w") as file:
    for row, reply in zip(rows, replies, strict=True):
        file.write(json.dumps({"id": row["id"], "text": reply.completion if reply else None}) + "\n")
