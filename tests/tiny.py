"""A real specialist that takes a millisecond to make: a word that names a label decides, everything else is noise.

The ONNX graph is embedding -> masked mean -> matrix product; the tokenizer knows a few hundred words.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from linnet.core.files import make_folder, write_json
from linnet.core.records import Decision, Footprint, Specialist
from linnet.core.store import RECORD, Store, scan_files

MAX_TOKENS = 32
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
FILLER = ("please", "my", "the", "a", "i", "want", "it", "is", "where", "and", "to", "of", "not", "you", "order")


def tiny_engine(folder: Path, labels: Sequence[str]) -> None:
    """model.onnx, tokenizer.json and engine.json: the label whose name is in the text gets the highest score."""
    make_folder(folder)
    words = [*SPECIAL, *labels, *FILLER, *(f"word{i}" for i in range(300))]
    embedding = np.zeros((len(words), len(labels)), dtype=np.float32)
    for index in range(len(labels)):
        embedding[len(SPECIAL) + index, index] = 1.0
    _write_tokenizer(folder / "tokenizer.json", words)
    _write_model(folder / "model.onnx", embedding)
    (folder / "engine.json").write_text(json.dumps({"max_tokens": MAX_TOKENS, "pad_id": 0}))


def _write_tokenizer(path: Path, words: list[str]) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    tokenizer.save(str(path))


def _write_model(path: Path, embedding: np.ndarray) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    labels = embedding.shape[1]
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["tokens"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["tokens", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "middle"], ["length"], keepdims=1),
        helper.make_node("Div", ["total", "length"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    constants = {
        "embedding": embedding,
        "weights": np.eye(labels, dtype=np.float32) * 40,
        "last": np.array([2], dtype=np.int64),
        "middle": np.array([1], dtype=np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", labels])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)


def tiny_specialist(
    store: Store, name: str, labels: Sequence[str], version: int | None = None, out_of_scope: str | None = None
) -> Specialist:
    """A whole bundle in the store, under the next free version unless one is given."""
    number = version or max(store.versions(name), default=0) + 1
    folder = store.path("specialists", name, str(number))
    tiny_engine(folder / "engine", labels)
    specialist = Specialist(
        name=name,
        version=number,
        kind="classify",
        candidate="tiny/full/fp32",
        decision=Decision(labels=list(labels), out_of_scope=out_of_scope, threshold=0.5 if out_of_scope else 0.0),
        metric={"name": "macro_f1", "value": 1.0},
        baseline={},
        footprint=Footprint(
            size_bytes=1,
            latency_ms_p50=1,
            latency_ms_p95=1,
            documents_per_second=1,
            peak_memory_bytes=1,
            energy_joules_per_1000=None,
            energy_note="not measured",
        ),
        licence="Apache-2.0",
        files=scan_files(folder),
        lineage={},
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    write_json(folder / RECORD, specialist.to_json())
    return specialist
