"""Tuning leaves a model that can be converted, an adapter others can read, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.core.errors import GateFailed
from linnet.core.files import read_json
from linnet.core.store import Step, Store
from linnet.engines.pytorch import torch_encoder
from linnet.stages import tune as stage
from linnet.stages.tune import MERGE_BOUND, tune
from linnet.training.classify import CHECKPOINTS
from tests.tiny_made import Made, tiny_recipe

pytestmark = pytest.mark.usefixtures("one_core")


def again(made: Made, store: Store, method: str, seed: int = 0) -> Step:
    return tune(store, made.base, made.prepared, made.labels, tiny_recipe(method, seed))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_folder_holds_the_model_and_no_checkpoint(made: Made, method: str) -> None:
    step = made.tuned[method]
    rooms = {Path(name).parts[0] for name in step.run.files}
    assert rooms == ({"model", "adapter"} if method == "lora" else {"model"})
    assert {p.name for p in step.folder.iterdir()} == {*rooms, "record.json"}
    assert not (step.folder / CHECKPOINTS).exists()
    assert torch_encoder.load(step.folder / "model").head.out_features == len(made.labels)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_result_tells_every_epoch(made: Made, method: str) -> None:
    facts = made.tuned[method].result
    assert [entry["epoch"] for entry in facts["epochs"]] == [1, 2, 3]
    assert {"epoch", "train_loss", "validation_loss", "validation_metric"} == set(facts["epochs"][0])
    assert facts["epochs"][-1]["train_loss"] < facts["epochs"][0]["train_loss"]
    best = max(facts["epochs"], key=lambda entry: (entry["validation_metric"], -entry["validation_loss"]))
    assert facts["best_epoch"] == best["epoch"]
    assert facts["method"] == facts["recipe"]["method"] == method
    assert facts["examples_per_second"] > 0
    assert facts["cut_examples"] == 0


def test_lora_trains_less_and_merges_without_loss(made: Made) -> None:
    full, lora = made.tuned["full"].result, made.tuned["lora"].result
    assert lora["trained_parameters"] < full["trained_parameters"]
    assert 0 <= lora["merge_difference"] <= MERGE_BOUND / 10
    assert "merge_difference" not in full


def test_the_merged_model_is_a_plain_encoder(made: Made) -> None:
    from safetensors.torch import load_file

    full, lora = (load_file(made.tuned[m].folder / "model" / "model.safetensors") for m in ("full", "lora"))
    assert {name: t.shape for name, t in lora.items()} == {name: t.shape for name, t in full.items()}


def test_the_token_embeddings_do_not_move(made: Made) -> None:
    import torch
    from safetensors.torch import load_file

    before = load_file(Path(made.base.path) / "model.safetensors")["embeddings.word_embeddings.weight"]
    for step in made.tuned.values():
        after = load_file(step.folder / "model" / "model.safetensors")["backbone.embeddings.word_embeddings.weight"]
        assert torch.equal(before, after)


def test_an_adapter_of_a_named_base_holds_no_path_of_this_machine(made: Made, tmp_path: Path) -> None:
    base = made.base.model_copy(update={"name": "builtin:tiny"})
    step = tune(Store(tmp_path / "store"), base, made.prepared, made.labels, tiny_recipe("lora"))
    assert read_json(step.folder / "adapter" / "adapter_config.json")["base_model_name_or_path"] == "builtin:tiny"
    for path in (p for p in step.folder.rglob("*.json") if p.name != "record.json"):
        assert made.base.path not in path.read_text(), path.name


def test_an_adapter_of_a_folder_holds_no_path_of_this_machine(made: Made) -> None:
    config = read_json(made.tuned["lora"].folder / "adapter" / "adapter_config.json")
    assert not str(config["base_model_name_or_path"]).startswith("/")


def test_the_same_inputs_are_not_trained_again(made: Made) -> None:
    assert again(made, made.store, "full").reused


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(made: Made, tmp_path: Path) -> None:
    name = "model/model.safetensors"
    store = Store(tmp_path / "store")
    assert again(made, store, "full").sha256(name) == made.tuned["full"].sha256(name)
    assert again(made, store, "full", seed=1).sha256(name) != made.tuned["full"].sha256(name)


def test_a_merge_that_changes_answers_is_refused(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "MERGE_BOUND", -1.0)
    store = Store(tmp_path / "store")
    with pytest.raises(GateFailed, match=r"merging changed a logit by .*\nThe adapter is fine"):
        again(made, store, "lora")
    assert not list((store.root / "runs").glob("*/record.json"))
