"""Preference methods: their losses against the formulas of the papers, and what our loop promises of any training."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from linnet.core.errors import DataError, GuardStopped, InputError
from linnet.core.events import Event
from linnet.formats.hf_folder import read_folder
from linnet.text.conversations import Turn
from linnet.text.preferences import Choice
from linnet.training import align, decoder_folder, lora
from linnet.training.align_data import AlignData, AlignRow, prepare_choices
from linnet.training.align_plan import Aligning, AlignRecipe, plan_alignment
from linnet.training.decoder_data import choose_template
from linnet.training.targets import TargetEncoder
from linnet.training.tune_plan import Chosen
from tests.tiny_decoder import chats

pytest.importorskip("trl")
METHODS = ("dpo", "kto", "orpo", "grpo")
ANSWER = 6


def choices(method: str, count: int = 20) -> list[Choice]:
    made = []
    for place, chat in enumerate(chats(count)):
        asked, said = chat.turns
        choice = Choice(row=chat.row, prompt=(asked,), chosen=said, rejected=Turn(role="assistant", content="No."))
        kept = {"dpo": {}, "orpo": {}, "kto": {"rejected" if place % 2 else "chosen": None},
                "grpo": {"chosen": None, "rejected": None, "reference": said.content}}[method]  # fmt: skip
        made.append(choice.model_copy(update=kept))
    return made


def prepared(base: Path, method: str) -> AlignData:
    rows = choices(method)
    free = ANSWER if method == "grpo" else 0
    return prepare_choices(base, (rows[:16], rows[16:]), choose_template(base), 256, answer_tokens=free)


def recipe_of(method: str, reward: str = "json", **changed: Any) -> AlignRecipe:
    said = Aligning(objective=method)
    if method == "grpo":
        said = replace(said, reward=reward, answer_tokens=ANSWER, samples=2)
    chosen = Chosen(epochs=2, batch_size=8, learning_rate=1e-2, lora_rank=4, lora_alpha=8)
    return plan_alignment(said, chosen, 16, 10**5, 256)[0].model_copy(update=changed)


def train(base: Path, folder: Path, method: str, on_event: Callable[[Event], None] = lambda _: None) -> dict[str, Any]:
    return align.train_aligned(
        decoder_folder.load(base), prepared(base, method), recipe_of(method),
        folder=folder, base=base, base_name="tiny", base_digest="b", on_event=on_event,
    )  # fmt: skip


def moved(base: Path, method: str, **changed: Any) -> tuple[align.Losses, AlignData]:
    """The losses of an adapter that is no longer the base."""
    recipe = recipe_of(method, **changed)
    torch.manual_seed(1)
    adapted: Any = lora.add(decoder_folder.load(base), recipe)
    data = prepared(base, method)
    losses = align.Losses(adapted, recipe, data, base)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return losses, data


def log_probs(model: Any, prompt: tuple[int, ...], answer: tuple[int, ...]) -> Tensor:
    """Of each token of the answer."""
    ids = torch.tensor([[*prompt, *answer]])
    logits = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    return logits.gather(1, ids[0, 1:, None])[len(prompt) - 1 :, 0]


def ratio(model: Any, prompt: tuple[int, ...], answer: tuple[int, ...]) -> Tensor:
    """log of how much likelier the adapter finds an answer than the base does."""
    with model.disable_adapter():
        before = log_probs(model, prompt, answer).sum()
    return log_probs(model, prompt, answer).sum() - before


def dpo(model: Any, rows: tuple[AlignRow, ...]) -> Tensor:
    margins = [ratio(model, r.prompt, r.chosen) - ratio(model, r.prompt, r.rejected) for r in rows]
    return -functional.logsigmoid(0.1 * torch.stack(margins)).mean()


def kto(model: Any, rows: tuple[AlignRow, ...]) -> Tensor:
    answers = [row.chosen or row.rejected for row in rows]
    others = [answers[-1], *answers[:-1]]
    distance = torch.stack([ratio(model, r.prompt, other) for r, other in zip(rows, others, strict=True)]).mean()
    distance = distance.clamp(min=0)
    found = []
    for row, answer in zip(rows, answers, strict=True):
        by = ratio(model, row.prompt, answer) - distance
        found.append(1 - torch.sigmoid(0.1 * (by if row.chosen else -by)))
    return torch.stack(found).mean()


def orpo(model: Any, rows: tuple[AlignRow, ...]) -> Tensor:
    odds, learned = [], []
    for row in rows:
        chosen, rejected = (log_probs(model, row.prompt, a).mean() for a in (row.chosen, row.rejected))
        odds.append((chosen - rejected) - (torch.log1p(-chosen.exp()) - torch.log1p(-rejected.exp())))
        learned.append(log_probs(model, row.prompt[:1], row.prompt[1:] + row.chosen))
    return -torch.cat(learned).mean() - 0.1 * functional.logsigmoid(torch.stack(odds)).mean()


@pytest.mark.parametrize(("method", "formula"), [("dpo", dpo), ("kto", kto), ("orpo", orpo)])
@torch.no_grad()
def test_the_loss_is_that_of_the_paper(base: Path, method: str, formula: Callable[..., Tensor]) -> None:
    losses, data = moved(base, method)
    rows = data.rows[0][:6]
    assert float(losses.of(rows)) == pytest.approx(float(formula(losses.model, rows)), rel=1e-4)


def test_a_batch_cut_into_parts_has_the_same_gradient(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for tokens in (1 << 20, 80):
        monkeypatch.setattr(align, "PART_TOKENS", tokens)
        losses, data = moved(base, "dpo")
        job = align.make_job(losses, data, recipe_of("dpo"), "d")
        value = job.loss_of(list(range(8)))
        gradients = [p.grad for group in job.groups for p in group.parameters if p.grad is not None]
        found.append((float(value), torch.cat([g.flatten() for g in gradients])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)


def test_answers_are_sampled_judged_and_compared(base: Path, tmp_path: Path) -> None:
    """Of each prompt as many as asked for; the reward sees the row; only differences within a prompt are learned."""
    (tmp_path / "reward.py").write_text(
        "def score(prediction, references, example):\n"
        "    assert references[0].startswith('{') and 'kitchen' in example['prompt'] + 'kitchen'\n"
        "    return len(prediction) % 7\n"
    )
    losses, data = moved(base, "grpo", reward=f"{tmp_path / 'reward.py'}:score")
    seen: list[list[float | None]] = []
    judged = losses._reward
    losses._reward = lambda answers, rows: seen.append(judged(answers, rows)) or seen[-1]  # type: ignore[func-returns-value]
    value = losses.of(data.rows[0][:4])
    assert [len(values) for values in seen] == [8]
    assert losses.reward == pytest.approx(sum(v or 0 for v in seen[0]) / 8)
    value.backward()
    pairs = list(zip(seen[0][::2], seen[0][1::2], strict=True))
    moves = any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in losses.model.parameters())
    assert moves == any(a != b for a, b in pairs)


def test_a_reward_that_never_gives_a_number_stops_the_training(base: Path, tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text("def score(prediction, references):\n    return None\n")
    losses, data = moved(base, "grpo", reward=f"{tmp_path / 'reward.py'}:score")
    with pytest.raises(GuardStopped, match="no number for any of 4 answers: the metric raised it gave NoneType"):
        losses.of(data.rows[0][:2])


class Stop(Exception):
    pass


NIGHTLY = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="nightly: the same again, in seconds each")


@pytest.mark.parametrize(
    "method", ["dpo", "grpo", pytest.param("kto", marks=NIGHTLY), pytest.param("orpo", marks=NIGHTLY)]
)
def test_resumed_is_uninterrupted(base: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")
    monkeypatch.setenv("LINNET_CHECKPOINT_S", "0")
    whole = train(base, tmp_path / "whole", method)

    def stop(event: Event) -> None:
        if event.kind == "progress" and event.done == 3:
            raise Stop

    with pytest.raises(Stop):
        train(base, tmp_path / "cut", method, stop)
    (kept,) = (tmp_path / "cut" / align.CHECKPOINTS).iterdir()
    assert {path.name for path in kept.iterdir()} == {"tensors.safetensors", "manifest.json"}
    notes: list[str] = []
    again = train(base, tmp_path / "cut", method, lambda event: notes.append(event.message))
    assert any("going on from step 2 of 4" in note for note in notes)
    assert again["epochs"] == whole["epochs"]
    weights = [(tmp_path / name / align.ADAPTER / lora.WEIGHTS).read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]
    assert not list(tmp_path.rglob("*.bin")) + list(tmp_path.rglob("*.p*t*h*")) + list(tmp_path.rglob("*.pkl"))


def test_learning_prefers_the_chosen_answers(base: Path, tmp_path: Path) -> None:
    facts = train(base, tmp_path, "dpo")
    assert facts["epochs"][-1]["validation_loss"] < 0.69
    assert facts["epochs"][-1]["validation_accuracy"] == 1.0
    assert facts["merge_difference"] < 1e-3
    assert {path.name for path in (tmp_path / align.ADAPTER).iterdir()} == {lora.CONFIG, lora.WEIGHTS}


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_told_to_the_makers(base: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard of every test refuses connections; this hears the report before it would begin one."""
    from trl.trainer import base_trainer

    told: list[Any] = []
    monkeypatch.setattr(base_trainer, "send_telemetry", lambda *a, **k: told.append(a))
    monkeypatch.delenv("CI", raising=False)
    losses, _ = moved(base, method)
    assert told == []
    with pytest.raises(NotImplementedError):
        losses.trl.train()


