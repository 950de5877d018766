"""A copying circuit to begin with: two attention layers that continue a sequence seen before.

A decoder of this size needs far more tokens than two hours of two cores give before it copies by itself. The circuit
is known (Olsson et al. 2022, https://arxiv.org/abs/2209.11895): a head that looks one token back, and a head that looks
for the place whose last token was this one and says what came next. Here both are written into the weights before
training, as Trockman and Kolter (2023, https://arxiv.org/abs/2305.09828) do for simpler structure. Windows of repeated
random tokens in the first steps keep training from washing it out. Nothing in the model's form is special afterwards.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from recipes.nano.shape import VOCABULARY, Shape

EMBEDDING_STD = 0.2  # large beside the first updates, or these wash the circuit out
CONSTANT = 5.0  # of one dimension that all tokens share, in EMBEDDING_STD
LOOK_BACK, MATCH, SAY = 4.4, 10.0, 3.0  # logits one place beside, logits of a match, weight of what came next
FIRST_ID = 20  # below are control tokens
# Until that step so many windows of random tokens that come again, each so many steps; then of real text that does.
# Without any, or with one in 24, the circuit no longer copied within 250 steps.
SCHEDULE = ((100, 2, 1), (240, 1, 1), (409, 1, 3))
TEXT = {False: ((480, 2), (10**9, 1)), True: ((10**9, 1),)}
SEED = 5


def places_for_tokens(shape: Shape) -> int:
    """Dimensions of an embedding that tell tokens apart; the others are shared or left to the circuit."""
    return shape.width - shape.width // shape.heads - 1


@torch.no_grad()
def build(model: Any, shape: Shape, known: Tensor | None = None) -> None:
    """Write the circuit into layers 0 and 1 of a fresh LlamaForCausalLM.

    `known` [tokens, places_for_tokens(shape)] of unit deviation is what tokens begin with; random where it is absent.

    Token embeddings use the dimensions before `free`; the last `size` ones stay nearly empty and receive, from head 0
    of layer 0, a projection of the token before. Layer 1 compares it with the same projection of the present token, in
    the slow planes of the rotary embedding, where distance hardly matters.
    """
    random = torch.Generator().manual_seed(SEED)
    size = shape.width // shape.heads
    free = shape.width - size
    table = model.model.embed_tokens.weight
    table.normal_(0, EMBEDDING_STD, generator=random)
    if known is not None:
        table[:, 1:free] = EMBEDDING_STD * known
    table[:, 0] = CONSTANT * EMBEDDING_STD
    table[:, free:] *= 0.05
    model.model.norm.weight.fill_(0.016 / EMBEDDING_STD)  # first logits as small as with the usual start
    one = 1 / math.sqrt((CONSTANT**2 + free - 1) / shape.width)  # an embedding's deviation after the first norm
    basis = torch.linalg.qr(torch.randn(free - 1, free - 1, generator=random))[0]
    first, second = (model.model.layers[i].self_attn for i in (0, 1))
    _look_back(first, size, CONSTANT * one)
    first.v_proj.weight[:size] = 0
    first.v_proj.weight[:size, 1:free] = basis[:size]
    first.o_proj.weight[:, :size] = 0
    first.o_proj.weight[free:, :size] = EMBEDDING_STD / one * torch.eye(size)
    _say_what_came_next(second, shape, basis)


def _look_back(attention: Any, size: int, constant: float) -> None:
    """Head 0 reads the shared dimension alone; the rotary embedding then favours a distance of one."""
    planes = torch.arange(size * 3 // 16)
    angle = 10000.0 ** (-planes / (size // 2))
    strength = math.sqrt(LOOK_BACK * math.sqrt(size) / float((1 - angle.cos()).sum())) / constant
    for weight in (attention.q_proj.weight, attention.k_proj.weight):
        weight[:size] = 0
    attention.k_proj.weight[planes, 0] = strength
    attention.q_proj.weight[planes, 0] = strength * angle.cos()
    attention.q_proj.weight[planes + size // 2, 0] = -strength * angle.sin()


def _say_what_came_next(attention: Any, shape: Shape, basis: Tensor) -> None:
    size = shape.width // shape.heads
    free, group = shape.width - size, shape.heads // shape.kv_heads
    slow = torch.arange(size // 2 - size * 7 // 32, size // 2)
    places = torch.cat([slow, slow + size // 2])
    count = len(places)
    one = 1 / math.sqrt((CONSTANT**2 + free - 1) / shape.width)
    strength = math.sqrt(MATCH / count * math.sqrt(size))
    for head in range(min(shape.kv_heads, size // count, (free - 1) // size)):
        keys, queries = slice(head * size, (head + 1) * size), slice(head * group * size, (head * group + 1) * size)
        part = slice(head * count, (head + 1) * count)
        query, key, value = (torch.zeros(size, shape.width) for _ in range(3))
        query[places, 1:free] = strength * basis[part]
        key[places, free + part.start : free + part.stop] = strength * torch.eye(count)
        value[:, 1:free] = basis[keys]
        attention.q_proj.weight[queries], attention.k_proj.weight[keys] = query, key
        attention.v_proj.weight[keys] = value
        attention.o_proj.weight[:, queries] = SAY * EMBEDDING_STD / one * value.T


def repeated(count: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random tokens that come again and again: ids [count, width + 1] and which targets [count, width] can be known."""
    random = torch.Generator().manual_seed(seed)
    ids, known = torch.zeros(count, width + 1, dtype=torch.long), torch.zeros(count, width, dtype=torch.bool)
    for row in range(count):
        period = int(torch.randint(8, 100, (1,), generator=random))
        tokens = torch.randint(FIRST_ID, VOCABULARY, (period,), generator=random)
        ids[row] = tokens.repeat(width // period + 2)[: width + 1]
        known[row, period:] = True
    return ids, known


def again(rows: Tensor, step: int) -> Tensor:
    """Rows of ids [count, width + 1], each a stretch of its own beginning that comes again and again."""
    random = torch.Generator().manual_seed(step)
    made = torch.empty_like(rows)
    for index, row in enumerate(rows):
        period = int(torch.randint(24, 200, (1,), generator=random))
        made[index] = row[:period].repeat(len(row) // period + 1)[: len(row)]
    return made


def windows_of(step: int, long: bool) -> tuple[int, bool]:
    """How many windows of a step are there to copy, and whether they are of random tokens."""
    for until, count, each in SCHEDULE:
        if step < until:
            return int(step % each == 0) * count, True
    return next(count for until, count in TEXT[long] if step < until), False
