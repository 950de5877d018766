"""Every form through the front door: what other tools read of it, and what cannot be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.core.errors import InputError, NotFound
from linnet.core.files import canonical, make_folder, sha256_file, write_json
from linnet.core.records import Asked, Decision, Run, Specialist
from linnet.core.store import RECORD, Store, scan_files, verify_files
from linnet.engines.onnx_runtime.onnx import OnnxClassifier
from linnet.formats.modelfile import read_modelfile
from linnet.pipeline.create import Recipe, create
from linnet.pipeline.export import export
from linnet.pipeline.export_card import Told
from linnet.stages.export import MARK
from linnet.stages.import_ import import_
from linnet.stages.pack import pack
from tests.gguf_files import honest, split
from tests.tiny import tiny_specialist
from tests.tiny_encoder import tiny_encoder, tiny_task

LABELS = ("billing", "shipping")
NIGHTLY = os.environ.get("LINNET_NIGHTLY") == "1"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def tree(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def classifier(store: Store, config: dict[str, Any] | None = None) -> Specialist:
    """The tiny one, with the run that trained it where a config is given."""
    specialist = tiny_specialist(store, "mail", LABELS)
    lineage = {"runs": {"tune": "tune-1"}, "base": {"name": "tiny", "licence": "mit", "source": "here"}}
    changed = specialist.model_copy(update={"lineage": lineage})
    write_json(store.path("specialists", "mail", "1") / RECORD, changed.to_json())
    if config is not None:
        _run(store, "tune-1", {"model/config.json": canonical(config)})
    return changed


def _run(store: Store, name: str, files: dict[str, bytes]) -> None:
    folder = store.path("runs", name)
    for file, data in files.items():
        make_folder((folder / file).parent)
        (folder / file).write_bytes(data)
    run = Run(id=name, stage=name.partition("-")[0], key="", inputs={}, code_version="", files=scan_files(folder),
              result={}, seconds=0, created="")  # fmt: skip
    write_json(folder / RECORD, run.to_json())


def writer(store: Store, tmp_path: Path, **lineage: Any) -> Specialist:
    """A specialist that writes text: a tiny GGUF, packed."""
    engine = tmp_path / "engine"
    make_folder(engine)
    honest(engine / "model.gguf")
    draft = tiny_specialist(Store(tmp_path / "aside"), "x", LABELS).model_copy(
        update={
            "name": "tickets",
            "version": 0,
            "kind": "extract",
            "decision": Decision(labels=[]),
            "asked": Asked(input="{subject}: {body}", instruction="Write JSON.", answer_schema='{"type": "object"}'),
            "lineage": {"base": {"name": "tiny", "licence": "mit", "source": "hf:org/tiny"}, **lineage},
        }
    )
    return pack(store, draft, engine, lambda _: {"MODEL_CARD.md": b"#\n", "report.json": b"{}"})[0]


def test_dir_is_the_bundle_and_a_card(store: Store, tmp_path: Path) -> None:
    specialist = classifier(store)
    made = export("mail", "dir", tmp_path / "out", store=store)
    verify_files(tmp_path / "out", specialist.files)
    assert tree(tmp_path / "out") == {*specialist.files, RECORD, "README.md", MARK}
    assert made.licence == "other"
    assert OnnxClassifier(tmp_path / "out" / "engine").logits(["shipping please"]).argmax() == 1


def test_an_encoder_as_hugging_face_tools_read_it(store: Store, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    config = {"model_type": "bert", "architectures": ["BertModel"], "auto_map": {"AutoModel": "x.y"}, "hidden_size": 32}
    classifier(store, config)
    out = tmp_path / "out"
    export("mail", "hf", out, store=store, told=Told(data_licence="own", language="en"))
    assert tree(out) == {"model.onnx", "tokenizer.json", "config.json", "tokenizer_config.json", "README.md", MARK}
    found = AutoConfig.from_pretrained(out, local_files_only=True)
    assert found.id2label == {0: "billing", 1: "shipping"}
    assert found.architectures is None
    assert "auto_map" not in json.loads((out / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(out, local_files_only=True)
    assert (tokenizer.pad_token, tokenizer.model_max_length) == ("[PAD]", 32)
    texts = ["where is my shipping order", "billing"]
    _same_logits(out, tokenizer, texts, OnnxClassifier(store.path("specialists", "mail", "1") / "engine").logits(texts))


def _same_logits(out: Path, tokenizer: Any, texts: list[str], expected: Any) -> None:
    """ONNX Runtime fed by the exported tokenizer, as optimum does it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
    (logits,) = session.run(["logits"], {node.name: batch[node.name] for node in session.get_inputs()})
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_an_encoder_whose_training_is_gone_is_refused(store: Store, tmp_path: Path) -> None:
    classifier(store)
    with pytest.raises(NotFound, match="tune-1"):
        export("mail", "hf", tmp_path / "out", store=store)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["gguf", "ollama"])
