"""What is refused, and what is matched, before a weight is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import EngineError, GateFailed
from linnet.engines.conversion.conversion_proof import PRE, UNKNOWN, WAYS, pieces, prove_load, prove_tokens
from linnet.engines.quantization.gguf_quantize import Recipe, gguf_source, plan
from linnet.engines.scoring.llama_context import Model
from linnet.formats.gguf import read_gguf
from linnet.formats.gguf_write import copied, head, text, texts, uint32
from tests.gguf_files import stories

tokenizers = pytest.importorskip("tokenizers")
SAID = ("It's 1234567 o'clock.", "naïve café 日本語 123abc", "def area(width):\n\n    return width  # 3.14\r\n\t x")
DIGITS_OF_THREE = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
LETTERS_ALONE = "[\\s\\S]"  # no way of llama.cpp's cuts everything from everything


def made(folder: Path, pattern: str) -> Path:
    """A tokenizer.json that cuts by `pattern`, and the vocabulary of it as a GGUF without tensors."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    steps = [
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    learned = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer, tokenizer.decoder = learned, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(SAID * 4, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.save(str(folder / "tokenizer.json"))
    state = json.loads(tokenizer.to_str())["model"]
    words = sorted(state["vocab"], key=state["vocab"].get)
    metadata = {
        "general.architecture": text("llama"),
        "tokenizer.ggml.model": text("gpt2"),
        PRE: text(UNKNOWN),
        "tokenizer.ggml.tokens": texts(words),
        "tokenizer.ggml.merges": texts([" ".join(merge) for merge in state["merges"]]),
        "tokenizer.ggml.eos_token_id": uint32(0),
    }
    target = folder / "metadata.gguf"
    target.write_bytes(head(metadata, []))
    return target


def test_a_way_of_cutting_is_found_by_what_it_does(tmp_path: Path) -> None:
    target = made(tmp_path, DIGITS_OF_THREE)
    prove_tokens(tmp_path, target, is_named=False)
    way = read_gguf(target).metadata[PRE]
    assert way in WAYS
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    model = Model(target, vocabulary_only=True)
    for said in (*SAID, "1 12 1234 12345", "x1y22z333  \n"):
        assert model.tokenize(said, add_special=False, parse_special=False) == tokenizer.encode(said).ids
    model.close()


def test_what_no_way_cuts_alike_is_refused_with_a_text(tmp_path: Path) -> None:
    target = made(tmp_path, LETTERS_ALONE)
    with pytest.raises(GateFailed, match=r"no way of llama\.cpp's.*nearest: .*otherwise than the model's own"):
        prove_tokens(tmp_path, target, is_named=False)


def test_a_name_that_the_conversion_knew_is_not_replaced(tmp_path: Path) -> None:
    target = made(tmp_path, LETTERS_ALONE)
    before = target.read_bytes()
    with pytest.raises(GateFailed, match=r"reads .* otherwise"):
        prove_tokens(tmp_path, target, is_named=True)
    assert target.read_bytes() == before


def test_the_engine_opens_what_is_planned_and_no_weight_is_written(tmp_path: Path) -> None:
    with gguf_source(stories()) as source:
        made_plan = plan(source, Recipe("Q8_0"))
        prove_load(made_plan, tmp_path / "planned.gguf")
    found = (tmp_path / "planned.gguf").stat()
    assert found.st_size == made_plan.size_bytes
    assert found.st_blocks * 512 < made_plan.size_bytes / 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"general.architecture": text("nobody")}, "nobody"),
        ({"llama.feed_forward_length": uint32(96)}, "shape"),
        ({"llama.block_count": uint32(9)}, "blk"),
    ],
)
def test_what_the_engine_would_not_load_is_refused_before(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    header = read_gguf(stories())
    data = stories().read_bytes()[header.data_offset :]
    parts = [(t.name, t.type, t.shape) for t in header.tensors]
    from linnet.formats.gguf_write import place

    bad = tmp_path / "bad.gguf"
    bad.write_bytes(head({**copied(header), **changed}, place(parts)) + data)
    with gguf_source(bad) as source, pytest.raises(EngineError, match=said) as caught:
        prove_load(plan(source, Recipe("F16")), tmp_path / "planned.gguf")
    assert "planned.gguf" not in caught.value.message


def test_pieces_take_the_rank_of_their_merge(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "normalizer": {"type": "Prepend", "prepend": "▁"},
        "added_tokens": [
            {"id": 0, "content": "<unk>", "special": True}, {"id": 6, "content": "<end>", "special": True},
        ],
        "model": {
            "type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "merges": [["a", "b"], "ab c"],
            "vocab": {"<unk>": 0, "<0x41>": 1, "a": 2, "b": 3, "c": 4, "ab": 5, "abc": 7},
        },
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    found = pieces(tmp_path)
    assert found is not None
    assert found["prefix"] is True
    assert (found["scores"][5], found["scores"][7]) == (0.0, -1.0)
    assert [found["kinds"][i] for i in (0, 1, 2, 6)] == [2, 6, 1, 3]
    state["model"]["byte_fallback"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    assert pieces(tmp_path) is None
    assert pieces(tmp_path / "nothing") is None
