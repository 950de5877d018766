"""The recipe of the base model on a corpus of a few lines: resumed to the same bits, and its parts by their numbers."""

from __future__ import annotations

import dataclasses
import json
import lzma
import math
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import StoreError

torch = pytest.importorskip("torch")

from recipes.nano import corpus, train, windows  # noqa: E402 - after the check that torch is there
from recipes.nano.kneser_ney import KneserNey  # noqa: E402
from recipes.nano.optimizer import orthogonalised  # noqa: E402
from recipes.nano.shape import SHAPES, Shape, recipe_id  # noqa: E402
from recipes.nano.tokenizer import CHAT_TEMPLATE, CONTROL, SPACE, render, train_tokenizer  # noqa: E402

SMALL = Shape(64, 1, 64, 2, 1, tokens_per_step=1024, matrix_rate=0.02, vector_rate=3e-3)
STORY = "The old boat lay on the sand. A girl came by and asked who had left it there. Nobody knew.\n\n"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus folder in the shape of the real one, and few windows."""
    folder = tmp_path / "shared" / "corpus"
    folder.mkdir(parents=True)
    books = [{"id": f"book{i}", "text": "\ufeff" + STORY.replace("\n", "\r\n") * 200} for i in range(40)]
    prompts = [{"prompt": f"What is {i} and one?", "completion": f"{i + 1}<|endoftext|>"} for i in range(80)]
    for name, rows in (("novels", books), ("storybook", books[:3]), ("prompts_t0_permissive", prompts)):
        with lzma.open(folder / f"{name}.jsonl.xz", "wt") as handle:
            handle.writelines(json.dumps(row) + "\n" for row in rows)
    monkeypatch.setenv("LINNET_DATA", str(folder.parent))
    monkeypatch.setattr(train, "WINDOW_STEPS", {windows.SHORT: 4, windows.LONG: 2})
    (tmp_path / "out" / "data").mkdir(parents=True)
    return tmp_path / "out"


def steps(out: Path, count: int) -> list[float]:
    run = train.Run(SMALL, out)
    run.resume()
    losses = [run.train_step() for _ in range(count)]
    run.save()
    return losses


def weights(out: Path) -> bytes:
    found = train.checkpoints.latest(out / "checkpoints", recipe_id(SMALL))
    assert found is not None
    return b"".join(found.tensors[name].numpy().tobytes() for name in sorted(found.tensors))


def test_resumed_training_ends_in_the_same_bits(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = train.Progress
    monkeypatch.setattr(train, "Progress", lambda **k: real(**{"decay_at": 3, **k}))  # the decay begins within
    whole = steps(data, 4)
    straight = weights(data)
    for folder in (data / "checkpoints").iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    parts = steps(data, 2) + steps(data, 2)
    assert parts == whole
    assert weights(data) == straight


def test_checkpoint_of_another_recipe_is_refused(data: Path) -> None:
    steps(data, 1)
    other = train.Run(dataclasses.replace(SMALL, matrix_rate=0.01), data)
    with pytest.raises(StoreError, match="belongs to another training"):
        other.resume()


def test_windows_are_full_and_hold_whole_books_out(data: Path) -> None:
    windows.build(data / "data", windows.SHORT, 6)
    found = np.concatenate(windows.read(data / "data", windows.SHORT))
    assert found.shape == (6, windows.SHORT + 1)
    assert not (np.asarray(found) == CONTROL.index("<|pad|>")).any()
    assert len(np.unique(found, axis=0)) == 6  # each shard has its own
    kept, out = corpus.books(test=False), corpus.books(test=True)
    assert {b.name for b in kept}.isdisjoint(b.name for b in out)
    assert out
    assert "\r" not in kept[0].text
    assert "\ufeff" not in kept[0].text


def test_rate_warms_up_stays_and_falls_to_zero() -> None:
    assert train.Progress(step=0).rate() == pytest.approx(1 / train.WARM_UP)
    assert train.Progress(step=train.WARM_UP).rate() == 1
    late = train.Progress(step=300, decay_at=300)
    assert late.rate() == 1
    assert dataclasses.replace(late, step=350).rate() == pytest.approx(0.5)
    assert dataclasses.replace(late, step=400).done()


def test_muon_makes_singular_values_even() -> None:
    torch.manual_seed(0)
    for shape in ((3, 16, 40), (2, 40, 16), (1, 8, 8)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_kneser_ney_is_a_distribution_and_knows_what_it_saw() -> None:
    ids = np.random.default_rng(0).integers(0, 5, 400)
    model = KneserNey(ids, 6, 3)
    for context in ([1, 2], [0, 4], [5, 5], [3]):
        each = [math.exp(model.log_probabilities(np.array([*context, word]))[-1]) for word in range(6)]
        assert sum(each) == pytest.approx(1)
    again = KneserNey(np.tile(np.arange(6), 50), 6, 5)
    assert math.exp(again.log_probabilities(np.array([0, 1, 2, 3, 4]))[-1]) > 0.95


def test_a_word_has_the_same_tokens_behind_a_space_as_behind_a_quotation_mark() -> None:
    """Else the first word of what is copied from a text into JSON is another one, and copying does not come."""
    text = "They calibrate the oscilloscope before the harvester. " * 3 + 'Its name was "calibrate". '
    tokenizer = train_tokenizer([text] * 4, 320)
    for word in ("calibrate", "oscilloscope", "harvester", "before", "barometer", "Ça"):
        alone, spaced = tokenizer.encode(f'"{word}"').tokens[1:-1], tokenizer.encode(f" {word}").tokens
        assert "".join(spaced) == SPACE + "".join(alone)
        assert spaced in ([SPACE, *alone], [SPACE + alone[0], *alone[1:]])
    assert tokenizer.encode(" the").tokens == [SPACE + "the"]
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_chat_template_gives_what_training_saw() -> None:
    from jinja2 import Environment

    turns = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello")]
    shown = Environment().from_string(CHAT_TEMPLATE).render(messages=[{"role": r, "content": c} for r, c in turns])
    assert shown == render(turns)


def test_widths_suit_k_quants() -> None:
    for shape in SHAPES.values():
        assert shape.width % 256 == 0
        assert shape.feed_forward % 256 == 0
