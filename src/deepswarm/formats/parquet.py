"""Parquet: declared columns for the fields that every record has, JSON text for what is free.

    id, answer, model_asked, ...        text
    attempts                            whole number
    simulated                           true or false
    usage, timings                      structs of numbers
    seed, answer_json, amended,         JSON text, since their shape may differ from record to record
    asked_otherwise
    more                                JSON text: an object of all other fields, and of declared ones whose value does
                                        not fit the column (null, an integer beyond 64 bits, a lone surrogate, ...)

A field that is not there is null in its column. So every record fits, whatever its seed looks like, a reader sees the
same columns for every run, and what is read back equals what was written. The columns are part of the format's promise:
new ones may come, none changes its meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count as numbers
from pathlib import Path
from typing import Any, Final

from deepswarm.core.errors import Problem
from deepswarm.core.jsontext import dumps, loads
from deepswarm.core.records import Json, Record
from deepswarm.formats import MOST_DEPTH
from deepswarm.formats.whole_file import whole_file

MARK: Final = b"deepswarm.format"
VERSION: Final = b"1"
MOST_ROWS: Final = 5_000
"""Records of a row group,"""
MOST_TEXT: Final = 32 << 20
"""or characters of its text, if they are sooner reached. Memory is a small multiple of that."""
MORE: Final = "more"


def _is_text(value: Json) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return value.isascii() or value.encode() is not None
    except UnicodeEncodeError:
        return False


def _is_whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63


def _is_usage(value: Json) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"tokens_in", "tokens_out", "cached", "reasoning"}
        and all(item is None or _is_whole(item) for item in value.values())
    )


def _is_timings(value: Json) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"started_utc", "ended_utc", "call_s"}
        and all(isinstance(item, float) for item in value.values())
    )


def _is_truth(value: Json) -> bool:
    return isinstance(value, bool)


_FITS: Final[Mapping[str, Callable[[Json], bool]]] = {
    "id": _is_text,
    "outcome": _is_text,
    "answer": _is_text,
    "answer_json": lambda _: True,
    "reasoning": _is_text,
    "seed": lambda _: True,
    "model_asked": _is_text,
    "model_answered": _is_text,
    "finish_reason": _is_text,
    "usage": _is_usage,
    "attempts": _is_whole,
    "tier": _is_text,
    "timings": _is_timings,
    "request_id": _is_text,
    "fingerprint": _is_text,
    "simulated": _is_truth,
    "amended": lambda _: True,
    "asked_otherwise": lambda _: True,
    "prompt_hash": _is_text,
}
"""The declared columns, in order, and which values they hold."""
_JSON: Final = frozenset({"answer_json", "seed", "amended", "asked_otherwise", MORE})


def write(records: Iterable[Record], path: Path) -> int:
    """See `Writer`."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema()
    total = 0
    with whole_file(path) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for rows in _groups(map(_row, records)):
            columns = {name: [row.get(name) for row in rows] for name in schema.names}
            writer.write_table(pa.table(columns, schema=schema))
            total += len(rows)
    return total


def read(path: Path) -> Iterator[Record | Problem]:
    """See `Reader`. Also reads files of others: a column is a field then, and a null in it is null."""
    import pyarrow as pa
    from pyarrow import parquet

    line = numbers(1)
    try:
        with parquet.ParquetFile(path) as file:
            ours = MARK in (file.schema_arrow.metadata or {})
            for batch in file.iter_batches(batch_size=500):
                for row in batch.to_pylist():
                    number = next(line)
                    try:
                        yield _record(row) if ours else _plain(row)
                    except ValueError as error:
                        yield Problem(f"not a record: {error}", str(path), number)
    except pa.ArrowInvalid as error:
        what = f"not a Parquet file, or it breaks off: {str(error).partition('.')[0]}"
        yield Problem(what, str(path), next(line))


def _schema() -> Any:
    import pyarrow as pa

    text, whole, number = pa.string(), pa.int64(), pa.float64()
    kinds: dict[Any, Any] = {_is_text: text, _is_whole: whole, _is_truth: pa.bool_()}
    structs = {
        "usage": pa.struct([(name, whole) for name in ("tokens_in", "tokens_out", "cached", "reasoning")]),
        "timings": pa.struct([(name, number) for name in ("started_utc", "ended_utc", "call_s")]),
    }
    fields = [(name, structs.get(name) or kinds.get(fits, text)) for name, fits in _FITS.items()]
    return pa.schema([*fields, (MORE, text)], metadata={MARK: VERSION})


def _row(record: Record) -> dict[str, Json]:
    """A record as the cells of its row."""
    row: dict[str, Json] = {}
    more: Record = {}
    for name, value in record.items():
        if name not in _FITS or not _FITS[name](value):
            more[name] = value
        else:
            row[name] = dumps(value).decode() if name in _JSON else value
    if more:
        row[MORE] = dumps(more).decode()
    return row


def _record(row: Mapping[str, Any]) -> Record:
    """The record of a row that we wrote.

    Raises:
        ValueError: If a JSON text in it is none.
    """
    record: Record = {}
    for name, cell in row.items():
        if cell is not None:
            record[name] = loads(cell, MOST_DEPTH) if name in _JSON else cell
    more = record.pop(MORE, {})
    if isinstance(more, dict):
        return record | more
    raise ValueError(f"the column '{MORE}' holds no JSON object")


def _plain(value: Any) -> Any:
    """A value of someone else's file as JSON holds it; what JSON does not know becomes text."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _groups(rows: Iterable[dict[str, Json]]) -> Iterator[list[dict[str, Json]]]:
    """Rows in groups of a bounded size, none of them empty."""
    group: list[dict[str, Json]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(len(cell) for cell in row.values() if isinstance(cell, str))
        if len(group) >= MOST_ROWS or size >= MOST_TEXT:
            yield group
            group, size = [], 0
    if group:
        yield group
