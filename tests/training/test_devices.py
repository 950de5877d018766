"""Where a training computes: which device is taken, that nothing of a step is elsewhere, and what a lost GPU leaves."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from linnet.core.errors import EngineError, InputError, ResourceMissing
from linnet.training import decoder_folder, devices, fused, kernels
from linnet.training.answers import Decoder, Rows, leave_gradients, sum_loss
from linnet.training.decoder import job_digest
from linnet.training.loop import Trainer
from linnet.training.noise import noisy
from linnet.training.recipe import Recipe
from linnet.training.targets import TargetEncoder
from tests.tiny_decoder import chats
from tests.tiny_tuning import losses, moved, tiny_recipe, tune
from tests.training.test_loop import Linear, facts, same

META = torch.device("meta")  # numbers without values: mixing it with the processor's fails as with a GPU's


def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.chosen() == devices.CPU
    two_gpus(monkeypatch)
    assert devices.chosen() == torch.device("cuda", 0)
    for wanted, found in (("cpu", devices.CPU), ("cuda", torch.device("cuda", 0)), ("cuda:1", torch.device("cuda", 1))):
        monkeypatch.setenv("LINNET_DEVICE", wanted)
        assert devices.chosen() == found


def test_each_process_of_a_machine_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    two_gpus(monkeypatch)
    for rank, index in (("0", 0), ("1", 1), ("2", 0)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert devices.chosen().index == index


@pytest.mark.parametrize("wanted", ["gpu", "cpu:1", "cuda:x", "cuda:-1"])
def test_a_device_that_means_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("LINNET_DEVICE", wanted)
    with pytest.raises(InputError, match="LINNET_DEVICE"):
        devices.chosen()


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    two_gpus(monkeypatch)
    monkeypatch.setenv("LINNET_DEVICE", "cuda:2")
    with pytest.raises(ResourceMissing, match="sees 2 GPUs"):
        devices.chosen()


def test_frozen_numbers_become_narrow_and_trained_ones_stay_wide(base: Path) -> None:
    model = moved(decoder_folder.load(base), tiny_recipe())
    devices.place(model, META)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
    assert {p.device.type for p in model.parameters()} == {"meta"}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_all_of_a_step_is_where_the_model_is(base: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # transformers asks whether rows are packed, which reads a value; meta has none.
    monkeypatch.setattr("transformers.masking_utils.find_packed_sequence_indices", lambda _: None)
    model = decoder_folder.load(base)
    model = moved(model, tiny_recipe()) if method == "lora" else model
    decoder = Decoder(model)
    model.to(META)
    decoder.device = META
    rows = Rows(TargetEncoder.of_folder(base).encode(chats(6), 256).examples)
    made = [[0, 1, 2], [3, 4]]
    with noisy(model.get_input_embeddings(), 5.0, made, rows.lengths):
        loss = leave_gradients(decoder, [rows.part(part) for part in made])
    assert loss.device == META
    assert {p.grad.device for p in model.parameters() if p.requires_grad and p.grad is not None} == {META}
    assert any(p.grad is not None for p in model.parameters())
    decoder.device = devices.CPU  # the test can fail: rows that stay behind do not fit
    with pytest.raises((RuntimeError, NotImplementedError)):
        sum_loss(decoder, [rows.part([0])])


def test_a_checkpoint_of_a_gpu_is_not_continued_on_the_processor(base: Path) -> None:
    train = TargetEncoder.of_folder(base).encode(chats(4), 256)
    recipe = Recipe(method="full", epochs=1)
    digests = [job_digest(recipe, "b", train, train, torch.device(kind)) for kind in ("cpu", "cuda:0", "cuda:1")]
    assert digests[0] != digests[1] == digests[2]
    assert digests[0] == job_digest(recipe, "b", train, train)


class Losing(Linear):
    """A linear model on a GPU that fails at the fifth step, once."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error, self.left = error, 5

    def loss_of(self, batch: list[int]) -> Tensor:
        self.left -= 1
        if self.error and not self.left:
            raise self.error
        return super().loss_of(batch)


