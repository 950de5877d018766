"""Our encoder answers as transformers' own, and a text's answer does not depend on its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModel

from linnet.engines.onnx_runtime.onnx import SPREAD_TEXTS, OnnxClassifier
from linnet.engines.pytorch import torch_encoder
from linnet.training.classify import pad
from tests.tiny_made import Made


@pytest.fixture(scope="module")
def rows(made: Made, texts: list[str]) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(Path(made.base.path) / "tokenizer.json"))
    return [tokenizer.encode(text).ids[: made.base.max_tokens] for text in texts]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@torch.no_grad()
def test_embed_is_pooling_over_transformers_own_output(made: Made, rows: list[list[int]], pooling: str) -> None:
    model = made.base.model_copy(update={"pooling": pooling})
    ours = torch_encoder.from_base(model, label_count=3, seed=0).eval()
    theirs = AutoModel.from_pretrained(made.base.path, local_files_only=True).eval()
    for ids in rows:
        hidden = theirs(input_ids=torch.tensor([ids])).last_hidden_state[0]
        pooled = hidden.mean(0) if pooling == "mean" else hidden[0]
        expected = pooled / pooled.norm()
        found = ours.embed(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_padding_changes_no_logit(made: Made, rows: list[list[int]]) -> None:
    classifier = torch_encoder.load(made.tuned["lora"].folder / "model")
    together = classifier(*pad(rows))
    for index, ids in enumerate(rows):
        torch.testing.assert_close(together[index : index + 1], classifier(*pad([ids])), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_padding_id_does_not_matter(made: Made, rows: list[list[int]]) -> None:
    classifier = torch_encoder.load(made.tuned["lora"].folder / "model")
    ids, mask = pad(rows)
    other = torch.where(mask.bool(), ids, torch.full_like(ids, 7))
    torch.testing.assert_close(classifier(other, mask), classifier(ids, mask), rtol=0, atol=1e-6)


@pytest.mark.parametrize("thread_count", [1, 2])
def test_an_onnx_batch_answers_as_one_by_one(made: Made, texts: list[str], thread_count: int) -> None:
    assert len(texts) >= SPREAD_TEXTS
    engine = OnnxClassifier(made.quantized["lora"].folder / "fp32", thread_count)
    mixed = texts[::2] + texts[1::2]
    together = engine.logits(mixed)
    alone = np.concatenate([engine.logits([text]) for text in mixed])
    engine.close()
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
