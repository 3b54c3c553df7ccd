"""Sources: the suite for every one that is listed, then what each kind of seeds file promises."""

import csv
import datetime as dt
import decimal
import gzip
import json
import os
import tempfile
import threading
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.register_assert_rewrite("deepswarm.testing.suites.source")

from deepswarm.core.errors import Problem, TaskFileError  # noqa: E402 - the suite is rewritten before it is imported
from deepswarm.core.jsontext import dumps  # noqa: E402 - see above
from deepswarm.core.records import Seed  # noqa: E402 - see above
from deepswarm.core.spec import SeedsSection  # noqa: E402 - see above
from deepswarm.doors import find  # noqa: E402 - see above
from deepswarm.sources import TABLE, jsonl, read_seeds, reading, source_for  # noqa: E402 - see above
from deepswarm.sources.making import make_file, write_seeds  # noqa: E402 - see above
from deepswarm.testing.suites.source import Kind, SourceSuite  # noqa: E402 - see above

BOM = b"\xef\xbb\xbf"


def write_jsonl(path, seeds):
    path.write_bytes(b"".join(dumps(seed) + b"\n" for seed in seeds))


def write_json(path, seeds):
    path.write_bytes(dumps(list(seeds)))


def write_csv(path, seeds):
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["seed", "n"])
        rows.writerows([seed, 1] for seed in seeds)


def write_parquet(path, seeds):
    texts = list(seeds)
    pq.write_table(pa.table({"seed": texts}), path, row_group_size=3 if len(texts) < 100 else 500)


def write_lines(path, seeds):
    path.write_bytes(b"".join(seed.encode() + b"\n" for seed in seeds))


def write_folder(path, seeds):
    path.mkdir()
    for number, seed in enumerate(seeds):
        (path / f"{number:05}.txt").write_bytes(seed.encode())


KINDS = {
    "jsonl": ("seeds.jsonl", write_jsonl),
    "json": ("seeds.json", write_json),
    "csv": ("seeds.csv", write_csv),
    "parquet": ("seeds.parquet", write_parquet),
    "lines": ("seeds.txt", write_lines),
    "folder": ("seeds", write_folder),
}


@pytest.fixture(params=TABLE)
def kind(request):
    return Kind(find("source", request.param, TABLE), *KINDS[request.param])


class TestSources(SourceSuite):
    """Each test runs once for each source."""


def fields(path):
    return [seed.fields for seed in seeds(path)]


def seeds(path):
    items = list(read_seeds(path))
    assert not [str(item) for item in items if isinstance(item, Problem)]
    return items


def problems(path):
    found = [item for item in read_seeds(path) if isinstance(item, Problem)]
    assert all(problem.file for problem in found)
    return found


def refused(path):
    with pytest.raises(TaskFileError) as caught:
        list(read_seeds(path))
    (problem,) = caught.value.problems
    assert problem.file == str(path)
    assert problem.hint
    return problem


def file_of(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


# --- the door --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.jsonl", "jsonl"),
        ("a.NDJSON", "jsonl"),
        ("a.jsonl.gz", "jsonl"),
        ("a.json", "json"),
        ("a.json.gz", "json"),
        ("a.csv", "csv"),
        ("a.tsv.GZ", "csv"),
        ("a.parquet", "parquet"),
        ("a.txt", "lines"),
        ("a.md.gz", "lines"),
        ("seeds", "lines"),
        (".jsonl", "lines"),
    ],
)
def test_the_ending_says_what_a_file_is(name, source):
    assert source_for(Path("nowhere") / name) == source


def test_a_folder_is_one_of_texts(tmp_path):
    assert source_for(tmp_path) == "folder"


@pytest.mark.parametrize("name", [name for name in TABLE if name != "folder"])
def test_a_compressed_file_gives_the_same_seeds_without_places(name, tmp_path):
    file, write = KINDS[name]
    plain = tmp_path / file
    write(plain, ["one", "two", "three"])
    packed = file_of(tmp_path, f"{file}.gz", gzip.compress(plain.read_bytes()))
    assert seeds(packed) == [seed._replace(place=-1, size=0) for seed in seeds(plain)]


@pytest.mark.parametrize("name", [name for name in TABLE if name != "folder"])
def test_an_empty_file_is_told(name, tmp_path):
    assert "holds no seeds" in refused(file_of(tmp_path, KINDS[name][0], b"")).what


