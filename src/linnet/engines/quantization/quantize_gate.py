"""Does a file that was just written load, read text as its source does, and predict as its source does?

The source is a GGUF, compared in the engine, or a Hugging Face folder, compared with torch in a child process.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import EngineError, GateFailed, LinnetError
from linnet.core.records import Record
from linnet.engines.conversion.prompt_gate import check_metadata, check_prompts
from linnet.engines.scoring.scorer import Scorer
from linnet.metrics import divergence as divergences
from linnet.metrics.divergence import Divergence

TEXT = (
    "The harbour was quiet before the storm. Fishermen tied their boats twice, counted the ropes, and walked home "
    "without a word. Question: what is 17 plus 25? Answer: 42. In 1969, three people flew to the moon; two of them "
    'walked on it. {"name": "Ada", "age": 36, "tags": ["mathematics", "engines"]}\n\ndef area(width, height):\n'
    "    return width * height\n\nLa cuisine est au bout du couloir. Das Wetter wird morgen besser. "
)
# What tokenizers disagree on: spaces, breaks, digits, marks, scripts, signs that combine, code.
HARD = (
    "Hello world", "  two  spaces\tand a tab ", "\n\n\nlines\r\n end\n", "it's they'll I'D we've",
    "1234567890 3.14 1,000", "naïve café œuvre ÅNGSTRÖM", "日本語の文章です。中文也可以。한국어도",
    "Привет, мир! Γειά σου Κόσμε", "مرحبا بالعالم", "שלום", "🙂👩‍👩‍👧 🇫🇷 ✈️", "e\u0301 \u00a0\u200b\u3000x",
    "if (a != b) { return c[0]->d; } // ok", "file:///srv/a?b=c&d=%20", "<b>tag</b> [INST] x_y-z #1 @me",
    "a" * 40, "½ ² ٤ ①",
)  # fmt: skip
WINDOW = 256
ROOM = 1.3  # memory of torch's model over its weights
# How a folder keeps its weights -> how torch holds them, and their bytes. Any other mixture is held in float32.
HELD: dict[tuple[str, ...], tuple[str, int]] = {("BF16",): ("bfloat16", 2), ("F16",): ("float16", 2)}
REFERENCE = "linnet.engines.conversion.reference_main"
# The largest mean divergence, in nats, of a file that is to predict as its source: beyond it something else is wrong.
BOUNDS = {"F32": 1e-3, "F16": 2e-3, "BF16": 1e-2, "Q8_0": 5e-2}
# A type of fewer bits may cost something; this much, both at once, is another model.
LARGEST_MEAN, LEAST_SAME = 1.0, 0.5


class Gate(Record):
    """What was proven. `divergence` is None where the source could not be run: `note` says why."""

    loads: bool = True
    tokens_compared: int = 0
    divergence: Divergence | None = None
    note: str = ""


def against_gguf(source: Path, result: Path, kind: str, threads: int) -> Gate:
    """Compare two GGUF files in the engine. Raises EngineError when one does not load, GateFailed beyond the bound."""
    check_metadata(source, result)
    with Scorer(source, context=_context(source), threads=threads) as before, _opened(result, threads) as after:
        ids = _ids(before)
        found = before.kl_divergence(after, ids)
        base = None if _within(found, kind) else before.logits(ids)
    if base is not None:
        raise _failed(found, kind, result, _culprit(base, ids, result, source))
    return Gate(divergence=found)


def against_folder(folder: Path, result: Path, kind: str, threads: int) -> Gate:
    """Compare a GGUF in the engine with the folder it came from: its tokens, and its logits as torch computes them.

    Raises GateFailed, naming the first text that is read otherwise, EngineError when the file does not load.
    """
    import psutil

    from linnet.formats.model_check import check_model

    report = check_model(folder)
    precision, bytes_each = HELD.get(tuple(report.quantisation), ("float32", 4))
    with _opened(result, threads) as scorer:
        check_prompts(folder, result, scorer)
        compared = _compare_tokens(folder, scorer)
        ids = _ids(scorer)
        ours = scorer.logits(ids)
    need = int(ROOM * bytes_each * report.parameters)
    if need > (have := psutil.virtual_memory().available):
        note = f"the source needs {need / 1e9:.1f} GB to run in torch, {have / 1e9:.1f} GB are free: not compared"
        return Gate(tokens_compared=compared, note=note)
    theirs = _torch_logits(folder, precision, ids, result.parent)
    width = min(theirs.shape[1], ours.shape[1])  # the conversion pads a vocabulary, and so do some checkpoints
    theirs, ours = theirs[:, :width], ours[:, :width]
    found = divergences.divergence(divergences.kl_divergences(theirs, ours), theirs.argmax(1) == ours.argmax(1))
    if not _within(found, kind):
        raise _failed(found, kind, result, _culprit_of_folder(theirs, ids, result, folder, threads))
    return Gate(tokens_compared=compared, divergence=found)


def _opened(path: Path, threads: int) -> Scorer:
    return Scorer(path, context=_context(path), threads=threads)


def _context(path: Path) -> int:
    """No more than the model was trained for."""
    from linnet.formats.model_check import check_model

    return min(WINDOW, check_model(path).hyper_parameters.context_length or WINDOW)


def _ids(scorer: Scorer) -> list[int]:
    """The built-in text in the model's tokens, cut to its context; numbers where it has no tokenizer."""
    try:
        ids = scorer.tokenize(TEXT)
    except EngineError:
        ids = []
    if len(ids) < 2:
        ids = [(7 * i + 1) % scorer.vocabulary_size for i in range(64)]
    return ids[: scorer.context]


