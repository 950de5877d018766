"""The whole life of a tagger on a tiny encoder, through the front door: build, reuse, answer, damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from linnet.cli.app import app_of
from linnet.core.errors import CorruptFile, DataError, InputError
from linnet.core.store import Store
from linnet.pipeline.build import build, build_until
from linnet.pipeline.build_plan import plan_build
from linnet.pipeline.export import export
from linnet.pipeline.tag_evaluate import evaluate_tagger
from linnet.stages.serve import Specialists
from tests.lives.test_build import Heard
from tests.tiny_encoder import tiny_encoder
from tests.tiny_tags import tag_rows, tag_task, write_rows


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("tags")
    task = tag_task(
        place / "task", tiny_encoder(place / "encoder"), methods='["full", "lora"]', kinds='["fp32", "int8"]'
    )
    store = Store(place / "store")
    return store, task, build(task, store)


def test_it_finds_the_spans_and_says_how_well(built) -> None:
    _, _, result = built
    made = result.specialist
    assert (made.kind, made.full_name, made.decision.labels) == ("tag", "things:1", ["bird", "fruit", "tool"])
    assert made.metric["name"] == "span_f1"
    assert made.metric["value"] > 0.7
    report = json.loads((result.folder / "report.json").read_text())
    assert {one["name"] for one in report["candidates"]} == {
        "full-fp32", "full-int8", "lora-fp32", "lora-int8", "lexicon",
    }  # fmt: skip
    assert set(report["test"]["metrics"]) == {"span_f1", "span_f2", "span_f1_partial"}
    assert any("torch = onnx fp32" in gate["name"] for gate in report["gates"])
    assert "token-classification" in (result.folder / "MODEL_CARD.md").read_text()


def test_served_spans_are_those_that_were_evaluated(built) -> None:
    """Parity gate: what the bundle answers is what the report judged, example by example."""
    store, _, result = built
    report = json.loads((result.folder / "report.json").read_text())
    runs = report["lineage"]["runs"]
    rows = (store.root / "runs" / runs["prepare"] / "test.questions.jsonl").read_text().splitlines()
    texts = [json.loads(row)["turns"][0]["content"] for row in rows]
    answers = json.loads((store.root / "runs" / report["test"]["answers"] / "test.json").read_text())
    found = Specialists(store).tag("things", texts)
    ours = [
        [{"label": s.label, "start": s.start, "end": s.end, "text": s.text} for s in spans] for spans in found.spans
    ]
    assert ours == [json.loads(one) for one in answers]
    assert all(0 < one.probability <= 1 for spans in found.spans for one in spans)


def test_a_text_of_any_length_is_read_whole(built) -> None:
    store, _, _ = built
    text = " ".join(row["text"] for row in tag_rows(40, 4))
    found = Specialists(store).tag("things", [text])
    assert found.tokens == [len(text.split())]
    assert any(one.start > 0.9 * len(text) for one in found.spans[0])
    assert all(text[one.start : one.end] == one.text for one in found.spans[0])


def test_the_same_build_again_reuses_every_stage(built) -> None:
    store, task, first = built
    heard = Heard()
    again = build(task, store, heard)
    assert again.reused
    assert again.specialist == first.specialist
    assert not heard.stages("done")


def test_the_command_prints_spans_and_redacts(built, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _, _ = built
    monkeypatch.setenv("LINNET_HOME", str(store.root))
    run = CliRunner().invoke
    rows = [row["text"] for row in tag_rows(20, 5)]
    found = [Specialists(store).tag("things", [text]).spans[0] for text in rows]
    place = next(place for place, spans in enumerate(found) if len(spans) == 1)
    text, (one,) = rows[place], found[place]
    told = run(app_of(("tag",)), ["tag", "things", "--text", text, "--text", text])
    line = f"\t{one.label}\t{one.probability:.4f}\t{one.text}\n"
    assert told.stdout == f"1{line}2{line}"
    told = run(app_of(("tag",)), ["tag", "things", "--redact"], input=f"{text}\n")
    assert told.stdout == f"{text[: one.start]}[{one.label}]{text[one.end :]}\n"
    told = run(app_of(("tag",)), ["tag", "things", "--json"], input=f"{text}\n")
    assert json.loads(told.stdout) == {"text": text, "spans": [one._asdict()]}


def test_kinds_are_not_taken_for_each_other(built) -> None:
    store, _, _ = built
    with pytest.raises(InputError, match="things:1 is of kind tag: it tags spans"):
        Specialists(store).classify("things", ["robin"])
    with pytest.raises(InputError, match="text at index 0 is empty"):
        Specialists(store).tag("things", [" "])


def test_the_plan_names_what_would_be_tried(built) -> None:
    store, task, _ = built
    plan = plan_build(task, store)
    assert plan.kind == "tag"
    assert plan.candidates == ["full-fp32", "full-int8", "lora-fp32", "lora-int8"]
    stopped = build_until(task, "evaluate", store)
    assert set(stopped.summary()["validation"]) == {*plan.candidates, "lexicon"}


@pytest.mark.parametrize(
    ("split", "row", "said"),
    [
        ("test", {"text": "kabel robin", "spans": [[6, 11, "brid"]]}, "the label 'brid', .*Did you mean"),
        ("train", {"text": "kabel robin", "spans": [[6, 99, "bird"]]}, "train.jsonl, line 301"),
    ],
)
def test_a_wrong_row_stops_it_before_anything_is_trained(tmp_path: Path, split: str, row: dict, said: str) -> None:
    folder = tag_task(tmp_path / "task", tiny_encoder(tmp_path / "encoder"))
    with (folder / f"{split}.jsonl").open("a") as rows:
        rows.write(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=said):
        build(folder, Store(tmp_path / "store"))


def test_rows_of_a_group_stay_on_one_side(tmp_path: Path) -> None:
    folder = tag_task(tmp_path / "task", tiny_encoder(tmp_path / "encoder"))
    rows = [{**row, "form": f"form {number % 9}"} for number, row in enumerate(tag_rows(90, 3))]
    write_rows(folder / "train.jsonl", rows)
    task = (folder / "task.toml").read_text().replace('test = "test.jsonl"', 'group = "form"')
    (folder / "task.toml").write_text(task)
    store = Store(tmp_path / "store")
    stopped = build_until(folder, "prepare", store)
    (run,) = stopped.runs
    held = {
        split: {json.loads(row)["group"] for row in (store.root / "runs" / run / f"{split}.questions.jsonl").open()}
        for split in ("train", "validation", "test")
    }
    assert all(held.values())
    assert sum(map(len, held.values())) == 9


def test_an_altered_bundle_is_refused(built, tmp_path: Path) -> None:
    store, _, result = built
    engine = result.folder / "engine" / "engine.json"
    before = engine.read_bytes()
    try:
        engine.write_bytes(before.replace(b"bird", b"fish"))
        with pytest.raises(CorruptFile, match=r"engine\.json"):
            Specialists(store).tag(result.specialist.full_name, ["robin"])
    finally:
        engine.write_bytes(before)


def test_a_label_of_one_row_is_trained_on_whatever_the_split(tmp_path: Path) -> None:
    folder = tag_task(tmp_path / "task", tiny_encoder(tmp_path / "encoder"))
    rare = [{"text": f"kabel robin {word}", "spans": [[6, 11, f"rare{word}"]]} for word in ("lofan", "mibel", "nudor")]
    write_rows(folder / "train.jsonl", [*tag_rows(6, 3), *rare])
    (folder / "task.toml").write_text((folder / "task.toml").read_text().replace('test = "test.jsonl"', ""))
    stopped = build_until(folder, "prepare", Store(tmp_path / "store"))
    assert {"rarelofan", "raremibel", "rarenudor"} <= set(stopped.summary()["labels"])
    assert any("fewer than 10 training spans" in note for note in stopped.summary()["warnings"])


def test_judged_again_on_the_same_file_it_is_as_good(built, monkeypatch: pytest.MonkeyPatch) -> None:
    store, task, result = built
    found, labels = evaluate_tagger(store, result.specialist.full_name, task / "test.jsonl")
    assert found.evaluation.metric("span_f1").value == result.specialist.metric["value"]
    report = json.loads((result.folder / "report.json").read_text())
    assert [one.to_json() for one in labels] == report["labels"]
    monkeypatch.setenv("LINNET_HOME", str(store.root))
    told = CliRunner().invoke(app_of(("evaluate",)), ["evaluate", "things", str(task / "test.jsonl")])
    assert told.exit_code == 0, told.stdout
    assert "span_f1_partial" in told.stdout
    assert "bird" in told.stdout


def test_exported_it_is_a_token_classifier_to_other_tools(built, tmp_path: Path) -> None:
    import onnxruntime
    from transformers import AutoConfig, AutoTokenizer

    store, _, result = built
    export(result.specialist.full_name, "hf", tmp_path / "out", store=store)
    names = AutoConfig.from_pretrained(tmp_path / "out", local_files_only=True).id2label
    assert list(names.values()) == ["O", "B-bird", "I-bird", "B-fruit", "I-fruit", "B-tool", "I-tool"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", local_files_only=True)
    batch = tokenizer([tag_rows(1, 9)[0]["text"]], return_tensors="np")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {node.name: batch[node.name] for node in session.get_inputs()})
    assert logits.shape == (*batch["input_ids"].shape, len(names))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "ORTModelForTokenClassification" in card
    assert "cc-by-4.0" in card  # what [data] licence says
