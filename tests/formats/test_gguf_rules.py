"""Sizes, tokenizer and report of GGUF files: rules 8, 9 and 11, split sets, adapters and projectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import ModelFileError
from linnet.formats.architectures import KNOWN, REGULAR, VARIED
from linnet.formats.gguf_adapter import check_adapter
from linnet.formats.model_check import check_model, check_text_model, require_template
from linnet.formats.model_report import ModelReport
from tests.gguf_files import (
    BLOCKS,
    BOOL,
    CHATML,
    F32,
    F64,
    I32,
    STRING,
    TOKENS,
    U8,
    U32,
    U64,
    WIDTH,
    array,
    honest,
    split,
    stories,
    tiny,
    tiny_keys,
    tiny_tensors,
    tokens,
    written,
)


def refused(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        check_model(path)
    assert caught.value.field
    assert caught.value.hint
    assert str(path.parent) in caught.value.message
    return caught.value


def field(tmp_path: Path, **changes: Any) -> str:
    return refused(tiny(tmp_path / "bad.gguf", **changes)).field


def test_the_names_of_architectures_are_the_packages() -> None:
    from gguf.constants import MODEL_ARCH_NAMES

    assert not REGULAR & VARIED
    assert set(MODEL_ARCH_NAMES.values()) - {"clip"} == KNOWN


def test_rule_11_the_report(tmp_path: Path) -> None:
    path = honest(tmp_path / "honest.gguf")
    report = check_model(path)
    assert (report.format, report.kind, report.architecture, report.name) == ("gguf", "model", "llama", "honest")
    assert report.licence == "mit"
    assert report.file_bytes == path.stat().st_size
    assert report.parts == ("honest.gguf",)
    sizes = [shape[0] * (shape[1] if len(shape) == 2 else 1) for _, shape, _ in tiny_tensors()]
    assert report.parameters == sum(sizes)
    assert list(report.quantisation) == ["Q8_0", "F32"]
    assert report.quantisation["F32"].tensors == 5
    assert report.quantisation["F32"].bytes == 5 * WIDTH * 4
    assert report.quantisation_name == "Q8_0"
    assert report.hyper_parameters.model_dump(exclude_none=True) == {
        "block_count": 2,
        "embedding_length": 32,
        "head_count": 4,
        "head_count_kv": 2,
        "feed_forward_length": 64,
        "context_length": 128,
        "vocabulary_size": 300,
    }
    assert report.tokenizer is not None
    assert report.tokenizer.special_ids == {"bos": 1, "eos": 2}
    assert (report.tokenizer.model, report.tokenizer.size) == ("llama", TOKENS)
    assert report.template is not None
    assert (report.template.ok, report.template.length) == (True, len(CHATML))
    assert set(report.hashes) == {"header", "template", "tokenizer"}
    assert report.suspicious == report.ignored == ()
    assert ModelReport.model_validate(report.to_json()) == report


def test_rule_11_the_hashes_see_what_changed(tmp_path: Path) -> None:
    before = check_model(tiny(tmp_path / "a.gguf"))
    assert check_model(tiny(tmp_path / "b.gguf")).hashes == before.hashes
    for changes, differ in (
        ({"general__name": (STRING, "other")}, {"header"}),
        ({"tokenizer__ggml__eos_token_id": (U32, 1)}, {"header", "tokenizer"}),
        ({"tokenizer__chat_template": (STRING, CHATML + " ")}, {"header", "template"}),
    ):
        after = check_model(tiny(tmp_path / "c.gguf", **changes))
        assert {name for name in before.hashes if before.hashes[name] != after.hashes[name]} == differ


def test_the_real_model_passes() -> None:
    report = check_text_model(stories())
    assert report.parameters == 292_800
    assert report.quantisation_name == "F32"
    assert report.suspicious == ("The file states no licence.",)


# Rule 8: sizes.


@pytest.mark.parametrize(
    "name", ["block_count", "embedding_length", "feed_forward_length", "context_length", "attention__head_count"]
)
def test_rule_8_what_must_be_there(tmp_path: Path, name: str) -> None:
    key = f"llama__{name}"
    for wrong in (None, (U32, 0), (U32, 1 << 30), (STRING, "8"), (F32, 8.0), (BOOL, 1), (I32, -4), array(U32, [])):
        assert field(tmp_path, **{key: wrong}) == key.replace("__", ".")


@pytest.mark.parametrize(("value", "passes"), [(1 << 24, True), ((1 << 24) + 1, False), (1, True), (0, False)])
def test_rule_8_the_limit_of_the_context(tmp_path: Path, value: int, passes: bool) -> None:
    if passes:
        report = check_model(tiny(tmp_path / "t.gguf", llama__context_length=(U64, value)))
        assert report.hyper_parameters.context_length == value
    else:
        assert field(tmp_path, llama__context_length=(U64, value)) == "llama.context_length"


@pytest.mark.parametrize(("value", "passes"), [(1 << 20, True), ((1 << 20) + 1, False)])
def test_rule_8_the_limit_of_sizes(tmp_path: Path, value: int, passes: bool) -> None:
    if passes:
        check_model(tiny(tmp_path / "t.gguf", llama__feed_forward_length=(U32, value)))
    else:
        assert field(tmp_path, llama__feed_forward_length=(U32, value)) == "llama.feed_forward_length"


def test_rule_8_what_divides_what(tmp_path: Path) -> None:
    assert field(tmp_path, llama__attention__head_count_kv=(U32, 3)) == "llama.attention.head_count_kv"
    assert field(tmp_path, llama__attention__head_count=(U32, 6)) == "llama.embedding_length"
    stated = {"llama__attention__head_count": (U32, 6), "llama__attention__key_length": (U32, 8)}
    check_model(tiny(tmp_path / "stated.gguf", **stated))
    check_model(tiny(tmp_path / "absent.gguf", llama__attention__head_count_kv=None))


def test_rule_8_one_value_for_each_block(tmp_path: Path) -> None:
    report = check_model(tiny(tmp_path / "t.gguf", llama__attention__head_count_kv=array(U32, [2, 0])))
    assert report.hyper_parameters.head_count_kv == 2
    for wrong in (array(U32, [2]), array(U32, [2, 3]), array(STRING, ["2", "2"]), array(F32, [2.0, 2.0])):
        assert field(tmp_path, llama__attention__head_count_kv=wrong) == "llama.attention.head_count_kv"


def test_rule_8_experts(tmp_path: Path) -> None:
    good = {"llama__expert_count": (U32, 8), "llama__expert_used_count": (U32, 2)}
    assert check_model(tiny(tmp_path / "t.gguf", **good)).hyper_parameters.expert_used_count == 2
    assert field(tmp_path, **(good | {"llama__expert_used_count": (U32, 9)})) == "llama.expert_used_count"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0])
def test_rule_8_the_base_of_rope(tmp_path: Path, value: float) -> None:
    assert field(tmp_path, llama__rope__freq_base=(F64, value)) == "llama.rope.freq_base"


def renamed(path: Path, architecture: str, **changes: Any) -> Path:
    keys = {k.replace("llama.", f"{architecture}."): v for k, v in tiny_keys().items()}
    keys |= {"general.architecture": (STRING, architecture)}
    keys |= {name.replace("__", "."): value for name, value in changes.items()}
    path.write_bytes(written({k: v for k, v in keys.items() if v is not None}, tiny_tensors()))
    return path


def test_rule_8_an_unknown_architecture_is_reported(tmp_path: Path) -> None:
    report = check_model(renamed(tmp_path / "n.gguf", "newest", newest__block_count=None))
    assert report.suspicious == ("The architecture newest is not known here, so its sizes were not compared.",)
    odd = check_model(renamed(tmp_path / "n.gguf", "newest", newest__attention__head_count_kv=(U32, 3)))
    assert "newest.attention.head_count_kv: need a divisor of head_count 4, have 3." in odd.suspicious
    assert refused(renamed(tmp_path / "n.gguf", "newest", newest__block_count=(STRING, "1"))).field


def test_rule_8_an_architecture_without_attention(tmp_path: Path) -> None:
    report = check_model(
        renamed(tmp_path / "m.gguf", "mamba", mamba__attention__head_count=None, mamba__feed_forward_length=(U32, 0))
    )
    assert report.hyper_parameters.head_count is None
    assert refused(renamed(tmp_path / "m.gguf", "mamba", mamba__block_count=None)).field == "mamba.block_count"


@pytest.mark.parametrize("wrong", [None, (U32, 1), (STRING, ""), (STRING, "a b"), (STRING, "x" * 65)])
def test_rule_8_the_name_of_the_architecture(tmp_path: Path, wrong: Any) -> None:
    assert field(tmp_path, general__architecture=wrong) == "general.architecture"


def test_the_table_of_tokens_has_the_stated_shape(tmp_path: Path) -> None:
    path = tmp_path / "t.gguf"
    for shape in ((WIDTH, TOKENS - 1), (WIDTH * 2, TOKENS), (WIDTH,)):
        tensors = [("token_embd.weight", shape, 0), *tiny_tensors()[1:]]
        path.write_bytes(written(tiny_keys(), tensors))
        assert refused(path).field == "token_embd.weight"
    tensors = [
        (name, (8,) if name == "blk.1.attn_norm.weight" else shape, kind) for name, shape, kind in tiny_tensors()
    ]
    path.write_bytes(written(tiny_keys(), tensors))
    assert refused(path).field == "blk.1.attn_norm.weight"


# Rule 9: the tokenizer.


@pytest.mark.parametrize("name", ["scores", "token_type"])
def test_rule_9_lists_of_one_length(tmp_path: Path, name: str) -> None:
    kind = F32 if name == "scores" else I32
    key = f"tokenizer__ggml__{name}"
    for wrong in (array(kind, [1] * (TOKENS - 1)), array(kind, []), array(U8, [1] * TOKENS), (STRING, "x")):
        assert field(tmp_path, **{key: wrong}) == key.replace("__", ".")
    check_model(tiny(tmp_path / "without.gguf", **{key: None}))


def test_rule_9_lists_of_the_right_type(tmp_path: Path) -> None:
    assert field(tmp_path, tokenizer__ggml__tokens=array(U32, [1] * TOKENS)) == "tokenizer.ggml.tokens"
    assert field(tmp_path, tokenizer__ggml__merges=array(U32, [1])) == "tokenizer.ggml.merges"
    assert field(tmp_path, tokenizer__ggml__model=(U32, 1)) == "tokenizer.ggml.model"
    assert field(tmp_path, tokenizer__ggml__add_bos_token=(U32, 1)) == "tokenizer.ggml.add_bos_token"
    check_model(tiny(tmp_path / "merges.gguf", tokenizer__ggml__merges=array(STRING, ["a b"])))


def test_rule_9_special_ids(tmp_path: Path) -> None:
    for wrong in ((U32, TOKENS), (U32, (1 << 32) - 1), (I32, -1), (STRING, "1"), (F32, 1.0)):
        assert field(tmp_path, tokenizer__ggml__padding_token_id=wrong) == "tokenizer.ggml.padding_token_id"
    report = check_model(tiny(tmp_path / "t.gguf", tokenizer__ggml__padding_token_id=(U32, TOKENS - 1)))
    assert report.tokenizer is not None
    assert report.tokenizer.special_ids["padding"] == TOKENS - 1


@pytest.mark.parametrize("token", ["<0x-1>", "<0xGG>", "<0x0a>", "<0x123>", "<0x>", "x"])
def test_rule_9_byte_tokens(tmp_path: Path, token: str) -> None:
    listed = [token if number == 13 else known for number, known in enumerate(tokens())]
    found = field(tmp_path, tokenizer__ggml__tokens=array(STRING, listed))
    assert found == "tokenizer.ggml.tokens[13]"


def test_rule_9_byte_tokens_without_types(tmp_path: Path) -> None:
    listed = ["<0x-1>" if number == 13 else known for number, known in enumerate(tokens())]
    changes = {"tokenizer__ggml__tokens": array(STRING, listed), "tokenizer__ggml__token_type": None}
    assert field(tmp_path, **changes) == "tokenizer.ggml.tokens[13]"
    check_model(tiny(tmp_path / "bpe.gguf", tokenizer__ggml__model=(STRING, "gpt2"), **changes))


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    report = check_model(
        tiny(
            tmp_path / "t.gguf",
            general__license=None,
            general__file_type=(U32, 15),
            llama__vocab_size=(U32, 999),
            tokenizer__chat_template=(STRING, "{{ messages|glitter }}"),
        )
    )
    assert report.suspicious == (
        "The file states 999 tokens and lists 300.",
        "tokenizer.chat_template uses filters that are not known: glitter.",
        "The file states no licence.",
        "The file says it is Q4_K_M and holds no tensor of type Q4_K.",
    )
    assert report.quantisation_name == "Q4_K_M"
    path = tmp_path / "few.gguf"
    path.write_bytes(written(tiny_keys(), tiny_tensors(0, 1)))
    assert check_model(path).suspicious == ("1 of 2 blocks have no tensors, the first is 1.",)


def test_texts_must_be_texts(tmp_path: Path) -> None:
    for key in ("general__name", "general__license", "general__type", "tokenizer__chat_template"):
        assert field(tmp_path, **{key: (U32, 1)}) == key.replace("__", ".")
    assert field(tmp_path, general__file_type=(STRING, "x")) == "general.file_type"


def test_a_bad_template_is_reported_and_refused_later(tmp_path: Path) -> None:
    report = check_model(tiny(tmp_path / "t.gguf", tokenizer__chat_template=(STRING, "{{ ''.__class__ }}")))
    assert report.template is not None
    assert not report.template.ok
    with pytest.raises(ModelFileError, match="reads the attribute '__class__'") as caught:
        require_template(report, "t")
    assert caught.value.field == "tokenizer.chat_template"
    assert "--template" in caught.value.hint
    require_template(check_model(tiny(tmp_path / "good.gguf")), "good")


def test_a_bad_variant_spoils_the_template(tmp_path: Path) -> None:
    keys = tiny_keys() | {"tokenizer.chat_template.tool_use": (STRING, "{% include 'x' %}")}
    path = tmp_path / "t.gguf"
    path.write_bytes(written(keys, tiny_tensors()))
    report = check_model(path)
    assert report.template is not None
    assert "tokenizer.chat_template.tool_use" in report.template.refusal


# Split sets.


def test_a_split_set_is_one_model(tmp_path: Path) -> None:
    parts = split(tmp_path / "set")
    whole = check_model(tiny(tmp_path / "tiny.gguf"))
    report = check_model(parts[0])
    assert report.parts == tuple(part.name for part in parts)
    assert report.parameters == whole.parameters
    assert report.file_bytes == sum(part.stat().st_size for part in parts)
    assert report.suspicious == ()


def test_a_later_part_names_the_first(tmp_path: Path) -> None:
    parts = split(tmp_path / "set")
    error = refused(parts[1])
    assert error.field == "split.no"
    assert parts[0].name in error.hint


def test_a_part_under_another_name(tmp_path: Path) -> None:
    parts = split(tmp_path / "set")
    assert refused(parts[0].rename(tmp_path / "set" / "model.gguf")).field == "split.count"


def test_a_name_that_promises_parts(tmp_path: Path) -> None:
    assert refused(tiny(tmp_path / "tiny-00001-of-00002.gguf")).field == "split.count"
    assert check_model(tiny(tmp_path / "tiny-00001-of-00001.gguf")).parts == ("tiny-00001-of-00001.gguf",)


# Adapters, projectors, vocabularies.


def adapter(path: Path, architecture: str = "llama", tensors: Any = None, **changes: Any) -> Path:
    keys = {
        "general.architecture": (STRING, architecture),
        "general.type": (STRING, "adapter"),
        "adapter.type": (STRING, "lora"),
        "adapter.lora.alpha": (F32, 16.0),
    } | {name.replace("__", "."): value for name, value in changes.items()}
    pairs = [("blk.0.attn_q.weight.lora_a", (WIDTH, 4), 0), ("blk.0.attn_q.weight.lora_b", (4, WIDTH), 0)]
    path.write_bytes(written(keys, pairs if tensors is None else tensors))
    return path


def test_an_adapter_needs_no_sizes(tmp_path: Path) -> None:
    path = adapter(tmp_path / "lora.gguf")
    report = check_model(path)
    assert (report.kind, report.parameters) == ("adapter", 2 * 4 * WIDTH)
    check_adapter(path, tiny(tmp_path / "tiny.gguf"))


@pytest.mark.parametrize(
    ("tensors", "name"),
    [
        ([("w.lora_a", (8, 4), 0)], "w.lora_a"),
        ([("w.lora_a", (8, 4), 0), ("w.lora_b", (5, 8), 0)], "w.lora_a"),
        ([("w", (8, 4), 0)], "w"),
        ([], "tensor_count"),
    ],
)
def test_an_adapter_comes_in_pairs(tmp_path: Path, tensors: Any, name: str) -> None:
    assert refused(adapter(tmp_path / "lora.gguf", tensors=tensors)).field == name


def test_a_projector_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(written({"general.architecture": (STRING, "clip")}, [("v.patch_embd.weight", (8,), 0)]))
    assert check_model(path).kind == "projector"
    path.write_bytes(
        written({"general.architecture": (STRING, "imatrix"), "general.type": (STRING, "imatrix")}, [("a", (8,), 0)])
    )
    assert check_model(path).kind == "other"


def test_a_vocabulary_alone(tmp_path: Path) -> None:
    path = tmp_path / "vocab.gguf"
    path.write_bytes(written(tiny_keys(), []))
    assert check_model(path).suspicious == ("The file holds no tensors: a vocabulary alone.",)
    with pytest.raises(ModelFileError, match="a vocabulary"):
        check_text_model(path)


def test_a_file_without_a_tokenizer(tmp_path: Path) -> None:
    keys = {name: value for name, value in tiny_keys().items() if not name.startswith("tokenizer.")}
    path = tmp_path / "t.gguf"
    path.write_bytes(written(keys, tiny_tensors()))
    report = check_model(path)
    assert report.tokenizer is None
    assert report.template is None
    assert report.suspicious == ("The file holds no tokenizer.",)


def test_blocks_of_an_encoder_are_found_too() -> None:
    from linnet.formats.gguf_rules import missing_blocks

    assert missing_blocks({"enc.blk.0.x": (1,), "dec.blk.1.x": (1,)}, BLOCKS) == []
    assert missing_blocks({"a": (1,)}, BLOCKS) == missing_blocks({}, BLOCKS) == []