@pytest.mark.parametrize("name", TABLE)
def test_a_file_without_seeds_is_told(name, tmp_path):
    path = tmp_path / KINDS[name][0]
    if name == "folder":
        path.mkdir()
        (path / ".hidden").touch()
    elif name == "parquet":
        pq.write_table(pa.table({"seed": pa.array([], pa.string())}), path)
    else:
        path.write_bytes({"json": b" [ ]\n", "csv": b"a,b\n"}.get(name, b" \n\r\n\n"))
    assert "holds no seeds" in refused(path).what


def test_an_empty_folder_is_told(tmp_path):
    assert "the folder is empty" in refused(tmp_path).what


def test_a_missing_file_is_told_with_what_may_have_been_meant_and_how_seeds_are_made(tmp_path):
    (tmp_path / "seeds.jsonl").touch()
    problem = refused(tmp_path / "seed.jsonl")
    assert "not there" in problem.what
    assert f"did you mean {tmp_path / 'seeds.jsonl'}?" in problem.hint
    assert "`deepswarm seed`" in problem.hint


def test_a_missing_file_of_another_name_suggests_the_seeds_that_are_there(tmp_path):
    (tmp_path / "questions.jsonl.gz").touch()
    assert str(tmp_path / "questions.jsonl.gz") in refused(tmp_path / "seeds.jsonl").hint


def test_a_missing_folder_is_told_as_such(tmp_path):
    assert f"there is no folder {tmp_path / 'data'} either" in refused(tmp_path / "data" / "seeds.jsonl").hint


def test_a_path_that_leads_through_a_file_is_missing(tmp_path):
    assert "not there" in refused(file_of(tmp_path, "a", b"x") / "seeds.jsonl").what


@pytest.mark.skipif(os.geteuid() == 0, reason="for root every file can be read")
def test_a_file_that_may_not_be_read_is_told(tmp_path):
    path = file_of(tmp_path, "seeds.txt", b"x\n")
    path.chmod(0)
    assert "may not be read" in refused(path).what


@pytest.mark.parametrize("name", ["seeds.jsonl", "seeds.parquet", "seeds.csv.gz"])
def test_a_folder_with_the_name_of_a_file_is_told(name, tmp_path):
    path = tmp_path / name
    path.mkdir()
    assert "it is a folder" in refused(path).what


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", gzip.compress(b"{}", mtime=0), "compressed by gzip"),
        ("a.jsonl.gz", b'{"a":1}\n', "not compressed"),
        ("a.parquet", b'{"a":1}\n', "not a Parquet file"),
        ("a.parquet", b"PAR1 and then nothing of the kind", "the Parquet file cannot be read"),
        ("a.jsonl", b"PAR1....", "it is a Parquet file"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a.txt", "one\n".encode("utf-16-le"), "not a text file"),
        ("a.xlsx", b"PK\x03\x04\x00\x00", "not a text file"),
        ("a.jsonl.gz", gzip.compress(b'{"a":1}\n' * 99, mtime=0)[:-9], "cannot be read to its end"),
        ("a.txt.gz", b"\x1f\x8b" + b"\xff" * 30, "cannot be read to its end"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_told(name, content, told, tmp_path):
    assert told in refused(file_of(tmp_path, name, content)).what


def test_seeds_can_come_out_of_a_pipe(tmp_path):
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b'{"a":1}\n{"a":2}\n',))
    writer.start()
    assert fields(path) == [{"a": 1}, {"a": 2}]
    writer.join()


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet", "lines"])
def test_memory_does_not_grow_with_the_file(name, tmp_path):
    file, write = KINDS[name]
    path = tmp_path / file
    write(path, (f"{number} " + "x" * 600 for number in range(20_000)))  # 12 MB
    for seed in read_seeds(path):  # imports and caches are no part of what is measured
        assert isinstance(seed, Seed)
        break
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_seeds(path)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


# --- lines of JSON ---------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
lines = (
    st.dictionaries(st.text(), json_values, max_size=3).map(dumps)
    | (st.text() | st.integers()).map(dumps)
    | st.sampled_from(
        [b"", b" ", b"\t", b"not json", b"[1]", b"null", b"\xff", b'  {"a": "\xe2\x80\xa8\xc2\x85"} ', b"\r"]
    )
)
ends = st.sampled_from([b"\n", b"\r\n"])


