"""What the keys of a GGUF must say before an engine may see it: sizes of the network and the tokenizer.

A known architecture must be complete; of an unknown one, what is stated must make sense.
"""

from __future__ import annotations

import math
import re
from typing import Any

from linnet.formats.architectures import KNOWN, REGULAR
from linnet.formats.gguf import STRING, TYPE_NAMES, GgufArray, GgufHeader
from linnet.formats.model_report import HyperParameters, TokenizerReport

MOST = 1 << 20
MOST_CONTEXT = 1 << 24
SOURCE_HINT = "Fetch the file from another source, or convert the model again."

_BYTE_TOKEN = re.compile(rb"<0x[0-9A-F]{2}>")
_BYTE = 6  # the token type of a byte


def architecture_of(header: GgufHeader) -> str:
    value = header.metadata.get("general.architecture")
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9_.-]{1,64}", value):
        have = repr(value)[:80] if value is not None else "nothing"
        header.refuse("general.architecture", f"need a name such as 'llama', have {have}")
    return value


def hyper_parameters(header: GgufHeader, architecture: str) -> tuple[HyperParameters, list[str]]:
    """The sizes, and sentences on what is odd. Raises ModelFileError for what is missing or cannot be."""
    known, regular = architecture in KNOWN, architecture in REGULAR
    read = _Sizes(header, architecture)
    low = 1 if regular else 0
    blocks = read.one("block_count", 1 if known else 0, MOST, needed=known)
    found: dict[str, Any] = {
        "block_count": blocks,
        "embedding_length": read.one("embedding_length", 1, MOST, needed=known),
        "context_length": read.one("context_length", 1, MOST_CONTEXT, needed=known),
        "vocabulary_size": read.one("vocab_size", 1, MOST_CONTEXT),
        "rope_base": read.number("rope.freq_base"),
        "expert_count": read.one("expert_count", 0, MOST),
        "expert_used_count": read.one("expert_used_count", 0, MOST),
    }
    heads = read.each("attention.head_count", low, blocks, needed=regular)
    heads_kv = read.each("attention.head_count_kv", low, blocks)
    forward = read.each("feed_forward_length", low, blocks, needed=regular)
    window = read.each("attention.sliding_window", 0, blocks, most=MOST_CONTEXT)
    odd = _head_rules(read, found["embedding_length"], heads, heads_kv)
    if (found["expert_used_count"] or 0) > (found["expert_count"] or 0):
        have = f"{found['expert_used_count']} of {found['expert_count'] or 0} experts"
        read.refuse("expert_used_count", f"cannot use {have}")
    for name, values in (
        ("head_count", heads),
        ("head_count_kv", heads_kv),
        ("feed_forward_length", forward),
        ("sliding_window", window),
    ):
        found[name] = max(values) if values else None
    return HyperParameters(**found), odd


class _Sizes:
    """Reads `<architecture>.<name>` keys as numbers within bounds."""

    def __init__(self, header: GgufHeader, architecture: str) -> None:
        self.header = header
        self.architecture = architecture

    def refuse(self, name: str, message: str) -> None:
        self.header.refuse(f"{self.architecture}.{name}", message, SOURCE_HINT)

    def one(self, name: str, low: int, most: int, *, needed: bool = False) -> int | None:
        values = self.each(name, low, None, most=most, needed=needed)
        return values[0] if values else None

    def each(
        self, name: str, low: int, blocks: int | None, *, most: int = MOST, needed: bool = False
    ) -> tuple[int, ...]:
        """One value, or with `blocks` also one for each block; empty when the key is absent."""
        value = self.header.metadata.get(f"{self.architecture}.{name}")
        if value is None:
            if needed:
                self.refuse(name, f"need {low} to {most}, the key is missing")
            return ()
        values: tuple[Any, ...] = (value,)
        if isinstance(value, GgufArray) and blocks is not None:
            if value.count != blocks:
                self.refuse(name, f"need one value for each of {blocks} blocks, have {value.count}")
            values = self.header.numbers(f"{self.architecture}.{name}")
            low = 0  # a block without attention says so with 0
        for number in values or (value,):
            if type(number) is not int or not low <= number <= most:
                self.refuse(name, f"need {low} to {most}, have {_short(number)}")
        return values

    def number(self, name: str) -> float | None:
        value = self.header.metadata.get(f"{self.architecture}.{name}")
        if value is None:
            return None
        if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
            self.refuse(name, f"need a number above 0, have {_short(value)}")
        return float(value)


def _short(value: Any) -> str:
    if isinstance(value, GgufArray):
        return f"an array of {value.count} {TYPE_NAMES[value.kind]}"
    return repr(value)[:80]


