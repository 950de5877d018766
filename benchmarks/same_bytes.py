"""Every type and mixture beside $LINNET_PEERS/bin/llama-quantize: `python -m benchmarks.same_bytes [TYPE ...]`.

builtin:nano in F32 with the same importance matrix, each mixture by its name and each type alone (`--pure`). A row says
how many tensors have the same type and the same bytes; what llama-quantize refuses, we must refuse too.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.classify import keep
from benchmarks.convert import tensors
from benchmarks.mixtures import OUT, PEER, THREADS, sources
from linnet.core.errors import LinnetError
from linnet.core.store import Store
from linnet.engines.quantization.mixtures import MIXTURES
from linnet.engines.quantization.quantize_file import Wish, from_gguf
from linnet.stages.convert import Options, convert


def importance(source: Path) -> Path:
    """The importance matrix of the model on text of its own; made once."""
    store = Store(OUT / "store-nano")
    kept = store.path("importance")
    if not any(kept.glob("*.gguf")):
        made = OUT / "first.gguf"
        convert(store, str(source), "Q8_0", Options(out=str(made), gather=True, threads=THREADS))
        made.unlink()
    (imatrix,) = kept.glob("*.gguf")
    return imatrix


def both(source: Path, kind: str, imatrix: Path, *, pure: bool) -> tuple[dict[str, bytes] | None, ...]:
    """The tensors of our file and of theirs; None for a refusal."""
    ours, theirs = OUT / "same-ours.gguf", OUT / "same-theirs.gguf"
    for path in (ours, theirs):
        path.unlink(missing_ok=True)
    try:
        from_gguf(source, ours, Wish(kind, pure, imatrix, threads=THREADS))
        made: dict[str, bytes] | None = tensors(ours)
    except LinnetError:
        made = None
    command = [str(PEER), "--imatrix", str(imatrix), *(["--pure"] if pure else []), str(source), str(theirs)]
    # It takes the names of mixtures alone: the first one that is made of this type.
    called = next(name for name, (_, one) in MIXTURES.items() if one == kind) if pure else kind
    done = subprocess.run([*command, called, str(THREADS)], capture_output=True, check=False)
    return made, tensors(theirs) if done.returncode == 0 else None


def main() -> None:
    if not PEER.is_file():
        sys.exit("no llama-quantize at $LINNET_PEERS/bin")
    OUT.mkdir(parents=True, exist_ok=True)
    source = sources(Store(OUT / "store"))["nano"]
    imatrix, different = importance(source), []
    asked = [(name, False) for name in MIXTURES] + [(kind, True) for kind in dict(MIXTURES.values()).values()]
    for kind, pure in dict.fromkeys(asked):
        if sys.argv[1:] and kind not in sys.argv[1:]:
            continue
        name = f"{kind}{' pure' if pure else ''}"
        ours, theirs = both(source, kind, imatrix, pure=pure)
        same = ours == theirs
        shown = "refused by both" if ours is None and theirs is None else ""
        if ours is not None and theirs is not None:
            shown = f"{sum(theirs.get(key) == value for key, value in ours.items())} of {len(theirs)} tensors"
        print(f"| {name} | {shown or 'refused by one'} | {'same' if same else 'DIFFERENT'} |", flush=True)
        different += [] if same else [name]
    keep("same-bytes", {"kinds": len(set(asked)), "different": different})


if __name__ == "__main__":
    main()
