"""What a build of records leaves: the front, the cost of each, a reference beside, parts of the test, worst examples.

The answers are given here, so that nothing is trained; everything after them is the build's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from linnet.core.records import Choice, Decision, Footprint, Specialist
from linnet.core.store import Store
from linnet.core.task import parse_task
from linnet.engines.requests.asking import Prediction, Prompting, Source
from linnet.pipeline.evaluate import Evaluated, Wish, judge_predictions
from linnet.pipeline.text_candidates import JUDGED, Made, Work, majority
from linnet.pipeline.text_data import prepare_texts
from linnet.pipeline.text_report import Parts, documents
from linnet.stages.evaluate import task_evaluation
from tests.endpoints import listening, refused, reply, said

ROOMS = ("kitchen", "hall", "attic")
SCHEMA = {
    "type": "object", "properties": {"room": {"enum": list(ROOMS)}, "level": {"type": "integer"}},
    "required": ["room", "level"], "additionalProperties": False,
}  # fmt: skip


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Says the kitchen at level 1, whatever is asked; it knows the model gpt-x alone."""

    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        known = body["model"] == "gpt-x"
        found = said('{"room": "kitchen", "level": 1}') if known else refused("no such model")
        reply(handler, 200 if known else 404, found)

    with listening(answer) as url:
        yield f"{url}/v1"


def work(folder: Path, report: dict[str, str]) -> Work:
    rows = [
        {"said": f"Dim the {ROOMS[n % 3]} to {n}" + ", please" * (n % 4),
         "call": json.dumps({"room": ROOMS[n % 3], "level": n}), "who": f"w{n % 10}"}
        for n in range(90)
    ]  # fmt: skip
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "s.json").write_text(json.dumps(SCHEMA))
    content = {
        "task": {"name": "lamp", "kind": "extract", "input": "said", "output": "call", "schema": "s.json"},
        "data": {"train": "train.jsonl", "group": "who"},
        **({"report": report} if report else {}),
    }
    store, task = Store(folder / "store"), parse_task(content, folder)
    return Work(store, task, prepare_texts(store, task))


def foot(size: int, p95: float) -> Footprint:
    return Footprint(
        size_bytes=size, latency_ms_p50=p95 / 2, latency_ms_p95=p95, documents_per_second=2000 / p95,
        peak_memory_bytes=2 * size, energy_joules_per_1000=None, energy_note="no counter",
    )  # fmt: skip


def made(job: Work, name: str, wrong: int, **more: Any) -> Made:
    """A model that answers all but every `wrong`-th question."""
    evaluated, answers = {}, {}
    for split in JUDGED:
        questions = job.questions(split)
        texts = [None if n % wrong == 0 else one.references[0] for n, one in enumerate(questions)]
        found = [
            Prediction(row=one.row, text=text, problem="" if text else "no room in the context")
            for one, text in zip(questions, texts, strict=True)
        ]
        wish = Wish(job.metrics, split, job.task.data.seed, job.schema())
        how = ((Prompting(), job.decoding()), wish)
        step = judge_predictions(job.store, (name, "given"), found, questions, how)
        evaluated[split], answers[split] = Evaluated(step, task_evaluation(step)), texts
    return Made(name, Source(name, Path("model.gguf"), "0" * 64), evaluated, answers, **more)


def build(job: Work) -> tuple[dict[str, Any], str]:
    """report.json and report.html of three candidates and two baselines."""
    small = made(job, "lora-Q4", 9, footprint=foot(100, 40.0))
    large = made(job, "lora-F16", 30, footprint=foot(300, 80.0))
    worse = made(job, "full-F16", 4, footprint=foot(300, 80.0))
    dropped = replace(worse, name="dropped", evaluated={}, answers={}, footprint=None)
    choice = Choice(candidate="lora-Q4", reason="The smallest.", rejected={"lora-F16": "good enough, but larger"})
    parts = Parts(job, (small, large, worse, dropped), (made(job, "zero-shot", 2), majority(job)), choice, small)
    draft = Specialist(
        name="lamp", version=0, kind="extract", candidate="lora-Q4", decision=Decision(labels=[]), metric={},
        baseline={}, footprint=foot(100, 40.0), licence="mit", files={}, created="",
        lineage={"base": {"name": "b", "licence": "mit", "source": "", "sha256": ""}, "dataset": "d"},
    )  # fmt: skip
    found = documents(parts, draft, "lamp:1", 1.0)
    return json.loads(found["report.json"]), found["report.html"].decode()


def test_front_cost_slices_and_worst_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_WATTS", "10")
    report, page = build(work(tmp_path, {}))
    assert report["front"] == ["lora-Q4", "lora-F16"]
    assert report["front_by"] == {"size": ["lora-Q4", "lora-F16"], "latency": ["lora-Q4", "lora-F16"]}
    rows = {row["name"]: row for row in report["candidates"]}
    assert rows["lora-Q4"]["cost_per_1000"]["seconds"] == 20.0
    assert rows["lora-Q4"]["cost_per_1000"]["joules"] == 200.0
    assert rows["most common answer"]["cost_per_1000"]["seconds_source"] == "no model is asked"
    assert rows["dropped"]["test"] == {}
    slices = report["test"]["slices"]
    assert {one["by"] for one in slices} == {"length", "group", "field room"}
    assert {one["name"] for one in slices if one["by"] == "field room"} <= set(ROOMS)
    assert report["worst"][0]["answered"] is None
    assert report["worst"][0]["problem"]
    assert report["worst"][0]["baseline_name"] == "zero-shot"
    assert report["reference"] is None
    assert "LINNET_WATTS=10" in page
    assert page.count('class="front-line"') == 4  # two plots, each for a desk and a phone


def test_a_reference_stands_beside_and_is_never_chosen(tmp_path: Path, endpoint: str) -> None:
    report, page = build(work(tmp_path, {"reference": "gpt-x", "endpoint": endpoint}))
    row = report["candidates"][-1]
    assert (row["name"], row["kind"], row["status"]) == ("reference", "reference", "reference")
    assert 0 < row["test"]["field_f1"]["value"] < 1
    assert row["difference"]["value"] < 0
    assert row["validation"] == {}
    assert row["cost_per_1000"]["joules"] is None
    assert "reference" not in report["front"]
    assert report["choice"]["candidate"] == "lora-Q4"
    assert report["reference"]["failed"] == 0
    assert report["worst"][0]["reference"] == '{"room": "kitchen", "level": 1}'
    assert "reference, gpt-x" in page


def test_a_reference_that_is_not_there_is_told_and_the_report_is_whole(tmp_path: Path, endpoint: str) -> None:
    report, page = build(work(tmp_path, {"reference": "gpt-z", "endpoint": endpoint}))
    assert "no such model" in report["reference"]["error"]
    assert all(row["kind"] != "reference" for row in report["candidates"])
    assert "The reference gpt-z has no score." in page
