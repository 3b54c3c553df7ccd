"""From the seeds file into the journal, and back to a prompt."""

from __future__ import annotations

import pytest

from deepswarm.core.errors import TaskFileError
from deepswarm.engine.seeds import SeedFile, SeedsMoved, enrol, lines_of
from deepswarm.journals.memory import MemoryJournal

NAMES = frozenset({"prompt"})


def fields_of(journal, path, spool):
    file = SeedFile(lines_of(path, spool))
    try:
        return [file.read(row)[1] for row in journal.left(-1, 1000)]
    finally:
        file.close()


@pytest.mark.parametrize("name", ["seeds.csv", "seeds.jsonl"])
def test_every_seed_is_found_again_at_its_place(tmp_path, name):
    path, spool = tmp_path / name, tmp_path / "spool.jsonl"
    rows = (
        ["id,prompt", "a,first", "b,second"]
        if name.endswith("csv")
        else ['{"id":"a","prompt":"first"}', '{"prompt":"second"}']
    )
    path.write_text("\n".join(rows))
    journal = MemoryJournal()
    enrol(journal, path, spool, NAMES, None, None)
    assert [fields["prompt"] for fields in fields_of(journal, path, spool)] == ["first", "second"]


def test_an_unchanged_file_is_not_read_again(tmp_path):
    path, spool = tmp_path / "seeds.csv", tmp_path / "spool.jsonl"
    path.write_text("id,prompt\na,first\n")
    journal = MemoryJournal()
    assert enrol(journal, path, spool, NAMES, None, None).added == 1
    assert enrol(journal, path, spool, NAMES, None, None) is None


@pytest.mark.parametrize("broken", [None, "id,prompt\na,first\na,again\n", "id,other\na,first\n"])
def test_a_file_that_cannot_be_enrolled_leaves_the_spool_of_the_last_one(tmp_path, broken):
    path, spool = tmp_path / "seeds.csv", tmp_path / "spool.jsonl"
    path.write_text("id,prompt\na,first\n")
    journal = MemoryJournal()
    enrol(journal, path, spool, NAMES, None, None)
    before = spool.read_bytes()
    path.unlink()
    if broken is not None:
        path.write_text(broken)
    with pytest.raises(TaskFileError):
        enrol(journal, path, spool, NAMES, None, None)
    assert spool.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".new"] == []


def test_missing_fields_are_counted_with_their_first_line(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"prompt":"x"}\n{"title":"y"}\n{"title":"z"}\n')
    with pytest.raises(TaskFileError, match="the template needs 'prompt', which 2 of 3 seeds lack") as raised:
        enrol(MemoryJournal(), path, tmp_path / "spool", NAMES, None, None)
    assert raised.value.problems[0].line == 2


def test_another_seed_at_the_same_place_is_never_asked(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"id":"a","prompt":"x"}\n')
    journal = MemoryJournal()
    enrol(journal, path, tmp_path / "spool", NAMES, None, None)
    path.write_text('{"id":"b","prompt":"x"}\n')
    file = SeedFile(path)
    with pytest.raises(SeedsMoved, match="Nothing is lost"):
        file.read(journal.left(-1, 1)[0])
    file.close()
