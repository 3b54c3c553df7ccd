"""`deepswarm filter` and `deepswarm export`: what is read, what is kept, what is said, and with which exit code.

The runs are real journals, written as a run writes them, without a process of their own.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepswarm.cli import main as program
from deepswarm.cli.filter import Wishes, mostly_json, result_files, task_folder
from deepswarm.core import jsontext
from deepswarm.core.errors import DiskFull, TaskFileError
from deepswarm.core.events import CallEnded, CallStarted, RunStarted, SeedEnded
from deepswarm.core.identity import content_of
from deepswarm.core.records import Incoming, Outcome, Usage
from deepswarm.engine import filtering
from deepswarm.engine.filtering import apply, has_run
from deepswarm.formats import reader, writer
from deepswarm.journals.sqlite import SqliteJournal

SRC = str(Path(program.__file__).parents[2])
UTC = 1_800_000_000.0
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
GOOD, BROKEN, CUT, PROSE, OTHER = '{"a": 1}', "{'a': 2,}", '{"a": 3', "I cannot do that.", '{"a": "four"}'


def reply(answer, finish_reason="stop"):
    """A provider's reply, as the journal keeps it."""
    return jsontext.dumps(
        {
            "id": "c-1",
            "model": "model-1-0731",
            "choices": [{"index": 0, "message": {"content": answer}, "finish_reason": finish_reason}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5},
        }
    )


def make_run(folder, answers, *, task=None, simulated=False, failed=0, left=0):
    """A run in `folder`: the answers are done in reverse order of their seeds; then come failed and unasked seeds."""
    asyncio.run(_make_run(folder / "journal", list(answers), task or {}, simulated, failed, left))
    return folder


async def _make_run(folder, answers, task, simulated, failed, left):
    folder.mkdir(parents=True)
    journal = SqliteJournal(folder)
    seeds = [{"id": f"s{number}", "n": number} for number in range(len(answers) + failed + left)]
    incoming = (Incoming(seed["id"], content_of(seed), n, 0, n + 1) for n, seed in enumerate(seeds))
    journal.enrol(incoming, None)
    keeper = asyncio.create_task(journal.keep())
    text = json.dumps({"worker_model": "model-1", "prompt_template": "{{n}}", **task})
    events = [RunStarted(UTC, 0.0, 1, "print-1", text, "0.0", simulated)]
    for number in reversed(range(len(answers))):
        events += done(number + 1, seeds[number], reply(answers[number]))
    for number in range(len(answers), len(answers) + failed):
        ended = SeedEnded(
            UTC, 1.0, number + 1, 0, Outcome.FAILED, "bad_request", "no", 1, 0.0, jsontext.dumps(seeds[number])
        )
        events.append(ended)
    await journal.append(events)
    keeper.cancel()
    journal.close()


def done(number, seed, body):
    return [
        CallStarted(UTC, 0.0, number, number, 1),
        CallEnded(UTC + 2, 2.0, number, number, "ok", "", 200, "stop", "model-1-0731", Usage(3, 5, 0, None), body=body),
        SeedEnded(UTC + 2, 2.0, number, number, Outcome.DONE, "ok", "", 1, 0.0, jsontext.dumps(seed)),
    ]


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


