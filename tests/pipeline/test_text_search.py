"""A search among true candidates: a tiny base as it is and with examples, in two types, through the whole build."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.core.events import Event
from linnet.core.store import Store
from linnet.core.task import Task, parse_task
from linnet.pipeline.build import BuildResult, build, build_until
from linnet.pipeline.build_plan import plan_build
from linnet.pipeline.build_text import Stopped
from linnet.pipeline.text_data import prepare_texts, read_split
from tests.tiny_decoder import tiny_decoder

# Conversions, loads of the engine and a measurement of the machine: half a minute of one core each.
pytestmark = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="set LINNET_NIGHTLY=1: takes a minute")
WORDS = ("red", "green", "blue", "white")


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("base") / "tiny", dtype="bfloat16")


def task(folder: Path, base: Path, **more: Any) -> Task:
    """300 rows to learn from, of which 30 choose, and 4 to test."""
    rows = [{"said": f"Make it {WORDS[i % 4]} now {i}", "colour": WORDS[i % 4]} for i in range(304)]
    for name, part in (("train", rows[4:]), ("test", rows[:4])):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in part))
    content: dict[str, Any] = {
        "task": {"name": "colour", "kind": "generate", "input": "said", "output": "colour"},
        "data": {"train": "train.jsonl", "test": "test.jsonl"},
        "candidates": {"models": [str(base)], "methods": ["prompt", "few_shot"], "quantizations": ["BF16", "Q8_0"]},
        "quality": {"metric": "chrf", "max_loss": 1.0},
    }
    for key, values in more.items():
        content[key] = {**content.get(key, {}), **values}
    return parse_task(content, folder)


def test_a_base_that_is_only_asked_becomes_a_specialist(base: Path, tmp_path: Path) -> None:
    made, store = task(tmp_path, base), Store(tmp_path / "store")
    first = build_until(made, "evaluate", store)
    assert isinstance(first, Stopped)
    assert set(first.facts["validation"]) == {"prompt-BF16", "prompt-Q8_0", "few_shot-BF16", "few_shot-Q8_0"}
    seen: list[Event] = []
    result = build(made, store, seen.append)
    assert isinstance(result, BuildResult)
    again = {event.stage for event in seen if event.kind == "start"}
    assert not again & {"prepare", "convert", "answer", "measure"}  # all of it was there already
    assert result.specialist.asked is not None
    shown = result.specialist.asked.shots
    assert result.specialist.candidate.startswith("few_shot" if shown else "prompt")
    report = json.loads((result.folder / "report.json").read_text())
    found = report["search"]
    assert [one["questions"] for one in found["rounds"]] == [20, 20, 30]
    assert set(found["rounds"][0]["scores"]) == {"prompt-BF16", "few_shot-BF16"}
    assert [one["of"] for one in found["rounds"]] == ["methods", "candidates", "candidates"]
    assert found["choice"] == result.specialist.candidate
    assert found["choice"] in found["front"]
    assert found["reasons"].startswith("4 candidates. 4 answered all 30 validation questions.")
    assert report["lineage"]["settings"]["method"] in ("prompt", "few_shot")
    assert "tune" not in report["lineage"]["runs"]
    assert report["baseline"] is None  # both simple ways compete themselves


def test_examples_before_a_question_are_kept_for_serving(base: Path, tmp_path: Path) -> None:
    made = task(tmp_path, base, candidates={"methods": ["few_shot"], "quantizations": ["BF16"]})
    store = Store(tmp_path / "store")
    asked = build(made, store).specialist.asked
    assert asked is not None
    assert [role for role, _ in asked.shots] == ["user", "assistant"] * 3
    prepared = prepare_texts(store, made)
    rows = {one.asked: one.references[0] for one in read_split(prepared, "train")}
    said = [text for _, text in asked.shots]
    assert [rows[question] for question in said[::2]] == said[1::2]
    assert Store(tmp_path / "store").find("colour")[0].asked == asked


def test_weights_over_the_limit_are_left_out_by_the_plan(base: Path, tmp_path: Path) -> None:
    """The dry run and the build say the same, with the number."""
    limited = task(tmp_path, base, candidates={"methods": ["prompt"]}, budget={"size": 1000})
    store = Store(tmp_path / "store")
    with pytest.raises(InputError, match="No candidate can fit") as caught:
        build(limited, store)
    assert "prompt-BF16: its weights take 0." in caught.value.message
    assert "the size limit is 0.0 MB" in caught.value.message
    with pytest.raises(InputError, match="No candidate can fit"):
        plan_build(limited, store)
