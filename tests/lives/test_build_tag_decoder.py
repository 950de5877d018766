"""A tagger on a decoder, where that is the base: trained, packed, served and exported as one on an encoder is."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import psutil
import pytest

from linnet.core.store import Store
from linnet.engines.classifiers import open_tagger
from linnet.pipeline.build import build
from linnet.pipeline.build_plan import plan_build
from linnet.pipeline.export import export
from linnet.pipeline.tag_evaluate import evaluate_tagger
from linnet.stages.serve import Specialists
from linnet.text.span_answers import span_instruction
from tests.tiny_decoder import tiny_llama
from tests.tiny_tags import tag_rows, tag_task, write_rows

nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="set LINNET_NIGHTLY=1: trains for minutes")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory):
    pytest.importorskip("torch")
    place = tmp_path_factory.mktemp("tags")
    rows = tag_rows(24, 1)
    words = [*(row["text"] for row in rows), json.dumps(rows[0]["spans"]), span_instruction(["bird", "fruit", "tool"])]
    base = tiny_llama(place / "decoder", words)
    folder = tag_task(place / "task", base, kinds='["F16"]')
    write_rows(folder / "train.jsonl", rows)
    write_rows(folder / "test.jsonl", tag_rows(6, 2))
    store = Store(place / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNET_THREADS", "1")
        return store, folder, build(folder, store)


def test_it_is_packed_like_any_tagger(built) -> None:
    _, _, result = built
    made = result.specialist
    assert (made.kind, made.decision.labels) == ("tag", ["bird", "fruit", "tool"])
    assert made.candidate.endswith("-full-F16")
    assert {path.name for path in (result.folder / "engine").iterdir()} == {"model.gguf", "tagger.json", "engine.json"}
    report = json.loads((result.folder / "report.json").read_text())
    assert {one["name"] for one in report["candidates"]} == {made.candidate, "lexicon"}
    assert made.footprint.peak_memory_bytes > made.footprint.size_bytes  # the worker's too
    assert {"tune", "merge", "quantize", "choose"} <= set(report["lineage"]["runs"])


def test_served_spans_are_those_that_were_evaluated(built) -> None:
    store, folder, result = built
    found, _ = evaluate_tagger(store, result.specialist.full_name, folder / "test.jsonl")
    assert found.evaluation.metric("span_f1").value == result.specialist.metric["value"]


def test_a_text_of_any_length_is_read_whole_and_the_worker_goes(built) -> None:
    store, _, result = built
    text = " ".join(row["text"] for row in tag_rows(12, 4))
    specialists = Specialists(store)
    found = specialists.tag("things", [text, "robin"])
    assert found.tokens[0] > 4 * found.tokens[1]  # part by part, each with the instruction
    for one in found.spans[0]:
        assert text[one.start : one.end] == one.text
        assert 0 < one.probability <= 1
    del specialists, found
    gc.collect()
    engine = str(result.folder / "engine" / "model.gguf")
    assert not [one for one in psutil.Process().children(recursive=True) if engine in " ".join(one.cmdline())]


def test_its_export_is_a_decoder(built, tmp_path: Path) -> None:
    store, _, result = built
    name = result.specialist.full_name
    export(name, "ollama", tmp_path / "ollama", store=store)
    assert "bird, fruit, tool" in (tmp_path / "ollama" / "Modelfile").read_text()
    export(name, "hf", tmp_path / "hf", store=store)
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_a_plan_names_both_kinds_of_bases(built) -> None:
    store, folder, result = built
    task = folder / "task.toml"
    both = task.read_text().replace("models = [", 'models = ["builtin:minilm", ')
    (folder / "both.toml").write_text(both)
    plan = plan_build(folder / "both.toml", store)
    assert result.specialist.candidate in plan.candidates
    assert any("minilm" in name or name.endswith("fp32") for name in plan.candidates)


@nightly
def test_the_built_in_decoder_learns_it(tmp_path: Path) -> None:
    folder = tag_task(tmp_path / "task", Path("builtin:nano"), kinds='["Q8_0"]')
    store = Store(tmp_path / "store")
    result = build(folder, store)
    assert result.specialist.metric["value"] > 0.5
    tagger = open_tagger(result.folder / "engine")
    rows = tag_rows(6, 7)
    assert any(one.spans for one in tagger.tag([row["text"] for row in rows]))
    tagger.close()
