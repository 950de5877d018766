"""Adapter on the disk = merged model on the disk = ONNX fp32, on texts that were never trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModel

from linnet.core.records import Example
from linnet.engines.onnx_runtime.onnx import OnnxClassifier
from linnet.engines.pytorch import torch_encoder
from linnet.engines.pytorch.torch_encoder import TextClassifier
from linnet.training.classify import all_logits, encode
from tests.tiny_made import Made

BOUND = 1e-3


def torch_logits(made: Made, classifier: TextClassifier, texts: list[str]) -> NDArray[np.float32]:
    examples = [Example(text=text, label="", row=0) for text in texts]
    tokenizer = Path(made.base.path) / "tokenizer.json"
    return all_logits(classifier, encode(examples, [""], tokenizer, made.base.max_tokens))


def with_adapter(made: Made) -> TextClassifier:
    """The base as it was pulled, the adapter as PEFT reads it, and the trained head."""
    backbone = AutoModel.from_pretrained(made.base.path, local_files_only=True, add_pooling_layer=False)
    adapted = PeftModel.from_pretrained(backbone, made.tuned["lora"].folder / "adapter", local_files_only=True)
    adapted.config = backbone.config
    classifier = TextClassifier(adapted, len(made.labels), made.base.pooling)
    classifier.head = torch_encoder.load(made.tuned["lora"].folder / "model").head
    return classifier.eval()


def test_adapter_merged_and_onnx_give_the_same_logits(made: Made, texts: list[str]) -> None:
    adapter = torch_logits(made, with_adapter(made), texts)
    merged = torch_logits(made, torch_encoder.load(made.tuned["lora"].folder / "model"), texts)
    onnx = OnnxClassifier(made.quantized["lora"].folder / "fp32").logits(texts)
    assert adapter.shape == (20, len(made.labels))
    np.testing.assert_allclose(merged, adapter, rtol=0, atol=BOUND)
    np.testing.assert_allclose(onnx, adapter, rtol=0, atol=BOUND)


def test_the_adapter_is_what_makes_the_difference(made: Made, texts: list[str]) -> None:
    """The same logits would prove nothing if the adapter did nothing."""
    adapted = with_adapter(made)
    with_it = torch_logits(made, adapted, texts)
    with torch.no_grad(), adapted.backbone.disable_adapter():
        without = torch_logits(made, adapted, texts)
    assert np.abs(with_it - without).max() > 10 * BOUND