def test_an_encoder_has_no_gguf(store: Store, tmp_path: Path, to: str) -> None:
    classifier(store)
    for name in ("mail", "builtin:minilm"):
        with pytest.raises(InputError, match="models that write text"):
            export(name, to, tmp_path / "x.gguf", store=store)


def test_a_writer_as_gguf(store: Store, tmp_path: Path) -> None:
    specialist = writer(store, tmp_path)
    made = export("tickets", "gguf", tmp_path / "t.gguf", store=store)
    assert made.sha256 == sha256_file(tmp_path / "t.gguf") == specialist.files["engine/model.gguf"].sha256
    with pytest.raises(InputError, match="exists"):
        export("tickets", "gguf", tmp_path / "t.gguf", store=store)
    with pytest.raises(InputError, match="ends in"):
        export("tickets", "gguf", tmp_path / "t.bin", store=store)


def test_a_writer_for_ollama(store: Store, tmp_path: Path) -> None:
    writer(store, tmp_path)
    made = export("tickets:1", "ollama", tmp_path / "out", store=store)
    found = read_modelfile((tmp_path / "out" / "Modelfile").read_text())
    assert (found.base, found.system) == ("./model.gguf", "Write JSON.")
    assert (tmp_path / "out" / "model.gguf").is_file()
    assert any("{subject}: {body}" in note for note in made.notes)
    assert "ollama create tickets-1" in (tmp_path / "out" / "README.md").read_text()


def test_a_decoder_that_labels_for_ollama(store: Store, tmp_path: Path) -> None:
    """It writes its label there, under the instruction that it was tuned with."""
    engine = tmp_path / "engine"
    make_folder(engine)
    honest(engine / "model.gguf")
    write_json(engine / "classifier.json", {"instruction": "Label it.", "labels": list(LABELS), "context": 64})
    draft = tiny_specialist(Store(tmp_path / "aside"), "x", LABELS).model_copy(update={"name": "mail", "version": 0})
    pack(store, draft, engine, lambda _: {})
    made = export("mail", "ollama", tmp_path / "out", store=store)
    assert read_modelfile((tmp_path / "out" / "Modelfile").read_text()).system == "Label it."
    assert any("without calibration" in note for note in made.notes)


def test_a_writer_with_its_merged_weights_for_hugging_face(store: Store, tmp_path: Path) -> None:
    files = {"model/model.safetensors": b"weights", "model/config.json": b"{}", "model/README.md": b"old"}
    _run(store, "merge-1", files | {"model.gguf": b"not this"})
    writer(store, tmp_path, runs={"merge": "merge-1"})
    made = export("tickets", "hf", tmp_path / "out", store=store)
    assert tree(tmp_path / "out") == {"model.safetensors", "config.json", "README.md", MARK}
    assert "before quantisation" in made.notes[0]
    assert 'base_model: "org/tiny"' in (tmp_path / "out" / "README.md").read_text()
    (store.path("runs", "merge-1") / "model" / "model.safetensors").unlink()
    made = export("tickets", "hf", tmp_path / "out", store=store, force=True)
    assert tree(tmp_path / "out") == {"model.gguf", "README.md", MARK}
    assert "no merged weights" in made.notes[0]


