"""A real encoder that is small enough to train in a second: BERT with two layers and a vocabulary of made-up words."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

TOPICS = {
    "fruit": ["apple", "pear", "plum", "cherry", "melon", "grape", "fig", "lemon"],
    "tool": ["hammer", "saw", "drill", "wrench", "chisel", "plane", "file", "clamp"],
    "bird": ["robin", "linnet", "finch", "heron", "swift", "raven", "wren", "crane"],
}
FILLERS = [
    f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "ra", "se", "to", "vu") for b in ("bel", "dor", "fan", "gim", "pol")
]


def tiny_encoder(folder: Path, seed: int = 0) -> Path:
    """Write config.json, tokenizer.json and model.safetensors of a random BERT; returns the folder."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(word for topic in TOPICS.values() for word in topic), *FILLERS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=max(128, len(words)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts with one word of their topic among fillers, and the topic."""
    generator = random.Random(seed)
    made: dict[str, str] = {}
    while len(made) < count:
        topic = list(TOPICS)[len(made) % len(TOPICS)]
        words = [*generator.sample(FILLERS, generator.randint(4, 9)), generator.choice(TOPICS[topic])]
        generator.shuffle(words)
        made.setdefault(" ".join(words), topic)
    return list(made.items())


def write_rows(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["text", "topic"])
        writer.writerows(rows)


def tiny_task(
    folder: Path, encoder: Path, *, rows: int = 180, methods: str = '["full"]', kinds: str = '["fp32"]'
) -> Path:
    """A task.toml with its data and the tiny encoder as its only base; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    made = sentences(rows + 60, seed=1)
    write_rows(folder / "train.csv", made[:rows])
    write_rows(folder / "test.csv", made[rows:])
    task = folder / "task.toml"
    task.write_text(
        f"""
[task]
name = "topics"
kind = "classify"
input = "text"
output = "topic"
[data]
train = "train.csv"
test = "test.csv"
[candidates]
models = [{json.dumps(str(encoder))}]
methods = {methods}
quantizations = {kinds}
"""
    )
    return task
