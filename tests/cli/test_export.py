"""`deepswarm export` for training, `show` and `sample`, over real journals."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepswarm.cli import main as program
from deepswarm.core.splits import split_of
from deepswarm.engine.looking import some_of
from deepswarm.report.showing import harmless
from deepswarm.testing.journaled import journaled, reply_body


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


SEEDS = [{"id": f"s{number}", "q": f"question {number}"} for number in range(6)]
ANSWERS = {f"s{number}": reply_body(f"answer {number}", f"thought {number}") for number in (3, 1, 0, 2)}
FAILED = {"s4": b"<html>\x1b[2J"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Four done seeds, of which s3 was the first, one failed, one left."""
    monkeypatch.chdir(tmp_path)
    return journaled(Path("output"), SEEDS, ANSWERS, failed=FAILED, task={"system_prompt": "Be brief."})


def rows(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


# --- export ----------------------------------------------------------------------------------------------------------


def test_what_was_asked_is_rendered_again_and_the_row_says_where_it_came_from(deepswarm, run):
    done = deepswarm("export", "--format", "messages")
    assert done.code == 0
    assert done.out == "4 rows in output/export.messages.jsonl (not in it: 1 failed, 1 left)\n"
    first = rows(run / "export.messages.jsonl")[0]
    assert first["id"] == "s3"
    assert first["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Ask question 3"},
        {"role": "assistant", "content": "answer 3", "reasoning_content": "thought 3"},
    ]
    told = json.loads(first["provenance"])
    assert (told["fingerprint"], told["model_asked"], told["model_answered"]) == ("print-1", "model-1", "model-1-0731")
    assert told["cost_usd"] is None
    assert len(told["prompt_hash"]) == 32


@pytest.mark.parametrize("form", ["sharegpt", "hermes", "alpaca"])
def test_forms_without_a_place_for_the_thinking_have_it_inline(deepswarm, run, form):
    assert deepswarm("export", "--format", form, "--order", "seeds", "--no-provenance").code == 0
    first, *_ = found = rows(run / f"export.{form}.jsonl")
    assert len(found) == 4
    answer = first["output"] if form == "alpaca" else first["conversations"][-1]["value"]
    assert answer.startswith("<think>\nthought 0\n</think>\n")
    assert answer.endswith("answer 0")
    assert "provenance" not in first


