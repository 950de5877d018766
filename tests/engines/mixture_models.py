"""Models of many shapes for the rules of mixtures: names and sizes only; as a GGUF the weights are a hole in the file.

Run as a script, it asks the `llama-quantize` in $LINNET_PEERS/bin what type it gives each tensor (a dry run) and
writes mixtures_expected.json:  python -m tests.engines.mixture_models
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.gguf_files import F32, STRING, U32, written

EXPECTED = Path(__file__).with_name("mixtures_expected.json")
TOKENS = 64
Tensor = tuple[str, tuple[int, ...], int]


@dataclass(frozen=True)
class Shape:
    """One model: `forward` is the width of the inner layer."""

    architecture: str = "llama"
    width: int = 256
    forward: int = 512
    layers: int = 18
    heads: int = 8
    heads_kv: int = 8
    experts: int = 0
    tied: bool = False
    vocabulary: int = TOKENS

    def keys(self) -> dict[str, Any]:
        numbers = {
            "block_count": self.layers, "embedding_length": self.width, "context_length": 128,
            "feed_forward_length": self.forward, "attention.head_count": self.heads,
            "attention.head_count_kv": self.heads_kv, "vocab_size": self.vocabulary,
        }  # fmt: skip
        if self.experts:
            numbers |= {"expert_count": self.experts, "expert_used_count": 2}
        found: dict[str, Any] = {"general.architecture": (STRING, self.architecture), "general.file_type": (U32, 0)}
        found |= {f"{self.architecture}.{name}": (U32, value) for name, value in numbers.items()}
        found |= {
            f"{self.architecture}.attention.{name}": (F32, 1e-5)
            for name in ("layer_norm_rms_epsilon", "layer_norm_epsilon")
        }
        if self.architecture == "llama":
            found["tokenizer.ggml.model"] = (STRING, "no_vocab")
        return found

    def tensors(self) -> list[Tensor]:
        width, forward = self.width, self.forward
        kv = width * self.heads_kv // self.heads
        found: list[Tensor] = [("token_embd.weight", (width, self.vocabulary), 0), ("output_norm.weight", (width,), 0)]
        if not self.tied:
            found.append(("output.weight", (width, self.vocabulary), 0))
        for block in range(self.layers):
            parts: dict[str, tuple[int, ...]] = {"attn_norm": (width,), "attn_output": (width, width)}
            if self.architecture in ("falcon", "phi3"):
                parts["attn_qkv"] = (width, width + 2 * kv)
            else:
                parts |= {"attn_q": (width, width), "attn_k": (width, kv), "attn_v": (width, kv), "ffn_norm": (width,)}
            if self.experts:
                parts |= {f"ffn_{name}_exps": (width, forward, self.experts) for name in ("gate", "up")}
                parts |= {"ffn_down_exps": (forward, width, self.experts), "ffn_gate_inp": (width, self.experts)}
            else:
                parts |= {"ffn_up": (width, forward), "ffn_down": (forward, width)}
                parts |= {} if self.architecture in ("falcon", "phi3") else {"ffn_gate": (width, forward)}
            found += [(f"blk.{block}.{name}.weight", shape, 0) for name, shape in parts.items()]
        return found


SHAPES = {
    "plain": Shape(),
    "deep": Shape(layers=33, heads_kv=2),
    "grouped": Shape(heads_kv=2, tied=True),
    "shallow": Shape(layers=3),
    "narrow": Shape(width=576, forward=1536, heads=9, heads_kv=3, layers=6, tied=True),
    "odd": Shape(width=576, forward=1536, heads=9, heads_kv=3, layers=6),
    "tiny": Shape(width=64, forward=172, heads=8, heads_kv=4, layers=5),
    "experts8": Shape(experts=8, layers=9),
    "experts8_grouped": Shape(experts=8, layers=9, heads_kv=2),
    "experts4": Shape(experts=4, layers=9),
    "experts16_narrow": Shape(experts=16, layers=4, width=576, forward=96, heads=9, heads_kv=9),
    "falcon": Shape(architecture="falcon", layers=17, heads_kv=1),
    "phi3": Shape(architecture="phi3", layers=9),
    "qwen2": Shape(architecture="qwen2", layers=12, heads_kv=2, tied=True),
    "qwen3": Shape(architecture="qwen3", layers=10),
    "gemma2": Shape(architecture="gemma2", layers=9, heads_kv=4, tied=True),
    "llama70": Shape(layers=80, heads_kv=1),
    "qwen70": Shape(architecture="qwen2", layers=80, heads_kv=4),
}


def write_hole(shape: Shape, path: Path) -> Path:
    """The model as a file whose weights take no room on the disk."""
    head = written(shape.keys(), shape.tensors(), hole=True)
    sizes = [int(np.prod(dimensions)) * 4 for _, dimensions, _ in shape.tensors()]
    with path.open("wb") as handle:
        handle.write(head)
        handle.truncate(len(head) + sum(-(-size // 32) * 32 for size in sizes))
    return path


def filled(shape: Shape, path: Path, seed: int = 0) -> Path:
    """The model with normal random weights."""
    write_hole(shape, path)
    noise = np.random.default_rng(seed)
    head = len(written(shape.keys(), shape.tensors(), hole=True))
    with path.open("rb+") as handle:
        handle.seek(head)
        for _, dimensions, _ in shape.tensors():
            data = noise.normal(scale=0.05, size=int(np.prod(dimensions))).astype(np.float32).tobytes()
            handle.write(data + bytes(-len(data) % 32))
    return path


def importance(shape: Shape, seed: int = 1) -> dict[str, np.ndarray]:
    """An importance for each column of each matrix: (experts or 1, width)."""
    noise = np.random.default_rng(seed)
    found = {}
    for name, dimensions, _ in shape.tensors():
        if len(dimensions) > 1:
            rows = dimensions[2] if len(dimensions) > 2 else 1
            found[name] = (noise.random((rows, dimensions[0])) + 0.1).astype(np.float32)
    return found


def write_importance(values: dict[str, np.ndarray], path: Path) -> Path:
    """llama.cpp's imatrix format, by the package `gguf`."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["made up"])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, value in values.items():
        writer.add_tensor(f"{name}.in_sum2", value * 4)
        writer.add_tensor(f"{name}.counts", np.full((len(value), 1), 4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def peer() -> Path | None:
    """The llama-quantize to compare with, where somebody has built one."""
    path = Path(os.environ.get("LINNET_PEERS", "/nowhere")) / "bin" / "llama-quantize"
    return path if path.is_file() else None


def by_role(shape: Shape) -> list[str]:
    """The names of the tensors, those of the same role in all blocks after each other: so the table stays short."""
    return sorted((name for name, _, _ in shape.tensors()), key=lambda name: re.sub(r"(\d+)", "", name))


def runs(types: list[str]) -> str:
    """A list of types in a few characters: 'Q4_K*3 Q6_K'."""
    groups = [(name, len(list(group))) for name, group in itertools.groupby(types)]
    return " ".join(name if count == 1 else f"{name}*{count}" for name, count in groups)


_LINE = re.compile(r"\[ *\d+/ *\d+\] (\S+) .*type = +(\w+), size = .*?(?:\((\w+)\))?\n")


def asked(binary: Path, model: Path, mixture: str, extra: list[str]) -> dict[str, str]:
    """What the program says it would make of each tensor."""
    command = [str(binary), "--dry-run", *extra, str(model), mixture]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = _LINE.findall(done.stdout + done.stderr)
    return {name: (after or before).upper() for name, before, after in found}


def cases() -> Iterator[tuple[str, str, bool]]:
    from linnet.engines.quantization.mixtures import MIXTURES

    yield from itertools.product(SHAPES, MIXTURES, (False, True))


def main() -> None:
    binary = peer()
    assert binary, "set LINNET_PEERS"
    table: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in SHAPES.items():
            write_hole(shape, Path(folder) / f"{name}.gguf")
            write_importance(importance(shape), Path(folder) / f"{name}.imatrix")
        for name, mixture, guided in cases():
            extra = ["--imatrix", str(Path(folder) / f"{name}.imatrix")] if guided else []
            types = asked(binary, Path(folder) / f"{name}.gguf", mixture, extra)
            row = runs([types[tensor] for tensor in by_role(SHAPES[name])])
            table.setdefault(name, {})[f"{mixture}{' guided' if guided else ''}"] = row
    for rows in table.values():  # an importance matrix changes few mixtures: keep those that it does
        for key in [key for key in rows if key.endswith(" guided") and rows[key] == rows[key.split()[0]]]:
            del rows[key]
    EXPECTED.write_text(json.dumps(table, indent=0) + "\n")


if __name__ == "__main__":
    main()
