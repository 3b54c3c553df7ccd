"""Seeds in a Parquet file: one a row, its columns are the fields.

What JSON has no word for becomes text or null: dates and times as in ISO 8601 (a nanosecond's digits are cut to those
of a microsecond), decimal numbers with all their digits, NaN as null, which it stands for in tables. Maps become
objects. Bytes and spans of time are Problems, as is Infinity. A seed's line number is that of its row, from 1.

One group of rows is held at a time, so memory follows the size of a group, not that of the file.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.records import Json, Seed
from deepswarm.sources.reading import fields_of, is_packed, opened

_BATCH_ROWS: Final = 256


def read(path: Path) -> Iterator[Seed | Problem]:
    """See `Source.read`."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    with ExitStack() as stack:
        try:
            file = stack.enter_context(ParquetFile(stack.enter_context(_seekable(path))))
            problems = list(_column_problems(path, file.schema_arrow))
            yield from problems
            if not problems:
                yield from _seeds(path, file)
        except pa.ArrowException as error:
            what = f"the Parquet file cannot be read: {str(error).splitlines()[0]}"
            raise TaskFileError([Problem(what, str(path), hint="get the file anew")]) from error


def _seekable(path: Path) -> Any:
    """The file, or a copy without compression, which lasts as long as it is open: Parquet is read from its end."""
    if not is_packed(path):
        return path.open("rb")
    with ExitStack() as stack:
        copy = stack.enter_context(tempfile.TemporaryFile())
        with opened(path) as file:
            shutil.copyfileobj(file, copy)
        copy.seek(0)
        stack.pop_all()
    return copy


def _column_problems(path: Path, schema: Any) -> Iterator[Problem]:
    seen: set[str] = set()
    for field in schema:
        if field.name in seen:
            yield Problem(f"two columns are named '{field.name}'", str(path), hint="give one of them another name")
        seen.add(field.name)
        if kind := _unfit(field.type):
            what = f"the column '{field.name}' holds {kind}, which a seed cannot"
            yield Problem(what, str(path), hint="leave the column out, or write it as text")


def _unfit(kind: Any) -> str:
    """What no seed can hold, in this type or within it; empty when there is nothing of that."""
    from pyarrow import types

    name = str(kind)
    if types.is_duration(kind) or types.is_interval(kind):
        return "spans of time"
    if name.startswith(("binary", "large_binary", "fixed_size_binary")):
        return "bytes"
    if types.is_dictionary(kind):
        return _unfit(kind.value_type)
    within = (_unfit(kind.field(place).type) for place in range(kind.num_fields)) if types.is_nested(kind) else ()
    return next(filter(None, within), "")


def _seeds(path: Path, file: Any) -> Iterator[Seed | Problem]:
    number = 0
    for read_batch in file.iter_batches(_BATCH_ROWS):
        batch = _without_nanoseconds(read_batch)
        try:
            rows = _values(batch)
        except _UNREADABLE:
            rows = None  # one bad row must not hide the others: they are read one by one
        for place in range(batch.num_rows):
            number += 1
            try:
                row = _values(batch.slice(place, 1))[0] if rows is None else rows[place]
                seed: Seed | Problem = Seed(fields_of({name: _json(value) for name, value in row.items()}), line=number)
            except _UNREADABLE as error:
                seed = Problem(f"row {number:,}: {error}", str(path), hint="take it out, or correct it")
            yield seed


_UNREADABLE: Final = (ValueError, OverflowError, KeyError)
"""Of a value: text that is not UTF-8 or no JSON; a time that Python has no date for; a name twice in a map."""


def _values(batch: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = batch.to_pylist(maps_as_pydicts="strict")
    return rows


def _without_nanoseconds(batch: Any) -> Any:
    """Python's own times have microseconds; what more there is would be read only where pandas is installed."""
    import pyarrow as pa

    for place, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            micro = pa.timestamp("us", field.type.tz)
        elif pa.types.is_time64(field.type) and field.type.unit == "ns":
            micro = pa.time64("us")
        else:
            continue
        batch = batch.set_column(place, field.name, batch.column(place).cast(micro, safe=False))
    return batch


def _json(value: Any) -> Json:
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError("Infinity is not JSON")
        return None if math.isnan(value) else value
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [_json(inner) for inner in value]
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise ValueError("a map whose names are not text cannot be an object")
        return {name: _json(inner) for name, inner in value.items()}
    raise ValueError(f"a value of the kind {type(value).__name__} cannot be part of a seed")
