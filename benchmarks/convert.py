"""Safetensors to Q4_K_M in one pass, against `convert_hf_to_gguf.py` and then `llama-quantize`, taking turns.

    python -m benchmarks.convert [TYPE ...]

The script is $LINNET_CONVERT, of the sources that $LINNET_PEERS/bin/llama-quantize was compiled from. The model has the
shape of TinyLlama (1.03 billion random weights in BF16, embeddings tied). Ours is measured twice: the writing alone,
which does what the two programs do, and `linnet quantize` whole, with the gates before the file gets its name. The data
of all tensors must be equal to theirs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks import random_llama
from benchmarks.classify import keep
from benchmarks.plan import SHAPES, TEXTS
from benchmarks.processes import Taken, measured
from benchmarks.quantize import beside
from linnet.formats.gguf import read_gguf

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
ROUNDS = int(os.environ.get("LINNET_BENCH_ROUNDS", "3"))
THREADS = len(os.sched_getaffinity(0))
PEER, SCRIPT = Path(os.environ.get("LINNET_PEERS", "")) / "bin" / "llama-quantize", os.environ.get("LINNET_CONVERT", "")
OURS = (
    "import sys; from pathlib import Path; from linnet.engines.quantization.quantize_file import Wish, from_folder; "
    "from_folder(Path(sys.argv[1]), Path(sys.argv[2]), Wish(sys.argv[3], threads=int(sys.argv[4])), Path(sys.argv[5]))"
)

# The script knows tokenizers by a hash of what they do with one text, and ours is made on the spot: it is told.
THEIRS = (
    "import runpy, sys; from pathlib import Path; del sys.argv[0]; sys.path.insert(0, str(Path(sys.argv[0]).parent)); "
    "from conversion import base; base.TextModel.get_vocab_base_pre = lambda *_: 'llama-bpe'; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def theirs(folder: Path, target: Path, kind: str) -> Taken:
    middle = target.with_suffix(".f.gguf")
    first = measured([sys.executable, "-c", THEIRS, SCRIPT, str(folder), "--outfile", str(middle)])
    second = measured([str(PEER), str(middle), str(target), kind, str(THREADS)])
    middle.unlink()
    return Taken(
        first.seconds + second.seconds,
        first.written_bytes + second.written_bytes,
        max(first.peak_bytes, second.peak_bytes),
    )


def writing(folder: Path, target: Path, kind: str) -> Taken:
    scratch = OUT / "convert-scratch"
    scratch.mkdir(exist_ok=True)
    return measured([sys.executable, "-c", OURS, str(folder), str(target), kind, str(THREADS), str(scratch)])


def whole(folder: Path, target: Path, kind: str) -> Taken:
    command = [sys.executable, "-m", "linnet", "quantize", str(folder), "--type", kind, "--out", str(target), "--quiet"]
    environment = {**os.environ, "LINNET_HOME": str((OUT / "convert-store").absolute())}
    return measured([*command, "--threads", str(THREADS)], environment)


def tensors(path: Path) -> dict[str, bytes]:
    header, found = read_gguf(path), {}
    with path.open("rb") as handle:
        for tensor in header.tensors:
            handle.seek(header.data_offset + tensor.offset)
            found[f"{tensor.name} {tensor.type}"] = handle.read(tensor.size_bytes)
    return found


def compare(folder: Path, kind: str) -> None:
    runs: dict[str, list[tuple[Taken, Taken]]] = {"writing": [], "whole": []}
    files = [OUT / f"convert-{name}.gguf" for name in ("theirs", "writing", "whole")]
    for number in range(ROUNDS):
        for path in files:
            path.unlink(missing_ok=True)
        found = [make(folder, path, kind) for make, path in zip((theirs, writing, whole), files, strict=True)]
        runs["writing"].append((found[1], found[0]))
        runs["whole"].append((found[2], found[0]))
        if not number:
            expected = tensors(files[0])
            assert tensors(files[1]) == expected, f"{kind}: the data of tensors differ"
            assert tensors(files[2]) == expected, f"{kind}: the data of tensors differ"
    for name, taken in runs.items():
        keep(f"convert-{kind}-{name}", {"bytes": files[0].stat().st_size, "threads": THREADS, **beside(taken)})


def main() -> None:
    if not PEER.is_file() or not Path(SCRIPT).is_file():
        sys.exit("no llama-quantize at $LINNET_PEERS/bin, or no convert_hf_to_gguf.py at $LINNET_CONVERT")
    OUT.mkdir(exist_ok=True)
    folder = random_llama.folder(OUT / "plan-1B-hf", SHAPES["1B"], TEXTS)
    for kind in sys.argv[1:] or ("Q4_K_M",):
        compare(folder, kind)


if __name__ == "__main__":
    main()
