"""A decoder tuned from rows to GGUF: it learns, goes on to the same bits, and every form of it says the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from linnet.core.errors import DataError, DiskFull, EngineError, GateFailed, Interrupted, ModelFileError
from linnet.training import decoder as module
from linnet.training import decoder_folder, merging
from linnet.training.decoder import Objective, TunedDecoder, train_decoder
from linnet.training.recipe import Recipe, decoder_recipe
from linnet.training.targets import TargetEncoder, Targets
from tests.tiny_decoder import chats, tiny_decoder

EPOCHS = 3
PROOFS = 2  # passes that compare layers in one piece with the usual ones, before the first step


def recipe(method: str = "full", **changed: Any) -> Recipe:
    rate = 3e-3 if method == "full" else 2e-2
    planned = decoder_recipe(method, 24, 10**5).model_copy(
        update={"epochs": EPOCHS, "batch_size": 8, "learning_rate": rate}
    )
    return planned.model_copy(update=changed)


def targets(base: Path) -> tuple[Targets, Targets]:
    encoder = TargetEncoder.of_folder(base)
    made = chats(30)
    return encoder.encode(made[:24], 256), encoder.encode(made[24:], 256)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


def tune(base: Path, folder: Path, planned: Recipe, **options: Any) -> TunedDecoder:
    train, validation = targets(base)
    return train_decoder(
        decoder_folder.load(base), train, validation, planned,
        folder=folder, base_name="tiny", base_digest="b", **options,
    )  # fmt: skip


def weights(tuned: TunedDecoder) -> list[Tensor]:
    return [p.detach().clone() for p in tuned.model.parameters()]


def logits(model: Any, ids: list[int]) -> Any:
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].numpy()


def probe(base: Path) -> list[int]:
    return list(targets(base)[1].examples[0].ids)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_loss_falls_and_the_facts_say_how(base: Path, tmp_path: Path, method: str) -> None:
    tuned = tune(base, tmp_path, recipe(method))
    losses = [entry["validation_loss"] for entry in tuned.progress.history]
    assert losses[-1] < losses[0] < 8
    facts = tuned.facts
    assert facts["train"]["examples"] == 24
    assert facts["train"]["target_tokens"] > 24 * 5
    assert 0 <= facts["padding_share"] < 0.2
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file() == (method == "lora")


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("step", [1, 3, 5, 9])
def test_interrupted_anywhere_it_goes_on_to_the_same_bits(
    base: Path, tmp_path: Path, arm: Callable[[str], None], method: str, step: int
) -> None:
    whole = tune(base, tmp_path / "whole", recipe(method))
    arm(f"train.step:{step}=term")
    with pytest.raises(Interrupted):
        tune(base, tmp_path / "stopped", recipe(method))
    arm("")
    again = tune(base, tmp_path / "stopped", recipe(method))
    assert again.progress.history == whole.progress.history
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(whole), strict=True))


def test_the_limit_of_memory_does_not_change_the_curve(base: Path, tmp_path: Path) -> None:
    """8 x 1 = 1 x 8 over a whole training, up to rounding."""
    whole = tune(base, tmp_path / "a", recipe())
    alone = tune(base, tmp_path / "b", recipe(), objective=Objective(part_tokens=1))
    for one, two in zip(whole.progress.history, alone.progress.history, strict=True):
        assert one["train_loss"] == pytest.approx(two["train_loss"], rel=1e-3)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_layers_computed_twice_learn_the_same(base: Path, tmp_path: Path, method: str) -> None:
    plain = tune(base, tmp_path / "a", recipe(method))
    spared = recipe(method, gradient_checkpointing=True, part_tokens=64)
    model, (train, validation) = decoder_folder.load(base), targets(base)
    calls: list[int] = []  # the first layer's, while gradients are wanted
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1) if torch.is_grad_enabled() else None)
    twice = train_decoder(
        model, train, validation, spared, folder=tmp_path / "b", base_name="tiny", base_digest="b"
    )  # fmt: skip
    for one, two in zip(plain.progress.history, twice.progress.history, strict=True):
        assert one["train_loss"] == pytest.approx(two["train_loss"], rel=1e-3)
    assert not any(module.training for module in model.model.layers[0].children())
    rows = module.Rows(train.examples)
    cut = [
        len(module.parts(rows.lengths, batch, 64))
        for epoch in range(EPOCHS)
        for batch in module.epoch_batches(rows.lengths, 8, spared.seed, epoch, module.RANDOM)
    ]
    assert len(calls) == 2 * sum(cut) + PROOFS


def test_a_later_field_of_the_recipe_does_not_end_a_training() -> None:
    """A digest names what was chosen, so that a run can go on under a version that knows more."""
    assert recipe().digest("x") == Recipe.model_validate(recipe().to_json()).digest("x")
    assert recipe().digest("x") != recipe(part_tokens=64).digest("x")
    bare = {k: v for k, v in recipe().to_json().items() if k not in ("part_tokens", "gradient_checkpointing")}
    assert recipe().digest("x") == Recipe.model_validate(bare).digest("x")


def test_another_loss_needs_no_other_loop(base: Path, tmp_path: Path) -> None:
    def smoothed(ours: Tensor, tokens: Tensor, places: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(ours, tokens, reduction="sum", label_smoothing=0.2)

    plain, other = (
        tune(base, tmp_path / str(i), recipe(), objective=o) for i, o in enumerate((Objective(), Objective(smoothed)))
    )
    assert other.progress.history[-1]["train_loss"] != plain.progress.history[-1]["train_loss"]
    assert other.progress.history[-1]["validation_loss"] < other.progress.history[0]["validation_loss"]


def test_early_stopping_keeps_the_best(base: Path, tmp_path: Path) -> None:
    planned = recipe(epochs=12, patience=1, learning_rate=0.3, clip=1e9, ema=0.0, warmup_share=0.0)
    tuned = tune(base, tmp_path, planned)
    losses = [entry["validation_loss"] for entry in tuned.progress.history]
    assert len(losses) < 12
    assert min(losses) == losses[tuned.facts["best_epoch"] - 1]


def test_another_base_or_data_is_not_continued(base: Path) -> None:
    train, validation = targets(base)
    first = module.job_digest(recipe(), "b", train, validation)
    assert first == module.job_digest(recipe(), "b", *targets(base))
    assert first != module.job_digest(recipe(), "c", train, validation)
    assert first != module.job_digest(recipe(), "b", Targets(train.examples[1:]), validation)


def test_nothing_to_learn_from_or_to_judge_by_is_refused(base: Path, tmp_path: Path) -> None:
    train, _ = targets(base)
    with pytest.raises(DataError, match="Give at least two rows"):
        train_decoder(
            decoder_folder.load(base), train, Targets(()), recipe(), folder=tmp_path, base_name="", base_digest=""
        )


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_folder_opens_in_transformers_and_in_llama_cpp(base: Path, tmp_path: Path, method: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from linnet.engines.conversion.convert import hf_to_gguf
    from linnet.engines.scoring.scorer import Scorer

    tuned, ids = tune(base, tmp_path, recipe(method)), probe(base)
    expected = logits(tuned.model, ids)
    decoder_folder.save(tuned.model, base, tmp_path / "model")
    reopened = AutoModelForCausalLM.from_pretrained(tmp_path / "model", local_files_only=True, dtype=torch.float32)
    assert np.abs(logits(reopened, ids) - expected).max() < 1e-5
    assert np.abs(logits(decoder_folder.load(base), ids) - expected).max() > 0.1
    assert AutoTokenizer.from_pretrained(tmp_path / "model", local_files_only=True).chat_template
    assert TargetEncoder.of_folder(tmp_path / "model").encode(chats(3), 256) == TargetEncoder.of_folder(base).encode(
        chats(3), 256
    )
    hf_to_gguf(tmp_path / "model", tmp_path / "model.gguf", "F32")
    with Scorer(tmp_path / "model.gguf", context=256) as scorer:
        assert np.abs(scorer.logits(ids) - expected).max() < 1e-3


def test_the_adapter_as_peft_reads_it_is_the_merged_model(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    tuned, ids = tune(base, tmp_path, recipe("lora")), probe(base)
    adapted = PeftModel.from_pretrained(decoder_folder.load(base), tmp_path / "adapter", local_files_only=True)
    assert np.abs(logits(adapted, ids) - logits(tuned.model, ids)).max() < 1e-4
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def test_a_merge_that_changes_logits_is_stopped(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "ADD_BOUND", -1.0)
    tuned = tune(base, tmp_path, recipe("lora", epochs=1))
    with pytest.raises(GateFailed, match="Merging changed a logit"):
        _ = tuned.model


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_precision_is_the_bases(tmp_path: Path, dtype: str) -> None:
    base = tiny_decoder(tmp_path / "base", dtype=dtype)
    model = decoder_folder.load(base)
    assert model.dtype == torch.float32
    decoder_folder.save(model, base, tmp_path / "same")
    assert decoder_folder.precision(tmp_path / "same") == getattr(torch, dtype)
    again = decoder_folder.load(tmp_path / "same")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert {p.name for p in (tmp_path / "same").iterdir()} <= {p.name for p in base.iterdir()}


def test_random_weights_have_the_shape_and_nothing_else(base: Path) -> None:
    fresh, again = (decoder_folder.load(base, random_seed=1) for _ in range(2))
    shapes = [p.shape for p in decoder_folder.load(base).parameters()]
    assert [p.shape for p in fresh.parameters()] == shapes
    assert torch.equal(fresh.lm_head.weight, again.lm_head.weight)
    assert not torch.equal(fresh.lm_head.weight, decoder_folder.load(base).lm_head.weight)


def test_a_full_disk_leaves_what_was_there(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = decoder_folder.load(base)
    decoder_folder.save(model, base, tmp_path / "model")
    before = (tmp_path / "model" / "model.safetensors").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoder_folder, "save_file", full)
    with pytest.raises(DiskFull):
        decoder_folder.save(model, base, tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before


def test_folders_that_are_no_decoder_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError):
        decoder_folder.load(tmp_path)
    other = tiny_decoder(tmp_path / "b")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "nobody"}))
    with pytest.raises((EngineError, ModelFileError), match="nobody"):
        decoder_folder.load(other)
