"""`deepswarm filter` with every kind of filter and every kind of bad input, over files of records."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepswarm.cli import main as program
from deepswarm.core.errors import TaskFileError
from deepswarm.engine.filter_files import resolved, with_texts
from deepswarm.engine.shelf import DiskShelf
from deepswarm.filters.judging import Dropped, Row

FOX = "The quick brown fox jumps over the lazy dog and goes home to sleep."


class Finished:
    """What a command came to."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def deepswarm(monkeypatch, capsys, tmp_path):
    """Call the program as a shell does, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["deepswarm", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            program.main()
        return Finished(ended.value.code, *capsys.readouterr())

    return call


def written(name, *answers, **fields):
    rows = [{"id": f"{name}{n}", "answer": answer, **fields} for n, answer in enumerate(answers)]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows(name):
    return [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]


# --- which filters ---------------------------------------------------------------------------------------------------


def test_filters_of_the_command_line_judge_after_the_others_and_all_adds_up(deepswarm):
    written("r.jsonl", FOX, FOX, "I'm sorry, but I can't help with that.", "a TODO for later", "fine as it is")
    words = ["--input-dir", "r.jsonl", "--no-json", "--filter", "refusal", "--filter", 'pattern {"forbid": "TODO"}']
    done = deepswarm("filter", *words, "--filter", "duplicate")
    assert done.code == 0
    assert "5 read = 2 kept + 3 dropped" in done.out
    assert [row["filter"] for row in rows("errors.jsonl")] == ["duplicate", "refusal", "pattern"]
    assert rows("errors.jsonl")[0]["record"]["answer"] == FOX
    first = Path("clean.jsonl").read_bytes(), Path("errors.jsonl").read_bytes()
    deepswarm("filter", *words, "--filter", "duplicate")
    assert (Path("clean.jsonl").read_bytes(), Path("errors.jsonl").read_bytes()) == first


def test_a_changed_threshold_judges_again_without_a_call(deepswarm):
    written("r.jsonl", FOX, f"{FOX} Yes.")
    words = ["filter", "--input-dir", "r.jsonl", "--no-json"]
    near = [f'near_duplicate {{"threshold": {share}, "keep": "longest"}}' for share in (0.99, 0.7)]
    assert "2 kept" in deepswarm(*words, "--filter", near[0]).out
    assert "1 kept" in deepswarm(*words, "--filter", near[1]).out
    assert rows("clean.jsonl")[0]["id"] == "r.jsonl1"


def test_options_of_the_command_line_that_are_no_object_are_wrong_usage(deepswarm):
    written("r.jsonl", FOX)
    assert "the options are not JSON" in deepswarm("filter", "--input-dir", "r.jsonl", "--filter", "length {").err
    assert "must be a JSON object" in deepswarm("filter", "--input-dir", "r.jsonl", "--filter", "length 3").err


def test_code_of_ones_own_is_named_with_its_hash_and_can_be_refused(deepswarm):
    written("r.jsonl", "good", "bad")
    Path("checks.py").write_text("def good(record):\n    return record['answer'] == 'good'\n")
    words = ["filter", "--input-dir", "r.jsonl", "--no-json", "--filter", 'python {"function": "checks.py:good"}']
    done = deepswarm(*words)
    assert "2 read = 1 kept + 1 dropped" in done.out
    assert "checks.py (sha256 " in done.out
    refused = deepswarm(*words, "--no-code")
    assert refused.code == 2
    assert "--no-code refuses" in refused.err


# --- files that filters are held against -----------------------------------------------------------------------------


def test_texts_of_other_files_take_the_place_of_their_names(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    written("old.jsonl", FOX, seed={"q": "why"})
    Path("bench.txt").write_text("one\n\ntwo\n")
    assert with_texts([{"duplicate": {"against": "old.jsonl"}}]) == [{"duplicate": {"against": [FOX]}}]
    (setting,) = with_texts([{"contamination": {"benchmark": ["bench.txt", "old.jsonl"]}}])
    assert setting["contamination"]["benchmark"] == ["one", "two", "old.jsonl0", FOX, "why"]
    assert with_texts(["length", {"duplicate": {"against": [3]}}]) == ["length", {"duplicate": {"against": [3]}}]
    placed = resolved({"duplicate": {"against": ["old.jsonl"]}}, lambda name: Path("/data") / name)
    assert placed == {"duplicate": {"against": ["/data/old.jsonl"]}}


@pytest.mark.parametrize(("name", "said"), [("no.jsonl", "cannot be read"), ("x.doc", "names no format")])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, said):
    with pytest.raises(TaskFileError, match=said) as caught:
        with_texts([{"duplicate": {"against": [str(tmp_path / name)]}}])
    assert name in str(caught.value)


def test_a_shelf_gives_back_what_was_put_there(tmp_path):
    shelf = DiskShelf(tmp_path)
    one, two = {"id": "\ud800", "n": 1 << 80}, {"id": "b"}
    put = [Row(one, one), Row(two, {"id": "b", "x": None}), Row(two, two, Dropped("f", "why"))]
    for row in put:
        shelf.append(row)
    assert list(shelf) == list(shelf) == put
    assert repr(shelf) == "DiskShelf(3 rows)"
    shelf.close()


# --- bad input -------------------------------------------------------------------------------------------------------

BAD = {
    "not json": b"this is prose\n",
    "a list": b"[1, 2]\n",
    "nan": b'{"id": "a", "answer": "x", "n": NaN}\n',
    "deep": b'{"id": "a", "answer": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n",
    "a broken escape": b'{"id": "a", "answer": "\\u12"}\n',
    "control": b'{"id": "a", "answer": "a\x01b"}\n',
    "no utf-8": b'{"id": "a", "answer": "\xff"}\n',
    "half a row": b'{"id": "a", "answer": "x',
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_a_row_that_is_no_record_is_dropped_in_reading_and_the_others_are_kept(deepswarm, line):
    good = json.dumps({"id": "g", "answer": "good"}).encode() + b"\n"
    Path("r.jsonl").write_bytes(good + line)
    done = deepswarm("filter", "--input-dir", "r.jsonl", "--no-json")
    assert done.code == 0
    assert "2 read = 1 kept + 1 dropped" in done.out
    assert rows("errors.jsonl")[0]["filter"] == "reading"


ODD = {
    "nul": b'{"id": "a", "answer": "a\\u0000b"}',
    "a lone surrogate": b'{"id": "a", "answer": "\\ud800"}',
    "beyond 64 bits": b'{"id": "a", "answer": "x", "n": 123456789012345678901234567890}',
    "separators": '{"id": "a", "answer": "a\u2028b\u0085c"}'.encode(),
}


@pytest.mark.parametrize("line", ODD.values(), ids=ODD)
def test_odd_values_go_through_every_filter_unchanged(deepswarm, line):
    Path("r.jsonl").write_bytes(line + b"\n")
    more = ["repetition", "echo", "duplicate", "near_duplicate", 'language {"wanted": "en"}', "refusal"]
    words = [word for name in more for word in ("--filter", name)]
    done = deepswarm("filter", "--input-dir", "r.jsonl", "--no-json", *words)
    assert "1 read = 1 kept + 0 dropped" in done.out
    (row,) = rows("clean.jsonl") if b"\xe2" not in line else [json.loads(Path("clean.jsonl").read_text("utf-8"))]
    assert row == json.loads(line)


def test_a_row_of_100_megabytes_is_accounted_for(deepswarm):
    with Path("r.jsonl").open("wb") as file:
        file.write(b'{"id": "a", "answer": "' + b"x" * 100_000_000 + b'"}\n{"id": "b", "answer": "good"}\n')
    done = deepswarm("filter", "--input-dir", "r.jsonl", "--no-json", "--max-chars", "1000")
    assert "2 read = 1 kept + 1 dropped" in done.out


def test_a_folder_with_the_files_of_two_runs_asks_which_is_meant(deepswarm):
    Path("output").mkdir()
    written("output/results-1.jsonl", "a", fingerprint="f" * 20)
    written("output/results-2.jsonl", "b", fingerprint="e" * 20)
    done = deepswarm("filter")
    assert done.code == 2
    assert "several runs: results-1.jsonl (task ffffffffffff), results-2.jsonl (task eeeeeeeeeeee)" in done.err
    assert "--input-dir output/results-1.jsonl" in done.err


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_a_run_filters_at_its_end_is_what_it_delivers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("task.yaml").write_text(
        'task_type: classification\nprompt_template: "{{text}}"\nclassification: {labels: [land, sea]}\n'
        "worker_model: mock\nseeds_file: seeds.jsonl\nfilters: [length]\noutput_format: json\n"
    )
    Path("seeds.jsonl").write_text('{"id": "a", "text": "a hill"}\n{"id": "b", "text": "a wave"}\n')
    done = subprocess.run(
        [sys.executable, "-m", "deepswarm", "run", "task.yaml", "--simulate", "--virtual-time"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    output = Path("output-simulated")
    delivered = {row["id"]: row["answer"] for row in lines(output / "results.jsonl")}
    assert set(delivered.values()) <= {"land", "sea"}
    assert {row["id"]: row["answer"] for row in lines(output / "clean.jsonl")} == delivered
    assert {row["id"]: row["answer"] for row in json.loads((output / "results.json").read_text())} == delivered
