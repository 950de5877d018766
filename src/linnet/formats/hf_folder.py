"""A Hugging Face folder: which of its files are read, what its config says, and that its weights are whole.

Code in the folder is never imported, pickles are never opened, and a link that leaves the folder is not followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from linnet.core.errors import ModelFileError, os_errors
from linnet.core.files import sha256_file
from linnet.formats.hf_config import code_keys, filter_adapter_config, filter_config, known_family
from linnet.formats.hf_tokenizer import folder_template, folder_tokenizer
from linnet.formats.json_object import read_object
from linnet.formats.model_report import HyperParameters, ModelReport
from linnet.formats.safetensors import MAX_INDEX, SafetensorsHeader, check_index, read_safetensors, safetensors_report
from linnet.formats.sniff import PICKLE_HINT, sniff

MAX_CONFIG = 4 << 20
MAX_ENTRIES = 10_000
MOST = 1 << 20
_ALLOWED = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template"
    r"|adapter_config|modules|sentence_bert_config)\.json|(merges|vocab)\.txt|chat_template\.jinja"
    r"|[A-Za-z0-9][\w.-]*\.safetensors(\.index\.json)?|(README|LICEN[CS]E|NOTICE)[\w.-]*",
)
_POOLING = "1_Pooling"
_CODE = re.compile(r".*\.(py|so|dll|dylib|pyd|sh)")
_PICKLES = re.compile(r".*\.(bin|pt|pth|pkl|pickle|ckpt|joblib)")
SOURCE_HINT = "Fetch the model from another source, or convert it again."


@dataclass(frozen=True)
class HfFolder:
    """`files` are what may be read, by name, as real paths. `config` is filtered: see hf_config."""

    path: Path
    files: dict[str, Path]
    ignored: tuple[str, ...]
    config: dict[str, Any] = field(default_factory=dict)
    suspicious: tuple[str, ...] = ()

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder, or nothing when it is not there."""
        return read_object(self.files[name], MAX_CONFIG) if name in self.files else {}


def read_folder(path: Path) -> HfFolder:
    """Choose the files and read the config. Raises ModelFileError for a needed file that leaves the folder."""
    files, ignored, odd = _entries(path)
    folder = HfFolder(path, files, tuple(sorted(ignored)))
    adapter = "config.json" not in files and "adapter_config.json" in files
    name = "adapter_config.json" if adapter else "config.json"
    if name not in files:
        _refuse(path, "config.json", "the file is missing", "Give the folder that holds config.json and the weights.")
    config = folder.json(name)
    kept, dropped = (filter_adapter_config if adapter else filter_config)(config)
    for other in (name, "generation_config.json", "tokenizer_config.json"):
        odd += [f"{other}: {sentence}." for sentence in code_keys(config if other == name else folder.json(other))]
    if dropped:
        odd.append(f"{name}: keys passed over: {', '.join(dropped)[:300]}.")
    return HfFolder(path, files, folder.ignored, kept, tuple(odd))


def _entries(path: Path) -> tuple[dict[str, Path], list[str], list[str]]:
    files: dict[str, Path] = {}
    ignored: list[str] = []
    odd: list[str] = []
    with os_errors(path, "Reading"):
        names = [entry.name for entry in path.iterdir()]
    if len(names) > MAX_ENTRIES:
        _refuse(path, "folder", f"holds {len(names)} files, at most {MAX_ENTRIES} are looked at", SOURCE_HINT)
    for name in sorted(names):
        entry = path / name
        allowed = _ALLOWED.fullmatch(name) is not None
        if entry.is_symlink() and not _stays(path, entry):
            if allowed or name == _POOLING:
                _refuse(path, name, "a link that leaves the folder is not followed", "Put the file itself there.")
            ignored.append(f"{name} (a link that leaves the folder)")
            odd.append(f"{name!r} is a link that leaves the folder; it is not followed.")
        elif allowed and entry.is_file():
            files[name] = entry.resolve()
        elif name == _POOLING and entry.is_dir():
            config = entry / "config.json"
            if config.is_file() and _stays(path, config):
                files[f"{_POOLING}/config.json"] = config.resolve()
        else:
            ignored.append(f"{name}/" if entry.is_dir() else name)
            if _CODE.fullmatch(name):
                odd.append(f"{name!r} is code; it is never imported.")
    return files, ignored, odd


