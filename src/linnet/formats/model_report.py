"""What a model file says about itself, as a frozen value. Nothing here opens a file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linnet.core.records import Record

ModelFormat = Literal["gguf", "safetensors", "huggingface"]
ModelKind = Literal["model", "adapter", "projector", "other"]


class QuantShare(Record):
    """How many tensors are of one type, and their bytes."""

    tensors: int
    bytes: int


class HyperParameters(Record):
    """Sizes of the network. None where the file does not state one."""

    block_count: int | None = None
    embedding_length: int | None = None
    head_count: int | None = None
    head_count_kv: int | None = None
    feed_forward_length: int | None = None
    context_length: int | None = None
    vocabulary_size: int | None = None
    rope_base: float | None = None
    sliding_window: int | None = None
    expert_count: int | None = None
    expert_used_count: int | None = None


class TokenizerReport(Record):
    """The tokenizer: its kind, size and special tokens (name to id)."""

    model: str = ""
    pre: str = ""
    size: int = 0
    special_ids: dict[str, int] = Field(default_factory=dict)
    add_bos: bool | None = None
    add_eos: bool | None = None


class TemplateReport(Record):
    """A chat template, read and not rendered. `refusal` is empty when it may be used."""

    sha256: str
    length: int
    ok: bool
    refusal: str = ""
    unknown_filters: tuple[str, ...] = ()


class ModelReport(Record):
    """One checked model. `parameters` counts weights, `file_bytes` every part together.

    `hashes` holds sha256 of `header`, and of `template` and `tokenizer` where the file has them.
    `suspicious` are plain sentences for a person; `ignored` are the files of a folder that will not be read.
    """

    format: ModelFormat
    kind: ModelKind = "model"
    architecture: str = ""
    name: str = ""
    licence: str = ""
    parameters: int = 0
    file_bytes: int = 0
    parts: tuple[str, ...] = ()
    quantisation: dict[str, QuantShare] = Field(default_factory=dict)
    quantisation_name: str = ""
    hyper_parameters: HyperParameters = HyperParameters()
    tokenizer: TokenizerReport | None = None
    template: TemplateReport | None = None
    hashes: dict[str, str] = Field(default_factory=dict)
    suspicious: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
