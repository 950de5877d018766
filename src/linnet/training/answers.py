"""The loss of a decoder, only where there is a target: one batch in parts of like length, logits in chunks.

Hidden states are picked at the targets before the head, so a vocabulary of 150,000 costs memory for one chunk only,
and no part is larger than a budget of tokens. What the loss is of is a function given from outside: of the logits at
some targets, the right tokens, and their places. Distillation is another such function, not another loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.core.errors import EngineError
from linnet.training import devices
from linnet.training.recipe import CHUNK_LOGITS, CHUNK_ROWS, GPU_CHUNK_LOGITS, PART_COST
from linnet.training.targets import TargetExample

CACHED_ROWS = 8  # of logits: one and a half megabytes of a vocabulary of 50,000

# (logits (n, vocabulary), right tokens (n,), places (n, 2): example and position) -> the sum of n losses.
TargetLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


class _CrossEntropy(torch.autograd.Function):
    """The sum of -log p(right token). What goes back takes the place of the logits: they are the largest thing of a
    step, and every further copy of them costs as much as the exponentials. A few rows at a time stay in the cache."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor) -> Tensor:
        total = logits.new_zeros(())
        for rows, right in zip(logits.detach().split(CACHED_ROWS), tokens[:, None].split(CACHED_ROWS), strict=True):
            rows.sub_(rows.amax(-1, keepdim=True))
            found = rows.gather(1, right)
            sums = rows.exp_().sum(-1, keepdim=True)
            total += (sums.log() - found).sum()
            rows.div_(sums)
            rows.scatter_add_(1, right, torch.full_like(sums, -1.0))
        ctx.gradient = logits.detach()
        return total

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, None]:
        gradient, ctx.gradient = ctx.gradient.mul_(given[0]), None
        return gradient, None


def cross_entropy(logits: Tensor, tokens: Tensor, places: Tensor) -> Tensor:  # noqa: ARG001 - for losses that look up
    """The sum of -log p(right token)."""
    return functional.cross_entropy(logits.float(), tokens, reduction="sum")


def _last_use(logits: Tensor, tokens: Tensor, places: Tensor) -> Tensor:
    """`cross_entropy` of logits that nobody reads again."""
    if logits.dtype != torch.float32 or logits.device.type != "cpu":
        return cross_entropy(logits, tokens, places)
    found: Tensor = _CrossEntropy.apply(logits, tokens)
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """Rows computed together, padded on the right: `ids` (rows, tokens); a token never looks to its right.

    `where` are positions in the flattened `ids`, `tokens` what comes after each, `places` example and position.
    """

    ids: Tensor
    where: Tensor
    tokens: Tensor
    places: Tensor

    def on(self, device: torch.device) -> Part:
        """The same where a model computes."""
        if self.ids.device == device:
            return self
        moved = (tensor.to(device) for tensor in (self.ids, self.where, self.tokens, self.places))
        return Part(*moved)


class Rows:
    """Tokenised examples as training reads them: each without what comes after its last target."""

    def __init__(self, examples: Sequence[TargetExample]) -> None:
        # Nothing comes before the first token, so it can be no target.
        self.targets = [[i for i, wanted in enumerate(e.mask) if wanted and i] for e in examples]
        self.ids = [
            e.ids[: found[-1] + 1] if found else e.ids[:2] for e, found in zip(examples, self.targets, strict=True)
        ]
        self.lengths = [len(ids) - 1 for ids in self.ids]
        self.numbers = [e.row for e in examples]

    def __len__(self) -> int:
        return len(self.ids)

    def count(self, indices: Sequence[int]) -> int:
        return sum(len(self.targets[i]) for i in indices)

    def part(self, indices: Sequence[int]) -> Part:
        width = max(self.lengths[i] for i in indices)
        ids = torch.zeros(len(indices), width, dtype=torch.long)
        where, tokens, places = [], [], []
        for place, index in enumerate(indices):
            row = self.ids[index]
            ids[place, : len(row) - 1] = torch.tensor(row[:-1])
            where += [place * width + i - 1 for i in self.targets[index]]
            tokens += [row[i] for i in self.targets[index]]
            places += [(index, i) for i in self.targets[index]]
        return Part(ids, torch.tensor(where), torch.tensor(tokens), torch.tensor(places).reshape(-1, 2))


def parts(lengths: Sequence[int], batch: Sequence[int], budget: int) -> list[list[int]]:
    """A batch in parts of like length, each of at most `budget` tokens with its padding (one row may be more).

    Of all ways to cut it the one with the least to compute: padded tokens, and PART_COST of them for each part.
    """
    order = sorted(batch, key=lambda i: (-lengths[i], i))
    least, begins = [0], [0]  # for the first n rows: what they cost, and where their last part begins
    for end in range(1, len(order) + 1):
        found = []
        for begin in range(end - 1, -1, -1):
            tokens = lengths[order[begin]] * (end - begin)
            if tokens > budget and end - begin > 1:
                break
            found.append((least[begin] + tokens + PART_COST, begin))
        least.append(min(found)[0])
        begins.append(min(found)[1])
    made: list[list[int]] = []
    end = len(order)
    while end:
        made.append(order[begins[end] : end])
        end = begins[end]
    return made[::-1]


