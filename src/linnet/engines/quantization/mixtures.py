"""llama.cpp's named mixtures: which type each tensor of a model gets. Names and shapes in, types out; reads no weight.

The rules are those of `llama-quantize` (src/llama-quant.cpp of the pinned version), so that a file of ours has the
types that its name promises everywhere. tests/data holds what the program itself chose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from linnet.core.errors import InputError, did_you_mean
from linnet.formats.ggml_types import FILE_TYPES, TYPES
from linnet.formats.gguf import GgufArray, GgufHeader

_ABSENT = ("NVFP4", "Q1_0")  # known in files, not written here
# name -> (general.file_type, the type of what no rule names)
MIXTURES = {name: (number, kind) for number, (name, kind) in FILE_TYPES.items() if name not in _ABSENT}
ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "MXFP4": "MXFP4_MOE"}
BLOCK = {name: block for name, block, _ in TYPES.values()}
FLOATS = ("F32", "F16", "BF16")

# Never quantised: norms, gates of experts, tables of positions, and what is small where a rounding would hurt.
_KEPT_PARTS = (
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
    "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "attn_rel_b.weight",
    "time_mix_first.weight", "time_mix_lerp_fused.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight",
    *(f"time_mix_{name}.weight" for name in ("w0", "w1", "w2", "v0", "v1", "v2", "a0", "a1", "a2", "g1", "g2")),
    ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger",
    "a.rvq.codebook", "mm.a.code_embd",
)  # fmt: skip
_KEPT_NAMES = ("position_embd.weight", "token_types.weight")
_KEPT_OF = {
    "glm5-next": (
        "hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate",
        "indexer_compressor_ape", "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight", "ssm_g_b.weight",
        "ssm_beta.weight", "attn_kv_a_mqa.weight", "attn_k_b.weight", "attn_v_b.weight",
    ),
}  # fmt: skip
_AT_LEAST_Q8_OF = {"glm5-next": ("attn_q_a", "attn_q_b", "nextn.eh_proj")}

# The part of a name that tells a tensor's role, first match first.
_ROLES = (
    ("attn_qkv.weight", "qkv"), ("attn_kv_b.weight", "kv_b"), ("attn_v.weight", "v"), ("attn_k.weight", "k"),
    ("attn_q.weight", "q"), ("attn_output.weight", "attn_output"), ("ffn_up", "up"), ("ffn_gate", "gate"),
    ("ffn_down", "down"),
)  # fmt: skip
_VALUES = ("v", "qkv", "kv_b")  # what attention reads out: more sensitive than the rest

_LOWEST = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M")
_OUTPUT_Q5 = (*_LOWEST, "IQ3_XXS")
_EMBEDDING = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"), "Q2_K"),
    **dict.fromkeys(("IQ2_S", "IQ2_M", "IQ3_XXS"), "IQ3_S"),
    **dict.fromkeys(("TQ1_0", "TQ2_0"), "Q4_K"),
}
_ATTN_OUTPUT = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
_ATTN_OUTPUT_OF_8 = ("Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M",
                     "IQ4_XS")  # fmt: skip
# What becomes of a type with blocks of 256 where they do not divide a row: one with blocks of 32, not smaller.
_FALLBACK = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
_NEEDS_IMPORTANCE = ("IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_M", "IQ1_S")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules ask of a model. `grouped`: query heads for each head of keys and values, 0 without attention."""

    architecture: str
    layers: int
    experts: int
    grouped: int

    @property
    def is_70b(self) -> bool:
        """The one size with a rule of its own."""
        if self.architecture == "llama":
            return self.layers == 80 and self.experts != 8 and self.grouped != 1
        return (self.architecture, self.layers) in (("deci", 80), ("olmo", 80), ("qwen2", 80), ("jais2", 68))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The type a tensor gets. `wanted` is the mixture's, where `type` stands in because rows do not divide."""

    name: str
    source: str
    type: str
    wanted: str = ""
    needs_importance: bool = False


