"""Folders that the library `datasets` saved: written by the library itself, read without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import DataError, InputError, ModelFileError
from linnet.formats.datasets_folder import SPLITS, STATE, is_dataset, read_dataset

datasets = pytest.importorskip("datasets")
ROWS = {
    "prompt": ["a", "b", "c"],
    "messages": [[{"role": "user", "content": "q", "weight": None}]] * 3,
    "score": [0.5, None, 2.0],
}


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


def saved(folder: Path, values: dict[str, list[Any]] = ROWS, **options: Any) -> Path:
    datasets.Dataset.from_dict(values).save_to_disk(folder, **options)
    return folder


def test_rows_are_those_that_were_saved(tmp_path: Path) -> None:
    folder = saved(tmp_path / "d", num_shards=2)
    rows, notes, digest = read_dataset(folder)
    assert rows == list(datasets.load_from_disk(folder))
    assert (notes, len(digest)) == ([], 64)
    assert is_dataset(folder)
    assert not is_dataset(tmp_path)


def test_splits_are_chosen_by_name(tmp_path: Path) -> None:
    made = {name: datasets.Dataset.from_dict({"text": [name]}) for name in ("train", "test")}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "d")
    assert read_dataset(tmp_path / "d")[:2] == ([{"text": "train"}], ["split train; not read: test"])
    assert read_dataset(tmp_path / "d", "test")[0] == [{"text": "test"}]
    assert read_dataset(tmp_path / "d" / "test")[0] == [{"text": "test"}]
    with pytest.raises(InputError, match=r"no split 'tests'\. Did you mean"):
        read_dataset(tmp_path / "d", "tests")
    with pytest.raises(InputError, match="without splits"):
        read_dataset(tmp_path / "d" / "test", "test")


def test_several_splits_without_train_are_asked_about(tmp_path: Path) -> None:
    made = {name: datasets.Dataset.from_dict({"text": [name]}) for name in ("one", "two")}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "d")
    with pytest.raises(InputError, match="several splits and none is called train"):
        read_dataset(tmp_path / "d")


def test_class_labels_have_their_names(tmp_path: Path) -> None:
    label = datasets.ClassLabel(names=["bad", "good"])
    made = datasets.Dataset.from_dict({"label": [1, 0, -1]}, features=datasets.Features({"label": label}))
    made.save_to_disk(tmp_path / "d")
    rows, notes, _ = read_dataset(tmp_path / "d")
    assert [row["label"] for row in rows] == ["good", "bad", None]
    assert notes == ["label: numbers read as the names of their classes"]


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", "..", "", 7, "a\\b"])
def test_a_state_that_names_another_place_is_refused(tmp_path: Path, name: Any) -> None:
    folder = saved(tmp_path / "d")
    (tmp_path / "secret.arrow").write_bytes(b"x")
    state = json.loads((folder / STATE).read_text())
    (folder / STATE).write_text(json.dumps({**state, "_data_files": [{"filename": name}]}))
    with pytest.raises(DataError, match="no name of its folder"):
        read_dataset(folder)


def test_links_and_damage_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "d")
    arrow = next(folder.glob("*.arrow"))
    whole = arrow.read_bytes()
    arrow.write_bytes(b"not arrow at all")
    with pytest.raises(DataError, match="not a readable Arrow stream"):
        read_dataset(folder)
    arrow.unlink()
    (tmp_path / "elsewhere").write_bytes(whole)
    arrow.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="a link"):
        read_dataset(folder)
    arrow.unlink()
    with pytest.raises(DataError, match="missing"):
        read_dataset(folder)
    (folder / SPLITS).write_text('{"splits": "train"}')
    with pytest.raises(DataError, match="must be a list of names"):
        read_dataset(folder)
    (folder / SPLITS).write_text("[")
    with pytest.raises(ModelFileError):
        read_dataset(folder)
