"""GGUF to GGUF against the `llama-quantize` in $LINNET_PEERS/bin: `python -m benchmarks.quantize [TYPE ...]`.

A random Llama in F16 (1B shape by default; LINNET_BENCH_LAYERS makes it smaller) is quantised by both, on the same
threads, taking turns; a row is the median of the ratios of neighbours.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

import numpy as np

from benchmarks.classify import keep
from benchmarks.processes import Taken, measured
from linnet.formats.gguf_write import head, padded, place, text, uint32

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
ROUNDS = int(os.environ.get("LINNET_BENCH_ROUNDS", "3"))
LAYERS, WIDTH, INNER, KV, VOCABULARY = int(os.environ.get("LINNET_BENCH_LAYERS", "16")), 2048, 8192, 512, 32000
TYPES = ("Q4_K_M", "Q8_0")
OURS = (
    "import sys; from pathlib import Path; from linnet.engines.quantization.quantize_file import Wish, from_gguf; "
    "from_gguf(Path(sys.argv[1]), Path(sys.argv[2]), Wish(sys.argv[3], threads=int(sys.argv[4])))"
)


def make_model(path: Path) -> Path:
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, KV), "attn_v": (WIDTH, KV), "attn_output": (WIDTH, WIDTH)}
    shapes |= {"ffn_gate": (WIDTH, INNER), "ffn_up": (WIDTH, INNER), "ffn_down": (INNER, WIDTH)}
    named = [("token_embd.weight", "F16", (WIDTH, VOCABULARY)), ("output_norm.weight", "F32", (WIDTH,))]
    for layer in range(LAYERS):
        named += [(f"blk.{layer}.{name}.weight", "F16", shape) for name, shape in shapes.items()]
        named += [(f"blk.{layer}.{name}.weight", "F32", (WIDTH,)) for name in ("attn_norm", "ffn_norm")]
    numbers = {"block_count": LAYERS, "embedding_length": WIDTH, "context_length": 2048, "feed_forward_length": INNER}
    numbers |= {"attention.head_count": 32, "attention.head_count_kv": 8, "vocab_size": VOCABULARY}
    metadata = {"general.architecture": text("llama"), "tokenizer.ggml.model": text("no_vocab")}
    metadata |= {f"llama.{name}": uint32(value) for name, value in numbers.items()}
    epsilon = np.uint32(6).tobytes() + np.float32(1e-5).tobytes()
    metadata["llama.attention.layer_norm_rms_epsilon"] = epsilon
    noise = np.random.default_rng(0)
    placed = place(named)
    with path.open("wb") as handle:
        handle.write(head(metadata, placed))
        for tensor in placed:
            value = noise.standard_normal(int(np.prod(tensor.shape)), dtype=np.float32) * 0.02
            data = value.astype(np.float16 if tensor.type == "F16" else np.float32).tobytes()
            handle.write(data + bytes(padded(len(data), 32) - len(data)))
    return path


def beside(runs: list[tuple[Taken, Taken]]) -> dict[str, float]:
    """Medians of ours, and the median of the ratios of ours over theirs in one round."""
    found = {}
    for name in ("seconds", "written_bytes", "peak_bytes"):
        found[name] = round(statistics.median(getattr(one, name) for one, _ in runs), 2)
        ratios = [getattr(one, name) / getattr(other, name) for one, other in runs]
        found[f"{name}_ratio"] = round(statistics.median(ratios), 3)
    return found


def compare(peer: Path, source: Path, kind: str, threads: int) -> None:
    ours, theirs = OUT / "ours.gguf", OUT / "theirs.gguf"
    runs: list[tuple[Taken, Taken]] = []
    for _ in range(ROUNDS):
        for path in (ours, theirs):
            path.unlink(missing_ok=True)
        one = measured([sys.executable, "-c", OURS, str(source), str(ours), kind, str(threads)])
        other = measured([str(peer), str(source), str(theirs), kind, str(threads)])
        runs.append((one, other))
    assert ours.read_bytes() == theirs.read_bytes(), kind
    found = {"threads": threads, "source_bytes": source.stat().st_size, "bytes": ours.stat().st_size}
    keep(f"quantize-{kind}", found | beside(runs))


def main() -> None:
    peer = Path(os.environ.get("LINNET_PEERS", "")) / "bin" / "llama-quantize"
    if not peer.is_file():
        sys.exit("no llama-quantize at $LINNET_PEERS/bin")
    OUT.mkdir(exist_ok=True)
    source = OUT / f"quantize-{LAYERS}.gguf"
    if not source.is_file():
        make_model(source.with_suffix(".part")).rename(source)
    for kind in sys.argv[1:] or TYPES:
        compare(peer, source, kind, len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    main()
