"""The watched engine: what goes into each matrix, compared with torch; weights replaced and put back."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.core.errors import EngineError
from linnet.engines.quantization.gguf_quantize import gguf_source
from linnet.engines.quantization.quant_kernels import dequantize_rows
from linnet.engines.scoring import llama_watch
from linnet.engines.scoring.llama_watch import Watched
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.gguf import read_gguf
from tests.engines.mixture_models import Shape, filled

IDS = [(7 * i + 1) % 90 for i in range(40)]
PARTS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def opened(path: Path) -> Watched:
    return Watched(path, read_gguf(path).tensors, 64, 1)


def converted(folder: Path) -> Path:
    pytest.importorskip("auto_round")
    from linnet.engines.conversion.convert import hf_to_gguf

    hf_to_gguf(folder, folder / "model.gguf", "F32")
    return folder / "model.gguf"


def test_sums_are_those_that_torch_computes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    from tests.tiny_decoder import tiny_decoder

    folder = tiny_decoder(tmp_path / "hf")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    expected: dict[str, Any] = defaultdict(float)

    def hook(name: str) -> Any:
        def seen(_module: Any, given: Any) -> None:
            expected[name] = expected[name] + given[0].double().square().sum((0, 1)).numpy()

        return seen

    for name, module in model.named_modules():
        block, _, part = name.removeprefix("model.layers.").partition(".")
        if part in PARTS:
            module.register_forward_pre_hook(hook(f"blk.{block}.{PARTS[part]}.weight"))
    model.lm_head.register_forward_pre_hook(hook("token_embd.weight"))
    with torch.no_grad():
        for part in (IDS, IDS[5:25]):
            model(torch.tensor([part]))
    with opened(converted(folder)) as watched:
        found = watched.gather([IDS, IDS[5:25]])
    assert found.squares.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found.squares[name][0], value, rtol=1e-3, atol=1e-6 * value.max())
        assert found.counts[name].tolist() == [60.0]


def test_each_expert_has_the_sums_of_its_own_tokens(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import MixtralConfig, MixtralForCausalLM

    from tests.tiny_decoder import tiny_decoder

    folder = tiny_decoder(tmp_path / "hf")
    config = MixtralConfig(
        hidden_size=64, num_hidden_layers=1, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=MixtralConfig.from_pretrained(folder).vocab_size, max_position_embeddings=256,
        num_local_experts=4, num_experts_per_tok=2, bos_token_id=1, eos_token_id=3, pad_token_id=0, head_dim=16,
    )  # fmt: skip
    torch.manual_seed(4)
    model = MixtralForCausalLM(config).float()
    model.save_pretrained(folder)
    seen: list[Any] = []
    layer = model.model.layers[0]
    layer.mlp.register_forward_pre_hook(lambda _module, given: seen.append(given[0][0]))
    with torch.no_grad():
        model(torch.tensor([IDS]))
        inputs = seen[0]
        chosen = (inputs @ layer.mlp.gate.weight.T).topk(2).indices
    weights = {name.rpartition(".")[0]: name for name, _ in model.named_parameters() if "experts" in name}
    assert weights
    with opened(converted(folder)) as watched:
        found = watched.gather([IDS])
    name = "blk.0.ffn_up_exps.weight"
    for expert in range(4):
        mine = inputs[(chosen == expert).any(1)].double().numpy()
        assert found.counts[name][expert] == len(mine)
        np.testing.assert_allclose(found.squares[name][expert], (mine**2).sum(0), rtol=1e-3, atol=1e-6)
    assert found.counts["blk.0.ffn_down_exps.weight"].tolist() == found.counts[name].tolist()
    assert found.squares["blk.0.ffn_down_exps.weight"].shape == (4, 96)


def test_replaced_weights_count_and_come_back(tmp_path: Path) -> None:
    source = filled(Shape(layers=1, heads_kv=2, vocabulary=96), tmp_path / "in.gguf")
    with gguf_source(source) as opened_source:
        matrix = opened_source.matrices["blk.0.ffn_up.weight"]
        value = dequantize_rows(matrix.read(0, matrix.rows), "F32", matrix.width)
    with opened(source) as watched:
        before = np.concatenate([rows.copy() for rows in watched.logits(IDS)])
        with watched.replaced({"blk.0.ffn_up.weight": value}):
            same = np.concatenate([rows.copy() for rows in watched.logits(IDS)])
        with watched.replaced({"blk.0.ffn_up.weight": 0 * value}):
            other = np.concatenate([rows.copy() for rows in watched.logits(IDS)])
        after = np.concatenate([rows.copy() for rows in watched.logits(IDS)])
    assert (before == same).all()
    assert (before == after).all()
    assert np.abs(before - other).max() > 1e-3
    with Scorer(source, context=64, threads=1) as scorer:
        np.testing.assert_allclose(scorer.logits(IDS), before, atol=1e-5)


def test_another_layout_of_tensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = filled(Shape(layers=1, heads_kv=2, vocabulary=96), tmp_path / "in.gguf")
    monkeypatch.setattr(llama_watch, "_OBJECT", 48)
    with pytest.raises(EngineError, match="laid out otherwise"):
        opened(source)


def test_a_model_without_a_tokenizer_says_so_and_goes_on(tmp_path: Path) -> None:
    source = filled(Shape(layers=1, heads_kv=2, vocabulary=96), tmp_path / "in.gguf")
    with opened(source) as watched:
        for ask in (lambda: watched.model.tokenize("a", False, False), lambda: watched.model.detokenize([1], False)):
            with pytest.raises(EngineError, match="has no tokenizer"):
                ask()
        assert watched.model.token_text(1) == b""