def _stays(folder: Path, entry: Path) -> bool:
    """Whether a link ends in the folder, or in the blobs of the same repository of a Hugging Face cache."""
    try:
        target, home = entry.resolve(strict=True), folder.resolve()
    except (OSError, RuntimeError):
        return False
    if target.is_relative_to(home):
        return True
    repository = home.parent.parent
    cached = home.parent.name == "snapshots" and repository.name.startswith("models--")
    return cached and target.parent == repository / "blobs"


def check_folder(path: Path) -> ModelReport:
    """Read and check a folder. Raises ModelFileError."""
    folder = read_folder(path)
    odd = list(folder.suspicious)
    headers, unused = _weights(folder)
    weights = safetensors_report(headers)
    adapter = "peft_type" in folder.config
    sizes = HyperParameters() if adapter else _sizes(folder)
    if adapter and folder.config["peft_type"] != "LORA":
        _refuse(path, "peft_type", f"need 'LORA', have {str(folder.config['peft_type'])[:40]!r}", SOURCE_HINT)
    if not adapter:
        _check_table(headers, sizes, odd)
    tokenizer = folder_tokenizer(folder.files, folder.config, sizes.vocabulary_size, odd)
    template = folder_template(folder.files, odd)
    licence = _licence(folder)
    if not licence:
        odd.append("The README states no licence.")
    hashes = weights.hashes | {"config": sha256_file(folder.files["adapter_config.json" if adapter else "config.json"])}
    if "tokenizer.json" in folder.files:
        hashes["tokenizer"] = sha256_file(folder.files["tokenizer.json"])
    if template:
        hashes["template"] = template.sha256
    return weights.model_copy(
        update={
            "format": "huggingface",
            "kind": "adapter" if adapter else "model",
            "architecture": str(folder.config.get("model_type", ""))[:64],
            "name": path.resolve().name,
            "licence": licence,
            "hyper_parameters": sizes,
            "tokenizer": tokenizer,
            "template": template,
            "hashes": hashes,
            "suspicious": tuple(odd),
            "ignored": tuple(sorted([*folder.ignored, *unused])),
        }
    )


def _weights(folder: HfFolder) -> tuple[list[SafetensorsHeader], list[str]]:
    """The headers of the weights, and the names of weights that belong to something else."""
    names = [name for name in sorted(folder.files) if name.endswith(".safetensors")]
    index = "model.safetensors.index.json"
    if index in folder.files:
        where = read_object(folder.files[index], MAX_INDEX).get("weight_map")
        if not isinstance(where, dict) or not where or not all(isinstance(name, str) for name in where.values()):
            _refuse(folder.path, index, "need a weight_map of tensor names and file names", SOURCE_HINT)
        wanted = sorted(set(where.values()))
    else:
        single = "model.safetensors" if "config.json" in folder.files else "adapter_model.safetensors"
        where, wanted = {}, [single] if single in names or len(names) != 1 else names
    for name in wanted:
        if name not in names:
            pickles = [other for other in folder.ignored if _PICKLES.fullmatch(other)]
            if pickles:
                _refuse(folder.path, name, f"the file is missing, and {pickles[0]} is a pickle", PICKLE_HINT)
            _refuse(folder.path, name[:200], "the file is missing", "Fetch all files of the model into one folder.")
    headers = [_one(folder, name) for name in wanted]
    if where:
        check_index(folder.path / index, where, headers)
    return headers, [name for name in names if name not in wanted]


def _one(folder: HfFolder, name: str) -> SafetensorsHeader:
    real = folder.files[name]
    if sniff(real) != "safetensors":
        _refuse(folder.path, name, "this is no safetensors file", SOURCE_HINT)
    header = read_safetensors(real)
    # In a cache the real name is a hash; the folder's name is what index and reader know.
    return SafetensorsHeader(
        folder.path / name, header.metadata, header.tensors, header.data_offset, header.file_bytes, header.sha256
    )


