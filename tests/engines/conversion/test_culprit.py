"""Faults that are planted in a small trained model, one at a time, and the name each one is given."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import EngineError, GateFailed
from linnet.engines.conversion import culprit
from linnet.engines.conversion.culprit import Culprit, find
from linnet.engines.conversion.prompt_gate import check_metadata, check_prompts
from linnet.engines.quantization import quantize_gate
from linnet.engines.quantization.gguf_quantize import gguf_source
from linnet.engines.quantization.quant_kernels import Matrix, dequantize_rows, from_bytes
from linnet.engines.quantization.quantize_file import Wish, from_gguf
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.gguf_write import text, uint32
from tests.gguf_files import stories

Change = Callable[[np.ndarray], np.ndarray]
TEXT = "Once upon a time there was a little girl called Lily. She liked to play in the park with her dog."
DOWN, NORM = "blk.2.ffn_down.weight", "blk.1.attn_norm.weight"


def float32(value: float) -> bytes:
    return struct.pack("<If", 6, value)


def boolean(value: bool) -> bytes:
    return struct.pack("<I?", 7, value)


def faulty(source: Path, target: Path, keys: Mapping[str, bytes | None], tensors: Mapping[str, Change] = {}) -> Path:
    """A copy with these settings (None: left out) and these tensors changed, as float32."""
    with gguf_source(source) as opened:
        metadata = {**opened.metadata, **{key: value for key, value in keys.items() if value is not None}}
        metadata = {key: value for key, value in metadata.items() if keys.get(key, b"") is not None}
        matrices = dict(opened.matrices)
        for name, change in tensors.items():
            one = matrices[name]
            rows = dequantize_rows(one.read(0, one.rows), one.type, one.width)
            data = np.ascontiguousarray(change(rows.copy()), dtype=np.float32)
            matrices[name] = from_bytes(name, "F32", one.shape, data.view(np.uint8))
        culprit.write_as_is(target, metadata, matrices, opened.alignment)
    return target


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stories model in float32."""
    target = tmp_path_factory.mktemp("source") / "source.gguf"
    from_gguf(stories(), target, Wish("F32", requantize=True))
    return target


def named(source: Path, suspect: Path, folder: Path) -> Culprit:
    with Scorer(source, context=64, threads=1) as scorer:
        ids = scorer.tokenize(TEXT)[:64]
        base = scorer.logits(ids)
    found = find(base, ids, suspect, source, folder)
    assert not list(folder.glob("hybrid*"))
    assert found.after < found.before
    return found


def test_a_rope_setting_is_named(source: Path, tmp_path: Path) -> None:
    suspect = faulty(source, tmp_path / "s.gguf", {"llama.rope.freq_base": float32(500.0)})
    found = named(source, suspect, tmp_path)
    assert (found.kind, found.names) == ("rope", ("llama.rope.freq_base",))
    assert found.after < 1e-6
    assert "rope setting llama.rope.freq_base" in found.sentence()


def test_the_right_setting_is_named_among_several(source: Path, tmp_path: Path) -> None:
    keys = {"llama.attention.layer_norm_rms_epsilon": float32(0.5), "llama.expert_count": uint32(0)}
    found = named(source, faulty(source, tmp_path / "s.gguf", keys), tmp_path)
    assert (found.kind, found.names) == ("setting", ("llama.attention.layer_norm_rms_epsilon",))


@pytest.mark.parametrize("name", [DOWN, NORM])
def test_a_tensor_is_named(source: Path, tmp_path: Path, name: str) -> None:
    suspect = faulty(source, tmp_path / "s.gguf", {}, {name: lambda rows: rows * 1.7})
    found = named(source, suspect, tmp_path)
    assert (found.kind, found.names) == ("tensor", (name,))


def test_rows_in_another_order_are_a_tensor_at_fault(source: Path, tmp_path: Path) -> None:
    suspect = faulty(source, tmp_path / "s.gguf", {}, {"blk.0.attn_q.weight": lambda rows: rows[::-1]})
    assert named(source, suspect, tmp_path).names == ("blk.0.attn_q.weight",)


def test_of_many_damaged_tensors_the_one_that_matters_is_found_by_halving(source: Path, tmp_path: Path) -> None:
    slight = {f"blk.{i}.attn_k.weight": (lambda rows: rows * 1.0005) for i in range(3)}
    suspect = faulty(source, tmp_path / "s.gguf", {}, {**slight, DOWN: lambda rows: -rows})
    found = named(source, suspect, tmp_path)
    assert (found.kind, found.names) == ("tensor", (DOWN,))
    assert found.tried > 4


def test_a_damaged_tensor_among_quantised_ones_is_told_from_rounding(source: Path, tmp_path: Path) -> None:
    small = tmp_path / "q.gguf"
    from_gguf(source, small, Wish("Q8_0"))
    suspect = faulty(small, tmp_path / "s.gguf", {}, {DOWN: lambda rows: rows * 1.3})
    found = named(source, suspect, tmp_path)
    assert (found.kind, found.names) == ("tensor", (DOWN,))


def test_what_is_left_is_rounding(source: Path, tmp_path: Path) -> None:
    suspect = tmp_path / "s.gguf"
    from_gguf(source, suspect, Wish("Q4_0"))
    found = named(source, suspect, tmp_path)
    assert found.kind == "rounding"
    assert len(found.names) == 1
    assert "as its type makes it" in found.sentence()