def rows(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


JSON_TASK = {"filters": ["json_repair", {"structure": {"schema": SCHEMA}}]}


# --- what it does ----------------------------------------------------------------------------------------------------


def test_every_record_of_a_run_is_kept_or_dropped_with_a_reason_and_the_table_says_so(deepswarm):
    make_run(Path("output"), [GOOD, BROKEN, CUT, PROSE, OTHER], task=JSON_TASK)
    done = deepswarm("filter", "--input-dir", "output/", "--output", "clean.jsonl", "--errors", "errors.jsonl")
    assert done.code == 0
    assert done.err == ""
    assert done.out.splitlines() == [
        "5 read = 2 kept + 3 dropped",
        "filter          judged    amended    dropped  for example",
        "json_repair          5          1          2  s3: no JSON",
        'structure            3          0          1  s4: $.a: "four" is not of type "integer"',
        "kept: clean.jsonl",
        "dropped, with filter and reason: errors.jsonl",
    ]
    assert [(row["id"], row["answer"], row["answer_json"]) for row in rows("clean.jsonl")] == [
        ("s1", '{"a":2}', {"a": 2}),
        ("s0", GOOD, {"a": 1}),
    ]
    assert rows("clean.jsonl")[0]["amended"] == {
        "json_repair": ["repaired: quotation marks", "repaired: a comma too many"]
    }
    assert "amended" not in rows("clean.jsonl")[1]
    assert [(row["id"], row["filter"]) for row in rows("errors.jsonl")] == [
        ("s4", "structure"),
        ("s3", "json_repair"),
        ("s2", "json_repair"),
    ]
    dropped = rows("errors.jsonl")[0]["record"]
    assert (dropped["answer"], dropped["seed"], "answer_json" in dropped) == (OTHER, {"id": "s4", "n": 4}, False)


def test_filtering_twice_gives_the_same_bytes(deepswarm):
    make_run(Path("output"), [GOOD, BROKEN, CUT] * 20, task=JSON_TASK)
    seen = set()
    for _ in range(2):
        assert deepswarm("filter").code == 0
        seen.add((Path("output/clean.jsonl").read_bytes(), Path("output/errors.jsonl").read_bytes()))
    assert len(seen) == 1


def test_it_ends_well_even_when_nothing_is_kept_and_says_what_may_be_meant(deepswarm):
    make_run(Path("output"), [PROSE] * 3, task={"filters": ["json_repair"]})
    done = deepswarm("filter")
    assert done.code == 0
    assert "3 read = 0 kept + 3 dropped" in done.out
    assert "--no-json" in done.err
    assert rows("output/clean.jsonl") == []


def test_simulated_text_is_called_so_loudly(deepswarm):
    make_run(Path("output"), [GOOD, PROSE], task=JSON_TASK, simulated=True)
    done = deepswarm("filter")
    assert done.err.startswith("*** SIMULATED: 2 of 2 records")
    assert "SIMULATED" in deepswarm("export", "output").err


def test_a_run_that_goes_on_can_be_filtered_and_it_says_what_is_missing(deepswarm):
    make_run(Path("output"), [GOOD], task=JSON_TASK, left=4, failed=2)
    done = deepswarm("filter")
    assert done.code == 0
    assert "4 seeds are left" in done.err
    assert "1 read = 1 kept" in done.out


def test_the_endings_choose_the_formats_and_a_missing_folder_is_made(deepswarm):
    make_run(Path("output"), [GOOD, CUT], task=JSON_TASK)
    assert deepswarm("filter", "--output", "new/clean.parquet", "--errors", "new/errors.json").code == 0
    (kept,), (dropped,) = reader("parquet")(Path("new/clean.parquet")), reader("json")(Path("new/errors.json"))
    assert kept["answer_json"] == {"a": 1}
    assert dropped["record"]["answer"] == CUT


def test_records_can_go_to_standard_output_and_the_table_then_goes_elsewhere(tmp_path):
    make_run(tmp_path / "output", [GOOD, CUT], task=JSON_TASK)
    words = [sys.executable, "-m", "deepswarm", "filter", "--output", "-", "--errors", "/dev/null"]
    done = subprocess.run(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": SRC}, capture_output=True, check=True)
    assert json.loads(done.stdout)["id"] == "s0"
    assert b"2 read = 1 kept + 1 dropped" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output"]


# --- which filters ---------------------------------------------------------------------------------------------------


def test_options_given_here_change_only_what_they_name(deepswarm):
    task = {"filters": ["json_repair", {"length": {"min_chars": 3, "max_chars": 8}}]}
    make_run(Path("output"), [GOOD, '{"a": 100}', '{"a": 10000000}'], task=task)
    done = deepswarm("filter", "--max-chars", "12")
    assert "s2: 15 characters, more than 12" in done.out
    assert [row["id"] for row in rows("output/clean.jsonl")] == ["s1", "s0"]


def test_a_schema_given_here_demands_json_too(deepswarm):
    make_run(Path("output"), [GOOD, OTHER, PROSE])
    Path("schema.json").write_text(json.dumps(SCHEMA))
    done = deepswarm("filter", "--schema", "schema.json")
    assert done.code == 0
    assert [(row["id"], row["filter"]) for row in rows("output/errors.jsonl")] == [
        ("s2", "json_repair"),
        ("s1", "structure"),
    ]


def test_json_filters_can_be_taken_out(deepswarm):
    make_run(Path("output"), [GOOD, PROSE], task={"filters": [*JSON_TASK["filters"], "length"]})
    done = deepswarm("filter", "--no-json", "--min-words", "3")
    assert "json_repair" not in done.out
    assert [row["answer"] for row in rows("output/clean.jsonl")] == [PROSE]
    assert "answer_json" not in rows("output/clean.jsonl")[0]


def test_without_filters_answers_that_look_like_json_are_held_to_it(deepswarm):
    make_run(Path("output"), [GOOD, BROKEN, CUT])
    done = deepswarm("filter")
    assert "look like JSON" in done.err
    assert "3 read = 2 kept + 1 dropped" in done.out


def test_without_filters_answers_that_look_like_text_are_only_measured(deepswarm):
    make_run(Path("output"), [PROSE, PROSE + " No.", " "])
    done = deepswarm("filter")
    assert "look like text" in done.err
    assert "--require-json" in done.err
    assert "3 read = 2 kept + 1 dropped" in done.out
    assert "0 kept" in deepswarm("filter", "--require-json").out


def test_the_schema_of_structure_also_chooses_between_several_values(deepswarm):
    make_run(Path("output"), ['{"b": 1}\n' + GOOD], task=JSON_TASK)
    assert "1 read = 1 kept" in deepswarm("filter").out
    assert "only one that fits" in rows("output/clean.jsonl")[0]["amended"]["json_repair"][-1]


def test_a_schema_file_that_the_task_names_is_found_beside_the_task_file(deepswarm):
    task = {"filters": ["json_repair", {"structure": {"schema": "schema.json"}}], "output_dir": "out/run"}
    for folder in ("project/out/run", "project/out/run-simulated"):
        make_run(Path(folder), [GOOD, OTHER], task=task)
    missing = deepswarm("filter", "--input-dir", "project/out/run")
    assert missing.code == 2
    assert "--schema FILE" in missing.err
    Path("project/schema.json").write_text(json.dumps(SCHEMA))
    for folder in ("project/out/run", "project/out/run-simulated"):
        assert "2 read = 1 kept" in deepswarm("filter", "--input-dir", folder).out


def test_the_filters_of_another_task_file_can_be_used(deepswarm):
    make_run(Path("place/answers"), [GOOD, PROSE], task={"filters": ["length"]})
    Path("place/task.yaml").write_text(
        "prompt_template: '{{n}}'\nworker_model: m\noutput_dir: answers\nfilters:\n  - length: {min_words: 3}\n"
    )
    done = deepswarm("filter", "--task", "place/task.yaml")
    assert "2 read = 1 kept" in done.out
    assert rows("place/answers/clean.jsonl")[0]["answer"] == PROSE


def test_a_filter_that_the_house_does_not_know_is_wrong_usage_and_nothing_is_written(deepswarm):
    make_run(Path("output"), [GOOD], task={"filters": ["json_repar", {"length": {"min_char": 3}}]})
    done = deepswarm("filter", "--max-words", "9")
    assert done.code == 2
    assert "did you mean 'json_repair'?" in done.err
    assert "did you mean 'min_chars'?" in done.err
    assert not Path("output/clean.jsonl").exists()


@pytest.mark.parametrize(
    ("settings", "wishes", "expected"),
    [
        ([], {}, []),
        (["length"], {"lengths": {"min_chars": 0}}, [{"length": {"min_chars": 0}}]),
        ([], {"schema": SCHEMA}, [{"json_repair": {}}, {"structure": {"schema": SCHEMA}}]),
        (
            [{"structure": {"schema": {}, "most_errors": 2}}, "json_repair"],
            {"schema": SCHEMA},
            [{"structure": {"schema": SCHEMA, "most_errors": 2}}, {"json_repair": {}}],
        ),
        (["length"], {"wants_json": True}, [{"json_repair": {}}, {"length": {}}]),
        (["json_repair", {"structure": {"schema": {}}}, "length"], {"wants_json": False}, [{"length": {}}]),
    ],
)
def test_what_is_given_here_is_put_into_the_settings(settings, wishes, expected):
    whole = Wishes(**{"schema": None, "wants_json": None, "lengths": {"max_words": None}, **wishes})
    assert whole.changed(settings) == expected


def test_answers_are_taken_for_json_when_half_of_them_are():
    assert mostly_json([{"answer": GOOD}, {"answer": PROSE}, {"no": "answer"}])
    assert not mostly_json([{"answer": GOOD}, {"answer": PROSE}, {"answer": PROSE}])
    assert not mostly_json([])


@pytest.mark.parametrize(
    ("folder", "output_dir", "expected"),
    [
        ("a/output", "output/", "a"),
        ("a/output-simulated", "output/", "a"),
        ("a/b/c", "b/c", "a"),
        ("a/b/moved", "b/c", "a/b"),
    ],
)
def test_relative_names_of_a_task_start_where_its_file_lies(tmp_path, folder, output_dir, expected):
    assert task_folder(tmp_path / folder, output_dir) == (tmp_path / expected).resolve()


# --- which records ---------------------------------------------------------------------------------------------------


def record(name, answer=GOOD, **fields):
    return {
        "id": name,
        "outcome": "done",
        "answer": answer,
        "seed": {},
        "fingerprint": "p",
        "simulated": False,
        **fields,
    }


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_a_folder_without_a_journal_is_read_from_its_result_files(deepswarm, kind):
    writer(kind)([record("1"), record("2", CUT)], Path(f"folder/results.{kind}"))
    for own in ("clean", "errors", "failed", "other"):
        writer("jsonl")([record("9")], Path(f"folder/{own}.jsonl"))
    done = deepswarm("filter", "--input-dir", "folder")
    assert done.code == 0
    assert f"reading results.{kind}" in done.err
    assert "2 read = 1 kept + 1 dropped" in done.out
    assert rows("folder/clean.jsonl")[0]["id"] == "1"


def test_parts_of_one_set_are_read_in_the_order_of_their_names(deepswarm):
    for number in (2, 0, 1):
        writer("jsonl")([record(f"w{number}")], Path(f"folder/worker-{number}.jsonl"))
    assert deepswarm("filter", "--input-dir", "folder").code == 0
    assert [row["id"] for row in rows("folder/clean.jsonl")] == ["w0", "w1", "w2"]
    assert "3 read" in deepswarm("filter", "--input-dir", "folder").out, "its own output was read"


def test_files_of_two_kinds_with_the_same_records_are_read_once(deepswarm):
    records = [record("1"), record("2")]
    writer("parquet")(reversed(records), Path("folder/results.parquet"))
    writer("jsonl")(records, Path("folder/results.jsonl"))
    assert "2 read" in deepswarm("filter", "--input-dir", "folder").out


def test_files_of_two_kinds_with_different_records_are_named_and_not_mixed(deepswarm):
    writer("parquet")([record("1")], Path("folder/a.parquet"))
    writer("jsonl")([record("2")], Path("folder/b.jsonl"))
    done = deepswarm("filter", "--input-dir", "folder")
    assert done.code == 2
    assert "hold different records: a.parquet, b.jsonl" in done.err
    assert "--input-dir folder/a.parquet" in done.err
    assert "1 read = 1 kept" in deepswarm("filter", "--input-dir", "folder/a.parquet").out
    assert rows("folder/clean.jsonl")[0]["id"] == "1"


def test_lines_that_are_no_records_are_dropped_with_the_reason(deepswarm):
    Path("folder").mkdir()
    lines = [json.dumps(record("1")), "[1, 2]", "{broken}", json.dumps(record("2")), '{"id": "torn']
    Path("folder/results.jsonl").write_text("\n".join(lines))
    done = deepswarm("filter", "--input-dir", "folder")
    assert done.code == 0
    assert "5 read = 2 kept + 3 dropped" in done.out
    errors = rows("folder/errors.jsonl")
    assert [(row["filter"], row["record"]["line"]) for row in errors] == [
        ("reading", 2),
        ("reading", 3),
        ("reading", 5),
    ]
    assert errors[2]["record"]["text"] == '{"id": "torn'
    assert errors[2]["reason"].startswith("the last line breaks off")


def test_a_missing_folder_is_wrong_usage_and_a_rehearsal_beside_it_is_pointed_to(deepswarm):
    done = deepswarm("filter", "--input-dir", "output/")
    assert (done.code, done.err.splitlines()[0]) == (2, "output: there is no such folder")
    assert "deepswarm run" in done.err
    make_run(Path("output-simulated"), [GOOD], simulated=True)
    for words in (["filter", "--input-dir", "output/"], ["export", "output/"], ["export"]):
        done = deepswarm(*words)
        assert done.code == 2
        assert "output-simulated/ holds a simulated run" in done.err


def test_an_empty_folder_is_wrong_usage(deepswarm):
    Path("output").mkdir()
    Path("output/clean.jsonl").write_text(json.dumps(record("1")))
    done = deepswarm("filter")
    assert done.code == 2
    assert "nothing to read" in done.err


def test_a_run_without_an_answer_is_wrong_usage(deepswarm):
    make_run(Path("output"), [], failed=1, left=2)
    done = deepswarm("filter")
    assert done.code == 2
    assert "no answer yet: 2 seeds left, 1 failed" in done.err


def test_a_damaged_journal_is_said_to_be_damaged(deepswarm):
    make_run(Path("output"), [GOOD])
    Path("output/journal/journal.sqlite").write_bytes(b"not a database at all" * 400)
    for leftover in Path("output/journal").glob("journal.sqlite-*"):
        leftover.unlink()
    assert deepswarm("filter").code == 65


def test_a_folder_cannot_be_read_without_an_ending_that_says_how(deepswarm):
    Path("answers.txt").write_text("x")
    assert deepswarm("filter", "--input-dir", "answers.txt").code == 2


def test_result_files_are_never_our_own_nor_hidden(tmp_path):
    for name in ("a.jsonl", ".b.jsonl", "clean.parquet", "errors.json", "failed.jsonl", "mine.jsonl", "notes.txt"):
        (tmp_path / name).touch()
    assert result_files(tmp_path, [tmp_path / "mine.jsonl"]) == [tmp_path / "a.jsonl"]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output", "output/results.jsonl"], "belongs to the run"),
        (["--errors", "output/failed.jsonl"], "belongs to the run"),
        (["--output", "output/journal/clean.jsonl"], "belongs to the run"),
        (["--output", "x.jsonl", "--errors", "./x.jsonl"], "the same file"),
        (["--output", "clean.csv"], "names no format"),
        (["--output", "clean"], "needs an ending"),
        (["--output", "file.txt/clean.jsonl"], "cannot be used"),
        (["--schema", "schema.json", "--no-json"], "give one of them"),
        (["--schema", "nothing.json"], "cannot be read"),
        (["--schema", "file.txt"], "not JSON"),
        (["--schema", "list.json"], "is an object"),
        (["--min-chars", "9", "--max-chars", "3"], "above 'max_chars'"),
        (["--min-chars", "-1"], "--min-chars"),
        (["--min-word", "1"], "No such option"),
        (["--task", "nothing.yaml"], "there is no such file"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_written(deepswarm, words, said):
    make_run(Path("output"), [GOOD], task={"filters": ["length"]})
    Path("file.txt").write_text("{x}")
    Path("list.json").write_text("[]")
    Path("schema.json").write_text("{}")
    before = sorted(path.name for path in Path().rglob("*.jsonl"))
    done = deepswarm("filter", *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert sorted(path.name for path in Path().rglob("*.jsonl")) == before


def test_a_file_that_is_read_is_not_written_over(deepswarm):
    writer("jsonl")([record("1")], Path("mine.jsonl"))
    done = deepswarm("filter", "--input-dir", "mine.jsonl", "--output", "./mine.jsonl")
    assert done.code == 2
    assert rows("mine.jsonl")[0]["id"] == "1"


def test_a_full_disk_leaves_what_was_there_and_says_so(tmp_path, monkeypatch):
    kept = tmp_path / "clean.jsonl"
    kept.write_text("before")

    def full(_records, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(filtering, "writer_for", lambda _: full)
    with pytest.raises(DiskFull, match="the disk is full"):
        apply([record("1")], ["length"], kept, tmp_path / "errors.jsonl")
    assert kept.read_text() == "before"


def test_wrong_settings_are_told_before_a_record_is_read(tmp_path):
    def unread():
        raise AssertionError
        yield

    with pytest.raises(TaskFileError):
        apply(unread(), ["lenght"], tmp_path / "clean.jsonl", tmp_path / "errors.jsonl")


# --- export ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize(("order", "ids"), [("completion", ["s2", "s1", "s0"]), ("seeds", ["s0", "s1", "s2"])])
def test_a_run_is_exported_in_any_format_and_order(deepswarm, kind, order, ids):
    make_run(Path("output"), ["a", "b", "c"], failed=1, left=2)
    done = deepswarm("export", "output/", "--format", kind, "--order", order)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"3 records in output/export.{kind} (not in it: 1 failed, 2 left)\n"
    found = list(reader(kind)(Path(f"output/export.{kind}")))
    assert [row["id"] for row in found] == ids
    assert found[0]["seed"] == {"id": ids[0], "n": int(ids[0][1])}
    assert found[0]["model_answered"] == "model-1-0731"


def test_the_ending_of_the_output_chooses_the_format_unless_one_is_named(deepswarm):
    make_run(Path("output"), ["a"])
    assert deepswarm("export", "--output", "x.parquet").code == 0
    assert next(reader("parquet")(Path("x.parquet")))["answer"] == "a"
    assert deepswarm("export", "--output", "x.data", "--format", "json").code == 0
    assert next(reader("json")(Path("x.data")))["answer"] == "a"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["output", "--output", "output/results.jsonl"], "belongs to the run"),
        (["output", "--output", "x.csv"], "names no format"),
        (["nowhere"], "there is no such folder"),
        (["."], "there is no run in it"),
        (["output", "--format", "xml"], "xml"),
    ],
)
def test_export_refuses_what_it_cannot_do(deepswarm, words, said):
    make_run(Path("output"), ["a"])
    done = deepswarm("export", *words)
    assert done.code == 2
    assert said in done.err


def test_exporting_does_not_change_the_journal(deepswarm):
    folder = make_run(Path("output"), ["a", "b"])
    before = (folder / "journal" / "journal.sqlite").read_bytes()
    assert deepswarm("export").code == 0
    assert has_run(folder)
    assert (folder / "journal" / "journal.sqlite").read_bytes() == before
