"""From a trained adapter to a GGUF adapter that is proved, for every family of models that can be tuned here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import GateFailed, ModelFileError
from linnet.formats.builtin import FOLDER
from linnet.training.adapter_export import export_adapter
from linnet.training.targets import TargetEncoder
from tests.tiny_adapter import tiny_adapter
from tests.tiny_decoder import chats, tiny_decoder

torch = pytest.importorskip("torch")
nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="nightly: three conversions for a model")
FAMILIES: dict[str, dict[str, Any]] = {"qwen2": {}, "qwen3": {"head_dim": 16}, "mistral": {}, "smollm3": {}}


def test_what_cannot_be_written_is_refused_before_anything_is_converted(base: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(base, tmp_path / "a", use_dora=True)
    with pytest.raises(ModelFileError, match="use_dora is True; a GGUF adapter has no form for it"):
        export_adapter(base, adapter, tmp_path / "a.gguf", [[1, 2, 3]])
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def of_family(base: Path, folder: Path, family: str) -> Path:
    """The tiny decoder's tokenizer with a model of another family."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tiny_decoder(folder)
    shape = json.loads((base / "config.json").read_text())
    kept = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "num_key_value_heads",
            "vocab_size", "max_position_embeddings", "tie_word_embeddings", "bos_token_id", "eos_token_id",
            "pad_token_id")  # fmt: skip
    torch.manual_seed(4)
    config = AutoConfig.for_model(family, **{name: shape[name] for name in kept}, **FAMILIES[family])
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder


def prompts(base: Path) -> list[list[int]]:
    encoder = TargetEncoder.of_folder(base)
    return [encoder.prompt_ids(chat.turns[:1]) for chat in chats(2)]


@nightly
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_proved(base: Path, tmp_path: Path, family: str) -> None:
    model = of_family(base, tmp_path / "hf", family)
    adapter = tiny_adapter(model, tmp_path / "a")
    proof = export_adapter(model, adapter, tmp_path / "a.gguf", prompts(base))
    assert proof.relative_difference < 1e-4
    assert proof.effect > 0.01
    assert {p.name for p in tmp_path.iterdir()} == {"hf", "a", "a.gguf"}


@nightly
def test_the_built_in_decoder_is_proved_though_it_is_stored_in_bfloat16(tmp_path: Path) -> None:
    nano = FOLDER / "nano"
    adapter = tiny_adapter(nano, tmp_path / "a", strength=0.05)
    proof = export_adapter(nano, adapter, tmp_path / "a.gguf", prompts(nano))
    assert proof.relative_difference < 1e-4
    assert proof.effect > 0.01


@nightly
def test_an_adapter_that_does_nothing_is_not_written(base: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(base, tmp_path / "a", strength=0.0)
    with pytest.raises(GateFailed, match="changes nothing"):
        export_adapter(base, adapter, tmp_path / "a.gguf", prompts(base))
    assert not (tmp_path / "a.gguf").exists()