@dataclass(slots=True)
class _Seen:
    """How many tensors of a role went by: some rules count those instead of reading the block's number."""

    values: int
    counts: dict[str, int] = field(default_factory=lambda: {"v": 0, "down": 0, "gate": 0, "up": 0})

    def next(self, role: str) -> int:
        self.counts[role] += 1
        return self.counts[role] - 1


def parse(name: str, *, pure: bool = False) -> str:
    """The mixture, or with `pure` the tensor type, that a person means. Raises InputError with the nearest name."""
    wanted = name.strip().upper().replace("-", "_")
    known = sorted({kind for _, kind in MIXTURES.values()} if pure else MIXTURES)
    if not pure:
        wanted = ALIASES.get(wanted, wanted)
    if wanted not in known:
        raise InputError(f"{name[:40]!r} is no type.{did_you_mean(wanted, known)}", f"Types: {', '.join(known)}.")
    return wanted


def file_type(mixture: str, *, pure: bool = False) -> int:
    """The number for general.file_type. A pure file takes that of the first mixture made of its type."""
    if not pure:
        return MIXTURES[mixture][0]
    return next(number for number, kind in MIXTURES.values() if kind == mixture)


def nearest(types: Mapping[str, str]) -> str:
    """The mixture whose number a file of listed types states: the first of the type that the most tensors have.

    Raises InputError for a list without a type that a mixture is made of.
    """
    kinds = [kind for kind in types.values() if any(kind == known for _, known in MIXTURES.values())]
    if not kinds:
        raise InputError("the list of types names no matrix with a type that can be written.")
    most = max(set(kinds), key=lambda kind: (kinds.count(kind), kind))
    return next(name for name, (_, kind) in MIXTURES.items() if kind == most)


def facts(header: GgufHeader) -> Facts:
    """What the rules ask, from the file's metadata."""
    found: Mapping[str, Any] = header.metadata
    architecture = str(found.get("general.architecture", ""))

    def first(key: str, default: int) -> int:
        value = found.get(f"{architecture}.{key}", default)
        if isinstance(value, GgufArray):
            values = header.numbers(f"{architecture}.{key}")
            value = values[0] if values else default
        return value if type(value) is int else default

    heads = first("attention.head_count", 0)
    kv = first("attention.head_count_kv", heads)
    return Facts(architecture, first("block_count", 0), first("expert_count", 0), heads // kv if kv else 0)


def in_order(names: Iterable[str]) -> list[str]:
    """The order in which llama-quantize writes and counts: what has no block first, then by block and name."""
    return sorted(names, key=lambda name: (_block(name), name))


def _block(name: str) -> int:
    match = re.match(r"blk\.(\d+)\.", name)
    return int(match[1]) if match else -1


def role_of(name: str) -> str:
    if name == "output.weight":
        return "output"
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return "embedding"
    return next((role for part, role in _ROLES if part in name), "other")


def quantisable(name: str, shape: tuple[int, ...], architecture: str) -> bool:
    """Whether a mixture may touch this tensor: a matrix of weights that none of the exceptions names."""
    if not any(length > 1 for length in shape[1:]) or not name.endswith("weight") or name in _KEPT_NAMES:
        return False
    return not any(part in name for part in (*_KEPT_PARTS, *_KEPT_OF.get(architecture, ())))


def choose(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]],
    of: Facts,
    mixture: str,
    *,
    has_importance: bool = False,
    pure: bool = False,
) -> list[Chosen]:
    """The type of each tensor, in the order of `in_order`. `tensors`: name -> (type now, shape, fastest first).

    `mixture` as `parse` gives it.
    """
    names = in_order(tensors)
    default = mixture if pure else MIXTURES[mixture][1]
    seen = _Seen(sum(role_of(name) in _VALUES for name in names))
    tied = "output.weight" not in tensors
    found = []
    for name in names:
        source, shape = tensors[name]
        if not quantisable(name, shape, of.architecture):
            found.append(Chosen(name, source, source))
            continue
        if default in FLOATS:
            found.append(Chosen(name, source, default))
            continue
        rules = _Rules(mixture, default, of, seen, has_importance)
        wanted = default if pure else rules.type_of(name, shape, tied)
        fits = fitting(wanted, shape[0])
        needs = fits in _NEEDS_IMPORTANCE or (fits == "Q2_K" and mixture == "Q2_K_S")
        needs = needs and role_of(name) not in ("output", "embedding")
        found.append(Chosen(name, source, fits, wanted if fits != wanted else "", needs))
    return found


