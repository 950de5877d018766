"""What makes a file predict otherwise than its source: one thing of it at a time is replaced by the source's.

Settings first, key by key; then tensors that differ more than their type's rounding explains; what is left is
rounding, and by halves the tensor whose rounding costs most. Knows no folder and no torch: the source is a GGUF.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import EngineError, InputError
from linnet.core.files import check_space
from linnet.core.records import Record
from linnet.engines.quantization.gguf_quantize import Source, gguf_source
from linnet.engines.quantization.quant_kernels import (
    CHUNK,
    PLAIN,
    Matrix,
    dequantize_rows,
    quantize_rows,
    ready,
    row_bytes,
)
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.gguf_write import head, padded, place
from linnet.metrics import divergence as divergences

Kind = Literal["rope", "context", "tokenizer", "setting", "tensor", "rounding", "conversion"]
Settings = Mapping[str, bytes | None]  # None: the source does not have this key
LARGEST = 4 << 30  # bytes of a file that is written some twenty times
EXPLAINED = 2.0  # an importance matrix lets plain error grow by less than this
NOISE = 1e-5  # of a tensor's own size: two ways to round float32
SHOWN = 3


class Culprit(Record):
    """The part that is at fault: its names, and the divergence without it. tried: how many files were compared."""

    kind: Kind
    names: tuple[str, ...]
    before: float
    after: float
    tried: int

    def sentence(self) -> str:
        """What to say to a person."""
        names = ", ".join(self.names[:SHOWN]) + (f" and {len(self.names) - SHOWN} more" * (len(self.names) > SHOWN))
        gain = f"with the source's in its place the divergence is {self.after:.3g} instead of {self.before:.3g}"
        if self.kind == "conversion":
            return "The conversion itself is at fault: also in full precision and with its own settings it differs."
        if self.kind == "rounding":
            return f"The culprit is rounding: every tensor is as its type makes it; {names} costs most: {gain}."
        what = {"tensor": "the tensor", "rope": "the rope setting", "context": "the context setting"}
        return f"The culprit is {what.get(self.kind, f'the {self.kind}')} {names}: {gain}."


def find(base: NDArray[np.float32], ids: Sequence[int], suspect: Path, reference: Path, scratch: Path) -> Culprit:
    """The culprit for the divergence of `suspect` from `base`, the source's logits (tokens, vocabulary) on `ids`.

    reference: the source as GGUF. `scratch` takes a file as large as the two. Raises DiskFull, and EngineError for
    files so large that this would take hours, and for those that lack a tensor of the other.
    """
    size = suspect.stat().st_size + reference.stat().st_size
    if size > 2 * LARGEST:
        raise EngineError(f"{suspect.name} is too large to look for the part at fault.")
    check_space(scratch, size, "Looking for the part at fault")
    with gguf_source(suspect) as made, gguf_source(reference) as right:
        if set(made.matrices) != set(right.matrices):
            names = sorted(set(made.matrices) ^ set(right.matrices))
            return Culprit(kind="tensor", names=tuple(names), before=float("inf"), after=0.0, tried=0)
        return _Search(base, ids, made, right, scratch / "hybrid.gguf").run()


@dataclass(slots=True)
class _Search:
    base: NDArray[np.float32]
    ids: Sequence[int]
    made: Source
    right: Source
    path: Path
    tried: int = 0
    settings: dict[str, bytes] = field(default_factory=dict)

    def run(self) -> Culprit:
        self.settings = dict(self.made.metadata)
        before = self.score({}, ())
        every = [key for key in {**self.made.metadata, **self.right.metadata} if _matters(key)]
        floor = self.score(self._from_right(every), tuple(self.right.matrices))
        enough = max(2 * floor, floor + 0.1 * (before - floor))
        if floor > 0.5 * before:
            return self._culprit("conversion", (), before, floor)
        differing = [key for key in every if self.made.metadata.get(key) != self.right.metadata.get(key)]
        if differing and (found := self._of_settings(differing, before, enough)):
            return found
        return self._of_tensors(before, enough)

    def _of_settings(self, keys: Sequence[str], before: float, enough: float) -> Culprit | None:
        """The settings without which it is well, the fewest that do; None where tensors are at fault too."""
        together = self.score(self._from_right(keys), ())
        if together > enough:
            self.settings = self._with(self._from_right(keys))
            return None
        scores = {key: self.score(self._from_right([key]), ()) for key in keys}
        best = min(scores, key=lambda key: scores[key])
        names = [best] if scores[best] <= enough else [key for key in keys if scores[key] < before]
        return self._culprit(_kind(names[0] if names else keys[0]), names or keys, before, min(together, scores[best]))

    def _from_right(self, keys: Sequence[str]) -> Settings:
        return {key: self.right.metadata.get(key) for key in keys}

    def _of_tensors(self, before: float, enough: float) -> Culprit:
        damaged = [name for name, matrix in self.made.matrices.items() if _damaged(matrix, self.right.matrices[name])]
        if damaged:
            names, after = self._halved(damaged, enough)
            return self._culprit("tensor", names, before, after)
        lossy = [name for name, matrix in self.made.matrices.items() if matrix.type != self.right.matrices[name].type]
        names, after = self._halved(lossy or list(self.made.matrices), 0.0, to_one=True)
        return self._culprit("rounding", names, before, after)

    def _halved(self, names: Sequence[str], enough: float, *, to_one: bool = False) -> tuple[list[str], float]:
        """The fewest of `names` that halving finds whose replacement is enough; `to_one`: the better half each time."""
        kept, after = list(names), self.score({}, names)
        while len(kept) > 1:
            halves = kept[: len(kept) // 2], kept[len(kept) // 2 :]
            scores = [self.score({}, half) for half in halves]
            better = scores.index(min(scores))
            if scores[better] > enough and not to_one:
                break  # some of each half
            kept, after = list(halves[better]), scores[better]
        return kept, after

    def _culprit(self, kind: Kind, names: Sequence[str], before: float, after: float) -> Culprit:
        return Culprit(kind=kind, names=tuple(names), before=before, after=after, tried=self.tried)

    def _with(self, changed: Settings) -> dict[str, bytes]:
        """The settings with some replaced, and without those that the source does not have."""
        merged = {**self.settings, **changed}
        return {key: value for key, value in merged.items() if value is not None}

    def score(self, settings: Settings, tensors: Sequence[str]) -> float:
        """Mean divergence of the suspect with these settings and tensors replaced; infinite where it does not run."""
        self.tried += 1
        matrices = {**self.made.matrices, **{name: self.right.matrices[name] for name in tensors}}
        write_as_is(self.path, self._with(settings), matrices, self.made.alignment)
        try:
            with Scorer(self.path, context=max(2, len(self.ids))) as scorer:
                ours = scorer.logits(self.ids)
        except (EngineError, InputError):
            return float("inf")
        finally:
            self.path.unlink(missing_ok=True)
        width = min(self.base.shape[1], ours.shape[1])
        return float(divergences.kl_divergences(self.base[:, :width], ours[:, :width]).mean())


def _matters(key: str) -> bool:
    """Whether a key can change what is predicted from the same tokens."""
    return not key.startswith(("general.", "tokenizer.", "quantize.", "split."))


def _kind(key: str) -> Kind:
    if ".rope." in key:
        return "rope"
    return "context" if key.endswith((".context_length", ".sliding_window")) else "setting"


def _damaged(made: Matrix, right: Matrix) -> bool:
    """Whether a tensor is further from the source's than its type's rounding takes it."""
    if made.shape != right.shape:
        return True
    if made.type != right.type:
        ready(made.type)
    ones = np.ones(made.width, dtype=np.float32)
    error = rounding = size = 0.0
    step = max(1, CHUNK // made.width)
    for start in range(0, made.rows, step):
        count = min(step, made.rows - start)
        wanted = dequantize_rows(right.read(start, count), right.type, right.width).astype(np.float64)
        found = dequantize_rows(made.read(start, count), made.type, made.width)
        rounded = wanted
        if made.type != right.type:
            importance = None if made.type in PLAIN else ones
            again = quantize_rows(wanted.astype(np.float32), made.type, importance)
            rounded = dequantize_rows(again, made.type, made.width).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            error += float(((found - wanted) ** 2).sum())
        rounding += float(((rounded - wanted) ** 2).sum())
        size += float((wanted**2).sum())
    return not error <= EXPLAINED**2 * rounding + NOISE**2 * size


def write_as_is(path: Path, metadata: Mapping[str, bytes], matrices: Mapping[str, Matrix], alignment: int) -> None:
    """A GGUF of these parts, each tensor in the type it is read in."""
    placed = place([(name, matrix.type, matrix.shape) for name, matrix in matrices.items()], alignment)
    with path.open("wb") as handle:
        handle.write(head(metadata, placed, alignment))
        for one in placed:
            matrix = matrices[one.name]
            step = max(1, (4 << 20) // row_bytes(matrix.type, matrix.width))
            for start in range(0, matrix.rows, step):
                handle.write(matrix.read(start, min(step, matrix.rows - start)).tobytes())
            handle.write(bytes(padded(one.size_bytes, alignment) - one.size_bytes))
        handle.flush()
        os.fsync(handle.fileno())