def test_a_lost_gpu_is_named_and_the_training_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINNET_CHECKPOINT_S", "0")
    recipe = Recipe(method="full", epochs=3, ema=0.5)
    whole = Losing(None)
    plain = Trainer(whole.job(), recipe, tmp_path / "whole").run()
    lost = Losing(torch.AcceleratorError("CUDA error: unspecified launch failure\nmore"))
    with pytest.raises(
        EngineError, match=r"The GPU was lost at step 5: CUDA error: unspecified launch failure\n"
    ) as at:
        Trainer(lost.job(), recipe, tmp_path / "lost").run()
    assert "last checkpoint" in at.value.hint
    again = Losing(None)
    assert facts(Trainer(again.job(), recipe, tmp_path / "lost").run()) == facts(plain)
    assert same(again.weights(), whole.weights())


def test_a_full_gpu_is_told_with_what_takes_less(tmp_path: Path) -> None:
    full = Losing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))
    with pytest.raises(EngineError, match="memory was too small at step 5") as at:
        Trainer(full.job(), Recipe(method="full", epochs=3), tmp_path).run()
    assert "--part-tokens" in at.value.hint


def test_what_is_wrong_in_the_code_is_not_called_a_lost_gpu(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="sizes differ"):
        Trainer(Losing(RuntimeError("sizes differ")).job(), Recipe(method="full", epochs=3), tmp_path).run()


def liger(monkeypatch: pytest.MonkeyPatch, factor: float = 1.0) -> None:
    """Liger's two functions in torch's operations; another `factor` makes them wrong."""
    found = {name: ModuleType(name) for name in ("liger_kernel", "liger_kernel.transformers")}
    functions: Any = ModuleType("liger_kernel.transformers.functional")
    functions.liger_swiglu = lambda a, b: factor * torch.nn.functional.silu(a) * b

    def norm(x: Tensor, weight: Tensor, eps: float, *, in_place: bool) -> Tensor:
        assert not in_place
        return weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)

    functions.liger_rms_norm = norm
    for name, module in {**found, functions.__name__: functions}.items():
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)


def test_kernels_take_the_place_of_norms_and_feed_forwards(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = moved(decoder_folder.load(base), tiny_recipe())
    kernels.fuse(model)
    assert not fused.count(model)  # none is installed here
    ids = torch.arange(1, 9)[None]
    plain = model(input_ids=ids, use_cache=False).logits
    liger(monkeypatch)
    kernels.fuse(model)
    assert fused.count(model) == 7  # two norms and a feed-forward in each of two layers, and the last norm
    torch.testing.assert_close(model(input_ids=ids, use_cache=False).logits, plain, rtol=1e-4, atol=1e-5)


def test_kernels_that_compute_something_else_are_put_away(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = moved(decoder_folder.load(base), tiny_recipe())
    liger(monkeypatch, factor=1.5)
    kernels.fuse(model)
    assert not fused.count(model)


def test_nf4_is_computed_in_bfloat16_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.training.tune_plan import Chosen, plan_recipe

    two_gpus(monkeypatch)
    assert plan_recipe(Chosen(quantization="nf4"), 100, 10**8, 1024)[0].compute_dtype == "bfloat16"


def test_rounded_products_last_as_long_as_the_training() -> None:
    """Processors without bfloat16 compute in fp32 all the same; on others a product is off by its rounding."""
    matmul = torch.backends.mkldnn.matmul
    before, numbers = matmul.fp32_precision, torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    exact = numbers @ numbers
    with devices.products("bfloat16"):
        assert matmul.fp32_precision == "bf16"
        rounded = numbers @ numbers
    assert matmul.fp32_precision == before
    assert torch.equal(numbers @ numbers, exact)
    assert float((rounded - exact).abs().max()) <= 0.01 * float(exact.abs().max())
    with devices.products("float32"):
        assert matmul.fp32_precision == before


def test_training_with_rounded_products_ends_near_the_exact_one(base: Path, tmp_path: Path) -> None:
    ends = {}
    for kind in ("float32", "bfloat16", "again"):
        recipe = tiny_recipe(learning_rate=2e-3, products="float32" if kind == "float32" else "bfloat16")
        ends[kind] = losses(tune(base, tmp_path / kind, recipe))
    assert ends["bfloat16"] == ends["again"]
    assert ends["bfloat16"] == pytest.approx(ends["float32"], rel=0.01)
