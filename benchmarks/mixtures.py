"""Our choice of types against llama.cpp's mixtures: `python -m benchmarks.mixtures [--quick] [MODEL ...]`.

At the size of a Q4_K_M, Q3_K_M and IQ2_M file (made by $LINNET_PEERS/bin/llama-quantize, else by our writer, whose
tensors tests compare with it byte for byte) types are chosen with the same importance matrix; so at 0.92 of the size.
A row is the mean KL divergence of both files from the F32 model, on text that neither saw, and their ratio.

Models: nano (builtin:nano), stories (stories260K) and wide576: random weights in the shape of nano with rows of 576,
which blocks of 256 do not divide; the rows of each matrix are scaled by log-normal noise and its columns too, and the
output so that the entropy of a prediction is about half that of a uniform one. All text is drawn from the models
themselves: 8,192 tokens (seed 0) to calibrate and choose, 4,096 others (seed 1) to judge.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import random_llama
from benchmarks.classify import keep
from linnet.core.store import Store
from linnet.engines.quantization.importance import own_text
from linnet.engines.quantization.quantize_file import Wish, from_gguf
from linnet.engines.quantization.quantize_guided import Target
from linnet.engines.scoring.llama_context import Model
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.gguf import read_gguf
from linnet.stages.convert import Options, convert

OUT = Path(os.environ.get("LINNET_BENCH", ".bench")) / "mixtures"
DATA = Path(os.environ.get("LINNET_DATA", "../shared/data"))
PEER = Path(os.environ.get("LINNET_PEERS", "")) / "bin" / "llama-quantize"
TYPES = ("Q4_K_M", "Q3_K_M", "IQ2_M")
SHARES = (1.0, 0.92)
SHAPE = random_llama.Shape(2, 576, 9, 3, 1536, 2048, 1024)
TOKENS, WINDOW = 4096, 256
THREADS = int(os.environ.get("LINNET_THREADS", "0")) or len(os.sched_getaffinity(0))


def wide576() -> Path:
    """Matrices whose rows and columns matter differently, as trained ones do; a head that is not flat."""
    path = OUT / "wide576.gguf"
    if path.is_file():
        return path
    words = [f"word {i}" for i in range(500)]
    made = random_llama.make(path.with_suffix(".part"), SHAPE, words, "F16")
    noise = np.random.default_rng(5)
    header = read_gguf(made)
    with made.open("r+b") as handle:
        for tensor in header.tensors:
            if len(tensor.shape) < 2:
                continue
            columns, rows = tensor.shape
            handle.seek(header.data_offset + tensor.offset)
            value = (
                np.frombuffer(handle.read(tensor.size_bytes), dtype=np.float16)
                .reshape(rows, columns)
                .astype(np.float32)
            )
            value *= np.exp(0.5 * noise.standard_normal((rows, 1)))
            value *= np.exp(0.5 * noise.standard_normal((1, columns)))
            value *= 0.8 if tensor.name == "token_embd.weight" else 1.0
            handle.seek(header.data_offset + tensor.offset)
            handle.write(value.astype(np.float16).tobytes())
    made.rename(path)
    return path


def sources(store: Store) -> dict[str, Path]:
    nano = OUT / "nano-F32.gguf"
    if not nano.is_file():
        convert(store, "builtin:nano", "F32", Options(out=str(nano)))
    return {"nano": nano, "stories": DATA / "stories260k" / "stories260K.gguf", "wide576": wide576()}


def judged(source: Path, ids: list[int], files: list[Path]) -> list[float]:
    """Mean KL divergence of each file from the source."""
    found = []
    with Scorer(source, context=WINDOW, threads=THREADS) as base:
        for path in files:
            with Scorer(path, context=WINDOW, threads=THREADS) as other:
                found.append(base.kl_divergence(other, ids, window=WINDOW, stride=WINDOW).mean)
    return found


def held_out(source: Path) -> list[int]:
    model = Model(source)
    try:
        return own_text(model, TOKENS, THREADS, seed=1)
    finally:
        model.close()


def theirs(source: Path, imatrix: Path, kind: str) -> Path:
    path = OUT / f"theirs-{kind}.gguf"
    path.unlink(missing_ok=True)
    if PEER.is_file():
        command = [str(PEER), "--imatrix", str(imatrix), str(source), str(path), kind, str(THREADS)]
        subprocess.run(command, check=True, capture_output=True)
    else:
        from_gguf(source, path, Wish(kind, imatrix=imatrix, requantize=True, threads=THREADS))
    return path


def compare(store: Store, name: str, source: Path, kind: str, ids: list[int]) -> None:
    first = OUT / "ours.gguf"
    first.unlink(missing_ok=True)
    kept = store.path("importance")
    if not any(kept.glob("*.gguf")):
        convert(store, str(source), "Q8_0", Options(out=str(first), gather=True, threads=THREADS))
        first.unlink()
    (imatrix,) = kept.glob("*.gguf")
    their = theirs(source, imatrix, kind)
    made = [their]
    predicted = []
    for share in SHARES:
        path = OUT / f"ours-{share}.gguf"
        path.unlink(missing_ok=True)
        target = Target(size_bytes=int(share * their.stat().st_size), label=f"{share} of {kind}")
        found = convert(store, str(source), "", Options(out=str(path), gather=True, target=target, threads=THREADS))
        made.append(path)
        predicted.append(found.search)
    losses = judged(source, ids, made)
    row = {"their_bytes": their.stat().st_size, "their_kl": losses[0]}
    for share, path, loss, search in zip(SHARES, made[1:], losses[1:], predicted, strict=True):
        assert search is not None
        row |= {f"kl_{share}": loss, f"ratio_{share}": round(loss / losses[0], 3), f"size_{share}": path.stat().st_size}
        row |= {f"predicted_{share}": search.predicted, f"gap_{share}": search.gap}
    keep(f"mixtures-{name}-{kind}", row)
    print(
        f"| {name} | {kind} | {row['their_bytes']:,} | {losses[0]:.4g} | {losses[1]:.4g} | {row['ratio_1.0']} | "
        f"{row['ratio_0.92']} |",
        flush=True,
    )


def main() -> None:
    quick = "--quick" in sys.argv
    wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
    OUT.mkdir(parents=True, exist_ok=True)
    print("| model | size of | bytes | llama.cpp KL | ours KL | ratio | ratio at 0.92 of the size |")
    print("|---|---|---|---|---|---|---|")
    for name, source in sources(Store(OUT / "store")).items():
        if (wanted and name not in wanted) or (quick and not wanted and name != "stories"):
            continue
        store, ids = Store(OUT / f"store-{name}"), held_out(source)
        for kind in TYPES[:1] if quick else TYPES:
            compare(store, name, source, kind, ids)


if __name__ == "__main__":
    main()
