"""Folders that the library `datasets` saved (`save_to_disk`): Arrow streams named by a state file, or splits of them.

Read through polars, without the library. A label that is stored as a number becomes the name of its class. What a
state file names outside of its own folder is refused. Knows nothing of what a row means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.core.errors import DataError, InputError, did_you_mean, require
from linnet.core.files import canonical, sha256_bytes, sha256_file
from linnet.formats.json_object import read_object
from linnet.formats.parsed import check_columns

SPLITS, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
DEFAULT_SPLIT = "train"
MOST_JSON_BYTES = 1 << 26
REPAIR = "Save it again with save_to_disk, or as Parquet."


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a saved dataset, or several splits of one."""
    return (folder / SPLITS).is_file() or (folder / STATE).is_file()


def read_dataset(folder: Path, split: str = "") -> tuple[list[dict[str, Any]], list[str], str]:
    """(rows, notes, sha256 of all that was read) of a saved dataset, or of one split: `split`, else "train", else the
    only one. Raises InputError for a split that is not there, DataError for a damaged folder, ResourceMissing.
    """
    notes: list[str] = []
    place = folder
    if (folder / SPLITS).is_file():
        place, notes = _chosen(folder, split)
    elif split:
        raise InputError(f"{folder} is one dataset without splits; --split {split} names one.", "Leave it out.")
    files = _files(place)
    rows = [row for path in files for row in _rows(path)]
    classes = _classes(place)
    for column, names in classes.items():
        for number, row in enumerate(rows, 1):
            row[column] = _name(row.get(column), names, f"{place.name}, row {number}, {column!r}")
    notes += [f"{column}: numbers read as the names of their classes" for column in classes]
    return rows, notes, sha256_bytes(canonical([sha256_file(path) for path in (*files, place / STATE)]))


def _chosen(folder: Path, split: str) -> tuple[Path, list[str]]:
    known = read_object(folder / SPLITS, MOST_JSON_BYTES).get("splits")
    if not isinstance(known, list) or not known or not all(isinstance(name, str) for name in known):
        raise DataError(f"{folder / SPLITS}: splits must be a list of names.", REPAIR)
    listed = ", ".join(known)
    if split and split not in known:
        raise InputError(f"{folder} has no split {split!r}.{did_you_mean(split, known)}", f"Its splits: {listed}.")
    if not split and DEFAULT_SPLIT not in known and len(known) > 1:
        raise InputError(f"{folder} has several splits and none is called train.", f"Choose with --split: {listed}.")
    name = split or (DEFAULT_SPLIT if DEFAULT_SPLIT in known else known[0])
    others = ", ".join(other for other in known if other != name)
    return _inside(folder, name, SPLITS), [f"split {name}" + (f"; not read: {others}" if others else "")]


def _inside(folder: Path, name: Any, where: str) -> Path:
    """A name that a file of the folder gives: of something in this very folder, and no link."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise DataError(f"{folder / where} names {str(name)[:80]!r}, which is no name of its folder.", REPAIR)
    found = folder / name
    if found.is_symlink() or not found.exists():
        raise DataError(f"{folder / where} names {name!r}, which is {'a link' if found.is_symlink() else 'missing'}.")
    return found


def _files(folder: Path) -> list[Path]:
    if not (folder / STATE).is_file():
        raise DataError(f"{folder} has no {STATE}.", REPAIR)
    listed = read_object(folder / STATE, MOST_JSON_BYTES).get("_data_files")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise DataError(f"{folder / STATE}: _data_files must be a list of objects.", REPAIR)
    return [_inside(folder, entry.get("filename"), STATE) for entry in listed]


def _rows(path: Path) -> list[dict[str, Any]]:
    require("polars", "train")
    import polars

    try:
        frame = polars.read_ipc_stream(path)
    # Many kinds of failure come out of polars here, and its panic is no Exception.
    except (Exception, polars.exceptions.PanicException) as error:
        raise DataError(f"{path}: not a readable Arrow stream: {str(error).splitlines()[0][:200]}.", REPAIR) from error
    check_columns(list(frame.columns), str(path))
    rows: list[dict[str, Any]] = frame.to_dicts()
    return rows


def _classes(folder: Path) -> dict[str, list[str]]:
    if not (folder / INFO).is_file():
        return {}
    features = read_object(folder / INFO, MOST_JSON_BYTES).get("features")
    found = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise DataError(f"{folder / INFO}: the classes of {column!r} have no names.", REPAIR)
            found[str(column)] = names
    return found


def _name(value: Any, names: list[str], where: str) -> str | None:
    """-1 is how the library writes that there is no label."""
    if value is None or value == -1:
        return None
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise DataError(f"{where}: {value!r} is none of its {len(names)} classes.", REPAIR)
    return names[value]
