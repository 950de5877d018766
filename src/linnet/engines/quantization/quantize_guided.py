"""A wish that needs the model to be run first: an importance matrix to be gathered, or types to be chosen for a target.

A copy of the model in F32 or F16 is made for it where the source is not one; it is gone when the work is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import log1p
from pathlib import Path

import numpy as np

from linnet.core.errors import GateFailed, InputError, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, check_space, read_json, sha256_bytes, sha256_file, write_json
from linnet.core.records import Record
from linnet.engines.quantization import importance as importances
from linnet.engines.quantization import mixtures, sensitivity
from linnet.engines.quantization.gguf_quantize import Recipe, Source, gguf_source, plan, write
from linnet.engines.quantization.importance import Text
from linnet.engines.quantization.mixture_search import Choice, Search, measurements
from linnet.engines.quantization.quantize_file import Wish, from_folder, from_gguf
from linnet.engines.scoring.llama_watch import Watched
from linnet.formats.gguf import read_gguf
from linnet.formats.imatrix import Imatrix, read_imatrix, write_imatrix
from linnet.formats.sniff import sniff
from linnet.metrics import divergence as divergences
from linnet.metrics.divergence import Divergence
from linnet.text.calibration import Calibration

VERSION = 1  # of how text is made and gathered: part of the key of what is kept
WIDE = 300_000_000  # weights up to which the copy is in F32
SEARCHED, PROVEN = 512, 2048  # tokens that the search measures on, and those held out to judge its choice
PIECE = 128  # tokens of a window of the search: many short ones see more texts than few long ones
# Types with fewer bits than this and than so many below the target are not tried; the target where it is a loss.
FLOOR, BELOW, START_BITS = 3.0, 2.25, 5.0
TRIES = 5
SAVED = 32  # measurements after which they are written down: a search that was killed goes on from there


@dataclass(frozen=True, slots=True)
class Target:
    """One of the three is set. size_bytes: of the file. bits: a weight, over all weights. max_loss: how much more
    perplexing text drawn from the source may become, as a share: a mean KL divergence of log(1 + max_loss) nats."""

    size_bytes: int = 0
    bits: float = 0.0
    max_loss: float = 0.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be found out. `kept`: the folder of what is reused; `key` names the model and the text in it."""

    target: Target | None
    gather: bool
    calibration: Calibration | None
    kept: Path
    key: str


class Searched(Record):
    """How the types were chosen. predicted: KL divergence by the additive model, in_search: of all tensors together,
    both on the text of the search; measured: of the file in the engine, on held-out text. gap: of the knapsack."""

    target: str
    text: str
    text_tokens: int
    predicted: float
    in_search: float
    measured: Divergence
    gap: float
    measurements: int


def key_of(model: Mapping[str, str], calibration: Calibration | None) -> str:
    """The name under which text and importance matrix of a model (its files' hashes) and a text are kept."""
    text = calibration.sha256 if calibration else importances.OWN_TEXT
    return sha256_bytes(canonical({"model": dict(model), "text": text, "version": VERSION}))[:40]


def read_types(path: Path) -> dict[str, str]:
    """The types of another file's matrices: of a GGUF, or from the JSON that an earlier run printed.

    Raises NotFound, or InputError for a file that has none.
    """
    if sniff(path) == "gguf":
        header = read_gguf(path)
        architecture = mixtures.facts(header).architecture
        return {t.name: t.type for t in header.tensors if mixtures.quantisable(t.name, t.shape, architecture)}
    found = read_json(path)
    found = found.get("quantized", found) if isinstance(found, dict) else {}
    found = found.get("tensor_types", found) if isinstance(found, dict) else {}
    if not isinstance(found, dict) or not found or not all(isinstance(v, str) for v in found.values()):
        raise InputError(f"{path} holds no list of types.", "Give a GGUF, or what --json printed for one.")
    return dict(found)


def guided(
    source: tuple[Path, str], wish: Wish, ask: Ask, scratch: Path, on_event: OnEvent = silent
) -> tuple[Wish, Searched | None]:
    """The wish with its importance matrix, and with a type for each tensor where there is a target.

    source: path, and "gguf" or another format. Raises InputError for a target that no choice reaches and for an
    importance matrix of another model, GateFailed where the loss stays over its limit, EngineError, DiskFull.
    """
    with _working(source, wish, scratch, on_event) as (path, stored):
        header = read_gguf(path)
        with gguf_source(path) as opened, Watched(path, header.tensors, importances.WINDOW, wish.threads) as watched:
            text = _text(watched, path, opened.elements, ask, wish.threads, on_event)
            wish = _with_importance(wish, watched, ask, text, on_event)
            if ask.target is None:
                return wish, None
            matrix = sha256_file(wish.imatrix) if wish.imatrix else "none"
            kept = ask.kept / f"{ask.key}.{matrix[:16]}.measured.json"
            return _Work(opened, watched, stored, wish, ask.target, text, scratch, kept, on_event).chosen()


