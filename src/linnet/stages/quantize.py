"""Quantize: a trained classifier becomes ONNX files of less precision, each compared with the one before it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import GateFailed, require
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, check_space, read_json, sha256_bytes, write_json
from linnet.core.records import Model
from linnet.core.store import Step, Store
from linnet.engines.onnx_runtime.onnx import ENGINE, MODEL, TOKENIZER, OnnxClassifier
from linnet.text.example_files import read_examples

EXPORT_BOUND = 1e-3  # largest difference of any logit between torch and ONNX fp32
INT8_AGREEMENT = 0.9  # least share of texts on which int8 and fp32 give the same label
GATE_TEXTS = 256


def quantize(
    store: Store, base: Model, tuned: Step, prepared: Step, types: list[str], on_event: OnEvent = silent
) -> Step:
    """Write `fp32/` and, when asked for, `int8/`: folders that the ONNX engine loads.

    The result lists the gates: name, bound, measured, passed. An fp32 export that answers otherwise than torch
    raises GateFailed; a failed int8 gate is left to `choose`, which rejects the candidate.
    """
    inputs = {"settings": tuned.sha256("model/classifier.json"), "validation": prepared.sha256("validation.jsonl")}

    def read() -> list[str]:
        return [e.text for e in read_examples(prepared.folder / "validation.jsonl")][:GATE_TEXTS]

    return _quantized(
        store, base, tuned, types, _Way(inputs, read, _export, _label_logits, ("label", "texts")), on_event
    )


def quantize_tagger(
    store: Store, base: Model, tuned: Step, texts: list[str], types: list[str], on_event: OnEvent = silent
) -> Step:
    """As `quantize`, for a tagger; `texts` are those of the validation."""
    texts = texts[:GATE_TEXTS]
    inputs = {
        "kind": "tag",
        "settings": tuned.sha256("model/tagger.json"),
        "texts": sha256_bytes(canonical(texts)),
    }
    way = _Way(inputs, lambda: texts, _export_tagger, _tag_logits, ("tag", "words"))
    return _quantized(store, base, tuned, types, way, on_event)


@dataclass(frozen=True, slots=True)
class _Way:
    """What tells a classifier from a tagger: inputs of the step, the texts of its gates, its export, the logits of an
    ONNX folder with a row for each answer, and what is answered for what."""

    inputs: dict[str, Any]
    read: Callable[[], list[str]]
    export: Callable[[Path, Path, str, list[str]], dict[str, Any]]
    logits: Callable[[Path, list[str]], Any]
    words: tuple[str, str]


def _quantized(store: Store, base: Model, tuned: Step, types: list[str], way: _Way, on_event: OnEvent) -> Step:
    from linnet.engines.planning.hardware import has_int8_dot_product

    inputs = {
        **way.inputs,
        "model": tuned.sha256("model/model.safetensors"),
        "types": sorted(types),
        "int8_dot_product": has_int8_dot_product(),
    }
    name = f"{tuned.result['method']} on {base.name}"

    def work(folder: Path) -> dict[str, Any]:
        require("onnx", "train")
        check_space(folder, 3 * base.files["model.safetensors"].size_bytes, f"Converting {name}")
        texts = way.read()
        gates = [way.export(tuned.folder / "model", folder / "fp32", name, texts)]
        if "int8" in types:
            on_event(Event("progress", "quantize", f"{name}: int8"))
            gates.append(_to_int8(folder / "fp32", folder / "int8", name, texts, way))
        return {"gates": gates}

    return store.step("quantize", inputs, work, on_event, label=name)


def _label_logits(folder: Path, texts: list[str]) -> Any:
    return OnnxClassifier(folder).logits(texts)


def _tag_logits(folder: Path, texts: list[str]) -> Any:
    import numpy as np

    from linnet.engines.onnx_runtime.onnx_tagger import OnnxTagger

    tagger = OnnxTagger(folder)
    return np.concatenate(tagger.word_logits(tagger.read(texts)))


def _export_tagger(model: Path, folder: Path, name: str, texts: list[str]) -> dict[str, Any]:
    from linnet.engines.onnx_runtime.onnx_tagger import OnnxTagger
    from linnet.engines.pytorch import torch_tagger
    from linnet.training.tag import word_logits

    tagger, facts = torch_tagger.load(model, for_export=True), read_json(model / torch_tagger.TAGGER)
    config = read_json(model / "config.json")
    torch_tagger.export_tagger(tagger, _engine_folder(model, folder))
    write_json(folder / ENGINE, {**facts, "pad_id": config.get("pad_token_id") or 0})
    exported = OnnxTagger(folder)
    readings = exported.read(texts)
    return _same_logits(name, exported.word_logits(readings), word_logits(tagger, readings))


def _engine_folder(model: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model / TOKENIZER, folder / TOKENIZER)
    return folder / MODEL


def _export(model: Path, folder: Path, name: str, texts: list[str]) -> dict[str, Any]:
    from linnet.core.records import Example
    from linnet.engines.pytorch import torch_encoder
    from linnet.training.classify import all_logits, encode

    classifier = torch_encoder.load(model, for_export=True)
    facts = read_json(model / torch_encoder.CLASSIFIER)
    config = read_json(model / "config.json")
    torch_encoder.export_onnx(classifier, _engine_folder(model, folder))
    write_json(folder / ENGINE, {"max_tokens": facts["max_tokens"], "pad_id": config.get("pad_token_id") or 0})
    examples = [Example(text=text, label="", row=0) for text in texts]
    reference = all_logits(classifier, encode(examples, [""], model / TOKENIZER, facts["max_tokens"]))
    return _same_logits(name, [OnnxClassifier(folder).logits(texts)], [reference])


def _same_logits(name: str, ours: Sequence[Any], theirs: Sequence[Any]) -> dict[str, Any]:
    """The gate between torch and ONNX in fp32. Raises GateFailed."""
    import numpy as np

    pairs = zip(ours, theirs, strict=True)
    difference = max((float(np.abs(one - other).max()) for one, other in pairs if one.size), default=0.0)
    if not difference <= EXPORT_BOUND:
        raise GateFailed(
            f"{name}: the ONNX export differs from torch by {difference:.2g} in a logit; at most {EXPORT_BOUND:g}.",
            "The trained model is kept. Please report this with the output of `linnet doctor --json`.",
        )
    return {
        "name": f"{name}: torch = onnx fp32",
        "quantization": "fp32",
        "bound": f"largest logit difference <= {EXPORT_BOUND:g}",
        "measured": f"{difference:.1e}",
        "passed": True,
    }


def _to_int8(source: Path, folder: Path, name: str, texts: list[str], way: _Way) -> dict[str, Any]:
    from linnet.engines.base import softmax
    from linnet.engines.onnx_runtime.onnx_tools import quantize_int8
    from linnet.metrics.classification import kl_divergence

    quantize_int8(source / MODEL, _engine_folder(source, folder))
    shutil.copyfile(source / ENGINE, folder / ENGINE)
    before, after = way.logits(source, texts), way.logits(folder, texts)
    agreement = float((before.argmax(1) == after.argmax(1)).mean())
    divergence = kl_divergence(softmax(before), softmax(after))
    answer, asked = way.words
    return {
        "name": f"{name}: onnx fp32 = int8",
        "quantization": "int8",
        "bound": f"same {answer} for >= {INT8_AGREEMENT:.0%} of {asked}",
        "measured": f"{agreement:.1%} same, mean KL divergence {divergence:.4f}",
        "passed": agreement >= INT8_AGREEMENT,
    }
