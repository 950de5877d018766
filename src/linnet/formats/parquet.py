"""Parquet files, read through polars. Every column becomes text; columns of columns are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.core.errors import DataError, require
from linnet.formats.parsed import Parsed, check_columns, check_text


def read_parquet(path: Path) -> Parsed:
    """Every row, numbered from 1. A null is "", true is "true".

    Raises DataError for a damaged file, a nested or binary column and a NaN; ResourceMissing without polars.
    """
    frame, polars = _frame(path)
    columns = check_columns(list(frame.columns), str(path))
    texts = {name: _texts(frame[name], f"{path}, column {name!r}", polars) for name in columns}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*texts.values(), strict=True)]
    return Parsed(columns, rows, list(range(1, len(rows) + 1)))


def read_nested_parquet(path: Path) -> list[dict[str, Any]]:
    """Every row with its lists and structs as lists and dicts. Raises DataError; ResourceMissing without polars."""
    frame, _ = _frame(path)
    check_columns(list(frame.columns), str(path))
    rows: list[dict[str, Any]] = frame.to_dicts()
    return rows


def _frame(path: Path) -> tuple[Any, Any]:
    require("polars", "train")
    import polars

    try:
        return polars.read_parquet(path, glob=False), polars
    # Many kinds of failure come out of polars here, and its panic is no Exception.
    except (Exception, polars.exceptions.PanicException) as error:
        raise DataError(
            f"{path}: not a readable Parquet file: {str(error).splitlines()[0][:200] if str(error) else error!r}.",
            "Write it again, or save it as CSV.",
        ) from error


def _texts(series: Any, where: str, polars: Any) -> list[str]:
    kind = series.dtype
    if kind.is_nested() or kind in (polars.Binary, polars.Object):
        raise DataError(f"{where}: holds {kind}; only text, numbers, dates and true or false fit.", "Flatten it.")
    if kind.is_float() and (bad := series.is_nan().fill_null(False)).any():
        raise DataError(f"{where}, row {bad.arg_max() + 1}: NaN is no value.", "Write null, or a number.")
    values = series.cast(polars.String).fill_null("").to_list()
    return [check_text(value, f"{where}, row {row}") for row, value in enumerate(values, 1)]