def test_a_reference_that_differs_too_means_the_conversion(source: Path, tmp_path: Path) -> None:
    wrong = faulty(source, tmp_path / "r.gguf", {"llama.rope.freq_base": float32(300.0)})
    suspect = tmp_path / "s.gguf"
    suspect.write_bytes(wrong.read_bytes())
    with Scorer(source, context=64, threads=1) as scorer:
        ids = scorer.tokenize(TEXT)[:64]
        base = scorer.logits(ids)
    found = find(base, ids, suspect, wrong, tmp_path)
    assert found.kind == "conversion"
    assert "conversion itself" in found.sentence()


def test_a_file_too_large_is_refused(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(culprit, "LARGEST", 1000)
    with pytest.raises(EngineError, match="too large"):
        named(source, source, tmp_path)


def test_the_gate_says_the_culprit(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suspect = faulty(source, tmp_path / "s.gguf", {}, {DOWN: lambda rows: rows * 2})
    with pytest.raises(GateFailed, match=f"culprit is the tensor {DOWN}"):
        quantize_gate.against_gguf(source, suspect, "F32", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["s.gguf"]
    made = tmp_path / "q.gguf"
    from_gguf(source, made, Wish("Q8_0"))
    monkeypatch.setitem(quantize_gate.BOUNDS, "Q8_0", 1e-9)
    with pytest.raises(GateFailed, match="culprit is rounding"):
        quantize_gate.against_gguf(source, made, "Q8_0", 1)


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("tokenizer.ggml.bos_token_id", uint32(5), "BOS or a stop id"),
        ("tokenizer.ggml.eos_token_id", uint32(5), "BOS or a stop id"),
        ("tokenizer.chat_template", text("{{ messages }}"), "the chat template"),
        ("tokenizer.ggml.pre", text("qwen2"), "the tokenizer"),
        ("llama.context_length", uint32(64), "a rope or context setting"),
        ("llama.rope.dimension_count", None, "a rope or context setting"),
        ("llama.attention.layer_norm_rms_epsilon", float32(1e-3), "a setting"),
    ],
)
def test_a_copy_with_another_key_is_refused(source: Path, tmp_path: Path, key: str, value: bytes, name: str) -> None:
    base = faulty(
        source, tmp_path / "b.gguf", {"tokenizer.chat_template": text("{{ x }}"), "tokenizer.ggml.pre": text("gpt-2")}
    )
    check_metadata(base, base)
    with pytest.raises(GateFailed, match=f"culprit is {name}: {key}"):
        check_metadata(base, faulty(base, tmp_path / "s.gguf", {key: value}))


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A Hugging Face folder with a chat template, and its GGUF."""
    pytest.importorskip("torch")
    pytest.importorskip("auto_round")
    from linnet.engines.conversion.convert import hf_to_gguf
    from tests.tiny_decoder import tiny_decoder

    place = tmp_path_factory.mktemp("hf")
    folder, target = tiny_decoder(place / "model"), place / "model.gguf"
    hf_to_gguf(folder, target, "F32")
    return folder, target


def test_a_sound_conversion_passes(converted: tuple[Path, Path]) -> None:
    folder, target = converted
    with Scorer(target, context=64, threads=1) as scorer:
        check_prompts(folder, target, scorer)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"tokenizer.chat_template": text("{{ messages[0].content }}")}, "the chat template: from line 1"),
        ({"tokenizer.chat_template": None}, "the chat template: the file has none"),
        ({"tokenizer.ggml.eos_token_id": uint32(7)}, "the stop ids: the file names the token 7"),
        ({"llama.context_length": uint32(128)}, "the context setting: the file states 128 tokens, its source 256"),
        (
            {"tokenizer.ggml.add_bos_token": boolean(True), "tokenizer.ggml.bos_token_id": uint32(9)},
            "BOS: the file begins every text with the token 9",
        ),
    ],
)
def test_what_the_folder_says_otherwise_is_named(
    converted: tuple[Path, Path], tmp_path: Path, keys: Mapping[str, bytes | None], name: str
) -> None:
    folder, target = converted
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "add_bos_token": False}))
    suspect = faulty(target, tmp_path / "s.gguf", keys)
    with Scorer(suspect, context=64, threads=1) as scorer, pytest.raises(GateFailed, match=f"culprit is {name}"):
        check_prompts(folder, suspect, scorer)


@pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="loads torch twice: set LINNET_NIGHTLY=1")
def test_the_whole_gate_of_a_folder_names_a_tensor(converted: tuple[Path, Path], tmp_path: Path) -> None:
    folder, target = converted
    assert quantize_gate.against_folder(folder, target, "F32", 1).divergence is not None
    suspect = faulty(target, tmp_path / "s.gguf", {}, {"output_norm.weight": lambda rows: rows * 4})
    with pytest.raises(GateFailed, match=r"culprit is the tensor output_norm\.weight"):
        quantize_gate.against_folder(folder, suspect, "F32", 1)


def test_matrices_of_other_shapes_are_damaged() -> None:
    rows = np.zeros((4, 32), dtype=np.float32)

    def matrix(shape: tuple[int, ...]) -> Matrix:
        return from_bytes("m", "F32", shape, rows.view(np.uint8))

    assert culprit._damaged(matrix((32, 4)), matrix((64, 2)))
    assert not culprit._damaged(matrix((32, 4)), matrix((32, 4)))
