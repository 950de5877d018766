"""Filling in the middle, measured: does the model use what stands behind a gap?

The tokens of a gap cost some bits given what stands before it, and should cost fewer when what stands behind is given
too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from recipes.nano.tokenizer import MIDDLE, PREFIX, SUFFIX

AROUND, GAP, GAPS, SEED = 120, 8, 300, 11


@torch.no_grad()
def _nats(model: Any, before: list[int], gap: list[int]) -> float:
    ids = torch.tensor([before + gap])
    logits = model(input_ids=ids).logits[0, len(before) - 1 : -1]
    return float(functional.cross_entropy(logits, ids[0, len(before) :], reduction="sum"))


def fill_middle(model: Any, tokenizer: Any, texts: Sequence[str]) -> dict[str, float]:
    """Bits a byte of gaps of GAP tokens in these texts, read from the left, and with the words behind them."""
    random_, left, filled, size = random.Random(SEED), 0.0, 0.0, 0
    prefix, suffix, middle = (tokenizer.token_to_id(name) for name in (PREFIX, SUFFIX, MIDDLE))
    rows = [ids for text in texts if len(ids := tokenizer.encode(text).ids) > 2 * AROUND + GAP]
    for number in range(GAPS):
        ids = rows[number % len(rows)]
        start = random_.randrange(AROUND, len(ids) - AROUND - GAP)
        before, gap = ids[start - AROUND : start], ids[start : start + GAP]
        behind = ids[start + GAP : start + GAP + AROUND]
        left += _nats(model, before, gap)
        filled += _nats(model, [prefix, *before, suffix, *behind, middle], gap)
        size += len(tokenizer.decode(gap).encode())
    bits = math.log(2) * size
    return {"from_the_left": round(left / bits, 4), "filled_in": round(filled / bits, 4), "gaps": GAPS}