@contextmanager
def _working(source: tuple[Path, str], wish: Wish, scratch: Path, on_event: OnEvent) -> Iterator[tuple[Path, str]]:
    """A GGUF whose weights can be replaced, and the type that the source keeps most of them in."""
    path, kind = source
    copy = scratch / "working.gguf"
    if kind == "gguf":
        with gguf_source(path) as opened:
            sizes: dict[str, int] = {}
            for one in opened.matrices.values():
                sizes[one.type] = sizes.get(one.type, 0) + one.rows * one.width
            stored, weights = max(sizes, key=lambda name: sizes[name]), opened.elements
        if stored in ("F32", "F16") and set(sizes) <= {"F32", "F16"}:
            yield path, stored
            return
    else:
        from linnet.formats.model_check import check_model

        report = check_model(path)
        stored, weights = "BF16" if "BF16" in report.quantisation else "F16", report.parameters
    on_event(Event("progress", "quantize", "making a copy to measure with"))
    plain = Wish("F32" if weights <= WIDE else "F16", requantize=wish.requantize, threads=wish.threads)
    try:
        if kind == "gguf":
            from_gguf(path, copy, plain, on_event)
        else:
            from_folder(path, copy, plain, scratch)
        yield copy, stored
    finally:
        copy.unlink(missing_ok=True)


def _text(watched: Watched, path: Path, weights: int, ask: Ask, threads: int, on_event: OnEvent) -> Text:
    """The calibration text in tokens; a model's own text is written once."""
    kept = ask.kept / f"{ask.key}.json"
    if kept.is_file():
        found = read_json(kept)
        return Text(found["name"], found["sha256"], tuple(tuple(window) for window in found["windows"]))
    name = ask.calibration.name if ask.calibration else importances.OWN_TEXT
    on_event(Event("progress", "quantize", f"calibration text: {name}"))
    limit = importances.tokens_for(weights)
    text = importances.text_of(watched.model, path, ask.calibration, limit, threads)
    write_json(kept, {"name": text.name, "sha256": text.sha256, "windows": [list(w) for w in text.windows]})
    return text


def _with_importance(wish: Wish, watched: Watched, ask: Ask, text: Text, on_event: OnEvent) -> Wish:
    if not ask.gather:
        return wish
    kept = ask.kept / f"{ask.key}.gguf"
    if not kept.is_file():
        first, _ = _halves(text)
        on_event(Event("progress", "quantize", f"importance matrix from {first.tokens:,} tokens of {text.name}"))
        write_imatrix(importances.gather(watched, first), kept)
    return replace(wish, imatrix=kept, imatrix_name=f"{text.name} {text.sha256[:12]}")