class Decoder:
    """A causal language model taken apart: what makes hidden states, and the head. Raises EngineError at models
    whose logits are not the head of the hidden states."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        self.body: Any = model.get_decoder()
        self.head: Any = model.get_output_embeddings()
        self.device = devices.of(model)
        self._check()

    @torch.no_grad()
    def _check(self) -> None:
        was = self.model.training
        self.model.eval()
        ids = torch.arange(1, 9, device=self.device)[None] % self.head.weight.shape[0]
        ours = self.logits(self.hidden(ids)).float()
        with devices.computing(self.device):
            theirs = self.model(input_ids=ids, use_cache=False).logits.flatten(0, 1).float()
        self.model.train(was)
        # Products in bfloat16 may be rounded otherwise for another shape; a scaled or capped logit is off by more.
        bound = 1e-3 if self.device.type == "cpu" else 0.02 * max(1.0, float(theirs.abs().max()))
        if not torch.allclose(ours, theirs, atol=bound):
            raise EngineError(
                f"{type(self.model).__name__} does more to its logits than its head does; it cannot be tuned here yet.",
                "Take a model of the Llama family: Llama, Mistral, Qwen, SmolLM.",
            )

    def hidden(self, ids: Tensor) -> Tensor:
        """Hidden states, shape (rows x tokens, hidden). Padding is on the right, where causal attention never looks."""
        with devices.computing(self.device):
            found: Tensor = self.body(input_ids=ids, use_cache=False).last_hidden_state
        return found.flatten(0, 1)

    def logits(self, states: Tensor) -> Tensor:
        """What the head makes of hidden states, shape (n, vocabulary)."""
        with devices.computing(self.device):
            found: Tensor = self.head(states)
        return found

    def chunk_rows(self) -> int:
        numbers = CHUNK_LOGITS if self.device.type == "cpu" else GPU_CHUNK_LOGITS
        return max(CHUNK_ROWS, numbers // int(self.head.weight.shape[0]))


def _chunks(part: Part, rows: int) -> list[slice]:
    return [slice(start, start + rows) for start in range(0, len(part.where), rows)]


def leave_gradients(
    decoder: Decoder, made: Sequence[Part], loss: TargetLoss = cross_entropy, targets: int = 0
) -> Tensor:
    """The mean loss over all targets of all parts; its gradients are added to the parameters, so it has no graph.

    The head goes backward chunk by chunk on detached hidden states, then each part's body once. `targets` are those of
    the whole batch where `made` is only a share of it: then it is this share of the mean.
    """
    count = targets or sum(len(part.where) for part in made)
    loss = _last_use if loss is cross_entropy else loss
    total = torch.zeros((), device=decoder.device)
    for part in (part.on(decoder.device) for part in made):
        picked = decoder.hidden(part.ids).index_select(0, part.where)
        leaf = picked.detach().requires_grad_()
        for chunk in _chunks(part, decoder.chunk_rows()):
            value = loss(decoder.logits(leaf[chunk]), part.tokens[chunk], part.places[chunk]) / count
            value.backward()
            total += value.detach()
        picked.backward(leaf.grad)
    return total


def idle(decoder: Decoder, times: int) -> None:
    """So many passes that change nothing: processes that hold parts of the weights compute their layers together."""
    for _ in range(times):
        states = decoder.hidden(torch.zeros(1, 1, dtype=torch.long, device=decoder.device))
        if states.requires_grad:
            (states.sum() * 0).backward()


@torch.no_grad()
def mean_loss(decoder: Decoder, made: Sequence[Part], loss: TargetLoss = cross_entropy) -> float:
    """The mean loss over all targets, without gradients."""
    total, count = sum_loss(decoder, made, loss)
    mean: float = total / max(count, 1)
    return mean


@torch.no_grad()
def sum_loss(decoder: Decoder, made: Sequence[Part], loss: TargetLoss = cross_entropy) -> tuple[float, int]:
    """The sum of the losses of all targets, without gradients, and how many there are."""
    total, count = 0.0, 0
    for part in (part.on(decoder.device) for part in made):
        picked = decoder.hidden(part.ids).index_select(0, part.where)
        for chunk in _chunks(part, decoder.chunk_rows()):
            total += float(loss(decoder.logits(picked[chunk]), part.tokens[chunk], part.places[chunk]))
        count += len(part.where)
    return total, count


@torch.no_grad()
def target_logits(decoder: Decoder, part: Part) -> Tensor:
    """Logits at the targets of one part, shape (targets, vocabulary)."""
    part = part.on(decoder.device)
    return decoder.logits(decoder.hidden(part.ids).index_select(0, part.where))