@given(mark=st.booleans(), written=st.lists(st.tuples(lines, ends), min_size=1, max_size=10), torn=st.booleans())
@example(mark=True, written=[(b'{"a":1}', b"\r\n"), (b"", b"\n"), (b'"x"', b"\n")], torn=True)
@settings(deadline=None)
def test_place_and_size_point_at_exactly_the_line(mark, written, torn):
    content = BOM * mark + b"".join(line + end for line, end in written)
    if torn:
        content = content[: -len(written[-1][1])]
    with tempfile.TemporaryDirectory() as folder:
        items = list(jsonl.read(file_of(Path(folder), "seeds.jsonl", content)))
    by_number = dict(enumerate(content.removeprefix(BOM).split(b"\n"), start=1))
    for item in items:
        line = by_number[item.line].rstrip(b"\r")
        if isinstance(item, Seed):
            assert content[item.place : item.place + item.size] == line
            assert jsonl.parse(line) == item.fields
        else:
            with pytest.raises(ValueError):  # noqa: PT011 - any will do
                jsonl.parse(line)
    blank = sum(not line.strip() for line in by_number.values())
    assert len(items) == len(by_number) - blank


def test_objects_texts_and_numbers_are_seeds(tmp_path):
    path = file_of(tmp_path, "a.jsonl", b'{"topic": "tides", "id": 7}\n"glaciers"\n42\n1.5\n""\n{}')
    assert fields(path) == [
        {"topic": "tides", "id": 7},
        *({"seed": value} for value in ("glaciers", 42, 1.5, "")),
        {},
    ]


def test_nothing_but_a_line_feed_ends_a_line(tmp_path):
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
    path = file_of(tmp_path, "a.jsonl", json.dumps(text, ensure_ascii=False).encode() + b"\n")
    escaped = text.encode().replace(b"\x0b", b"\\u000b").replace(b"\x0c", b"\\f").replace(b"\x1c", b"\\u001c")
    assert path.read_bytes() == b'"' + escaped + b'"\n'
    assert fields(path) == [{"seed": text}]


@pytest.mark.parametrize(
    ("line", "column", "what", "hint"),
    [
        (b'{"a": 1,}', 9, "a name in double quotes is missing", ""),
        (b"{'a': 1}", 2, "a name in double quotes is missing", "double quotes"),
        (b"[1, 2]", 0, "not a list", "ends in .json"),
        (b"[", 2, "a value is missing", "ends in .json"),
        (b"null", 0, "not null", "each line is an object"),
        (b"true", 0, "not true", "each line is an object"),
        (b"tides", 1, "a value is missing", "a .txt file"),
        (b'{"a": NaN}', 0, "NaN is not JSON", ""),
        (b'{"a": "\xc3\xa9\xff"}', 9, "it is not UTF-8: byte 10 is 0xff", "save it as UTF-8"),
        (b'{"a": 1}\r{"a": 2}', 10, "something follows it", "carriage return"),
        (b'{"a":' * 201 + b"1" + b"}" * 201, 0, "nested deeper than 200 levels", ""),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, 0, "nested too deeply", ""),
    ],
)
def test_a_line_that_is_no_seed_is_told_with_its_place(line, column, what, hint, tmp_path):
    path = file_of(tmp_path, "a.jsonl", b'{"a": 0}\n\n' + line + b'\n{"a": 9}\n')
    (problem,) = problems(path)
    assert (problem.line, problem.column) == (3, column)
    assert what in problem.what
    assert hint in problem.hint
    assert [item.fields for item in read_seeds(path) if isinstance(item, Seed)] == [{"a": 0}, {"a": 9}]


def test_a_mistake_is_shown_below_the_line_it_is_in(tmp_path):
    (problem,) = problems(file_of(tmp_path, "a.jsonl", b'{"a": 1 "b": 2}\n'))
    assert str(problem).splitlines()[1:] == ['    {"a": 1 "b": 2}', "            ^"]


def test_a_long_line_is_shown_only_as_far_as_a_screen_is_wide(tmp_path):
    path = file_of(tmp_path, "a.jsonl", b'{"a" 1, "b": "' + b"x" * 500 + b'"}\n{"b": "' + b"x" * 500 + b'" 1}\n')
    near, far = problems(path)
    assert len(near.source) <= 116
    assert near.source.endswith("…")
    assert far.source == ""
    assert far.column == 510


