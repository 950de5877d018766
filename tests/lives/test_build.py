"""The whole life on a tiny encoder, through the front door: build, reuse, edit, damage, classify, evaluate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from linnet.core.events import Event
from linnet.core.store import Store, verify_files
from linnet.pipeline.build import build
from linnet.stages.serve import Specialists
from tests.tiny_encoder import tiny_encoder, tiny_task


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def stages(self, kind: str) -> list[str]:
        return [e.stage for e in self.events if e.kind == kind]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("life")
    encoder = tiny_encoder(place / "encoder")
    task = tiny_task(place / "task", encoder, methods='["full", "lora"]', kinds='["fp32", "int8"]')
    store = Store(place / "store")
    return store, task, build(task, store)


def test_build_makes_a_specialist_that_answers(built) -> None:
    store, _, result = built
    assert result.specialist.full_name == "topics:1"
    verify_files(result.folder, result.specialist.files)
    found = Specialists(store).classify("topics", ["kabel lofan robin tofan", "hammer mibel nudor"])
    assert {a.label for a in found.answers} <= {"bird", "fruit", "tool"}
    assert sum(found.answers[0].probabilities.values()) == pytest.approx(1, abs=1e-4)


def test_served_answers_are_those_that_were_evaluated(built) -> None:
    """Parity gate: what the bundle answers is what the report judged, example by example."""
    store, _, result = built
    report = json.loads((result.folder / "report.json").read_text())
    rows = (store.root / "runs" / report["lineage"]["runs"]["prepare"] / "test.jsonl").read_text().splitlines()
    kept = json.loads(
        (store.root / "runs" / report["lineage"]["runs"]["evaluate"] / "test.predictions.json").read_text()
    )
    texts = [json.loads(row)["text"] for row in rows]
    answers = Specialists(store).classify("topics", texts).answers
    labels = result.specialist.decision.labels
    assert [a.label for a in answers] == [labels[i] for i in kept["predicted"]]
    assert [a.probability for a in answers] == pytest.approx(kept["probability"], abs=1e-5)


def test_report_has_every_candidate_and_gate(built) -> None:
    _, _, result = built
    report = json.loads((result.folder / "report.json").read_text())
    names = {c["name"] for c in report["candidates"]}
    assert names == {"full-fp32", "full-int8", "lora-fp32", "lora-int8", "majority", "tfidf_logistic"}
    assert {g["passed"] for g in report["gates"]} <= {True, False}
    assert any("adapter = merged" in g["name"] for g in report["gates"])
    assert "<html" in (result.folder / "report.html").read_text()
    card = (result.folder / "MODEL_CARD.md").read_text()
    assert "# topics:1\n" in card
    assert 'pipeline_tag: "text-classification"' in card
    assert all(f"`{label}`" in card for label in result.specialist.decision.labels)
    assert str(Path.home()) not in (result.folder / "report.html").read_text()


def test_same_build_again_reuses_every_stage(built) -> None:
    store, task, first = built
    heard = Heard()
    again = build(task, store, heard)
    assert again.reused
    assert again.specialist == first.specialist
    assert heard.stages("start") == []
    assert set(heard.stages("reused")) == {"pull", "prepare", "tune", "quantize", "evaluate", "choose", "pack"}


def test_summary_is_the_documented_line(built) -> None:
    _, _, result = built
    summary = result.summary()
    assert {"specialist", "metric", "baseline", "chosen", "report", "seconds"} <= set(summary)
    assert set(summary["metric"]) == {"name", "value", "ci95"}
    assert {"candidate", "size_bytes", "latency_ms_p95", "reason"} == set(summary["chosen"])
    assert Path(summary["report"]).is_file()


def test_editing_a_test_row_trains_nothing(built) -> None:
    store, task, _ = built
    test = task.parent / "test.csv"
    before = test.read_text()
    lines = before.splitlines()
    lines[1] = "kabel kabel pear lodor lofan,fruit"
    test.write_text("\n".join(lines) + "\n")
    heard = Heard()
    try:
        build(task, store, heard)
    finally:
        test.write_text(before)
    assert set(heard.stages("reused")) >= {"pull", "tune", "quantize"}
    assert "tune" not in heard.stages("start")
    assert {"prepare", "evaluate", "choose"} <= set(heard.stages("start"))


def test_damaged_store_file_is_found_by_hash_and_made_again(built) -> None:
    store, task, first = built
    run = json.loads((first.folder / "record.json").read_text())["lineage"]["runs"]["quantize"]
    model = next((store.root / "runs" / run).glob("*/model.onnx"))
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    heard = Heard()
    build(task, store, heard)
    warnings = [e.message for e in heard.events if e.kind == "warning" and e.stage == "quantize"]
    assert len(warnings) == 1
    assert model.name in warnings[0]
    assert "sha256" in warnings[0]
    assert "tune" not in heard.stages("start")


def test_evaluate_command_agrees_with_the_report(built) -> None:
    store, task, first = built
    done = subprocess.run(
        [sys.executable, "-m", "linnet", "evaluate", "topics:1", str(task.parent / "test.csv"), "--json"],
        capture_output=True, text=True, check=True, env={**os.environ, "LINNET_HOME": str(store.root)},
    )  # fmt: skip
    assert json.loads(done.stdout)["macro_f1"]["value"] == pytest.approx(first.specialist.metric["value"])


def test_two_builds_at_once_share_one_training(tmp_path: Path, built) -> None:
    _, task, _ = built
    command = [sys.executable, "-m", "linnet", "build", str(task), "--json"]
    environment = {**os.environ, "LINNET_HOME": str(tmp_path / "store")}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=900) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    names = {json.loads(out)["specialist"] for out, _ in outputs}
    assert names == {"topics:1"}
    assert len([p for p in (tmp_path / "store" / "runs").iterdir() if p.name.startswith("tune-")]) == 2
