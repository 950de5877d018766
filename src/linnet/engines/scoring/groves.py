"""Many continuations of many prompts in one context: what is shared is decoded once, the rest side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linnet.engines.scoring import continuations as trees
from linnet.engines.scoring.continuations import Followed, Ids
from linnet.engines.scoring.llama_context import BATCH, Context, shared_start
from linnet.metrics.likelihood import log_normalizers

SEQUENCES = 64  # side by side; the library keeps a row of logits for each


def follow(
    context: Context, limit: int, prompts: Sequence[Ids], continuations: Sequence[Ids]
) -> list[list[list[Followed]]]:
    """[prompt][continuation][token] of prompts and continuations that were checked and are not empty.

    limit: tokens that a prompt and a continuation may have together.
    """
    if context.model.recurrent:
        return [[_alone(context, prompt, ids) for ids in continuations] for prompt in prompts]
    room = limit + BATCH - max(map(len, prompts))
    parts = list(trees.forest(continuations, SEQUENCES - 1, room))
    if len(parts) == 1:
        return _grove(context, limit, prompts, continuations, parts[0][1])
    # So many continuations that each prompt takes several trees: the prompt itself is then the trunk.
    result = []
    for prompt in prompts:
        found = [_grove(context, limit, [prompt], continuations[where], one)[0] for where, one in parts]
        result.append([scores for part in found for scores in part])
    return result


def _grove(
    context: Context, limit: int, prompts: Sequence[Ids], continuations: Sequence[Ids], grown: trees.Tree
) -> list[list[list[Followed]]]:
    shared = min(len(prompt) - 1 for prompt in prompts)
    for prompt in prompts:
        shared = min(shared, shared_start(prompts[0], prompt))
    context.trunk(prompts[0][:shared])
    ends = [prompt[shared:] for prompt in prompts]
    result: list[list[list[Followed]]] = []
    for wave in trees.waves(ends, grown, SEQUENCES - 1, min(BATCH, limit + BATCH - shared)):
        plan = trees.plan([ends[i] for i in wave], grown, shared)
        borrowed = range(1, 1 + len(wave) * grown.sequences)
        context.share(borrowed)
        try:
            result += trees.collect(plan, context.run(plan.run), continuations)
        finally:
            context.drop(borrowed)
    return result


def _alone(context: Context, prompt: Ids, ids: Ids) -> list[Followed]:
    """For recurrent models, whose state cannot be shared token by token."""
    found: list[Followed] = []
    for rows in context.read([*prompt, *ids[:-1]], len(prompt) - 1):
        tokens = np.asarray(ids[len(found) : len(found) + len(rows)])
        chosen = rows[np.arange(len(rows)), tokens]
        values = chosen - log_normalizers(rows)
        found += zip(values.tolist(), (chosen >= rows.max(axis=1)).tolist(), strict=True)
    return found