def test_the_last_line_needs_no_end_and_a_torn_one_is_a_problem(tmp_path):
    assert fields(file_of(tmp_path, "a.jsonl", b'{"a": 1}\n{"a": 2}')) == [{"a": 1}, {"a": 2}]
    (problem,) = problems(file_of(tmp_path, "b.jsonl", b'{"a": 1}\n{"a": '))
    assert problem.line == 2


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 10)
    path = file_of(tmp_path, "a.jsonl", b'"' + b"x" * 35 + b'"\n"second"\n"' + b"y" * 30)
    first, second, third = read_seeds(path)
    assert isinstance(first, Problem)
    assert second == Seed({"seed": "second"}, 38, 8, 2)
    assert isinstance(third, Problem)
    assert third.line == 3


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_an_array_holds_one_seed_an_item(tmp_path):
    path = file_of(tmp_path, "a.json", BOM + b'[{"a": 1},\n "tides", 7]\n')
    assert seeds(path) == [Seed({"a": 1}, line=1), Seed({"seed": "tides"}, line=2), Seed({"seed": 7}, line=3)]


def test_an_item_that_is_no_seed_is_told_by_its_number(tmp_path):
    (problem,) = problems(file_of(tmp_path, "a.json", b'[{"a": 1}, [2], {"a": 3}]'))
    assert problem.what.startswith("item 2 of the array: a seed must be")


@pytest.mark.parametrize(
    ("content", "line", "what", "hint"),
    [
        (b'{"data": [1, 2]}', 0, "not a JSON array", "write only what is in 'data'"),
        (b'{"a": 1}', 0, "not a JSON array", "put [ before it"),
        (b"7", 0, "not a JSON array", "put [ before it"),
        (b'{"a": 1}\n{"a": 2}\n', 2, "something follows it", "end in .jsonl"),
        (b'[{"a": 1},\n{"a": 2},\n]', 3, "a value is missing", ""),
        (b'[\n"\xff"]', 2, "not UTF-8", "save it as UTF-8"),
        (b"[" * 300 + b"]" * 300, 0, "nested deeper", ""),
        (b" \n", 0, "empty", ""),
    ],
)
def test_a_document_that_is_no_array_is_told(content, line, what, hint, tmp_path):
    with pytest.raises(TaskFileError) as caught:
        list(read_seeds(file_of(tmp_path, "a.json", content)))
    (problem,) = caught.value.problems
    assert problem.line == line
    assert what in problem.what
    assert hint in problem.hint


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_table_gives_text_under_the_names_of_its_header(tmp_path):
    content = BOM + b' id ,topic\r\n1,"tides, and ""more"""\r\n\r\n2,"two\r\nlines"\r\n3,\n'
    assert seeds(file_of(tmp_path, "a.csv", content)) == [
        Seed({"id": "1", "topic": 'tides, and "more"'}, line=2),
        Seed({"id": "2", "topic": "two\r\nlines"}, line=4),
        Seed({"id": "3", "topic": ""}, line=6),
    ]


def test_tabs_separate_in_tsv_files_and_nowhere_else(tmp_path):
    assert fields(file_of(tmp_path, "a.tsv", b"a\tb,c\n1\t2,3\n")) == [{"a": "1", "b,c": "2,3"}]
    assert "several names" in problems(file_of(tmp_path, "a.csv", b"a\tb\n1\t2\n"))[0].what


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"a,b\n1,2\n1\n3,4\n", 3, "the row has 1 values, the header 2 names"),
        (b"a,b\n1,2\n1,2,3\n", 3, "the row has 3 values, the header 2 names"),
        (b'a,b\n1,2\n1,"x"y\n3,4\n', 3, "cannot be read"),
        (b'a,b\n1,2\n1,"x\n3,4\n', 3, "cannot be read"),
        (b"a,b\n1,2\n1,\xff\n3,4\n", 3, "not UTF-8: there is a byte 0xff"),
        (b"a,\xff\n1,2\n", 1, "not UTF-8"),
        (b"a,\n1,2\n", 1, "column 2 has no name"),
        (b"a, a\n1,2\n", 1, "two columns are named 'a'"),
        (b"a;b\n1;2\n", 1, "several names"),
        (b'"a\n', 1, "cannot be read"),
    ],
)
def test_what_is_no_row_is_told_with_its_line(content, line, what, tmp_path):
    (problem,) = problems(file_of(tmp_path, "a.csv", content))
    assert problem.line == line
    assert what in problem.what
    assert problem.hint


def test_a_large_value_in_a_table_is_read(tmp_path):
    assert fields(file_of(tmp_path, "a.csv", b"a\n" + b"x" * 300_000 + b"\n")) == [{"a": "x" * 300_000}]


# --- Parquet ---------------------------------------------------------------------------------------------------------


def parquet(folder, columns):
    path = folder / "a.parquet"
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path)
    return path


