"""`deepswarm run` as a user meets it: a real process on small inputs, what it says, leaves behind and exits with.

Who was asked what is read from the other side: the simulated provider's own account.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.testing.served import LAW, Provider, serving

BOUND_S = 60
KEY = "sk-CANARY-0123456789abcdefghijklmnop"
TASK = """\
prompt_template: "[[id:{{id}}]] Write about {{topic}}."
worker_model: mock
worker_api_base: ADDRESS/v1
api_key_env: none
workers: 4
stagger: 0
"""
FAILING = """\
[[faults]]
kind = "status"
status = 400
seeds = ["s2"]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder: a task, a law, five seeds."""
    monkeypatch.chdir(tmp_path)
    write_task("http://127.0.0.1:1")  # nobody listens there, and nobody is to be asked
    Path("law.toml").write_text(LAW)
    write_seeds("s1", "s2", "s3", "s4", "s5")
    return tmp_path


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A provider that answers at once and never fails; shared, so tests look at what was added to its account."""
    with serving(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture
def provider(patient):
    """The same, named by the task in the working folder, with what it was asked since the test began."""
    write_task(patient.address)
    before = len(patient.rows())
    new = Provider(patient.address)
    new.rows = lambda: patient.rows()[before:]
    return new


def write_task(address, *, extra="", change=lambda text: text):
    Path("task.yaml").write_text(change(TASK.replace("ADDRESS", address)) + extra)


def write_seeds(*ids, topic="tides", path="seeds.jsonl"):
    Path(path).write_text("".join(json.dumps({"id": name, "topic": topic}) + "\n" for name in ids))


def deepswarm(*arguments, **environment):
    """What a command did. Bounded; no terminal; without any key in its environment but those given."""
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and k != "DEEPSWARM_COMMAND"}
    return subprocess.run(
        [sys.executable, "-m", "deepswarm", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        env={**clean, **environment},
        stdin=subprocess.DEVNULL,
        timeout=BOUND_S,
        check=False,
    )


def run(*arguments, **environment):
    return deepswarm("run", "task.yaml", *arguments, **environment)


def rehearse(*arguments):
    return run("--simulate", "--law", "law.toml", *arguments)


def results(path="output", name="results.jsonl"):
    """The records of a file, its lines split as every reader of JSON lines splits them."""
    data = (Path(path) / name).read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def ids(path="output", name="results.jsonl"):
    return sorted(record["id"] for record in results(path, name))


def calls_in(path="output"):
    journal = SqliteJournal(Path(path) / "journal", readonly=True)
    try:
        return journal.totals().calls
    finally:
        journal.close()


def refused(result, *sentences, code=2):
    """A refusal: nothing on stdout, no traceback, and all of these sentences on stderr."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for sentence in sentences:
        assert sentence in result.stderr
    return result.stderr


def ended(result, code=0):
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


# --- the task file ---------------------------------------------------------------------------------------------------


def test_a_missing_task_file_is_refused_with_the_nearest_name():
    refused(deepswarm("run", "tsak.yaml"), "tsak.yaml: there is no such file", "did you mean task.yaml?")


def test_an_empty_task_file_is_refused_with_the_smallest_one_that_works():
    Path("task.yaml").write_text("# nothing yet\n\n")
    refused(run(), "task.yaml:1:1: the task file is empty", "prompt_template")


def test_a_task_file_that_is_not_utf8_is_refused_with_the_place():
    Path("task.yaml").write_bytes(b"worker_model: mock\nprompt_template: caf\xe9 {{topic}}\n")
    refused(run(), "task.yaml:2:21: this is not UTF-8", "0xe9", "save it as UTF-8")


def test_a_task_file_that_cannot_be_read_is_refused():
    refused(deepswarm("run", "/proc/self/mem"), "/proc/self/mem: this file cannot be read", "hint:")


@pytest.mark.skipif(shutil.which("setpriv") is None or os.geteuid() != 0, reason="taking rights from root: setpriv")
@pytest.mark.parametrize(
    ("name", "sentence"), [("task.yaml", "may not be read"), ("seeds.jsonl", "the seeds may not be read")]
)
def test_a_file_that_may_not_be_read_is_refused_with_the_command_that_helps(name, sentence):
    Path(name).chmod(0)
    result = _without_rights("run", "task.yaml", "--simulate", "--law", "law.toml")
    refused(result, f"{name}: ", sentence, "chmod u+r")


def _without_rights(*arguments):
    """As a root that the rights of files bind, which may write where it owns."""
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "deepswarm", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=BOUND_S, check=False)


@pytest.mark.skipif(shutil.which("setpriv") is None or os.geteuid() != 0, reason="taking rights from root: setpriv")
def test_an_output_folder_that_may_not_be_written_is_refused():
    Path("output").mkdir(mode=0o500)
    write_seeds("s1")
    refused(
        _without_rights("run", "task.yaml"), "output: the output folder cannot be used: ", "--set output_dir=other/"
    )
    assert list(Path("output").iterdir()) == []


# --- the seeds -------------------------------------------------------------------------------------------------------


def bad_seeds(content, *sentences):
    """Seeds that must be refused before anything is asked."""
    Path("seeds.jsonl").write_bytes(content)
    said = refused(rehearse(), *sentences)
    assert calls_in("output-simulated") == 0
    assert not Path("output-simulated/results.jsonl").exists()
    return said


def test_missing_seeds_are_refused_with_the_nearest_name():
    Path("seeds.jsonl").rename("seed.jsonl")
    refused(rehearse(), "seeds.jsonl: the seeds file is not there", "did you mean seed.jsonl?")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "seeds.jsonl: it is empty: it holds no seeds"), (b"\n \n", "seeds.jsonl: it holds no seeds")],
)
def test_empty_seeds_are_refused(content, sentence):
    bad_seeds(content, sentence, "write one seed a line")


def test_seeds_that_are_not_utf8_are_refused_with_line_and_column():
    bad_seeds(
        b'{"id":"a","topic":"x"}\n{"id":"b","topic":"caf\xe9"}\n',
        "seeds.jsonl:2:23: it is not UTF-8",
        "0xe9",
        "save it as UTF-8",
    )


def test_every_line_that_is_no_json_is_named_with_its_number():
    said = bad_seeds(
        b'{"id":"a","topic":"x"}\nnot json\n{"id":"b","topic":"y"}\n{"id":"c"\n[1]\n', "seeds.jsonl:2:", "    not json"
    )
    assert re.findall(r"^seeds\.jsonl:(\d+)", said, re.MULTILINE) == ["2", "4", "5"]


def test_of_very_many_bad_lines_the_first_are_listed_and_the_others_counted():
    said = bad_seeds(b"no\n" * 70, "and 50 more such problems")
    assert len(re.findall(r"^seeds\.jsonl:\d+", said, re.MULTILINE)) == 20


def test_an_id_that_stands_twice_is_refused_with_its_lines():
    bad_seeds(
        b'{"id":"a","topic":"x"}\n{"id":"b","topic":"x"}\n{"id":"a","topic":"y"}\n{"id":"a","topic":"x"}\n',
        "the id 'a' stands on 3 lines: 1, 3, 4",
        "ids must be unique",
    )


def test_a_field_that_seeds_lack_is_refused_with_their_number_and_the_first_line():
    bad_seeds(
        b'{"id":"a","topic":"x"}\n{"id":"b","tpic":"x"}\n{"id":"c"}\n',
        "seeds.jsonl:2: the template needs 'topic', which 2 of 3 seeds lack",
        "their fields are: id, tpic",
    )


def test_seeds_that_were_corrected_are_asked_by_the_same_command():
    bad_seeds(b'{"id":"a"}\n', "the template needs 'topic'")
    write_seeds("a")
    ended(rehearse())
    assert ids("output-simulated") == ["a"]


@pytest.mark.slow
def test_seeds_that_turn_bad_after_a_run_cost_nothing_of_it():
    ended(rehearse())
    before = Path("output-simulated/results.jsonl").read_bytes()
    Path("seeds.jsonl").write_text("broken")
    refused(rehearse(), "seeds.jsonl:1:")
    assert Path("output-simulated/results.jsonl").read_bytes() == before
    write_seeds("s1", "s2", "s3", "s4", "s5")
    ended(rehearse())
    assert calls_in("output-simulated") == 5


def test_more_seeds_wanted_than_there_are_is_said_and_all_are_run():
    result = rehearse("--total", "50")
    ended(result)
    assert "--total 50: there are 5 seeds; all of them are run" in result.stderr
    assert len(results("output-simulated")) == 5


def test_text_that_splits_or_breaks_other_programs_is_asked_and_answered(provider):
    topics = ["lone \\ud800 surrogate", "two \u2028 line \u2029 ends", "\\u2028 and \\u0085", "\\u0000 nothing"]
    lines = [f'{{"id":"s{n}","topic":"{topic}"}}\n' for n, topic in enumerate(topics)]
    Path("seeds.jsonl").write_text("".join(lines), encoding="utf-8")
    ended(run())
    assert ids() == ["s0", "s1", "s2", "s3"]
    assert provider.asked() == Counter(ids()), "each request was valid, and asked once"
    assert {row["status"] for row in provider.rows()} == {200}
    ended(run())
    assert len(provider.rows()) == 4


# --- the output folder -----------------------------------------------------------------------------------------------


def test_an_output_folder_that_is_a_file_is_refused_and_the_file_stays():
    Path("output").write_text("precious")
    refused(run(), "output: the output folder cannot be used: Not a directory", "--set output_dir=other/")
    assert Path("output").read_text() == "precious"


@pytest.mark.parametrize("target", ["/proc/deepswarm", "task.yaml/output"])
def test_an_output_folder_that_cannot_be_made_is_refused(target):
    refused(run("--set", f"output_dir={target}"), f"{target}: the output folder cannot be used: ", "hint:")


def test_results_that_no_journal_knows_are_never_written_over():
    Path("output-simulated").mkdir()
    kept = Path("output-simulated/results.jsonl")
    kept.write_text('{"precious":1}\n')
    refused(rehearse(), "results.jsonl is there without the journal that it came from", "--fresh")
    assert kept.read_text() == '{"precious":1}\n'
    ended(rehearse("--fresh"))
    assert [path.read_text() for path in Path("output-simulated").glob("earlier/*/results.jsonl")] == [
        '{"precious":1}\n'
    ]


def test_starting_afresh_in_the_folder_of_the_task_leaves_task_and_seeds_where_they_are(provider):
    ended(run("--set", "output_dir=."))
    ended(run("--set", "output_dir=.", "--fresh"))
    assert provider.asked() == Counter({f"s{n}": 2 for n in range(1, 6)})
    assert len(list(Path("earlier").glob("*/results.jsonl"))) == 1


def test_a_rehearsal_of_a_run_in_the_working_folder_has_a_folder_beside_it(folder):
    work = folder / "work"
    work.mkdir()
    for name in ("task.yaml", "law.toml", "seeds.jsonl"):
        Path(name).rename(work / name)
    os.chdir(work)
    ended(rehearse("--set", "output_dir=."))
    assert len(results(folder / "work-simulated")) == 5


def test_an_hour_of_a_rehearsal_passes_in_a_moment():
    Path("law.toml").write_text(LAW + "[latency]\nmedian_s = 500.0\n")
    said = ended(rehearse("--virtual-time", "--set", "workers=1"))
    assert "5 done" in said
    assert "5 in 42 min" in said


def test_virtual_time_is_refused_for_a_real_run():
    refused(run("--virtual-time"), "--virtual-time is for rehearsals: add --simulate")


class AnotherDay(BaseHTTPRequestHandler):
    """A provider whose clock is a day behind."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"message": {"content": "because"}, "finish_reason": "stop"}
        body = json.dumps({"model": "mock", "choices": [choice], "usage": {}}).encode()
        self.send_response_only(200)
        self.send_header("Date", formatdate(time.time() - 86_400, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_clock_that_is_not_the_providers_is_told_once():
    write_seeds("a", "b", "c")
    with ThreadingHTTPServer(("127.0.0.1", 0), AnotherDay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        write_task(f"http://127.0.0.1:{server.server_port}")
        said = run().stderr
        server.shutdown()
    assert len(re.findall(r"warning: this machine's clock is 86,\d\d\d s ahead", said)) == 1, said


@contextmanager
def small_disk(path: Path, size: str):
    """A disk of its own. Gives a function that makes it larger."""
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode()}")
    try:
        yield lambda more: subprocess.run(["mount", "-o", f"remount,{more}", str(path)], check=True)  # noqa: S607
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)  # noqa: S607


def test_a_disk_that_may_only_be_read_is_refused(folder):
    with small_disk(folder / "disk", "1m") as remount:
        remount("ro")
        refused(run("--set", "output_dir=disk/output"), "the output folder cannot be used: Read-only file system")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["1m", "3m"])
def test_a_full_disk_pauses_the_run_and_with_more_space_the_same_command_ends_it(folder, size):
    count, workers = 1_200, 8
    write_seeds(*(f"s{n}" for n in range(count)))
    with serving(folder, "[latency]\nmedian_s = 0.01\n[tokens]\nmedian = 1500\n") as provider:
        write_task(provider.address, change=lambda text: text.replace("workers: 4", f"workers: {workers}"))
        with small_disk(folder / "disk", size) as remount:
            command = ("--set", "output_dir=disk/output")
            paused = run(*command)
            said = ended(paused, 75)
            assert said.startswith("paused: ")
            assert "bad: 0.0 GB free at" in paused.stderr, "nobody was told before the first call"
            assert "the disk is full or cannot be written" in said or "the output cannot be written" in said
            assert "free some space" in said
            assert "to go on: deepswarm run task.yaml" in said
            done, open_calls = look(Path("disk/output/journal"))
            served = {row["name"] for row in provider.rows() if row["served"]}
            assert done <= served
            # an intent is written shortly before its call may leave, so more of them can be open than calls were
            assert len(served - done) <= min(open_calls, workers), "an answer was paid for and is not accounted for"
            before = provider.counts()["received"]

            again = run(*command)
            assert again.returncode == 75, again.stderr
            assert "Traceback" not in again.stderr
            assert provider.counts()["received"] == before, "calls on a disk that is still full"

            remount("size=100m")
            ended(run(*command))
            assert len(results("disk/output")) == count
            assert set(ids("disk/output")) == {f"s{n}" for n in range(count)}
            asked = provider.asked()
            assert all(asked[name] == 1 for name in done), "what was in the journal was asked again"


def look(folder: Path) -> tuple[set[str], int]:
    """Which seeds a journal holds as done, and how many calls were open when its run ended."""
    from deepswarm.core.records import Outcome

    journal = SqliteJournal(folder, readonly=True)
    try:
        done = {story.key for _, story in journal.stories(frozenset({Outcome.DONE}))}
        return done, len(journal.open_calls())
    finally:
        journal.close()


# --- replies and files that are not what they should be ---------------------------------------------------------------


@pytest.mark.slow
def test_a_reply_of_fifty_megabytes_fails_its_seed_and_no_other(folder):
    with serving(folder, LAW + '[[faults]]\nkind = "huge"\nsize_bytes = 50_000_000\nseeds = ["s3"]\n') as provider:
        write_task(provider.address, extra="stream: false\n")
        ended(run(), 1)
        assert ids() == ["s1", "s2", "s4", "s5"]
        failed = results(name="failed.jsonl")
        assert [(record["id"], record["class"]) for record in failed] == [("s3", "too_large")]
        assert len(provider.rows()) == 5


def torn(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "garbage":
        path.write_bytes(data + b'{"id":"torn","ans')
    elif how == "nothing":
        path.write_bytes(b"")
    else:
        path.write_bytes(data[: int(len(data) * float(how))])


@pytest.mark.parametrize("how", ["0.03", "0.5", "0.999", "garbage", "nothing", "deleted"])
def test_output_files_that_a_crash_tore_are_made_whole_without_a_call(how):
    Path("law.toml").write_text(LAW + FAILING)
    ended(rehearse(), 1)
    output = Path("output-simulated")
    whole = {name: results(output, name) for name in ("results.jsonl", "failed.jsonl")}
    assert [len(records) for records in whole.values()] == [4, 1]
    for name in whole:
        torn(output / name, how)
    ended(rehearse(), 1)
    assert {name: results(output, name) for name in whole} == whole
    assert calls_in(output) == 5


# --- resuming --------------------------------------------------------------------------------------------------------


def test_the_same_command_again_asks_nothing(provider):
    ended(run())
    before = Path("output/results.jsonl").read_bytes()
    said = ended(run())
    assert re.search(r"calls +0 ", said)
    assert Path("output/results.jsonl").read_bytes() == before
    assert provider.asked() == Counter(ids())


@pytest.mark.slow
def test_a_larger_total_asks_only_the_seeds_it_adds(provider):
    ended(run("--total", "2"))
    assert ids() == ["s1", "s2"]
    ended(run("--total", "4"))
    ended(run())
    assert provider.asked() == Counter({f"s{n}": 1 for n in range(1, 6)})
    assert len(results()) == 5


@pytest.mark.slow
def test_appended_seeds_are_asked_and_no_others(provider):
    ended(run())
    with Path("seeds.jsonl").open("a") as file:
        file.write('{"id":"s6","topic":"rain"}\n')
    ended(run())
    assert provider.asked() == Counter({f"s{n}": 1 for n in range(1, 7)})
    assert len(results()) == 6


@pytest.mark.slow
def test_seeds_put_before_and_taken_away_are_reported_and_exactly_the_new_ones_are_asked(provider):
    ended(run())
    write_seeds("n1", "n2", "s1", "s3", "s5")
    result = run()
    ended(result)
    assert "seeds.jsonl: 2 seeds are no longer in the file; their answers stay" in result.stderr
    assert "s2, s4" in result.stderr
    assert provider.asked() == Counter(["n1", "n2", *(f"s{n}" for n in range(1, 6))])
    assert ids() == ["n1", "n2", "s1", "s2", "s3", "s4", "s5"]


def changed_template(provider):
    write_task(provider.address, change=lambda text: text.replace("Write about", "Sing of"))


def test_a_changed_template_is_refused_with_old_and_new_and_both_ways_on(provider):
    ended(run("--total", "3"))
    changed_template(provider)
    refused(
        run(),
        'prompt_template: "[[id:{{id}}]] Write about {{topic}}." -> "[[id:{{id}}]] Sing of {{topic}}."',
        "--accept-changes",
        "--fresh",
    )
    assert len(provider.rows()) == 3
    assert len(results()) == 3


@pytest.mark.slow
def test_an_accepted_change_keeps_the_answers_and_asks_the_rest(provider):
    ended(run("--total", "3"))
    before = Path("output/results.jsonl").read_bytes()
    changed_template(provider)
    ended(run("--accept-changes"))
    assert provider.asked() == Counter({f"s{n}": 1 for n in range(1, 6)})
    assert Path("output/results.jsonl").read_bytes().startswith(before)
    ended(run())
    assert len(provider.rows()) == 5


@pytest.mark.slow
def test_a_fresh_start_puts_the_old_run_aside_and_deletes_nothing(provider):
    ended(run())
    before = {name: Path("output", name).read_bytes() for name in ("results.jsonl", "failed.jsonl")}
    changed_template(provider)
    result = run("--fresh")
    ended(result)
    (aside,) = Path("output/earlier").iterdir()
    assert f"the earlier run was put aside, not deleted: {aside}" in result.stderr
    assert {name: (aside / name).read_bytes() for name in before} == before
    assert (aside / "journal/journal.sqlite").stat().st_size > 0
    assert provider.asked() == Counter({f"s{n}": 2 for n in range(1, 6)})
    ended(run())
    assert len(provider.rows()) == 10


@pytest.mark.parametrize("setting", ["workers=2", "output_format=json", "checkpoint_every=1", "worker_retries=1"])
def test_what_does_not_change_the_question_needs_no_flag(provider, setting):
    ended(run("--total", "3"))
    ended(run("--set", setting))
    assert provider.asked() == Counter({f"s{n}": 1 for n in range(1, 6)})
    assert Path("output/results.json").exists() == (setting == "output_format=json")


@pytest.mark.slow
def test_changed_content_under_the_same_id_needs_the_flag_and_is_then_asked_again(provider):
    ended(run())
    lines = Path("seeds.jsonl").read_text().splitlines(keepends=True)
    lines[1] = '{"id":"s2","topic":"winds"}\n'
    Path("seeds.jsonl").write_text("".join(lines))
    refused(run(), "another content now under the same id: s2", "--accept-changes", "--fresh")
    assert len(provider.rows()) == 5
    ended(run("--accept-changes"))
    assert provider.asked() == Counter({"s1": 1, "s2": 2, "s3": 1, "s4": 1, "s5": 1})
    assert len(results()) == 5
    assert {record["id"]: record["seed"]["topic"] for record in results()}["s2"] == "winds"


@pytest.mark.slow
def test_failed_seeds_are_asked_again_when_that_is_wished_and_not_before():
    Path("law.toml").write_text(LAW + FAILING)
    said = ended(rehearse(), 1)
    assert "to try the failed ones again: deepswarm run task.yaml --simulate --law law.toml --retry-failed" in said
    ended(rehearse(), 1)
    assert calls_in("output-simulated") == 5
    Path("law.toml").write_text(LAW)
    result = rehearse("--retry-failed")
    ended(result)
    assert "1 failed seeds are asked again" in result.stderr
    assert calls_in("output-simulated") == 6
    assert len(results("output-simulated")) == 5
    assert results("output-simulated", "failed.jsonl") == []


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_stops_before_the_first_call_with_the_sentence_that_helps(provider, value):
    environment = {} if value is None else {"MY_TEST_KEY": value}
    refused(
        run("--set", "api_key_env=MY_TEST_KEY", **environment),
        "the API key is missing: the environment variable MY_TEST_KEY is not set; no call was made",
        "export MY_TEST_KEY=…",
        "--simulate",
    )
    assert provider.rows() == []


def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(provider):
    result = run("--set", "api_key_env=MY_TEST_KEY", MY_TEST_KEY=f"{KEY}\nsecond line")
    assert "CANARY" not in refused(result, "the API key cannot be sent")
    assert provider.rows() == []


def test_certificates_that_are_not_there_are_refused(provider):
    refused(run(SSL_CERT_FILE="/nowhere.pem"), "/nowhere.pem: the certificates cannot be read")
    assert provider.rows() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [
        'kind = "status"\nstatus = 500\nrate = 0.6',
        'kind = "status"\nstatus = 400\nbody = "html"',
        'kind = "garbled"\nrate = 0.7',
        'kind = "cut"\nrate = 0.7',
        'kind = "disconnect"\nrate = 0.7',
        'kind = "status"\nstatus = 401',
        f'kind = "status"\nstatus = 401\nmessage = "Incorrect API key provided: {KEY}"',
        f'kind = "status"\nstatus = 400\nmessage = "Bearer {KEY} may not ask that"',
    ],
)
def test_a_key_is_in_no_file_and_in_no_message_whatever_goes_wrong(folder, faults):
    with serving(folder, f"{LAW}[[faults]]\n{faults}\n") as provider:
        write_task(provider.address, change=lambda text: text.replace("api_key_env: none", "api_key_env: MY_TEST_KEY"))
        result = run("--set", "worker_retries=1", MY_TEST_KEY=KEY)
        assert result.returncode in {0, 1, 2, 75}
        assert provider.counts()["received"] > 0
    assert "CANARY" not in result.stdout + result.stderr
    files = [path for path in Path("output").rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert [str(path) for path in files if b"CANARY" in path.read_bytes()] == []


# --- one run, one process --------------------------------------------------------------------------------------------


def test_a_second_start_ends_at_once_and_names_the_process_that_runs(folder):
    with serving(folder, LAW + '[[faults]]\nkind = "hang"\n') as provider:
        write_task(provider.address)
        command = [sys.executable, "-m", "deepswarm", "run", "task.yaml"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as first:
            guard = threading.Timer(BOUND_S, first.kill)
            guard.start()
            try:
                assert any(line.startswith("pace:") for line in first.stderr)
                second = run("--fresh")
                refused(second, f"process {first.pid} on ", "holds this run; no call was made", "--set", code=75)
                assert first.poll() is None
                assert provider.counts()["received"] <= 4
            finally:
                guard.cancel()
                first.kill()
    assert not Path("output/earlier").exists()


# --- rehearsals ------------------------------------------------------------------------------------------------------


def test_a_rehearsal_has_its_own_folder_and_says_so_everywhere():
    result = rehearse()
    said = ended(result)
    assert "SIMULATED: no model is asked, nothing is spent" in result.stderr
    assert "output-simulated/" in result.stderr
    assert "SIMULATED: no model was asked" in said
    assert not Path("output").exists()
    assert all(record["simulated"] is True for record in results("output-simulated"))
    assert all(record["answer"].startswith("[simulated]") for record in results("output-simulated"))


def test_a_real_run_into_the_folder_of_a_rehearsal_is_refused(provider):
    ended(rehearse())
    refused(run("--set", "output_dir=output-simulated"), "output-simulated: holds a simulated run; a real one needs")
    assert provider.rows() == []


def test_a_law_that_is_not_there_is_refused():
    refused(rehearse("--law", "rehersal"), "rehersal: there is no law of this name", "did you mean 'rehearsal'?")
    assert not Path("output-simulated").exists()


# --- what it says, and where -----------------------------------------------------------------------------------------


def test_stdout_has_the_summary_alone_and_stderr_no_drawing_without_a_terminal():
    result = rehearse()
    lines = ended(result).splitlines()
    assert lines[0] == "finished"
    assert " ".join(lines[2].split()) == "seeds 5 = 5 done + 0 rejected + 0 failed + 0 left"
    assert "finished" not in result.stderr
    assert "pace: fixed: 4 workers" in result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    assert "\r" not in result.stdout + result.stderr


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-", "2>/dev/full", ">/dev/full"])
def test_a_run_goes_on_when_nobody_listens(closed):
    words = f"{sys.executable} -m deepswarm run task.yaml --simulate --law law.toml {closed}"
    ended = subprocess.run(["/bin/sh", "-c", words], capture_output=True, timeout=BOUND_S, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    assert len(results("output-simulated")) == 5
    assert len(results("output-simulated", "failed.jsonl")) == 0


def test_names_that_the_terminal_cannot_show_do_not_break_the_summary():
    result = run("--simulate", "--law", "law.toml", "--set", "output_dir=träume", PYTHONIOENCODING="ascii")
    assert "5 done" in ended(result)


COMMANDS = ["run", "validate", "seed", "filter", "plan", "bill", "export", "simulate", "schema"]


def test_help_lists_every_command_and_every_exit_code():
    said = ended(deepswarm("--help"))
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", said, re.MULTILINE)
    for code in ("0 every seed", "1 finished", "2 wrong", "65 ", "70 ", "75 paused", "130 interrupted"):
        assert code in " ".join(said.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    said = ended(deepswarm(name, "--help"))
    assert said.startswith(f"Usage: deepswarm {name} ")
    assert len(said.split("\n\n")[1].strip()) > 20, "it says what it does"


def test_an_unknown_command_or_option_is_refused_with_what_was_meant():
    refused(deepswarm("rnu"), "there is no command 'rnu'; did you mean 'run'?")
    refused(deepswarm("xyz"), "there is no command 'xyz'; there are: run, validate")
    refused(run("--simulat"), "No such option '--simulat'", "'--simulate'")
    refused(run("--total", "0"), "Invalid value for '--total'")
    refused(run("--set", "wrokers=3"), "wrokers", "workers")


def test_a_damaged_journal_ends_with_65_and_the_results_stay():
    ended(rehearse())
    before = hashlib.sha256(Path("output-simulated/results.jsonl").read_bytes())
    path = Path("output-simulated/journal/journal.sqlite")
    path.write_bytes(b"not a database, for a page and more. " * 1000)
    said = refused(rehearse(), "journal.sqlite", code=65)
    assert "damaged" in said or "no journal" in said
    after = hashlib.sha256(Path("output-simulated/results.jsonl").read_bytes())
    assert after.digest() == before.digest()


def test_a_fault_of_ours_ends_with_70_and_asks_for_a_report(folder):
    Path("sitecustomize.py").write_text("import deepswarm.engine.pipeline as p\ndel p.task_type_of\n")
    result = run("--simulate", PYTHONPATH=str(folder))
    assert result.returncode == 70
    assert "NameError" in result.stderr
    assert "this is a fault of ours" in result.stderr
    assert result.stdout == ""