def listed(tensors: Mapping[str, tuple[str, tuple[int, ...]]], of: Facts, types: Mapping[str, str]) -> list[Chosen]:
    """Each tensor in the type that a list gives it; what it does not name stays as it is.

    Raises InputError for a tensor that the model does not have or no mixture may touch, and for a type that does not
    fit its rows.
    """
    for name, kind in types.items():
        shape = tensors.get(name, ("", ()))[1]
        if name not in tensors or not quantisable(name, shape, of.architecture):
            raise InputError(f"the list of types names {name}, which this model does not have as a matrix.")
        if kind not in BLOCK or shape[0] % BLOCK[kind]:
            raise InputError(f"the list of types gives {name} {kind[:40]}, which does not fit rows of {shape[0]}.")
    found = []
    for name in in_order(tensors):
        kind = types.get(name, tensors[name][0])
        needs = kind in _NEEDS_IMPORTANCE and role_of(name) not in ("output", "embedding")
        found.append(Chosen(name, tensors[name][0], kind, needs_importance=needs))
    return found


def fitting(kind: str, width: int) -> str:
    """`kind`, or what stands in for it where its blocks do not divide a row of `width`; F16 where nothing does."""
    if width % BLOCK[kind] == 0:
        return kind
    other = _FALLBACK.get(kind, kind)
    return other if width % BLOCK[other] == 0 else "F16"


def _more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


