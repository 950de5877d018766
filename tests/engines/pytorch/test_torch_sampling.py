"""Sampling in torch: each filter against the one of transformers, and penalties by hand."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from linnet.engines.pytorch.torch_sampling import draw, probabilities  # noqa: E402
from linnet.engines.requests.generation import GREEDY, Sampling  # noqa: E402

OPEN = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def logits(seed: int = 0, size: int = 50) -> torch.Tensor:
    return 3 * torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("name", "value"), [("top_k", 7), ("top_p", 0.8), ("min_p", 0.1), ("temperature", 0.6)])
def test_each_filter_is_that_of_transformers(name: str, value: float, seed: int) -> None:
    from transformers import generation

    theirs = {
        "top_k": generation.TopKLogitsWarper,
        "top_p": generation.TopPLogitsWarper,
        "min_p": generation.MinPLogitsWarper,
        "temperature": generation.TemperatureLogitsWarper,
    }[name](value)
    given = logits(seed)
    expected = theirs(torch.zeros(1, 1, dtype=torch.long), given.double()[None])[0].softmax(0)
    found = probabilities(given, Sampling(**{**OPEN, name: value}), ())
    assert torch.allclose(found, expected, atol=1e-9)


def test_the_repeat_penalty_is_that_of_transformers() -> None:
    from transformers import generation

    given, before = logits(3), [1, 4, 4, 9]
    expected = generation.RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor([before]), given.double()[None])[0]
    found = probabilities(given, Sampling(**OPEN, repeat_penalty=1.3), before)
    assert torch.allclose(found, expected.softmax(0), atol=1e-9)


def test_presence_and_frequency_are_subtracted() -> None:
    given = logits(4)
    expected = given.double()
    expected[1] -= 0.5 + 0.25
    expected[4] -= 0.5 + 2 * 0.25
    settings = Sampling(**OPEN, presence_penalty=0.5, frequency_penalty=0.25)
    assert torch.allclose(probabilities(given, settings, [1, 4, 4]), expected.softmax(0), atol=1e-9)
    forgotten = Sampling(**OPEN, presence_penalty=0.5, repeat_last_n=0)
    assert torch.allclose(probabilities(given, forgotten, [1, 4, 4]), given.double().softmax(0), atol=1e-9)


def test_greedy_takes_the_likeliest_and_a_seed_draws_the_same() -> None:
    given = logits(5)
    assert draw(probabilities(given, GREEDY, ()), torch.Generator()) == int(given.argmax())
    shares = probabilities(given, Sampling(**OPEN), ())
    drawn = [[draw(shares, g) for _ in range(20)] for g in (torch.Generator().manual_seed(1) for _ in range(2))]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 1


def test_filters_leave_one_token_at_least() -> None:
    found = probabilities(logits(6), Sampling(temperature=1, top_k=1, top_p=0.0, min_p=1.0), ())
    assert int((found > 0).sum()) == 1
    assert float(found.sum()) == pytest.approx(1)
