"""A run that is 90 % done, made through the journal's own door, without a server.

prepared.py TASK FOLDER
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from deepswarm.core.events import CallEnded, CallStarted, Event, RunStarted, SeedEnded
from deepswarm.core.records import Outcome, Usage
from deepswarm.dialects import openai_chat
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.opening import as_dict, fingerprint_of, task_type_of
from deepswarm.engine.output import ResultFiles
from deepswarm.engine.seeds import SeedFile, enrol
from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.taskfile import load, resolve
from deepswarm.version import VERSION

BODY = (
    b'{"model":"mock","choices":[{"message":{"role":"assistant","content":"short"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":120,"completion_tokens":1}}'
)


async def main(task_file: Path, folder: RunFolder, share: float) -> None:
    task = load(task_file)
    folder.make()
    journal = SqliteJournal(folder.journal)
    names = task_type_of(task).names
    enrol(journal, resolve(task, task.spec.seeds_file), folder.spool, names, None, None)
    keeper = asyncio.create_task(journal.keep())
    now = (time.time(), 1.0)
    import json

    text = json.dumps(as_dict(task.spec))
    await journal.append([RunStarted(*now, 1, fingerprint_of(task.spec), text, VERSION, simulated=False)])
    seeds = SeedFile(resolve(task, task.spec.seeds_file))
    wanted, done = int(journal.totals().seeds * share), 0
    after = -1
    while done < wanted:
        rows = journal.left(after, min(4096, wanted - done))
        after = rows[-1].order
        events: list[Event] = []
        for call, row in enumerate(rows, done + 1):
            payload, _ = seeds.read(row)
            events.append(CallStarted(*now, call, row.number, 1))
            ended = CallEnded(*now, call, row.number, "ok", "", 200, "stop", "mock", Usage(120, 1), False, "", BODY)
            events += [ended, SeedEnded(*now, row.number, call, Outcome.DONE, "ok", "", 1, 1.0, payload)]
        await journal.append(events)
        done += len(rows)
    output = ResultFiles(folder.path, journal, openai_chat, 1000)
    output.close()
    journal.flush()
    keeper.cancel()
    journal.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), RunFolder(Path(sys.argv[2])), 0.9))