def test_values_of_a_table_become_json(tmp_path):
    path = parquet(
        tmp_path,
        {
            "text": ["a", None],
            "n": pa.array([1, 2**63], pa.uint64()),
            "x": [1.5, float("nan")],
            "yes": [True, False],
            "day": [dt.date(2026, 11, 22), None],
            "ns": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")),
            "zoned": pa.array([1, 2], pa.timestamp("s", "UTC")),
            "clock": [dt.time(1, 2, 3), dt.time(4)],
            "price": [decimal.Decimal("1.50"), None],
            "nested": [{"list": [{"day": dt.date(2026, 1, 1)}]}, None],
            "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
            "word": pa.array(["w", "w"]).dictionary_encode(),
        },
    )
    first, second = seeds(path)
    assert first.fields == {
        "text": "a",
        "n": 1,
        "x": 1.5,
        "yes": True,
        "day": "2026-11-22",
        "ns": "2023-11-14T22:13:20.123456",
        "zoned": "1970-01-01T00:00:01+00:00",
        "clock": "01:02:03",
        "price": "1.50",
        "nested": {"list": [{"day": "2026-01-01"}]},
        "map": {"a": 1},
        "word": "w",
    }
    assert (second.fields["n"], second.fields["x"], second.fields["map"], second.line) == (2**63, None, {}, 2)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([b"x"]), "holds bytes"),
        (pa.array([[b"x"]]), "holds bytes"),
        (pa.array([{"deep": [b"x"]}]), "holds bytes"),
        (pa.array([b"x"], pa.binary(1)), "holds bytes"),
        (pa.array([dt.timedelta(1)]), "holds spans of time"),
    ],
)
def test_a_column_that_no_seed_can_hold_is_told_once(column, told, tmp_path):
    (problem,) = problems(parquet(tmp_path, {"text": ["a"], "bad": column}))
    assert "'bad'" in problem.what
    assert told in problem.what


def test_one_bad_row_does_not_hide_the_others(tmp_path):
    broken = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc")]
    )
    path = parquet(tmp_path, {"text": broken, "x": [1.0, 2.0, float("inf")]})
    sound, undecodable, infinite = read_seeds(path)
    assert sound == Seed({"text": "a", "x": 1.0}, line=1)
    assert "row 2: 'utf-8'" in undecodable.what
    assert infinite.what == "row 3: Infinity is not JSON"


def test_two_columns_of_one_name_are_told(tmp_path):
    path = parquet(tmp_path, pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]))
    assert "two columns are named 'a'" in problems(path)[0].what


def test_a_map_whose_names_are_no_text_is_told(tmp_path):
    path = parquet(tmp_path, {"m": pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64()))})
    assert "names are not text" in problems(path)[0].what


# --- plain lines -----------------------------------------------------------------------------------------------------


def test_each_line_is_a_text_as_it_stands(tmp_path):
    path = file_of(tmp_path, "a.txt", BOM + b'  tides \r\n\r\n \t\n{"a": 1}\nlast')
    assert seeds(path) == [
        Seed({"seed": "  tides "}, line=1),
        Seed({"seed": '{"a": 1}'}, line=4),
        Seed({"seed": "last"}, line=5),
    ]


def test_a_line_that_is_no_text_is_told_with_its_byte(tmp_path):
    (problem,) = problems(file_of(tmp_path, "a.txt", b"one\nt\xc3\xa9\xffo\nthree\n"))
    assert (problem.line, problem.column, problem.what) == (2, 3, "it is not UTF-8: byte 4 is 0xff")


def test_a_text_that_is_too_long_for_a_line_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 10)
    assert problems(file_of(tmp_path, "a.txt", b"x" * 35 + b"\nsecond\n"))[0].line == 1


# --- folders ---------------------------------------------------------------------------------------------------------