def _sizes(folder: HfFolder) -> HyperParameters:
    config = folder.config
    inner = config.get("text_config")
    config = config | inner if isinstance(inner, dict) else config
    if not isinstance(config.get("model_type"), str):
        _refuse(folder.path, "model_type", "need a name such as 'llama'", SOURCE_HINT)

    def whole(*names: str, low: int = 1, most: int = MOST) -> int | None:
        for name in names:
            value = config.get(name)
            if value is None:
                continue
            if type(value) is not int or not low <= value <= most:
                _refuse(folder.path, name, f"need {low} to {most}, have {str(value)[:80]}", SOURCE_HINT)
            return value
        return None

    rope = config.get("rope_theta")
    if rope is None and isinstance(parameters := config.get("rope_parameters"), dict):
        rope = parameters.get("rope_theta")
    if rope is not None and (type(rope) not in (int, float) or not 0 < rope < 1e30):
        _refuse(folder.path, "rope_theta", f"need a number above 0, have {str(rope)[:80]}", SOURCE_HINT)
    sizes = HyperParameters(
        block_count=whole("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        embedding_length=whole("hidden_size", "n_embd", "dim", "d_model", "n_embed"),
        head_count=whole("num_attention_heads", "n_head", "n_heads", "num_heads"),
        head_count_kv=whole("num_key_value_heads", "num_kv_heads"),
        feed_forward_length=whole("intermediate_size", "n_inner", "hidden_dim", "d_ff", "ffn_dim"),
        context_length=whole("max_position_embeddings", "n_positions", "n_ctx", most=1 << 24),
        vocabulary_size=whole("vocab_size", most=1 << 24),
        rope_base=rope,
        sliding_window=whole("sliding_window", low=0, most=1 << 24),
        expert_count=whole("num_experts", "num_local_experts", "n_routed_experts", low=0),
        expert_used_count=whole("num_experts_per_tok", "experts_per_token", low=0),
    )
    _check_heads(folder, sizes, known_family(config["model_type"]), stated="head_dim" in config)
    return sizes


def _check_heads(folder: HfFolder, sizes: HyperParameters, known: bool, *, stated: bool) -> None:
    if not known:
        return
    for field_name, value in (("num_hidden_layers", sizes.block_count), ("hidden_size", sizes.embedding_length)):
        if value is None:
            _refuse(folder.path, field_name, f"need 1 to {MOST}, the key is missing", SOURCE_HINT)
    heads, kv, width = sizes.head_count, sizes.head_count_kv, sizes.embedding_length
    if heads and kv and heads % kv:
        message = f"need a divisor of num_attention_heads {heads}, have {kv}"
        _refuse(folder.path, "num_key_value_heads", message, SOURCE_HINT)
    if heads and width and width % heads and not stated:
        message = f"need a multiple of num_attention_heads {heads}, have {width}"
        _refuse(folder.path, "hidden_size", message, SOURCE_HINT)


def _check_table(headers: list[SafetensorsHeader], sizes: HyperParameters, odd: list[str]) -> None:
    """The table of tokens is as large as the config says."""
    wanted = (sizes.vocabulary_size, sizes.embedding_length)
    for header in headers:
        for tensor in header.tensors:
            if tensor.name.endswith(("embed_tokens.weight", "word_embeddings.weight", "wte.weight")):
                if None not in wanted and tensor.shape != wanted and tensor.type in ("F32", "F16", "BF16"):
                    odd.append(f"{tensor.name} has shape {tensor.shape}, config.json says {wanted}.")
                return


def _licence(folder: HfFolder) -> str:
    """The `license` of the README's front matter."""
    readme = folder.files.get("README.md")
    if readme is None:
        return ""
    with os_errors(readme, "Reading"), readme.open("rb") as handle:
        text = handle.read(64 << 10).decode(errors="replace")
    front = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = {key: value.strip(" '\"\r") for key, value in re.findall(r"^(license\w*):[ \t]*(.{1,200})$", front, re.M)}
    licence: str = found.get("license", "")
    return str(found.get("license_name", licence)) if licence == "other" else licence


def _refuse(path: Path, where: str, message: str, hint: str) -> NoReturn:
    raise ModelFileError(where, f"{path}: {where}: {message}.", hint)