def _within(found: Divergence, kind: str) -> bool:
    if kind in BOUNDS:
        return found.mean <= BOUNDS[kind]
    return found.mean <= LARGEST_MEAN or found.same_top_share >= LEAST_SAME


def _failed(found: Divergence, kind: str, result: Path, culprit: str) -> GateFailed:
    if kind not in BOUNDS:
        return GateFailed(
            f"{result.name}: the culprit is the quantisation: as {kind} only {found.same_top_share:.1%} of the "
            f"likeliest tokens are those of its source, {LEAST_SAME:.0%} are the least; mean KL divergence "
            f"{found.mean:.3g} nats. {culprit}",
            "No file was written. Take a type of more bits, such as Q4_K_M, or give an importance matrix.",
        )
    return GateFailed(
        f"{result.name}: as {kind} it predicts otherwise than its source: mean KL divergence {found.mean:.3g} "
        f"nats, {BOUNDS[kind]:g} is allowed; {found.same_top_share:.1%} of the likeliest tokens are the same. "
        f"{culprit}",
        "No file was written. If the source is sound, report this with `linnet doctor --json`.",
    )


def _culprit(base: NDArray[np.float32], ids: list[int], result: Path, reference: Path) -> str:
    """The sentence that names the part at fault; why none is named where that could not be found out."""
    from linnet.engines.conversion.culprit import find

    with tempfile.TemporaryDirectory(prefix=".culprit-", dir=result.parent) as scratch:
        try:
            return find(base, ids, result, reference, Path(scratch)).sentence()
        except LinnetError as error:
            return f"The part at fault was not found: {error.message}"


def _culprit_of_folder(base: NDArray[np.float32], ids: list[int], result: Path, folder: Path, threads: int) -> str:
    from linnet.engines.quantization.quantize_file import Wish, from_folder

    with tempfile.TemporaryDirectory(prefix=".culprit-", dir=result.parent) as scratch:
        reference = Path(scratch) / "reference.gguf"
        try:
            from_folder(folder, reference, Wish("F32", threads=threads), Path(scratch))
        except LinnetError as error:
            return f"The part at fault was not found: {error.message}"
        return _culprit(base, ids, result, reference)


def _compare_tokens(folder: Path, scorer: Scorer) -> int:
    """How many hard texts both tokenizers cut alike. Raises GateFailed for the first that they do not."""
    if not (folder / "tokenizer.json").is_file():
        return 0
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in (*HARD, TEXT):
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        found = scorer.tokenize(text, bos=False)
        if found != expected:
            place = next((i for i, pair in enumerate(zip(found, expected, strict=False)) if len(set(pair)) > 1), -1)
            raise GateFailed(
                f"{folder.name}: llama.cpp reads {text[:40]!r} otherwise than the model's own tokenizer: "
                f"{len(found)} tokens, {len(expected)} are right (the first difference is at {place}). "
                "The culprit is the tokenizer.",
                "No file was written: such a model would see other text than it was trained on.",
            )
    return len(HARD) + 1


def _torch_logits(folder: Path, precision: str, ids: list[int], scratch: Path) -> NDArray[np.float32]:
    from linnet.engines.conversion.convert import run_child

    target = scratch / "logits.npy"
    job = {"folder": str(folder), "precision": precision, "ids": ids, "target": str(target), "parent": os.getpid()}
    run_child(REFERENCE, job, scratch, 3600, "run in torch")
    found: NDArray[np.float32] = np.load(target, allow_pickle=False)
    return found
