"""Reports of whole runs: what the three files hold, of none, of some and of damaged journals."""

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deepswarm.cli.run import simulated_provider, surroundings
from deepswarm.core.errors import TaskFileError
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.pipeline import Wishes, run
from deepswarm.engine.reporting import write_report
from deepswarm.journals.skimming import WINDOW
from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.taskfile import load
from deepswarm.testing.builders import SilentScreen

TASK = """\
prompt_template: Write about {{topic}}.
worker_model: deepseek-flash
output_dir: out
"""


def played(folder: Path, seeds=40, law="storm", extra="") -> Path:
    """A simulated run in virtual time; gives its output folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.yaml").write_text(TASK + extra)
    lines = (json.dumps({"id": f"tide-{number}", "topic": f"tide {number}"}) for number in range(seeds))
    (folder / "seeds.jsonl").write_text("".join(line + "\n" for line in lines))
    task = load(folder / "task.yaml")
    run(task, RunFolder(folder / "out"), Wishes(), simulated_provider(task, law), SilentScreen(), _virtual())
    return folder / "out"


def _virtual():
    return surroundings("again", virtual=True)


def facts_in(page: Path):
    return json.loads(re.search(r'id="facts">(.*?)</script>', page.read_text())[1])


def rows_in(page: Path):
    return json.loads(re.search(r'id="rows">(.*?)</script>', page.read_text())[1])


class Elements(HTMLParser):
    """Names of elements and all their attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


# --- at the end of a run ---------------------------------------------------------------------------------------------


def test_every_run_ends_with_a_report_whose_sums_agree(tmp_path):
    out = played(tmp_path, extra="filters: [json_repair]\n")
    facts = json.loads((out / "summary.json").read_text())
    assert facts["run"]["state"] == "finished"
    assert facts["seeds"]["done"] == 40
    assert facts["seeds"]["kept"] + facts["seeds"]["dropped"] == 40
    assert len(facts["seeds"]["checks"]) == 4
    assert all(check["holds"] for check in facts["seeds"]["checks"])
    assert sum(facts["timeline"]["refused"]) == facts["calls"]["by_class"].get("throttled", 0) > 0


def test_page_markdown_and_json_tell_the_same(tmp_path):
    out = played(tmp_path)
    facts = json.loads((out / "summary.json").read_text())
    text = (out / "report.md").read_text()
    assert facts_in(out / "report.html") == facts
    assert "- ok: 40 seeds = 40 done + 0 rejected + 0 failed + 0 left" in text
    assert f"| throttled | {facts['calls']['by_class']['throttled']:,} |" in text


def test_the_page_asks_for_nothing_from_any_address_and_lets_only_its_own_scripts_run(tmp_path):
    page = (played(tmp_path) / "report.html").read_text()
    elements = Elements()
    elements.feed(page)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in elements.found}
    assert not any({"src", "href", "style", "onload", "onclick"} & set(attributes) for _, attributes in elements.found)
    policy = next(each["content"] for tag, each in elements.found if each.get("http-equiv"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_fifty_rows_are_drawn_by_chance_and_again_the_same(tmp_path):
    out = played(tmp_path, seeds=120, law="unlimited")
    first = rows_in(out / "report.html")["sample"]
    again = write_report(out, 0.0, target=tmp_path / "again").files[0]
    assert len({row["id"] for row in first}) == 50
    assert rows_in(again)["sample"] == first
    assert all(row["asked"][-1]["text"].startswith("Write about tide") and row["answer"] for row in first)


def test_a_run_of_no_seeds_has_a_report(tmp_path):
    RunFolder(tmp_path).make()
    SqliteJournal(RunFolder(tmp_path).journal).close()
    report = write_report(tmp_path, 0.0)
    assert report.facts["run"]["state"] == "not begun"
    assert report.facts["seeds"]["total"] == 0
    assert rows_in(report.files[0]) == {"sample": [], "failed": [], "unreadable": ""}


def test_a_folder_without_a_run_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(TaskFileError, match="there is no run in it"):
        write_report(tmp_path, 0.0)


# --- failures --------------------------------------------------------------------------------------------------------


def test_all_failures_are_shown_with_class_reason_and_last_reply(tmp_path):
    law = tmp_path / "strict.toml"
    law.write_text('[[faults]]\nkind = "status"\nstatus = 400\nmessage = "Content Exists Risk"\nrate = 0.2\n')
    out = played(tmp_path, seeds=60, law=str(law))
    failed = rows_in(out / "report.html")["failed"]
    lines = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    assert len(lines) >= 1
    assert sorted(row["id"] for row in failed) == sorted(line["id"] for line in lines)
    assert {row["class"] for row in failed} == {line["class"] for line in lines}
    assert all(row["reason"] and row["last_reply"] for row in failed)


# --- damage ----------------------------------------------------------------------------------------------------------


def damaged(out: Path, pages: int = 3, keep: int = 5) -> None:
    """Overwrite some pages of the journal's file, but not the first ones, which hold the tables' names."""
    path = out / "journal" / "journal.sqlite"
    whole = bytearray(path.read_bytes())
    count = len(whole) // 8192
    for page in random.Random(2).sample(range(keep, count), pages):
        whole[page * 8192 : (page + 1) * 8192] = b"\xff" * 8192
    path.write_bytes(whole)


def test_of_a_damaged_journal_the_sound_part_is_reported_and_the_rest_named(tmp_path):
    out = played(tmp_path, seeds=600, law="unlimited")
    damaged(out, pages=12, keep=12)
    report = write_report(out, 0.0)
    assert report.damage
    assert "figures here are of what is sound" in report.damage
    assert 0 < sum(report.facts["timeline"]["done"]) <= 600
    assert 'id="facts"' in report.files[0].read_text()
    assert "The journal is damaged" in report.files[1].read_text()


def test_of_a_journal_of_which_nothing_can_be_read_that_is_said(tmp_path):
    out = played(tmp_path, seeds=20)
    path = out / "journal" / "journal.sqlite"
    path.write_bytes(b"\xff" * path.stat().st_size)
    report = write_report(out, 0.0)
    assert report.damage
    assert report.facts["calls"]["ended"] == 0


def test_a_journal_in_windows_gives_the_events_that_a_replay_gives(tmp_path):
    out = played(tmp_path, seeds=WINDOW // 2, law="unlimited")
    journal = SqliteJournal(RunFolder(out).journal, readonly=True)
    skimmed = [event for _, events in journal.skim(bodies=True) for event in events]
    whole = list(journal.replay())
    journal.close()
    assert len(whole) > WINDOW
    assert [_without(event) for event in skimmed] == [_without(event) for event in whole]


def _without(event):
    """The event without what windows leave out."""
    event = event._replace(payload=b"") if hasattr(event, "payload") else event
    return event._replace(request_id="") if hasattr(event, "request_id") else event
