"""How fast, and in how much memory, CSV libraries bring a file of boxes into arrays.

Each reads ImageID and LabelName as codes with a dictionary, and four corners and IsGroupOf as
float64, in a process of its own. A library that is not installed is left out.
"""

import csv
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from pipelines.benchmarks.fresh_process import measure
from pipelines.data.tables import read_table

_IDS = ("ImageID", "LabelName")
_NUMBERS = ("XMin", "XMax", "YMin", "YMax", "IsGroupOf")
_COLUMNS = _IDS + _NUMBERS
_ROWS_PER_CHUNK = 1 << 16
_MEBIBYTE = 1 << 20

Columns: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class CsvTiming:
    """What one way of reading took.

    Args:
        library: The library, and how it was used where there are several ways.
        version: Of the library, or of Python for its own.
        seconds: Wall clock of each run, without importing the library.
        median: Of the runs.
        peak_rss_bytes: The most memory that a run's process ever held.
    """

    library: str
    version: str
    seconds: tuple[float, ...]
    median: float
    peak_rss_bytes: int


def compare_csv_libraries(path: Path, runs: int = 3) -> list[CsvTiming]:
    """Measure every installed library on one file of Open Images boxes, ``runs`` times each."""
    return [
        _measure(name, reader.module, path, runs)
        for name, reader in READERS.items()
        if find_spec(reader.module)
    ]


def _measure(name: str, module: str, path: Path, runs: int) -> CsvTiming:
    measured = [measure(_seconds_to_read, name, path) for _ in range(runs)]
    seconds = tuple(run.result for run in measured)
    peak = max(run.peak_rss_bytes for run in measured)
    return CsvTiming(name, _version(module), seconds, statistics.median(seconds), peak)


def _version(module: str) -> str:
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:  # a module of the standard library
        return platform.python_version()


def _seconds_to_read(name: str, path: Path) -> float:
    import_module(READERS[name].module)  # outside of the time
    started = time.perf_counter()
    READERS[name].read(path)
    return time.perf_counter() - started


def _read_wtn(path: Path) -> Columns:
    table = read_table(path, text=_IDS, numbers=_NUMBERS)
    codes = {name: column.codes for name, column in table.text.items()}
    return {**codes, **table.numbers}


def _read_stdlib(path: Path) -> Columns:
    codes: dict[str, dict[str, int]] = {name: {} for name in _IDS}
    chunks: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        positions = {name: position for position, name in enumerate(next(reader))}
        while rows := list(islice(reader, _ROWS_PER_CHUNK)):
            columns = list(zip(*rows, strict=True))
            for name, known in codes.items():
                coded = (known.setdefault(v, len(known)) for v in columns[positions[name]])
                chunks[name].append(np.fromiter(coded, np.int32, len(rows)))
            for name in _NUMBERS:
                numbers = map(float, columns[positions[name]])
                chunks[name].append(np.fromiter(numbers, np.float64, len(rows)))
    return {name: np.concatenate(chunks.pop(name)) for name in _COLUMNS}


def _arrow_options() -> dict[str, Any]:
    ids = dict.fromkeys(_IDS, pa.dictionary(pa.int32(), pa.string()))
    types = ids | dict.fromkeys(_NUMBERS, pa.float64())
    return {
        "convert_options": pyarrow.csv.ConvertOptions(include_columns=_COLUMNS, column_types=types)
    }


def _read_arrow_whole(path: Path) -> Columns:
    return _from_arrow(pyarrow.csv.read_csv(path, **_arrow_options()))


def _read_arrow_stream(path: Path, mebibytes: int) -> Columns:
    blocks = pyarrow.csv.ReadOptions(block_size=mebibytes * _MEBIBYTE)
    with pyarrow.csv.open_csv(path, read_options=blocks, **_arrow_options()) as batches:
        return _from_arrow(pa.Table.from_batches(batches))


def _from_arrow(table: pa.Table) -> Columns:
    ids = {name: table[name].unify_dictionaries().combine_chunks() for name in _IDS}
    return {name: column.indices.to_numpy() for name, column in ids.items()} | {
        name: table[name].to_numpy() for name in _NUMBERS
    }


def _read_polars(path: Path) -> Columns:
    polars = import_module("polars")

    types = dict.fromkeys(_IDS, polars.Categorical) | dict.fromkeys(_NUMBERS, polars.Float64)
    frame = polars.read_csv(path, columns=_COLUMNS, schema_overrides=types)
    return {name: frame[name].to_physical().to_numpy() for name in _COLUMNS}


def _read_pandas(path: Path, engine: str) -> Columns:
    pandas = import_module("pandas")

    types = dict.fromkeys(_IDS, "category") | dict.fromkeys(_NUMBERS, "float64")
    frame = pandas.read_csv(path, usecols=list(_COLUMNS), dtype=types, engine=engine)
    return {name: frame[name].cat.codes.to_numpy() for name in _IDS} | {
        name: frame[name].to_numpy() for name in _NUMBERS
    }


def _read_duckdb(path: Path) -> Columns:
    duckdb = import_module("duckdb")

    relation = duckdb.read_csv(str(path), dtype=dict.fromkeys(_NUMBERS, "DOUBLE"))
    table = relation.select(*_COLUMNS).to_arrow_table()
    for position, name in enumerate(_IDS):
        table = table.set_column(position, name, table[name].dictionary_encode())
    return _from_arrow(table)


@dataclass(frozen=True)
class _Reader:
    module: str
    read: Callable[[Path], Columns]


READERS: Mapping[str, _Reader] = {
    "read_table (pyarrow)": _Reader("pyarrow", _read_wtn),
    "csv": _Reader("csv", _read_stdlib),
    "pyarrow read_csv": _Reader("pyarrow", _read_arrow_whole),
    **{
        f"pyarrow open_csv, {size} MiB blocks": _Reader(
            "pyarrow", partial(_read_arrow_stream, mebibytes=size)
        )
        for size in (1, 4, 16)
    },
    "polars": _Reader("polars", _read_polars),
    "pandas, C engine": _Reader("pandas", partial(_read_pandas, engine="c")),
    "pandas, pyarrow engine": _Reader("pandas", partial(_read_pandas, engine="pyarrow")),
    "duckdb": _Reader("duckdb", _read_duckdb),
}
