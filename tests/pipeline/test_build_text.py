"""From task.toml to a specialist that writes records: every stage once, stopped anywhere, and the same again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import DataError, InputError, TaskError
from linnet.core.events import Event
from linnet.core.store import Store, verify_files
from linnet.core.task import parse_task
from linnet.engines.onnx_runtime.onnx import ENGINE_FOLDER
from linnet.pipeline.build import BuildResult, build, build_until
from linnet.pipeline.build_text import Stopped
from linnet.pipeline.text_data import prepare_texts, read_split
from linnet.stages.serve import Specialists
from tests.tiny_decoder import COLOURS, ROOMS, chats, tiny_decoder

# A training, four conversions and their proofs: half a minute of one core.
nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="set LINNET_NIGHTLY=1: takes a minute")
SCHEMA = {
    "type": "object", "properties": {"room": {"enum": list(ROOMS)}, "colour": {"enum": list(COLOURS)}},
    "required": ["colour"], "additionalProperties": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("base") / "tiny", dtype="bfloat16")


def rows(folder: Path, count: int = 24) -> list[dict[str, Any]]:
    (folder / "s.json").write_text(json.dumps(SCHEMA))
    return [{"said": c.turns[0].content, "call": c.turns[1].content, "who": f"w{c.row % 4}"} for c in chats(count)]


def write(path: Path, content: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))


def task(folder: Path, base: Path | None = None, **more: Any) -> Any:
    content: dict[str, Any] = {
        "task": {"name": "lamp", "kind": "extract", "input": "said", "output": "call", "schema": "s.json",
                 "instruction": "Turn it into JSON."},
        "data": {"train": "train.jsonl"},
        "candidates": {"models": [str(base or "builtin:nano")], "quantizations": ["BF16", "Q8_0"]},
        "quality": {"max_loss": 1.0},
    }  # fmt: skip
    for part, values in more.items():
        content[part] = {**content[part], **values}
    return parse_task(content, folder)


@nightly
def test_a_build_stopped_and_gone_on_with(base: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(tmp_path))
    store, made = Store(tmp_path / "store"), task(tmp_path, base)
    first = build_until(made, "merge", store)
    assert isinstance(first, Stopped)
    assert first.runs[0].startswith("merge-")
    seen: list[Event] = []
    result = build(made, store, seen.append)
    assert {event.stage for event in seen if event.kind == "reused"} >= {"prepare", "tune", "merge"}
    specialist = result.specialist
    assert (specialist.kind, specialist.full_name) == ("extract", "lamp:1")
    assert specialist.candidate in ("full-BF16", "full-Q8_0", "lora-BF16", "lora-Q8_0")
    assert specialist.asked is not None
    assert specialist.asked.schema_object() == SCHEMA
    # Read back, its properties are still in the order of the file: answers were learned so.
    kept = Store(tmp_path / "store").find("lamp")[0].asked
    assert kept is not None
    assert list((kept.schema_object() or {})["properties"]) == ["room", "colour"]
    verify_files(result.folder, specialist.files)
    assert (result.folder / ENGINE_FOLDER / "model.gguf").is_file()
    report = json.loads((result.folder / "report.json").read_text())
    names = [row["name"] for row in report["candidates"]]
    assert len(names) == 2 + 3  # two types; without examples, with them, the most common answer
    assert "most common answer" in names
    assert set(report["test"]["metrics"]) == {"field_f1", "exact_match", "schema_valid"}
    assert report["test"]["metrics"]["schema_valid"]["value"] == 1.0  # held to it while it is written
    assert all(gate["passed"] for gate in report["gates"])
    page = (result.folder / "report.html").read_text()
    assert "<script" not in page
    assert "lamp:1" in page
    card = (result.folder / "MODEL_CARD.md").read_text()
    assert '- name: "lamp:1"' in card
    assert "# lamp:1\n" in card
    assert "held to a schema" in card
    again = build(made, store)
    assert again.reused
    assert again.specialist.full_name == "lamp:1"


@nightly
def test_a_floor_that_nothing_reaches_says_what_came_nearest(base: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(tmp_path, 12))
    made = task(tmp_path, base, quality={"metric": "exact_match", "floor": 1.0}, candidates={"quantizations": ["BF16"]})
    with pytest.raises(InputError, match="floor of 1; the nearest is"):
        build(made, Store(tmp_path / "store"))


def test_an_unknown_stage_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(tmp_path))
    with pytest.raises(InputError, match="No stage is called 'quantise'"):
        build_until(task(tmp_path), "quantise", Store(tmp_path / "store"))
    stopped = build_until(task(tmp_path), "prepare", Store(tmp_path / "store"))
    assert not isinstance(stopped, BuildResult)
    assert stopped.summary()["counts"]["read"] == 24


def test_questions_and_groups_stay_on_one_side(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(tmp_path, 60) * 2)
    step = prepare_texts(Store(tmp_path / "store"), task(tmp_path, data={"group": "who"}))
    sides = {name: {one.group for one in read_split(step, name)} for name in ("train", "validation", "test")}
    assert all(sides.values())
    assert not sides["train"] & sides["test"]
    assert not sides["train"] & sides["validation"]
    assert step.result["counts"]["read"] == 120
    assert any("repeat" in warning for warning in step.result["warnings"])


def test_test_rows_in_the_training_file_are_refused_or_dropped(tmp_path: Path) -> None:
    every = rows(tmp_path, 60)
    write(tmp_path / "train.jsonl", every)
    write(tmp_path / "test.jsonl", every[:3])
    with pytest.raises(DataError, match="in the test too"):
        prepare_texts(Store(tmp_path / "store"), task(tmp_path, data={"test": "test.jsonl"}))
    made = task(tmp_path, data={"test": "test.jsonl", "leakage": "drop"})
    step = prepare_texts(Store(tmp_path / "store"), made)
    assert {one.asked for one in read_split(step, "test")}.isdisjoint(one.asked for one in read_split(step, "train"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [('{"colour": "pink"}', r"row 25: its answer breaks the schema: \$.colour"), ("no json", "not JSON"),
     (" ", "no answer")],
)  # fmt: skip
def test_an_answer_that_breaks_the_schema_is_named(tmp_path: Path, answer: str, words: str) -> None:
    write(tmp_path / "train.jsonl", [*rows(tmp_path), {"said": "x", "call": answer, "who": "w"}])
    with pytest.raises(DataError, match=words):
        prepare_texts(Store(tmp_path / "store"), task(tmp_path))


def test_copied_fields_are_proposed_and_checked(tmp_path: Path) -> None:
    """What is always copied is told; what is said to be copied and is not ends the build with its row."""
    things = ["red lamp", "oil", "fan", "old clock"]
    content = [
        {"said": f"Number {n}: fetch the {things[n % 4]} and {n} nails", "who": f"w{n % 4}",
         "call": json.dumps({"thing": things[n % 4], "more": [f"{n} nails"], "place": "here"})}
        for n in range(24)
    ]  # fmt: skip
    texts: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
    schema: dict[str, Any] = {"properties": {"thing": {"type": "string"}, "more": texts, "place": {"type": "string"}}}
    write(tmp_path / "train.jsonl", content)
    (tmp_path / "s.json").write_text(json.dumps(schema))
    told = prepare_texts(Store(tmp_path / "store"), task(tmp_path)).result["warnings"]
    assert [text for text in told if "always copied" in text] == [
        "train.jsonl: always copied from the input: more (24), thing (24)."
        ' "x-copied": true in the schema holds answers to that.'
    ]
    texts["items"]["x-copied"] = schema["properties"]["thing"]["x-copied"] = True
    (tmp_path / "s.json").write_text(json.dumps(schema))
    told = prepare_texts(Store(tmp_path / "store"), task(tmp_path)).result["warnings"]
    assert not [text for text in told if "copied" in text]
    for more, words in (
        (["7 nail"], "more: '7 nail' is no run"),
        (["7 nails", "fetch"], "more: '7 nails', 'fetch' are no runs"),
    ):
        if len(more) > 1:
            schema["properties"]["more"] = {"type": "array", "items": {"type": "string"}, "x-copied": True}
        (tmp_path / "s.json").write_text(json.dumps(schema))
        content[7]["call"] = json.dumps({"more": more})
        write(tmp_path / "train.jsonl", content)
        with pytest.raises(DataError, match=f"row 8: {words}"):
            prepare_texts(Store(tmp_path / "store"), task(tmp_path))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"task": {"labels": ["a", "b"]}}, "labels has no meaning"),
        ({"quality": {"metric": "macro_f1"}}, 'does not judge kind "extract"'),
        ({"candidates": {"quantizations": ["int8"]}}, "is for encoders"),
        ({"task": {"kind": "generate"}}, "schema has no meaning"),
        ({"task": {"input": ""}}, r"\[task\] input is missing"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    with pytest.raises(TaskError, match=words):
        task(tmp_path, **more)


LABELS = ("red", "green", "blue")


def colours(folder: Path, count: int, candidates: dict[str, Any], **more: Any) -> Any:
    """A task that classifies, with its rows."""
    write(
        folder / "train.jsonl",
        [{"text": f"{c.turns[0].content} {i}", "label": LABELS[i % 3]} for i, c in enumerate(chats(count))],
    )
    return parse_task(
        {
            "task": {"name": "colour", "kind": "classify", "input": "text", "output": "label"},
            "data": {"train": "train.jsonl"},
            "candidates": {"methods": ["lora"], **candidates},
            **more,
        },
        folder,
    )


@nightly
def test_a_decoder_competes_as_a_classifier(base: Path, tmp_path: Path) -> None:
    candidates = {"models": [str(base)], "quantizations": ["Q8_0"]}
    made = colours(tmp_path, 60, candidates, quality={"max_loss": 1.0})
    result = build(made, Store(tmp_path / "store"))
    assert isinstance(result, BuildResult)
    assert result.specialist.candidate.endswith("lora-Q8_0")
    found = Specialists(Store(tmp_path / "store")).classify("colour", ["Make it red in the hall"])
    assert found.answers[0].label in LABELS
    assert sum(found.answers[0].probabilities.values()) == pytest.approx(1, abs=1e-3)


@nightly
def test_a_type_whose_gate_fails_does_not_end_a_classifier_s_build(tmp_path: Path) -> None:
    made = colours(tmp_path, 40, {"models": ["builtin:nano"], "quantizations": ["Q8_0", "TQ1_0"]})
    result = build(made, Store(tmp_path / "store"))
    assert isinstance(result, BuildResult)
    assert result.specialist.candidate.endswith("lora-Q8_0")
    (why,) = (why for name, why in result.choice.rejected.items() if name.endswith("lora-TQ1_0"))
    assert why.startswith("gate failed: ")
    assert "1 failed a gate or a limit." in result.choice.reasons
