"""Predictions beside the truth: counted by machine, bounded, and never in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.core import history
from linnet.core.errors import DiskFull, InputError, NameInvalid
from linnet.core.store import Store


def test_the_error_is_the_median_of_what_was_seen(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert history.errors(store, "tune-seconds") is None
    assert history.bias(store, "tune-seconds") == 1.0
    for key, predicted, actual in (("a", 90, 100), ("b", 100, 100), ("c", 200, 100)):
        history.append(store, "tune-seconds", key, predicted, actual)
    assert history.errors(store, "tune-seconds") == pytest.approx(0.1)
    assert history.bias(store, "tune-seconds") == pytest.approx(1.0)
    assert history.errors(store, "tune-memory") is None


def test_a_key_is_counted_once_and_the_file_stays_small(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(history.LIMIT + 3):
        history.append(store, "plan", f"run-{number}", 1.0, 2.0)
    history.append(store, "plan", "run-50", 3.0, 2.0)
    found = history.outcomes(store, "plan")
    assert len(found) == history.LIMIT
    assert [one.predicted for one in found if one.key == "run-50"] == [3.0]
    assert found[-1].key == "run-50"


def test_another_machine_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    monkeypatch.setattr(history.platform, "node", lambda: "elsewhere")
    history.append(store, "plan", "a", 1.0, 9.0)
    monkeypatch.undo()
    assert history.outcomes(store, "plan") == []
    history.append(store, "plan", "a", 1.0, 1.0)
    assert history.errors(store, "plan") == 0.0


@pytest.mark.parametrize("content", ["", "{", "{}", '[{"key": 1}]', "[1]"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path)
    history.append(store, "plan", "a", 1.0, 1.0)
    (tmp_path / "history" / "plan.json").write_text(content)
    assert history.outcomes(store, "plan") == []
    history.append(store, "plan", "b", 2.0, 1.0)
    assert history.errors(store, "plan") == 1.0


def test_what_means_nothing_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for predicted, actual in ((0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0), (1.0, float("inf"))):
        with pytest.raises(InputError, match="not both above 0"):
            history.append(store, "plan", "a", predicted, actual)
    with pytest.raises(NameInvalid):
        history.append(store, "../plan", "a", 1.0, 1.0)


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, arm: Callable[[str], None]) -> None:
    store = Store(tmp_path)
    history.append(store, "plan", "a", 1.0, 1.0)
    arm("files.fsync=enospc")
    with pytest.raises(DiskFull):
        history.append(store, "plan", "b", 1.0, 5.0)
    arm("")
    assert [one.key for one in history.outcomes(store, "plan")] == ["a"]