def _head_rules(read: _Sizes, embedding: int | None, heads: tuple[int, ...], kv: tuple[int, ...]) -> list[str]:
    """Heads divide the embedding, and heads for keys and values divide the heads, where the architecture needs it."""
    for number in range(max(len(heads), len(kv)) if heads and kv else 0):
        queries, keys = heads[number % len(heads)], kv[number % len(kv)]
        if keys and queries % keys:
            message = f"need a divisor of head_count {queries}, have {keys}"
            if read.architecture in KNOWN:
                read.refuse("attention.head_count_kv", message)
            return [f"{read.architecture}.attention.head_count_kv: {message}."]
    stated = f"{read.architecture}.attention.key_length" in read.header.metadata
    if read.architecture in REGULAR and not stated and embedding:
        for queries in heads:
            if queries and embedding % queries:
                read.refuse("embedding_length", f"need a multiple of head_count {queries}, have {embedding}")
    return []


def check_shapes(tensors: dict[str, tuple[int, ...]], header: GgufHeader, sizes: HyperParameters) -> None:
    """The embedding table and the norms have the stated sizes: what an engine would index by, so it must be true."""
    width, tokens = sizes.embedding_length, sizes.vocabulary_size
    table = tensors.get("token_embd.weight")
    if table and (table[0] != width or len(table) != 2 or (tokens and table[1] != tokens)):
        header.refuse("token_embd.weight", f"need shape ({width}, {tokens}), have {table}")
    for name, shape in tensors.items():
        if name.endswith(".attn_norm.weight") and shape[0] != width:
            header.refuse(name, f"need a first dimension of {width}, have {shape}")


def missing_blocks(names: dict[str, tuple[int, ...]], blocks: int | None) -> list[int]:
    """Which of the stated blocks have no tensor; empty where the names are not numbered at all."""
    found = {int(match[1]) for name in names if (match := re.match(r"(?:enc\.|dec\.)?blk\.(\d{1,9})\.", name))}
    return [] if not found or not blocks else sorted(set(range(blocks)) - found)


def tokenizer_report(header: GgufHeader) -> TokenizerReport | None:
    """The tokenizer, or None where the file has none. Raises ModelFileError for lists and ids that do not agree."""
    metadata = header.metadata
    prefix = "tokenizer.ggml."
    if not any(key.startswith(prefix) for key in metadata):
        return None
    size = _check_lists(header)
    special: dict[str, int] = {}
    for key in sorted(metadata):
        if key.startswith(prefix) and key.endswith("_token_id"):
            value = metadata[key]
            # Without a list of tokens there is nothing to compare with, and nothing to index either.
            if type(value) is not int or value < 0 or (size and value >= size):
                header.refuse(key, f"need a token id of 0 to {size - 1}, have {_short(value)}", SOURCE_HINT)
            special[key.removeprefix(prefix).removesuffix("_token_id")] = value
    texts = {name: metadata.get(prefix + name, "") for name in ("model", "pre")}
    flags = {name: metadata.get(f"{prefix}{name}_token") for name in ("add_bos", "add_eos")}
    for name, value in texts.items():
        if not isinstance(value, str):
            header.refuse(prefix + name, f"need a text, have {_short(value)}", SOURCE_HINT)
    for name, value in flags.items():
        if value is not None and not isinstance(value, bool):
            header.refuse(f"{prefix}{name}_token", f"need a boolean, have {_short(value)}", SOURCE_HINT)
    return TokenizerReport(size=size, special_ids=special, **texts, **flags)


def _check_lists(header: GgufHeader) -> int:
    """Lists of the right type and of one length, byte tokens spelled exactly. Returns the number of tokens."""
    # Engines read scores and types as f32 and i32 whatever the file says: another type reads past the end.
    wanted = {"tokens": (STRING,), "scores": (6,), "token_type": (4, 5), "merges": (STRING,)}
    size = None
    for name, kinds in wanted.items():
        key = f"tokenizer.ggml.{name}"
        array = header.metadata.get(key)
        if array is None:
            continue
        if not isinstance(array, GgufArray) or array.kind not in kinds:
            header.refuse(key, f"need an array of {TYPE_NAMES[kinds[0]]}, have {_short(array)}", SOURCE_HINT)
        if name == "tokens":
            size = array.count
        elif name != "merges" and array.count != (size or 0):
            header.refuse(
                key, f"need as many elements as there are tokens, {size or 0}, have {array.count}", SOURCE_HINT
            )
    _check_byte_tokens(header)
    return size or 0


def _check_byte_tokens(header: GgufHeader) -> None:
    types = header.numbers("tokenizer.ggml.token_type")
    marked = _places_of(_BYTE, types)
    old = not types and header.metadata.get("tokenizer.ggml.model") == "llama"
    tokens = header.strings("tokenizer.ggml.tokens") if marked or old else []
    if old:
        marked = [number for number, token in enumerate(tokens) if token.startswith(b"<0x") and token.endswith(b">")]
    for number in marked:
        if not _BYTE_TOKEN.fullmatch(tokens[number]):
            message = f"need a byte such as '<0x0A>', have {repr(tokens[number][:40])[1:]}"
            header.refuse(f"tokenizer.ggml.tokens[{number}]", message, SOURCE_HINT)


def _places_of(value: int, values: tuple[int, ...]) -> list[int]:
    """Where a rare value stands; the search itself runs in C."""
    found: list[int] = []
    for _ in range(values.count(value)):
        found.append(values.index(value, found[-1] + 1 if found else 0))
    return found