def test_offline_is_said_while_importing_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    with align.offline():
        assert all(os.environ[name] == "1" for name in align.OFFLINE)
    assert os.environ["HF_HUB_OFFLINE"] == ""
    assert "HF_DATASETS_OFFLINE" not in os.environ


def test_a_prompt_is_what_the_model_is_asked_with(base: Path) -> None:
    encoder = TargetEncoder.of_folder(base)
    for method in METHODS:
        for row in prepared(base, method).rows[0]:
            assert list(row.prompt) == encoder.prompt_ids(row.choice.prompt)


def test_the_report_counts_both_answers(base: Path) -> None:
    data = prepared(base, "dpo")
    assert data.report["target_tokens"] == sum(row.answer_tokens for side in data.rows for row in side)
    assert (data.report["train_rows"], data.report["validation_rows"]) == (16, 4)
    assert {example["answer"] for example in data.report["examples"]} == {"chosen", "rejected"}
    alone = prepared(base, "grpo").report
    assert alone["target_tokens"] == 0
    assert {example["answer"] for example in alone["examples"]} == {"prompt alone"}


def test_a_row_over_the_limit_is_refused_or_left_out_whole(base: Path) -> None:
    rows = choices("dpo")
    long = rows[3].model_copy(update={"rejected": Turn(role="assistant", content="No. " * 60)})
    rows[3] = long
    sides = rows[:16], rows[16:]
    with pytest.raises(DataError, match=r"1 row \(4\) has more than 64 tokens"):
        prepare_choices(base, sides, choose_template(base), 64)
    data = prepare_choices(base, sides, choose_template(base), 64, drop_long=True)
    assert data.report["over_length"]["rows"] == [4]
    assert 4 not in [row.choice.row for row in data.rows[0]]
    assert data.report["train_rows"] == 15