def _halves(text: Text) -> tuple[Text, list[Sequence[int]]]:
    """What may be learned from, and what is held out: a fifth at the end."""
    windows = list(text.windows)
    if len(windows) == 1:
        middle = len(windows[0]) * 4 // 5
        return replace(text, windows=(windows[0][:middle],)), [windows[0][middle:]]
    count = max(1, len(windows) // 5)
    return replace(text, windows=tuple(windows[:-count])), list(windows[-count:])


@dataclass(frozen=True, slots=True)
class _Work:
    """One search: a working copy, open in the engine and as a file, and what is wanted."""

    source: Source
    watched: Watched
    stored: str
    wish: Wish
    target: Target
    text: Text
    scratch: Path
    kept: Path
    on_event: OnEvent

    def _known(self) -> dict[str, float]:
        """What another search measured on this text with this importance matrix."""
        return dict(read_json(self.kept)["known"]) if self.kept.is_file() else {}

    def chosen(self) -> tuple[Wish, Searched]:
        importance = read_imatrix(self.wish.imatrix) if self.wish.imatrix else None
        tensors, budget = self._tensors(importance)
        first, held_out = _halves(self.text)
        pieces = [w[at : at + PIECE] for w in first.windows for at in range(0, len(w), PIECE)]
        # Spread over the text, whose neighbours are alike.
        order = np.random.default_rng(0).permutation(len(pieces))
        vocabulary = self.watched.model.vocabulary_size
        windows = sensitivity.windows_within([pieces[i] for i in order], vocabulary, SEARCHED)
        known = self._known()
        bench = sensitivity.Bench(self.watched, windows, tensors, self.wish.threads, known=known)
        allowed = measurements(self.source.elements, bench.tokens)
        search = Search(bench, allowed, lambda done, total: self._tell(bench, done, total))
        held = sensitivity.windows_within(held_out, vocabulary, PROVEN)
        choice, found = self._within(search, budget, importance, held)
        write_json(self.kept, {"known": bench.known})
        made = Searched(
            target=self.target.label, text=self.text.name, text_tokens=bench.tokens, predicted=choice.predicted,
            in_search=choice.measured, measured=found, gap=choice.gap, measurements=bench.done,
        )  # fmt: skip
        wish = replace(self.wish, mixture=mixtures.nearest(choice.types), types=choice.types, target=self.target.label)
        return wish, made

    def _tell(self, bench: sensitivity.Bench, done: int, total: int) -> None:
        if done % SAVED == 0:
            write_json(self.kept, {"known": bench.known})
        self.on_event(Event("progress", "quantize", "measuring tensors", done=done, total=total))

    def _tensors(self, importance: Imatrix | None) -> tuple[dict[str, sensitivity.Tensor], int]:
        """What each matrix may become, and the bytes that they share. What the engine does not use keeps its type."""
        names = [
            name for name in mixtures.in_order(self.watched.names)
            if mixtures.quantisable(name, self.source.matrices[name].shape, self.source.facts.architecture)
        ]  # fmt: skip
        if importance and not importances.same_model(importance, names):
            raise InputError(
                "the importance matrix is of another model: it names less than half of the matrices.",
                "Make it from this model: --imatrix auto.",
            )
        least = min(FLOOR, self._goal_bits() - BELOW)
        found = self._tried(names, importance, least)
        budget = self._budget(found, importance)
        if sum(min(one.sizes.values()) for one in found.values()) > budget and least > 0:
            found = self._tried(names, importance, 0)
        return found, budget

    def _tried(self, names: Sequence[str], importance: Imatrix | None, least: float) -> dict[str, sensitivity.Tensor]:
        matrices, found = self.source.matrices, {}
        for done, name in enumerate(names):
            matrix = matrices[name]
            self.on_event(Event("progress", "quantize", f"trying types: {name}", done=done, total=len(names)))
            weights = importance.importance(name) if importance else None
            experts = matrix.shape[2] if len(matrix.shape) > 2 else 1
            if weights is not None and weights.shape != (experts, matrix.width):
                self._check_other(name, weights.shape, (experts, matrix.width))
                weights = None
            found[name] = sensitivity.tensor(matrix, weights, least, self.stored, self.wish.threads)
        return found

    def _check_other(self, name: str, have: tuple[int, ...], need: tuple[int, ...]) -> None:
        if mixtures.role_of(name) != "embedding":  # as in gguf_quantize: an embedding is looked up
            raise InputError(
                f"the importance matrix is of another model: {have[1]} columns of {have[0]} for {name}, "
                f"which has {need[1]} of {need[0]}.",
                "Make it from this model: --imatrix auto.",
            )

    def _goal_bits(self) -> float:
        if self.target.size_bytes:
            return 8 * self.target.size_bytes / max(1, self.source.elements)
        return self.target.bits or START_BITS

    def _budget(self, tensors: Mapping[str, sensitivity.Tensor], importance: Imatrix | None) -> int:
        """Bytes for the matrices: what is left of the file when all else is in it."""
        if not self.target.size_bytes and not self.target.bits:
            return sum(max(one.sizes.values()) for one in tensors.values())
        types = {name: next(iter(one.sizes)) for name, one in tensors.items()}
        sizes = sum(tensors[name].sizes[kind] for name, kind in types.items())
        made = plan(self.source, self._recipe(types, importance))
        if self.target.size_bytes:
            return self.target.size_bytes - (made.size_bytes - sizes)
        return int(self.target.bits * self.source.elements / 8) - (sum(p.size_bytes for p in made.placed) - sizes)

    def _recipe(self, types: Mapping[str, str], importance: Imatrix | None) -> Recipe:
        name, label = self.wish.shown_imatrix, self.target.label
        return Recipe("F16", False, importance, name, True, self.wish.threads, dict(types), label)

    def _within(
        self, search: Search, budget: int, importance: Imatrix | None, held: Sequence[Sequence[int]]
    ) -> tuple[Choice, Divergence]:
        """The choice, proven as a file. One with a limit of loss is tightened until the file keeps to it."""
        if not self.target.max_loss:
            choice = search.choose(budget)
            return choice, self._proven(choice, importance, held)
        limit = aim = log1p(self.target.max_loss)
        for _ in range(TRIES):
            choice = search.choose(budget, aim)
            found = self._proven(choice, importance, held)
            if found.mean <= limit:
                return choice, found
            aim *= 0.9 * limit / found.mean
        raise GateFailed(
            f"no choice of types keeps the loss at {self.target.max_loss:.2%}: the last lost {found.mean:.3g} nats.",
            "Allow more, or take F16.",
        )

    def _proven(self, choice: Choice, importance: Imatrix | None, held: Sequence[Sequence[int]]) -> Divergence:
        """The divergence of the file that the choice makes, in the engine, on text that nothing was chosen by."""
        from linnet.engines.scoring.scorer import Scorer

        self.on_event(Event("progress", "quantize", "measuring the choice on held-out text"))
        path = self.scratch / "proof.gguf"
        try:
            made = plan(self.source, self._recipe(choice.types, importance))
            check_space(self.scratch, made.size_bytes, "Measuring a choice of types")
            with os_errors(path, "Writing"), path.open("wb") as handle:
                write(made, handle, lambda *_: None)
            each, same = [], []
            with Scorer(path, context=max(2, *map(len, held)), threads=self.wish.threads) as scorer:
                for ids in held:
                    ours = scorer.logits(ids)
                    theirs = np.concatenate([rows.copy() for rows in self.watched.logits(ids)])
                    each.append(divergences.kl_divergences(theirs, ours))
                    same.append(theirs.argmax(1) == ours.argmax(1))
        finally:
            path.unlink(missing_ok=True)
        return divergences.divergence(np.concatenate(each), np.concatenate(same))
