"""Token embeddings to begin with: what `builtin:minilm` knows of words, so that near words begin near each other.

Two hours of two cores are far too few tokens to learn from scratch that a lounge is a sitting room. A pre-trained
encoder knows; its vectors of single words, reduced by principal components, make a good static table (Tulkens and van
Dongen 2024, https://github.com/MinishLab/model2vec). What cannot be known from words (letter case, a space before,
bytes, control tokens) is random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

KNOWN_SHARE = 0.85  # of the variance; the rest tells apart what the encoder does not (case, spaces, look-alikes)
BATCH, SEED = 256, 3


def folder() -> Path:
    """Where the encoder is. Raises ResourceMissing, or CorruptFile for altered weights."""
    from linnet.formats.resolve import MINILM, builtin_model

    return Path(builtin_model(MINILM).path)


def frequent_words() -> list[str]:
    """Whole lower-case words of the encoder's vocabulary, the most frequent first."""
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_file(str(folder() / "tokenizer.json")).get_vocab()
    found = sorted((i, word) for word, i in vocabulary.items() if word.isalpha() and word.isascii() and len(word) > 2)
    return [word for _, word in found]


@torch.no_grad()
def _vectors(pieces: list[str]) -> Tensor:
    """[pieces, 2 x width of the encoder]: its input vectors and its sentence vector, both of unit length or zero."""
    from tokenizers import Tokenizer
    from transformers import AutoModel

    model = AutoModel.from_pretrained(str(folder()), local_files_only=True).eval()
    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    table, ids_of = model.get_input_embeddings().weight, tokenizer.get_vocab()
    first = torch.zeros(len(pieces), table.shape[1])
    second = torch.zeros_like(first)
    whole: dict[int, list[tuple[int, list[int]]]] = {}
    for row, piece in enumerate(pieces):
        text = piece.strip().lower()
        ids = tokenizer.encode(text).ids if text else []
        if len(ids) < 3 or "\ufffd" in text:  # nothing between the marks of begin and end
            continue
        inside = f"##{text}"
        if text.isalpha() and not piece.startswith(" ") and inside in ids_of:
            first[row] = table[ids_of[inside]]
            continue
        first[row] = table[ids[1:-1]].mean(0)
        whole.setdefault(len(ids), []).append((row, ids))
    for alike in whole.values():
        for begin in range(0, len(alike), BATCH):
            rows, ids = zip(*alike[begin : begin + BATCH], strict=True)
            second[list(rows)] = model(input_ids=torch.tensor(ids)).last_hidden_state.mean(1)
    unit = torch.nn.functional.normalize
    return torch.cat([unit(first), unit(second)], dim=1)


@torch.no_grad()
def known(tokenizer: Any, size: int) -> Tensor:
    """[tokens, size], every row of unit deviation: principal components, half whitened, and a random part."""
    random = torch.Generator().manual_seed(SEED)
    count = tokenizer.get_vocab_size()
    pieces = [tokenizer.decode([i], skip_special_tokens=True) for i in range(count)]
    vectors = _vectors(pieces)
    has = vectors.norm(dim=1) > 0
    vectors = vectors - vectors[has].mean(0)
    _, strength, directions = torch.linalg.svd(vectors[has], full_matrices=False)
    parts = vectors @ directions[:size].T / strength[:size].sqrt()
    mixed = torch.linalg.qr(torch.randn(size, size, generator=random))[0]  # no dimension is worth more than another
    parts = parts @ mixed
    parts = parts / (parts.std(dim=1, keepdim=True) + 1e-6)
    noise = torch.randn(count, size, generator=random)
    share = torch.where(has, KNOWN_SHARE, 0.0)[:, None]
    table = share.sqrt() * parts + (1 - share).sqrt() * noise
    return table / table.std(dim=1, keepdim=True)