def tree(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_a_folder_gives_its_texts_in_the_order_of_their_paths(tmp_path):
    tree(tmp_path, {"b.txt": b"B\n", "a/z.md": BOM + b"Z", "a/y/x.py": b"x = 1\r\n", "a.txt": b"A", "a-b": b"-"})
    found = seeds(tmp_path)
    paths = [seed.fields["path"] for seed in found]
    assert paths == sorted(paths) == ["a-b", "a.txt", "a/y/x.py", "a/z.md", "b.txt"]
    assert found[3] == Seed({"id": "a/z.md", "seed": "Z", "name": "z.md", "path": "a/z.md"}, line=4)
    assert found[2].fields["seed"] == "x = 1\r\n"


def test_a_folder_that_was_moved_holds_the_same_seeds(tmp_path):
    first = tree(tmp_path / "one", {"a/b.txt": b"text"})
    before = seeds(first)
    assert seeds(first.rename(tmp_path / "two")) == before


def test_what_is_hidden_or_blank_is_passed_over(tmp_path):
    tree(tmp_path, {".git/config": b"x", ".hidden": b"\xff", "empty.txt": b"", "blank.txt": b" \n", "a.txt": b"A"})
    assert [seed.fields["id"] for seed in seeds(tmp_path)] == ["a.txt"]


def test_whatever_else_is_no_text_is_told(tmp_path):
    tree(tmp_path, {"a.png": b"\x89PNG", "b.bin": b"a\0b", "c.txt": b"C"})
    (tmp_path / "d").symlink_to("nowhere")
    os.mkfifo(tmp_path / "e")
    found = {Path(problem.file).name: problem.what for problem in problems(tmp_path)}
    assert found == {
        "a.png": "it is not UTF-8: byte 1 is 0x89",
        "b.bin": "it is not a text file",
        "d": "it is a link to what is not there",
        "e": "it is not a file",
    }


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path):
    tree(tmp_path / "seeds", {"a/b.txt": b"B"})
    (tmp_path / "seeds" / "link.txt").symlink_to("a/b.txt")
    (tmp_path / "seeds" / "a" / "up").symlink_to("..")
    assert [seed.fields["id"] for seed in seeds(tmp_path / "seeds")] == ["a/b.txt", "link.txt"]


def test_a_name_that_is_not_utf8_is_told(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.txt")).write_bytes(b"text")
    assert problems(tmp_path)[0].what == "its name is not UTF-8"


# --- making ----------------------------------------------------------------------------------------------------------

TOPICS = SeedsSection(template="Write about {{topic}}.", values={"topic": ["tides", "ice \u2028 \ud800"]}, count=None)


def test_made_seeds_are_read_as_they_were_made(tmp_path):
    path = tmp_path / "new" / "seeds.jsonl"
    assert write_seeds(TOPICS, path) == 2
    assert fields(path) == [
        {"seed": "Write about tides.", "topic": "tides"},
        {"seed": "Write about ice \u2028 \ud800.", "topic": "ice \u2028 \ud800"},
    ]
    assert len(path.read_text().splitlines()) == 2
    assert [entry.name for entry in path.parent.iterdir()] == ["seeds.jsonl"]


def test_a_file_that_holds_just_these_seeds_is_left_alone(tmp_path):
    path = tmp_path / "seeds.jsonl"
    write_seeds(TOPICS, path)
    before = path.stat()
    assert make_file(TOPICS, path, replace=False).unchanged
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_other_seeds_are_only_replaced_when_that_is_asked_for(tmp_path):
    path = file_of(tmp_path, "seeds.jsonl", b'"mine"\n')
    with pytest.raises(TaskFileError, match="other seeds in this file"):
        make_file(TOPICS, path, replace=False)
    assert path.read_bytes() == b'"mine"\n'
    assert [entry.name for entry in tmp_path.iterdir()] == ["seeds.jsonl"]
    assert not make_file(TOPICS, path, replace=True).unchanged
    assert len(fields(path)) == 2


def test_a_link_to_a_seeds_file_stays_a_link(tmp_path):
    target = file_of(tmp_path, "shared.jsonl", b"1\n")
    link = tmp_path / "seeds.jsonl"
    link.symlink_to("shared.jsonl")
    make_file(TOPICS, link, replace=True)
    assert link.is_symlink()
    assert len(fields(target)) == 2


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (SeedsSection(values={"a": []}), "empty list"),
        (SeedsSection(values={"a": [1, 2, "x"]}, template="{{ 1 // (a - 2) }}"), r"seed 2 cannot be made.*with a: 2"),
    ],
)
def test_seeds_that_cannot_be_made_leave_nothing_behind(section, told, tmp_path):
    with pytest.raises(TaskFileError, match=told):
        write_seeds(section, tmp_path / "seeds.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_seeds_go_only_into_files_that_are_read_as_lines_of_json(tmp_path):
    with pytest.raises(TaskFileError, match="can only be made as JSONL"):
        write_seeds(TOPICS, tmp_path / "seeds.csv")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(TaskFileError, match="not a file"):
        write_seeds(TOPICS, tmp_path / "folder.jsonl")


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    with pytest.raises(TaskFileError, match="cannot be written"):
        write_seeds(TOPICS, file_of(tmp_path, "file", b"") / "seeds.jsonl")