def test_the_manifest_beside_an_export_has_its_hash_and_what_it_was_made_of(deepswarm, run):
    deepswarm("export", "--format", "parquet")
    facts = json.loads((run / "export.parquet.manifest.json").read_bytes())
    content = (run / "export.parquet").read_bytes()
    assert facts["files"] == [
        {"name": "export.parquet", "rows": 4, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    ]
    assert facts["seeds"] == {"done": 4, "failed": 1, "rejected": 0, "left": 1}
    assert facts["models_answered"] == {"model-1-0731": 4}
    assert facts["tokens"] == {"tokens_in": 12, "tokens_out": 20, "cached": 0}
    assert facts["cost_usd"] is None
    assert facts["tasks"]["print-1"]["system_prompt"] == "Be brief."


@pytest.mark.usefixtures("run")
def test_only_the_records_of_a_file_are_exported_when_one_is_named(deepswarm):
    deepswarm("export", "--output", "all.jsonl")
    kept = [{**record, "answer": "changed"} for record in rows("all.jsonl") if record["id"] in {"s1", "s2"}]
    kept.append({**kept[0], "id": "x", "fingerprint": "other"})
    Path("clean.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kept))
    done = deepswarm("export", "--format", "messages", "--from", "clean.jsonl", "--output", "t.jsonl")
    assert [row["messages"][-1]["content"] for row in rows("t.jsonl")] == ["changed", "changed"]
    assert "1 records are left out: it was asked under a task that this run does not know (x)" in done.err


@pytest.mark.usefixtures("run")
def test_half_a_row_at_the_end_of_the_named_file_stops_the_export(deepswarm):
    Path("clean.jsonl").write_text('{"id": "s1", "fingerprint": "print-1", "seed": {"q": 1}, "answer": "a"}\n{"id"')
    done = deepswarm("export", "--format", "messages", "--from", "clean.jsonl", "--output", "t.jsonl")
    assert done.code == 2
    assert "clean.jsonl" in done.err
    assert "breaks off" in done.err
    assert not Path("t.jsonl").exists()


def test_a_data_set_has_shards_splits_a_card_and_a_manifest(deepswarm):
    seeds = [{"id": f"s{number}", "q": "q"} for number in range(200)]
    journaled(Path("output"), seeds, {seed["id"]: reply_body("a") for seed in seeds}, simulated=True)
    words = ["export", "--format", "messages", "--dataset", "set", "--split", "test=0.2", "--license", "mit"]
    assert deepswarm(*words, "--shard-rows", 50).code == 0
    facts = json.loads(Path("set/manifest.json").read_bytes())
    assert facts["splits"]["train"] + facts["splits"]["test"] == 200
    assert 20 <= facts["splits"]["test"] <= 60
    for file in facts["files"]:
        assert hashlib.sha256(Path("set", file["name"]).read_bytes()).hexdigest() == file["sha256"]
    by_split = {
        split: {row["id"] for path in Path("set/data").glob(f"{split}-*") for row in rows(path)}
        for split in ("train", "test")
    }
    assert by_split["train"] | by_split["test"] == {seed["id"] for seed in seeds}
    assert not by_split["train"] & by_split["test"]
    card = Path("set/README.md").read_text()
    assert 'license: "mit"' in card
    assert "**Simulated.** 200" in card
    before = {path.name: path.read_bytes() for path in Path("set/data").iterdir()}
    assert deepswarm(*words, "--shard-rows", 50).code == 0
    assert {path.name: path.read_bytes() for path in Path("set/data").iterdir()} == before
    assert deepswarm(*words, "--shard-rows", 500).code == 0
    assert sorted(path.name for path in Path("set/data").iterdir()) == ["test-00000.jsonl", "train-00000.jsonl"]


@pytest.mark.usefixtures("run")
def test_the_header_of_a_card_is_yaml_that_names_the_files(deepswarm):
    from ruamel.yaml import YAML

    deepswarm("export", "--format", "parquet", "--dataset", "set", "--license", "apache-2.0")
    header = YAML(typ="safe").load(Path("set/README.md").read_text().split("---\n")[1])
    assert header["license"] == "apache-2.0"
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert header["size_categories"] == ["n<1K"]


def test_the_readers_of_trainers_read_what_was_written(deepswarm, run):
    from pyarrow import json as pa_json
    from pyarrow import parquet as pq

    deepswarm("export", "--format", "parquet", "--dataset", "set")
    assert pq.read_table("set/data").num_rows == 4
    for form in ("messages", "sharegpt", "hermes", "alpaca", "prompt-completion"):
        deepswarm("export", "--format", form)
        assert pa_json.read_json(run / f"export.{form}.jsonl").num_rows == 4


@pytest.mark.usefixtures("run")
def test_a_folder_that_is_no_export_is_left_alone(deepswarm):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    done = deepswarm("export", "--format", "messages", "--dataset", "mine")
    assert done.code == 2
    assert "left alone" in done.err
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output", "x.jsonl", "--dataset", "d"], "one of them"),
        (["--split", "test=0.1"], "add --dataset"),
        (["--dataset", "d", "--split", "test"], "test=0.05"),
        (["--dataset", "d", "--split", "train=0.1"], "other than train"),
        (["--dataset", "d", "--split", "../x=0.1"], "a name"),
        (["--dataset", "d", "--split", "a=0.5", "--split", "b=0.5"], "nothing for train"),
        (["--format", "messages", "--output", "x.parquet"], "JSON lines"),
    ],
)
@pytest.mark.usefixtures("run")
def test_export_says_what_it_cannot_do(deepswarm, words, said):
    done = deepswarm("export", *words)
    assert done.code == 2
    assert said in done.err


@pytest.mark.usefixtures("run")
def test_without_judged_samples_there_are_no_pairs_and_it_is_said(deepswarm):
    done = deepswarm("export", "--format", "preference")
    assert done.code == 0
    assert "no pairs" in done.err


def test_a_folder_with_two_runs_names_them_and_asks_which(deepswarm):
    for name in ("one", "two"):
        journaled(Path("all", name), SEEDS, ANSWERS)
    done = deepswarm("export", "all")
    assert done.code == 2
    assert "all/one, all/two" in done.err


@given(key=st.text(), seed=st.integers(), share=st.floats(0.01, 0.4))
def test_a_seed_stays_in_its_split_and_a_larger_share_takes_none_away(key, seed, share):
    assert split_of(key, {"test": share}, seed) == split_of(key, {"test": share}, seed)
    if split_of(key, {"test": share}, seed) == "test":
        assert split_of(key, {"test": share * 2}, seed) == "test"


