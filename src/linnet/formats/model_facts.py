"""What a model folder or GGUF file is to Linnet: encoder or decoder, how much it reads, how it pools, its licence.

Reads small files beside the weights; whether they may be trusted is decided in model_check.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from linnet.core.errors import InputError
from linnet.core.files import read_json
from linnet.formats.model_report import ModelReport

MAX_TOKENS, MIN_POSITIONS = 256, 8
ENCODERS = ("bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "electra", "modernbert", "albert", "deberta-v2")
# Architectures of GGUF that give embeddings and no text.
GGUF_ENCODERS = ("bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3")


def kind_of(report: ModelReport) -> Literal["encoder", "decoder"]:
    """Whether a checked model gives representations or text."""
    known = GGUF_ENCODERS if report.format == "gguf" else ENCODERS
    return "encoder" if report.architecture.lower() in known else "decoder"


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """config.json of an encoder. Raises InputError for another kind, CorruptFile when it is no JSON."""
    config = read_json(folder / "config.json")
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in ENCODERS:
        raise InputError(f"{name}: {kind!r} is not an encoder this version trains.", f"Known: {', '.join(ENCODERS)}.")
    result: dict[str, Any] = config
    return result


def pooling_of(folder: Path) -> Literal["mean", "cls"]:
    """How token vectors become one: what 1_Pooling/config.json asks for, else the mean."""
    try:
        asked = json.loads((folder / "1_Pooling" / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return "mean"
    return "cls" if isinstance(asked, dict) and asked.get("pooling_mode_cls_token") is True else "mean"


def encoder_tokens(config: dict[str, Any], name: str) -> int:
    """How many tokens of a text are read: 256, or what the positions allow. Raises InputError for a senseless one."""
    positions = config.get("max_position_embeddings", 512)
    if not isinstance(positions, int) or isinstance(positions, bool) or positions < MIN_POSITIONS:
        raise InputError(f"{name}: config.json has max_position_embeddings {positions!r}, no usable number.")
    return min(MAX_TOKENS, positions - 2)  # RoBERTa's family keeps two positions for itself


def facts_of(report: ModelReport, folder: Path | None, name: str) -> dict[str, Any]:
    """The fields of a manifest that follow from the check: kind, format, how much is read, pooling."""
    kind = kind_of(report)
    tokens = report.hyper_parameters.context_length or 0
    pooling = "mean"
    if folder is not None and kind == "encoder":
        tokens, pooling = encoder_tokens(read_config(folder, name), name), pooling_of(folder)
    form = "gguf" if report.format == "gguf" else "safetensors"
    return {"kind": kind, "format": form, "max_tokens": tokens, "pooling": pooling, "report": report.to_json()}


def licence_of(folder: Path) -> str:
    """The licence that the model card states, else 'unknown'."""
    card = folder / "README.md"
    if card.is_file():
        with card.open(errors="replace") as handle:
            for line in handle.read(1 << 16).splitlines()[:80]:
                if line.startswith("license:"):
                    return plain_licence(line.removeprefix("license:")) or "unknown"
    return "unknown"


def plain_licence(text: str) -> str:
    """A licence's name as others wrote it, on one short line."""
    return re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip(" '\"")[:80]


# What is taken of a folder beside the weights; nothing else is fetched, linked or read.
FOLDER_FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja",
    "model.safetensors.index.json", "1_Pooling/config.json", "README.md", "LICENSE", "LICENSE.txt", "LICENSE.md",
)  # fmt: skip
_QUANT = re.compile(
    r"(?<![A-Za-z0-9])((?:I?Q|TQ)[1-8](?:_[A-Z0-9]+)*|MXFP4(?:_MOE)?|BF16|F16|FP16|F32|FP32)(?![A-Za-z0-9])", re.I
)
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_SPLIT = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def is_shard(name: str) -> bool:
    """Whether this is one of several safetensors files of a model."""
    return _SHARD.fullmatch(name) is not None


def split_parts(name: str) -> list[str]:
    """Every part's name of the GGUF set that this file belongs to; the name alone for a file that is whole."""
    found = _SPLIT.fullmatch(name)
    if not found or int(found["count"]) > 1000:
        return [name]
    return [f"{found['stem']}-{number:05}-of-{found['count']}.gguf" for number in range(1, int(found["count"]) + 1)]


def quant_of(name: str) -> str:
    """The quantisation that a file name states, in the usual spelling; empty where it states none."""
    found = _QUANT.findall(name)
    return str(found[-1]).upper().replace("FP16", "F16").replace("FP32", "F32") if found else ""


def bare_stem(name: str) -> str:
    """A GGUF file's name without folder, part number, ending and quantisation: 'Qwen3-0.6B'."""
    base = name.rpartition("/")[2]
    found = _SPLIT.fullmatch(base)
    stem = found["stem"] if found else base.removesuffix(".gguf")
    without = _QUANT.sub("", stem).strip("-._ ")
    return without or stem
