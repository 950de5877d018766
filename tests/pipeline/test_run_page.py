"""A run's page: self-contained, escaped, and honest about what can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.core.events import Event, silent
from linnet.core.files import make_folder, write_json
from linnet.core.records import Run
from linnet.core.runs import RunView, logged
from linnet.pipeline.run_page import render, thinned
from linnet.pipeline.run_report import compare

EPOCHS = [{"epoch": i, "train_loss": 2.0 / i, "validation_loss": 3.0 / i, "step": 10 * i} for i in (1, 2)]


def view(folder: Path, name: str = "tune-a", **changed: Any) -> RunView:
    make_folder(folder)
    result = {
        "kind": "decoder", "method": "lora", "base": "tiny", "template": "chatml", "best_epoch": 2, "epochs": EPOCHS,
        "recipe": {"lora_rank": 4}, "trained_parameters": 5, "target_tokens_per_second": 7.0, "seconds": 1.0,
    }  # fmt: skip
    inputs = {"base_name": "tiny", "train": "t", "validation": "v", "template": "x"}
    run = Run(
        id=name, stage="tune", key="k", inputs=inputs | changed.pop("inputs", {}), code_version="1", files={},
        result=result | changed, seconds=1.0, created="2026-01-01",
    )  # fmt: skip
    return RunView(name, "done", folder, run, {"recipe": {"lora_rank": 4}})


def with_curve(folder: Path) -> RunView:
    found = view(folder)
    with logged(folder, silent) as tell:
        for step in range(1, 1001):
            tell(Event("progress", "tune", "", step, 1000, {"loss": 5.0 / step}))
        for entry in EPOCHS:
            tell(Event("note", "tune", "", data=entry))
    example = {"row": 1, "text": [{"text": "<script>alert(1)</script>\x1b[31m", "learned": True}]}
    write_json(folder / "data_report.json", {"examples": [example], "train_rows": 3, "reasons": ["r & b"]})
    return found


def test_the_page_stands_alone_and_escapes(tmp_path: Path) -> None:
    page = render(with_curve(tmp_path))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "r &amp; b" in page
    assert page.count("<polyline") == 2
    assert "2 (kept)" in page
    assert len(page) < 60_000


def test_a_run_without_a_curve_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no curve"):
        render(view(tmp_path))


def test_many_points_become_means() -> None:
    points = [(float(x), float(x)) for x in range(1, 1001)]
    few = thinned(points, 100)
    assert len(few) == 100
    assert few[0] == (10.0, 5.5)
    assert thinned([], 10) == []


def test_runs_that_were_judged_otherwise_say_so(tmp_path: Path) -> None:
    first, other = view(tmp_path / "a"), view(tmp_path / "b", "tune-b", recipe={"lora_rank": 8})
    found = compare([first, other])
    assert found["differ"] == {"lora_rank": [4, 8]}
    assert found["results"]["validation_loss"] == [1.5, 1.5]
    assert found["problems"] == []
    odd = view(tmp_path / "c", "tune-c", inputs={"validation": "w"})
    assert "different held-out rows" in compare([first, odd])["problems"][0]
    with pytest.raises(InputError, match="two different runs"):
        compare([first, first])