def test_the_end_of_an_answer_is_the_templates(base: Path) -> None:
    import json

    vocabulary = json.loads(read_folder(base).files["tokenizer.json"].read_text())["model"]["vocab"]
    assert prepared(base, "grpo").end_ids == (vocabulary["<|im_end|>"],)


@pytest.mark.parametrize(
    ("said", "chosen", "words"),
    [
        ({"objective": "grpo"}, {}, "learns from a reward"),
        ({"objective": "grpo", "reward": "exakt"}, {}, 'Did you mean "exact"'),
        ({"objective": "grpo", "reward": "none.py"}, {}, "no such file"),
        ({"objective": "grpo", "reward": "json", "samples": 1}, {}, "--samples 1 is outside"),
        ({"objective": "dpo", "reward": "json"}, {}, "--reward is of grpo"),
        ({"objective": "dpo", "beta": -1.0}, {}, "--beta -1 is outside"),
        ({"objective": "kto"}, {"batch_size": 1}, "answers of a batch with each other"),
        ({"objective": "dpo"}, {"neftune_alpha": 5.0}, "--neftune is of answers that are imitated"),
    ],
)
def test_what_means_nothing_is_refused(said: dict[str, Any], chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        plan_alignment(Aligning(**said), Chosen(**chosen), 20, 10**6, 256)


def test_the_plan_gives_reasons() -> None:
    recipe, reasons = plan_alignment(Aligning(objective="dpo"), Chosen(), 500, 10**8, 1024)
    assert (recipe.shown_method, recipe.method, recipe.beta, recipe.epochs) == ("dpo", "lora", 0.1, 3)
    assert reasons[0].startswith("method dpo: as chosen")
    assert AlignRecipe.model_validate(recipe.to_json()) == recipe
