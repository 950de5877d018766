"""The one dial of the recipe: how large the model is, and the numbers that follow from it."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.files import canonical

VOCABULARY = 8192
CONTEXT = 1024
RECIPE_FILES = ("shape.py", "corpus.py", "tokenizer.py", "windows.py", "optimizer.py", "train.py")


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama decoder with tied embeddings. Widths are multiples of 256, so that K-quants apply to every matrix."""

    width: int
    layers: int
    feed_forward: int
    heads: int
    kv_heads: int
    tokens_per_step: int
    matrix_rate: float  # learning rate of Muon
    vector_rate: float  # learning rate of AdamW (embeddings and norms)
    vocabulary: int = VOCABULARY

    def config(self) -> dict[str, Any]:
        """Arguments of transformers.LlamaConfig."""
        return {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "intermediate_size": self.feed_forward,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": CONTEXT,
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-5,
            "initializer_range": 0.02,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        }


SHAPES = {
    "tiny": Shape(256, 2, 256, 4, 2, 4096, 0.02, 3e-3, vocabulary=4096),  # two layers: with one, nothing is copied
    "nano": Shape(512, 5, 1280, 8, 4, 4096, 0.02, 3e-3),
    "large": Shape(512, 10, 1536, 8, 4, 65536, 0.02, 2e-3),
}


def recipe_id(shape: Shape) -> str:
    """What a checkpoint belongs to: the shape and the code that trains it."""
    here = Path(__file__).parent
    sources = {name: hashlib.sha256((here / name).read_bytes()).hexdigest() for name in RECIPE_FILES}
    return hashlib.sha256(canonical({"shape": dataclasses.asdict(shape), "sources": sources})).hexdigest()
