"""Formats: the suite for every one that is listed, then what each of them promises."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepswarm.core.errors import DoorError, Problem
from deepswarm.formats import ENDINGS, READERS, TABLE, json_file, jsonl, name_of, reader, writer
from deepswarm.testing.suites.format import (
    HUGE,
    ODD,
    PLAIN,
    any_record_lists,
    check_foreign_bytes,
    check_replaces_and_follows,
    check_round_trip,
    check_same_bytes,
    check_torn_files,
    check_whole_or_not_at_all,
)

every_format = pytest.mark.parametrize("name", TABLE)
in_one_folder = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@every_format
def test_records_come_back_as_they_were_written(name, tmp_path):
    check_round_trip(writer(name), reader(name), [PLAIN, *ODD, PLAIN], tmp_path / "f")
    check_round_trip(writer(name), reader(name), [], tmp_path / "f")


@every_format
@in_one_folder
@given(records=any_record_lists())
def test_any_records_come_back_as_they_were_written(name, tmp_path, records):
    check_round_trip(writer(name), reader(name), records, tmp_path / "f")


@every_format
def test_integers_beyond_64_bits_come_back_as_they_were_written(name, tmp_path):
    check_round_trip(writer(name), reader(name), [HUGE, PLAIN], tmp_path / "f")


@every_format
def test_more_records_than_one_piece_holds_come_back(name, tmp_path):
    records = [{**PLAIN, "id": str(n), "seed": {"n": n}, "answer": "x" * (n % 700)} for n in range(11_000)]
    check_round_trip(writer(name), reader(name), records, tmp_path / "f")


@every_format
def test_the_same_records_give_the_same_bytes(name, tmp_path):
    check_same_bytes(writer(name), [PLAIN, *ODD], tmp_path)


@every_format
def test_a_file_is_there_whole_or_not_at_all(name, tmp_path):
    check_whole_or_not_at_all(writer(name), tmp_path)


@every_format
def test_a_file_that_is_there_is_replaced_in_its_place(name, tmp_path):
    check_replaces_and_follows(writer(name), reader(name), tmp_path)


@every_format
def test_a_torn_file_gives_what_is_sound_and_problems(name, tmp_path):
    check_torn_files(writer(name), reader(name), tmp_path / "f")


@every_format
@in_one_folder
@given(content=st.binary(max_size=80) | st.text(alphabet='[]{},:"ab1 \n', max_size=40).map(str.encode))
def test_any_bytes_can_be_read(name, tmp_path, content):
    check_foreign_bytes(reader(name), tmp_path / "f", content)


@every_format
def test_a_folder_is_not_written_over(name, tmp_path):
    (tmp_path / "f").mkdir()
    with pytest.raises(IsADirectoryError):
        writer(name)([PLAIN], tmp_path / "f")


def test_every_format_has_an_ending_and_every_reader_a_writer():
    assert set(ENDINGS.values()) == set(TABLE) >= set(READERS)
    assert name_of(Path("a.JSONL")) == "jsonl"
    assert name_of(Path("a.txt")) is None
    with pytest.raises(DoorError, match="did you mean 'parquet'"):
        writer("parket")


# --- JSON lines ------------------------------------------------------------------------------------------------------


def test_a_line_is_a_line_for_every_reader(tmp_path):
    jsonl.write(ODD, tmp_path / "f")
    text = (tmp_path / "f").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(ODD)
    for line in text.splitlines():
        json.loads(line)


def test_lines_that_are_no_records_are_problems_with_their_numbers(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": 1}\r\n\n[1]\n{"a": NaN}\n\xff\n{"id": 2}\n{"id": "torn')
    rows = list(jsonl.read(path))
    assert [row for row in rows if isinstance(row, dict)] == [{"id": 1}, {"id": 2}]
    problems = [row for row in rows if isinstance(row, Problem)]
    assert [problem.line for problem in problems] == [3, 4, 5, 7]
    assert "a JSON object is needed" in problems[0].what
    assert "NaN is not JSON" in problems[1].what
    assert problems[3].what.startswith("the last line breaks off")
    assert problems[3].source == '{"id": "torn'


def test_a_line_without_end_is_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "LONGEST_LINE", 64)
    path = tmp_path / "f"
    path.write_bytes(b'{"a": "' + b"x" * 1_000 + b'"}\n{"id": 2}\n')
    problem, record = jsonl.read(path)
    assert isinstance(problem, Problem)
    assert record == {"id": 2}


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_a_json_file_is_one_array_with_a_record_a_line(tmp_path):
    json_file.write([PLAIN, {"id": 2}], tmp_path / "f")
    text = (tmp_path / "f").read_text()
    assert json.loads(text) == [PLAIN, {"id": 2}]
    assert len(text.splitlines()) == 4


@given(size=st.integers(1, 40), indent=st.sampled_from([None, 1]))
@in_one_folder
def test_a_json_array_is_read_in_pieces_of_any_size(tmp_path, size, indent):
    records = [PLAIN, {"id": "\u2028\U0001f40b", "n": [1, 22, 333]}, {}, {"x": {"y": "]}"}}]
    path = tmp_path / "f"
    path.write_text(json.dumps(records, indent=indent, ensure_ascii=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "CHUNK", size)
        assert list(json_file.read(path)) == records


@pytest.mark.parametrize(
    ("text", "sound", "what"),
    [
        ("", 0, "not a JSON array"),
        ('{"id": 1}', 0, "not a JSON array"),
        ('[{"id": 1}, 17, {"id": 2}]', 2, "a JSON object is needed"),
        ('[{"id": 1} {"id": 2}]', 0, "a comma or ] is missing"),
        ('[{"id": 1},\n {"id": 2', 1, "breaks off"),
        ('[{"id": 1}', 0, "the array breaks off"),
        ('[{"id": 1}] more', 1, "behind the end"),
        ('[{"id": NaN}]', 0, "NaN is not JSON"),
        ("[" * 100_000, 0, ""),
    ],
)
def test_what_breaks_a_json_array_is_a_problem(tmp_path, text, sound, what):
    path = tmp_path / "f.json"
    path.write_text(text)
    rows = list(json_file.read(path))
    assert len([row for row in rows if isinstance(row, dict)]) == sound
    (problem,) = [row for row in rows if isinstance(row, Problem)]
    assert what in problem.what


# --- Parquet ---------------------------------------------------------------------------------------------------------


def test_a_parquet_file_has_the_same_columns_for_every_run(tmp_path):
    from pyarrow import parquet as pq

    for name, records in {"none": [], "plain": [PLAIN], "odd": ODD}.items():
        writer("parquet")(records, tmp_path / name)
    schemas = [pq.read_schema(tmp_path / name) for name in ("none", "plain", "odd")]
    assert schemas[0].equals(schemas[1])
    assert schemas[1].equals(schemas[2])
    table = pq.read_table(tmp_path / "plain").to_pylist()[0]
    assert table["answer"] == PLAIN["answer"]
    assert table["usage"] == PLAIN["usage"]
    assert json.loads(table["seed"]) == PLAIN["seed"]
    assert table["more"] is None


def test_records_of_a_parquet_file_are_written_in_groups_of_a_bounded_size(tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    from deepswarm.formats import parquet

    monkeypatch.setattr(parquet, "MOST_ROWS", 10)
    monkeypatch.setattr(parquet, "MOST_TEXT", 5_000)
    records = [{"id": str(n), "answer": "x" * (3_000 if n > 20 else 1)} for n in range(30)]
    assert parquet.write(iter(records), tmp_path / "f") == 30
    metadata = pq.ParquetFile(tmp_path / "f").metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [10, 10, 3, 2, 2, 2, 1]


def test_a_parquet_file_of_someone_else_is_read_column_by_column(tmp_path):
    import datetime as dt

    import pyarrow as pa
    from pyarrow import parquet as pq

    rows = [{"id": 1, "answer": "a", "at": dt.date(2026, 11, 22), "raw": b"x", "tags": ["a"], "seed": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "f")
    assert list(reader("parquet")(tmp_path / "f")) == [
        {"id": 1, "answer": "a", "at": "2026-11-22", "raw": "x", "tags": ["a"], "seed": None}
    ]


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"id": 1, "a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "deep"),
        (b'{"id": 1, "a": Infinity}', "Infinity"),
        (b'{"id": 1, "a": "\x00"}', "control character"),
        (b'{"id": 1, "a": "\x1b"}', "control character"),
        (b"\x00\x00\x00", "not JSON"),
        (b'{"id": 1, "a": "\xed\xa0\x80"}', "UTF-8"),
    ],
)
def test_a_row_that_is_no_record_is_a_problem_and_its_neighbours_are_read(tmp_path, line, what):
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"id": 0}\n' + line + b'\n{"id": 2}\n')
    before, problem, after = jsonl.read(path)
    assert (before, after) == ({"id": 0}, {"id": 2})
    assert problem.line == 2
    assert what in problem.what


def test_escaped_nulls_surrogates_and_large_integers_are_values_like_others(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"a": "\\u0000", "b": "\\ud800", "c": 123456789012345678901234567890}\n')
    assert list(jsonl.read(path)) == [{"a": "\0", "b": "\ud800", "c": 123456789012345678901234567890}]


def test_of_a_name_that_stands_twice_the_last_one_counts_in_every_reader(tmp_path):
    row = '{"id": 1, "a": "first", "a": "last"}'
    (tmp_path / "f.jsonl").write_text(row)
    (tmp_path / "f.json").write_text(f"[{row}]")
    assert list(jsonl.read(tmp_path / "f.jsonl")) == list(json_file.read(tmp_path / "f.json"))
    assert list(jsonl.read(tmp_path / "f.jsonl")) == [{"id": 1, "a": "last"}]


@pytest.mark.slow
@every_format
def test_a_record_of_100_megabytes_comes_back(name, tmp_path):
    records = [PLAIN, {**PLAIN, "answer": "x" * 100_000_000}, PLAIN]
    writer(name)(records, tmp_path / "f")
    found = list(reader(name)(tmp_path / "f"))
    assert [len(record["answer"]) for record in found] == [len(record["answer"]) for record in records]