def test_a_model_in_every_form(store: Store, tmp_path: Path) -> None:
    import_(store, honest(tmp_path / "small.gguf"), "small:v1")
    data = (tmp_path / "small.gguf").read_bytes()
    export("small", "gguf", tmp_path / "x.gguf", store=store)
    assert (tmp_path / "x.gguf").read_bytes() == data
    for to in ("dir", "hf", "ollama"):
        export("small:v1", to, tmp_path / to, store=store)
        (weights,) = (tmp_path / to).glob("*.gguf")
        assert weights.read_bytes() == data
        card = (tmp_path / to / "README.md").read_text()
        assert 'license: "mit"' in card
        assert str(tmp_path) not in card


def test_what_was_created_keeps_its_words(store: Store, tmp_path: Path) -> None:
    import_(store, honest(tmp_path / "small.gguf"), "small:v1")
    create(store, "helper", Recipe(base="small:v1", parameters={"stop": ("User:",)}))
    export("helper", "ollama", tmp_path / "ollama", store=store)
    export("helper", "dir", tmp_path / "dir", store=store)
    for folder in ("ollama", "dir"):
        found = read_modelfile((tmp_path / folder / "Modelfile").read_text())
        assert "User:" in found.parameters["stop"]  # type: ignore[operator]
        assert (tmp_path / folder / found.base).is_file()
    for to, out in (("kit", "x.kit"), ("hf", "hf")):
        with pytest.raises(InputError, match="made with create"):
            export("helper", to, tmp_path / out, store=store)


def test_a_set_of_files_is_no_one_gguf(store: Store, tmp_path: Path) -> None:
    make_folder(tmp_path / "parts")
    import_(store, split(tmp_path / "parts")[0], "big:v1")
    with pytest.raises(InputError, match="set of"):
        export("big", "gguf", tmp_path / "x.gguf", store=store)
    export("big", "dir", tmp_path / "out", store=store)
    assert len(list((tmp_path / "out").glob("*.gguf"))) > 1


def test_what_is_not_known_is_refused(store: Store, tmp_path: Path) -> None:
    classifier(store)
    with pytest.raises(InputError, match="Known: dir"):
        export("mail", "zip", tmp_path / "out", store=store)
    with pytest.raises(NotFound):
        export("mial", "dir", tmp_path / "out", store=store)
    with pytest.raises(InputError, match="every machine"):
        export("builtin:nano", "kit", tmp_path / "n.kit", store=store)
    with pytest.raises(InputError, match="ends in"):
        export("mail", "kit", tmp_path / "mail.tar", store=store)
    assert not list(tmp_path.glob("out*"))


def test_a_run_named_by_a_hostile_record_is_not_followed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    write_json(tmp_path / "outside" / RECORD, {})
    writer(store, tmp_path, runs={"merge": "../../outside"})
    export("tickets", "hf", tmp_path / "out", store=store)
    assert "model.gguf" in tree(tmp_path / "out")


@pytest.mark.skipif(not NIGHTLY, reason="trains an encoder: LINNET_NIGHTLY=1")
def test_a_built_classifier_answers_the_same_outside(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from linnet.pipeline.build import build

    store = Store(tmp_path / "store")
    built = build(tiny_task(tmp_path / "task", tiny_encoder(tmp_path / "encoder")), store)
    export("topics", "hf", tmp_path / "out", store=store)
    texts = ["kabel lofan robin tofan", "hammer mibel nudor"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", local_files_only=True)
    _same_logits(tmp_path / "out", tokenizer, texts, OnnxClassifier(built.folder / "engine").logits(texts))
