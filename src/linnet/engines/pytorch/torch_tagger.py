"""An encoder with a head on every token, in torch: the tagger that training changes and that ONNX files are made of.

Knows nothing of data, training or what its tags mean.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from linnet.core.files import read_json
from linnet.core.records import Model
from linnet.engines.pytorch.torch_encoder import backbone_of, empty_backbone, export_onnx, fill, save_module

TAGGER = "tagger.json"


class TextTagger(nn.Module):
    """Logits, shape (batch, tokens, tags), from `input_ids` and `attention_mask`, both (batch, tokens)."""

    def __init__(self, backbone: nn.Module, tag_count: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(int(backbone.config.hidden_size), tag_count)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(input_ids, attention_mask))
        return logits

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What the encoder makes of each token, shape (batch, tokens, hidden)."""
        hidden: Tensor = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden


def from_base(model: Model, tag_count: int, seed: int) -> TextTagger:
    """A base encoder with a fresh head. Raises EngineError when its files cannot be loaded."""
    torch.manual_seed(seed)
    return TextTagger(backbone_of(model), tag_count)


def save(tagger: TextTagger, base: Model, folder: Path, labels: list[str]) -> None:
    """Write a tagger that `load` reads: weights in safetensors, everything else in JSON."""
    save_module(tagger, base, folder, TAGGER, {"labels": labels, "max_tokens": base.max_tokens})


def load(folder: Path, *, for_export: bool = False) -> TextTagger:
    """Read what `save` wrote. Raises EngineError when the files do not fit together."""
    labels = read_json(folder / TAGGER)["labels"]
    tagger = TextTagger(empty_backbone(folder, for_export=for_export), 1 + 2 * len(labels))
    fill(tagger, folder)
    return tagger


def export_tagger(tagger: TextTagger, path: Path) -> None:
    """Write the tagger as one ONNX file, for any number of texts and tokens."""
    export_onnx(tagger, path, {0: "batch", 1: "tokens"})
