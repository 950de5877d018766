"""The copying circuit written into a fresh decoder continues what it never saw; without it nothing does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from recipes.nano import circuit, train  # noqa: E402 - after the check that torch is there
from recipes.nano.shape import SHAPES  # noqa: E402


def copied(model: Any) -> float:
    """Share of the tokens that can be known which the model names first."""
    ids, known = circuit.repeated(8, 256, seed=3)
    with torch.no_grad():
        said = model(ids[:, :-1]).logits.argmax(-1)
    return float((said == ids[:, 1:])[known].float().mean())


@pytest.mark.parametrize(("size", "share"), [("tiny", 0.5), ("nano", 0.65)])
def test_a_fresh_model_continues_random_tokens(tmp_path: Path, size: str, share: float) -> None:
    assert copied(train.Run(SHAPES[size], tmp_path).model) > share


def test_without_the_circuit_nothing_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit, "build", lambda *_: None)
    assert copied(train.Run(SHAPES["tiny"], tmp_path).model) < 0.02


def test_layer_0_looks_one_token_back(tmp_path: Path) -> None:
    model = train.Run(SHAPES["nano"], tmp_path).model
    model.set_attn_implementation("eager")
    ids, _ = circuit.repeated(1, 128, seed=4)
    with torch.no_grad():
        weights = model(ids[:, :-1], output_attentions=True).attentions[0][0, 0]
    assert float(weights.diagonal(-1).mean()) > 0.8


def test_repeated_windows_have_their_period() -> None:
    ids, known = circuit.repeated(4, 200, seed=1)
    for row, can in zip(ids.tolist(), known.tolist(), strict=True):
        period = can.index(True)
        assert 8 <= period < 100
        assert row[period:] == row[:-period]
    assert min(min(row) for row in ids.tolist()) >= circuit.FIRST_ID


def test_when_there_are_windows_of_repeated_tokens() -> None:
    assert [circuit.windows_of(step, long=False) for step in (0, 99, 100, 399, 400, 719, 720)] == [2, 2, 1, 1, 0, 0, 1]
    assert [circuit.windows_of(step, long=True) for step in (3000, 3001)] == [0, 1]