def test_replies_are_read_in_the_dialect_in_which_they_came(deepswarm):
    body = {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "from there"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    journaled(Path("output"), SEEDS, {"s0": json.dumps(body).encode()}, task={"worker_dialect": "anthropic"})
    assert deepswarm("export", "--output", "x.jsonl").code == 0
    assert [row["answer"] for row in rows("x.jsonl")] == ["from there"]


# --- show and sample -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("run")
def test_a_done_seed_is_shown_as_a_conversation_with_its_calls(deepswarm):
    out = deepswarm("show", "output", "s3").out
    parts = ["s3  done", "Be brief.", "Ask question 3", "thought 3", "answer 3", "attempts", "status 200", '"choices"']
    places = [out.index(part) for part in parts]
    assert places == sorted(places)


@pytest.mark.usefixtures("run")
def test_a_failed_seed_is_shown_with_every_attempt_and_nothing_that_a_terminal_obeys(deepswarm):
    done = deepswarm("show", "output", "s4")
    assert "attempt 1: overloaded  status 503" in done.out
    assert "attempt 2: garbled" in done.out
    assert "<html>\\x1b[2J" in done.out
    assert "\x1b" not in done.out


@pytest.mark.usefixtures("run")
def test_a_seed_that_was_not_asked_is_shown_as_left(deepswarm):
    assert "s5  left" in deepswarm("show", "output", "s5").out


def test_a_seed_that_is_to_be_asked_again_is_left_and_keeps_its_story(deepswarm, run):
    from deepswarm.core.records import Outcome
    from deepswarm.journals.sqlite import SqliteJournal

    writing = SqliteJournal(run / "journal")
    assert writing.reopen(frozenset({Outcome.FAILED}), None, (1_800_000_009.0, 9.0)) == 1
    writing.close()
    out = deepswarm("show", "output", "s4").out
    assert "s4  left" in out
    assert out.index("ended  failed") < out.index("reopened  retry")


@pytest.mark.usefixtures("run")
def test_show_gives_everything_as_json(deepswarm):
    row = json.loads(deepswarm("show", "output", "s4", "--json").out)
    assert [attempt["label"] for attempt in row["attempts_made"]] == ["overloaded", "garbled", "garbled"]
    assert row["attempts_made"][1]["reply"] == "<html>\x1b[2J"
    assert row["messages"][-1] == {"role": "user", "content": "Ask question 4"}


@pytest.mark.usefixtures("run")
def test_an_unknown_id_is_answered_with_the_nearest_ones(deepswarm):
    done = deepswarm("show", "output", "s33")
    assert done.code == 2
    assert "did you mean s3" in done.err


@pytest.mark.usefixtures("run")
def test_a_task_file_stands_for_its_run(deepswarm):
    Path("task.yaml").write_text('prompt_template: "{{q}}"\nworker_model: m\noutput_dir: output\n')
    assert "s3  done" in deepswarm("show", "task.yaml", "s3").out


def test_show_reads_beside_a_process_that_writes(deepswarm, run):
    from deepswarm.journals.sqlite import SqliteJournal

    writing = SqliteJournal(run / "journal")
    assert "s3  done" in deepswarm("show", "output", "s3").out
    writing.close()


@pytest.mark.usefixtures("run")
def test_sample_draws_the_same_records_for_the_same_number(deepswarm):
    drawn = [deepswarm("sample", "-n", 2, "--seed", number, "--json").out for number in (1, 1, *range(2, 9))]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    assert all(len(each.splitlines()) == 2 for each in drawn)


@pytest.mark.usefixtures("run")
def test_sample_shows_kept_dropped_and_failed_ones(deepswarm):
    assert deepswarm("filter", "--no-json", "--max-chars", 3).code == 0
    assert "nothing to show" in deepswarm("sample", "--kept").err
    assert "filter: length" in deepswarm("sample", "--dropped", "-n", 1).out
    assert "class: garbled" in deepswarm("sample", "--failed").out


@pytest.mark.usefixtures("run")
def test_sample_says_what_makes_the_file_that_is_missing(deepswarm):
    done = deepswarm("sample", "--kept")
    assert done.code == 2
    assert "deepswarm filter" in done.err


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_shown(text):
    assert all(letter.isprintable() or letter in "\n\t" for letter in harmless(text))


@given(st.integers(0, 30), st.integers(1, 10), st.randoms(use_true_random=False))
def test_a_sample_has_as_many_as_were_wanted_each_once_and_in_order(size, most, chance):
    found = some_of(({"id": number} for number in range(size)), most, chance.random)
    ids = [record["id"] for record in found]
    assert len(ids) == min(size, most)
    assert ids == sorted(set(ids))
