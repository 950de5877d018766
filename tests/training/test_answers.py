"""The loss at targets is transformers' own, however the batch is cut, sorted or chunked."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from linnet.core.errors import EngineError
from linnet.training import answers, decoder_folder
from linnet.training.answers import Decoder, Rows, leave_gradients, mean_loss, parts
from linnet.training.recipe import PART_COST
from linnet.training.targets import TargetEncoder, TargetExample
from tests.tiny_decoder import chats

ALL = list(range(8))


@pytest.fixture(scope="module")
def decoder(base: Path) -> Decoder:
    return Decoder(decoder_folder.load(base).double())


@pytest.fixture(scope="module")
def examples(base: Path) -> tuple[TargetExample, ...]:
    return TargetEncoder.of_folder(base).encode(chats(8), 256).examples


def gradients(decoder: Decoder, work: Callable[[], Tensor]) -> tuple[float, list[Tensor]]:
    decoder.model.zero_grad(set_to_none=True)
    loss = work()
    if loss.requires_grad:
        loss.backward()
    return float(loss.detach()), [p.grad.clone() for p in decoder.model.parameters()]


def by_parts(decoder: Decoder, examples: Sequence[TargetExample], groups: list[list[int]]) -> Callable[[], Tensor]:
    rows = Rows(examples)
    return lambda: leave_gradients(decoder, [rows.part(group) for group in groups])


def plain(decoder: Decoder, examples: Sequence[TargetExample]) -> Tensor:
    """transformers: padded on the right with a mask, -100 where nothing is learned."""
    width = max(len(e.ids) for e in examples)
    ids, labels, mask = (torch.full((len(examples), width), fill) for fill in (0, -100, 0))
    for i, e in enumerate(examples):
        ids[i, : len(e.ids)] = torch.tensor(e.ids)
        labels[i, : len(e.ids)] = torch.tensor([t if m else -100 for t, m in zip(e.ids, e.mask, strict=True)])
        mask[i, : len(e.ids)] = 1
    loss: Tensor = decoder.model(input_ids=ids, attention_mask=mask, labels=labels).loss
    return loss


def same(one: tuple[float, list[Tensor]], two: tuple[float, list[Tensor]], bound: float) -> None:
    assert one[0] == pytest.approx(two[0], abs=bound)
    assert max(float((a - b).abs().max()) for a, b in zip(one[1], two[1], strict=True)) < bound
    assert max(float(a.abs().max()) for a in one[1]) > 1e-2


def test_the_loss_is_that_of_transformers(decoder: Decoder, examples: tuple[TargetExample, ...]) -> None:
    ours = gradients(decoder, by_parts(decoder, examples, [ALL]))
    # transformers computes its loss in fp32.
    same(ours, gradients(decoder, lambda: plain(decoder, examples)), 1e-6)


@pytest.mark.parametrize("groups", [[[i] for i in ALL], [ALL[:3], ALL[3:]], [ALL[::-1]]])
def test_one_batch_of_eight_is_eight_of_one(
    decoder: Decoder, examples: tuple[TargetExample, ...], groups: list[list[int]]
) -> None:
    whole = gradients(decoder, by_parts(decoder, examples, [ALL]))
    same(gradients(decoder, by_parts(decoder, examples, groups)), whole, 1e-6)


def test_one_batch_of_eight_is_eight_of_one_in_fp32_too(base: Path, examples: tuple[TargetExample, ...]) -> None:
    decoder = Decoder(decoder_folder.load(base))
    whole = gradients(decoder, by_parts(decoder, examples, [ALL]))
    same(gradients(decoder, by_parts(decoder, examples, [[i] for i in ALL])), whole, 1e-6)


def test_chunks_of_logits_change_nothing(
    decoder: Decoder, examples: tuple[TargetExample, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gradients(decoder, by_parts(decoder, examples, [ALL]))
    loss = mean_loss(decoder, [Rows(examples).part(ALL)])
    monkeypatch.setattr(answers, "CHUNK_LOGITS", 7 * decoder.head.weight.shape[0])
    monkeypatch.setattr(answers, "CHUNK_ROWS", 1)
    assert decoder.chunk_rows() == 7
    same(gradients(decoder, by_parts(decoder, examples, [ALL])), whole, 1e-6)
    widths: list[int] = []

    def counting(logits: Tensor, tokens: Tensor, places: Tensor) -> Tensor:
        widths.append(len(logits))
        return answers.cross_entropy(logits, tokens, places)

    mean_loss(decoder, [Rows(examples).part(ALL)], counting)
    assert (max(widths), sum(widths)) == (7, Rows(examples).count(ALL))
    assert mean_loss(decoder, [Rows(examples).part(ALL)]) == pytest.approx(loss, abs=1e-6)
    assert loss == pytest.approx(whole[0], abs=1e-6)


def test_a_loss_sees_logits_tokens_and_places(decoder: Decoder, examples: tuple[TargetExample, ...]) -> None:
    """The seam for distillation: the places are enough to look up what a teacher said there."""
    seen: list[tuple[int, int, int]] = []

    def loss(logits: Tensor, tokens: Tensor, places: Tensor) -> Tensor:
        seen.extend((int(e), int(at), int(t)) for (e, at), t in zip(places, tokens, strict=True))
        return logits.square().sum()

    rows = Rows(examples)
    leave_gradients(decoder, [rows.part([5, 2]), rows.part([0])], loss)
    assert {example for example, _, _ in seen} == {0, 2, 5}
    assert all(examples[example].ids[at] == token and examples[example].mask[at] for example, at, token in seen)
    assert len(seen) == sum(examples[i].target_count for i in (5, 2, 0))


def test_nothing_behind_the_last_target_is_computed(examples: tuple[TargetExample, ...]) -> None:
    rows = Rows(examples)
    assert [ids[-1] for ids in rows.ids] == [3] * 8
    assert rows.count(ALL) == sum(e.target_count for e in examples)


def test_parts_hold_rows_of_like_length_within_a_budget() -> None:
    lengths = [5, 50, 7, 6, 49, 200]
    made = parts(lengths, [0, 1, 2, 3, 4, 5], 100)
    assert made == [[5], [1, 4], [2, 3, 0]]
    assert parts(lengths, [3, 0], 1) == [[3], [0]]


def test_of_all_cuts_the_one_with_least_to_compute_is_taken() -> None:
    source = random.Random(0)
    for _ in range(30):
        lengths = [source.randint(1, 120) for _ in range(8)]
        order = sorted(range(8), key=lambda i: -lengths[i])
        costs = []
        for cuts in itertools.product([False, True], repeat=7):
            edges = [0, *(at for at, cut in enumerate(cuts, 1) if cut), 8]
            made = [order[a:b] for a, b in itertools.pairwise(edges)]
            if all(len(part) == 1 or lengths[part[0]] * len(part) <= 256 for part in made):
                costs.append(cost(lengths, made))
        assert cost(lengths, parts(lengths, range(8), 256)) == min(costs)


def cost(lengths: list[int], made: list[list[int]]) -> int:
    return sum(max(lengths[i] for i in part) * len(part) + PART_COST for part in made)


def test_a_model_whose_logits_are_not_its_heads_is_refused(base: Path) -> None:
    class Capped(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner
            self.get_decoder, self.get_output_embeddings = inner.get_decoder, inner.get_output_embeddings

        def forward(self, **given: Any) -> Any:
            found = self.inner(**given)
            found.logits = torch.tanh(found.logits)
            return found

    with pytest.raises(EngineError, match="Capped does more to its logits"):
        Decoder(Capped(decoder_folder.load(base)))
