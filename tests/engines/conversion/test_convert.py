"""Conversion through the real llama.cpp code: same tokens, same logits; strange folders are refused in words."""

from __future__ import annotations

import contextlib
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.core.errors import EngineError, ModelFileError
from linnet.engines.conversion.convert import hf_to_gguf
from linnet.engines.conversion.convert_main import splitting_rule
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.model_check import check_model
from tests.tiny_decoder import tiny_llama

torch = pytest.importorskip("torch")
TEXTS = [
    "The lamp is on the table, isn't it? Turn 23 of 45 off.",
    '{"tool": "none", "n": 7}',
    "naïve café 🙂\n\n  done",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights whose vocabulary llama.cpp has never seen."""
    return tiny_llama(tmp_path_factory.mktemp("hf"), list(TEXTS))


def strings(count: int) -> list[str]:
    rng = random.Random(11)
    pool = [chr(c) for c in range(32, 127)] * 3 + list("\n\t éüßñжщ中文か한🙂½²³٤\u00a0\u200d\u3000’“—")
    return ["".join(rng.choice(pool) for _ in range(rng.randint(1, 40))) for _ in range(count)]


def test_converted_model_reads_and_scores_as_the_original(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    target = tmp_path / "model.gguf"
    monkeypatch.chdir(tmp_path)
    hf_to_gguf(Path(os.path.relpath(folder)), Path("model.gguf"), "F32")
    report = check_model(target)
    assert report.tokenizer is not None
    assert (report.architecture, report.tokenizer.pre) == ("llama", "smollm")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with Scorer(target, context=256) as scorer:
        for text in [*TEXTS, *strings(400)]:
            assert list(scorer.tokenize(text)) == tokenizer.encode(text).ids, text
        ids = tokenizer.encode(TEXTS[0]).ids
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            expected = model(input_ids=torch.tensor([ids])).logits[0].numpy()
        assert np.abs(scorer.logits(ids) - expected).max() < 1e-4
    assert [p.name for p in tmp_path.iterdir()] == ["model.gguf"]


def changed(folder: Path, to: Path, name: str, **values: Any) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    stored = json.loads((to / name).read_text())
    (to / name).write_text(json.dumps({**stored, **values}))
    return to


def test_unknown_architecture_and_vocabulary_are_refused_in_words(folder: Path, tmp_path: Path) -> None:
    strange = changed(folder, tmp_path / "a", "config.json", architectures=["NobodyForCausalLM"])
    with pytest.raises((EngineError, ModelFileError), match="NobodyForCausalLM"):
        hf_to_gguf(strange, tmp_path / "a.gguf")
    split = {"type": "Split", "pattern": {"Regex": "\\d"}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    pre = {"type": "Sequence", "pretokenizers": [split, level]}
    other = changed(folder, tmp_path / "b", "tokenizer.json", pre_tokenizer=pre)
    with pytest.raises(EngineError, match="could not be converted"):
        hf_to_gguf(other, tmp_path / "b.gguf")
    assert not (tmp_path / "b.gguf").exists()


def test_code_in_the_folder_is_never_run(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hostile = changed(folder, tmp_path / "c", "config.json", auto_map={"AutoConfig": "modeling_x.X"})
    (hostile / "modeling_x.py").write_text(f"open({str(canary)!r}, 'w').close()\n")
    with contextlib.suppress(EngineError, ModelFileError):  # refused or converted: the code is not run either way
        hf_to_gguf(hostile, tmp_path / "c.gguf", "F16")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        ([{"type": "ByteLevel", "add_prefix_space": False}], "gpt-2"),
        ([{"type": "ByteLevel", "add_prefix_space": True}], None),
        ([{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False}], "smollm"),
        ([{"type": "Digits", "individual_digits": False}, {"type": "ByteLevel", "add_prefix_space": False}], None),
        ([{"type": "Whitespace"}], None),
    ],
)
def test_splitting_rules(steps: list[dict[str, Any]], rule: str | None) -> None:
    assert splitting_rule({"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}) == rule
    assert splitting_rule({"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}, "normalizer": {}}) is None