@dataclass(frozen=True, slots=True)
class _Rules:
    mixture: str
    default: str
    of: Facts
    seen: _Seen
    has_importance: bool

    def type_of(self, name: str, shape: tuple[int, ...], tied: bool) -> str:
        role = role_of(name)
        if any(part in name for part in _AT_LEAST_Q8_OF.get(self.of.architecture, ())):
            return "Q8_0"
        if role == "output" or (tied and role == "embedding"):
            return self._output(shape[0])
        if self.mixture == "MXFP4_MOE":
            experts = self.of.architecture != "bailingmoe3" or role in ("up", "gate", "down")
            return "MXFP4" if len(shape) > 2 and shape[2] > 1 and experts else "Q8_0"
        if role == "embedding":
            return _EMBEDDING.get(self.mixture, self.default)
        if self.mixture in _LOWEST:
            return self._lowest(role)
        if role in _VALUES:
            return self._value()
        if role in ("k", "q"):
            return self._key_or_query(role)
        if role == "down":
            return self._down(name)
        if role == "attn_output":
            return self._attn_output()
        if role in ("gate", "up"):
            layer, layers = self._layer(role, name), self.of.layers
            middle = layers // 8 <= layer < 7 * layers // 8
            return "IQ3_XXS" if self.mixture == "IQ3_XS" and middle else self.default
        return self.default

    def _layer(self, role: str, name: str) -> int:
        """The block's number for a mixture of experts, else how many of the role went by."""
        count = self.seen.next(role)
        if self.of.experts <= 1:
            return count
        if not 0 <= (block := _block(name)) < self.of.layers:
            raise InputError(f"{name}: its block is none of the {self.of.layers} of this model.")
        return block

    def _output(self, width: int) -> str:
        if self.mixture == "MXFP4_MOE" or self.of.architecture == "falcon" or width % BLOCK[self.default]:
            return "Q8_0"
        if self.mixture in _OUTPUT_Q5:
            return "Q5_K"
        return "Q8_0" if self.default == "Q8_0" else "Q6_K"

    def _lowest(self, role: str) -> str:
        step = "IQ3_S" if self.mixture in ("IQ2_S", "IQ2_M") else "Q2_K"
        if role in _VALUES:
            self.seen.next("v")
            return "Q4_K" if self.of.grouped >= 4 or self.of.experts >= 4 else step
        if role == "k" and self.of.experts == 8:
            return "Q4_K"
        if role == "down":
            return step if self.seen.next("down") < self.of.layers // 8 else self.default
        if role == "attn_output":
            if self.of.experts == 8:
                return "Q5_K"
            return {"IQ1_S": "IQ2_XXS", "IQ1_M": "IQ2_XXS"}.get(self.mixture, step if step == "IQ3_S" else self.default)
        return self.default

    def _value(self) -> str:
        count = self.seen.next("v")
        kind = self._value_of_mixture(count)
        if self.of.is_70b and kind in ("Q3_K", "Q4_K"):
            kind = "Q5_K"
        return "Q8_0" if self.of.experts == 8 else kind

    def _value_of_mixture(self, count: int) -> str:
        grouped = self.of.grouped >= 4
        if self.mixture in ("Q4_K_M", "Q5_K_M"):
            return "Q6_K" if _more_bits(count, self.seen.values) else self.default
        if self.mixture == "IQ3_XXS" and not grouped:
            return self.default if self.has_importance else "IQ3_S"
        by_grouping = {
            "Q2_K": ("Q4_K", "Q3_K"), "Q2_K_S": ("Q4_K", ""), "IQ3_XXS": ("Q4_K", ""), "IQ3_XS": ("Q4_K", ""),
            "IQ3_S": ("Q4_K", ""), "IQ4_NL": ("Q5_K", ""), "IQ4_XS": ("Q5_K", ""), "IQ3_M": ("Q4_K", "Q4_K"),
            "Q3_K_L": ("Q5_K", "Q5_K"),
        }  # fmt: skip
        if self.mixture in by_grouping:
            return by_grouping[self.mixture][not grouped] or self.default
        first, early, late = {"Q3_K_M": (2, "Q5_K", "Q4_K"), "Q4_K_S": (4, "Q5_K", "")}.get(self.mixture, (0, "", ""))
        return (early if count < first else late) or self.default

    def _key_or_query(self, role: str) -> str:
        if role == "k" and self.of.experts == 8:
            return "Q8_0"
        return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(self.mixture, self.default)

    def _attn_output(self) -> str:
        if self.of.architecture == "falcon":
            return "Q4_K" if self.mixture == "Q3_K_L" else self.default
        if self.of.experts == 8:
            return "Q5_K" if self.mixture in _ATTN_OUTPUT_OF_8 else self.default
        return _ATTN_OUTPUT.get(self.mixture, self.default)

    def _down(self, name: str) -> str:
        layer, layers = self._layer("down", name), self.of.layers
        falcon, first, more = self.of.architecture == "falcon", layer < layers // 8, _more_bits(layer, layers)
        match self.mixture:
            case "Q2_K":
                return "Q3_K"
            case "Q2_K_S":
                return "Q4_K" if first else self.default
            case "IQ3_XXS":
                return self.default if self.has_importance else "Q4_K" if first else "Q3_K"
            case "Q3_K_M":
                if layer < layers // 16:
                    return "Q5_K"
                return "Q4_K" if more or not falcon else "Q3_K"
            case "IQ3_M":
                return "Q4_K" if first or (self.of.experts == 8 and more) else self.default
            case "Q3_K_L":
                return "Q4_K" if falcon else "Q5_K"
            case "Q4_K_M" if falcon:
                return "Q6_K" if layer < layers // 16 else "Q5_K" if more else "Q4_K"
            case "Q4_K_M" | "Q5_K_M":
                return "Q6_K" if more else self.default
            case "IQ4_NL" | "IQ4_XS":
                return "Q5_K" if first and not self.has_importance else self.default
            case "Q4_K_S":
                return "Q5_K" if first and not falcon else self.default
            case "Q4_0" | "Q5_0":  # the first blocks lose most when an importance matrix guides these types
                return f"{self.default[:3]}1" if first and self.has_importance else self.default
        return self.default
