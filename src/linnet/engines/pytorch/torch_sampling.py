"""How the next token is drawn from logits in torch, in the order of llama.cpp's samplers.

Biases, penalties, top-k, top-p, min-p, temperature. Pure: knows no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from linnet.engines.requests.generation import Sampling


def probabilities(logits: Tensor, sampling: Sampling, before: Sequence[int]) -> Tensor:
    """float64 (vocabulary,) that sums to 1; `before` are the tokens so far, the prompt's among them.

    Temperature 0 puts everything on the likeliest token. Filters as in Holtzman et al. 2020 (top-p) and Nguyen et al.
    2024 (min-p); penalties as in Keskar et al. 2019, and OpenAI's presence and frequency penalties.
    """
    found = _penalised(logits.double(), sampling, before)
    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(found.argmax(), len(found)).double()
    order = found.argsort(descending=True, stable=True)
    kept = found[order]
    if sampling.top_k:
        kept = kept[: sampling.top_k]
    share = kept.softmax(0)
    if sampling.top_p < 1:
        wanted = int((share.cumsum(0) - share < sampling.top_p).sum())
        kept = kept[: max(1, wanted)]
    if sampling.min_p > 0:
        share = kept.softmax(0)
        kept = kept[: max(1, int((share >= sampling.min_p * share[0]).sum()))]
    drawn = torch.zeros_like(found)
    drawn[order[: len(kept)]] = (kept / sampling.temperature).softmax(0)
    return drawn


def _penalised(logits: Tensor, sampling: Sampling, before: Sequence[int]) -> Tensor:
    last = before[-sampling.repeat_last_n :] if sampling.repeat_last_n else ()
    if not last or (sampling.repeat_penalty, sampling.presence_penalty, sampling.frequency_penalty) == (1.0, 0.0, 0.0):
        return logits
    counts = Counter(last)
    tokens = torch.tensor(list(counts), device=logits.device)
    times = torch.tensor(list(counts.values()), device=logits.device, dtype=logits.dtype)
    found = logits.clone()
    old = found[tokens]
    old = torch.where(old > 0, old / sampling.repeat_penalty, old * sampling.repeat_penalty)
    found[tokens] = old - sampling.presence_penalty - sampling.frequency_penalty * times
    return found


def draw(shares: Tensor, generator: torch.Generator) -> int:
    """One token by its probability."""
    return int(torch.multinomial(shares.cpu(), 1, generator=generator))
