"""One ruler for every GGUF: what it takes, how fast the engine runs it here, and how far it is from its source.

Size, bits, perplexity and divergence are of the file and a text; time and memory are of a worker as it serves. Knows
no mixture and no choice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import psutil

from linnet.core import settings
from linnet.core.errors import EngineError
from linnet.core.records import Record
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.gguf import read_gguf
from linnet.formats.gguf_split import read_parts
from linnet.formats.model_check import check_model
from linnet.metrics.divergence import Divergence
from linnet.metrics.likelihood import Perplexity

WINDOW = 512  # tokens that a prediction may look back over, at most: llama.cpp's own for perplexity
TOKENS = 2048  # of each text
OWN_TEXT = "the model's own text"
PROMPT, ANSWER, REPEATS = 256, 48, 3
ENDS = ("eos", "eot", "eom")


class TextLoss(Record):
    """What a model makes of a text. `tokens` were read, of `text_tokens`; divergence is None for the source itself."""

    tokens: int
    text_tokens: int
    perplexity: Perplexity
    divergence: Divergence | None = None


class Cost(Record):
    """One worker with one slot on this machine: medians of `repeats`. Speeds in tokens a second, None unmeasured.

    load_s: from the file, warm in the page cache or not, to the first answer being possible. decode_spread: largest
    minus smallest of the decoding speeds, over the median; a large one means that something else was running.
    """

    engine: str
    threads: int
    repeats: int
    load_s: float
    prefill_tokens_per_s: float | None
    decode_tokens_per_s: float | None
    decode_spread: float = 0.0
    peak_memory_bytes: int


class Measured(Record):
    """One GGUF. `types`: bytes of the weights by tensor type; `texts` by name, the first one decides."""

    name: str
    size_bytes: int
    parameters: int
    bits_per_weight: float
    types: dict[str, int]
    texts: dict[str, TextLoss]
    cost: Cost

    @property
    def loss(self) -> TextLoss:
        return next(iter(self.texts.values()))


def measure_gguf(
    path: Path, texts: Mapping[str, Sequence[int]], *, name: str = "", source: Path | None = None, threads: int = 0
) -> Measured:
    """Everything about the GGUF in `path`; `texts` are token ids by name, as `tokenized` gives them.

    source: the GGUF it was made from; without it nothing is compared. Raises EngineError when one does not load,
    ModelFileError, InputError when they have different vocabularies.
    """
    threads = threads or settings.threads()
    parts = read_parts(path)
    types: dict[str, int] = {}
    for tensor in (tensor for part in parts for tensor in part.tensors):
        types[tensor.type] = types.get(tensor.type, 0) + tensor.size_bytes
    parameters = sum(tensor.elements for part in parts for tensor in part.tensors)
    first = next(iter(texts.values()))
    cost = measure_cost(path, first, threads)  # alone on the machine: before the scorers take memory
    return Measured(
        name=name or path.name,
        size_bytes=sum(part.file_bytes for part in parts),
        parameters=parameters,
        bits_per_weight=round(8 * sum(types.values()) / max(1, parameters), 3),
        types=dict(sorted(types.items(), key=lambda item: -item[1])),
        texts=_losses(path, texts, source, threads),
        cost=cost,
    )


def context_of(path: Path) -> int:
    """Tokens of a window: no more than the model was trained for."""
    return min(WINDOW, check_model(path).hyper_parameters.context_length or WINDOW)


def tokenized(path: Path, texts: Mapping[str, str], threads: int = 0) -> dict[str, list[int]]:
    """Token ids of texts by name; without any, of what the model writes itself at temperature 1.

    Raises InputError for a text with fewer than two tokens.
    """
    from linnet.engines.quantization.importance import own_text
    from linnet.engines.scoring.llama_context import Model

    if not texts:
        check_model(path)
        model = Model(path)
        try:
            return {OWN_TEXT: own_text(model, TOKENS, threads or settings.threads())}
        finally:
            model.close()
    with Scorer(path, context=context_of(path), threads=threads or None) as scorer:
        return {name: scorer.tokenize(text, bos=False) for name, text in texts.items()}


def _losses(path: Path, texts: Mapping[str, Sequence[int]], source: Path | None, threads: int) -> dict[str, TextLoss]:
    found: dict[str, TextLoss] = {}
    with contextlib.ExitStack() as opened:
        mine = opened.enter_context(Scorer(path, context=context_of(path), threads=threads))
        base = opened.enter_context(Scorer(source, context=context_of(source), threads=threads)) if source else None
        for name, ids in texts.items():
            part = list(ids[:TOKENS])
            found[name] = TextLoss(
                tokens=len(part),
                text_tokens=len(ids),
                perplexity=mine.perplexity(part),
                divergence=base.kl_divergence(mine, part) if base else None,
            )
    return found


def measure_cost(path: Path, ids: Sequence[int], threads: int = 0) -> Cost:
    """Load time, speeds and peak memory of a worker that reads `ids`, repeated or cut, and goes on from there.

    Raises what loading raises.
    """
    threads = threads or settings.threads()
    trained = check_model(path).hyper_parameters.context_length or PROMPT + ANSWER
    context = max(4, min(trained, PROMPT + ANSWER))
    options = LoadOptions(context=context, threads=threads, slots=1, template="builtin:chatml")
    engine = open_llama(path, options, label=path.name)
    try:
        started = time.monotonic()
        engine.start()
        load_s = time.monotonic() - started
        answer = max(2, min(ANSWER, context // 4))
        runs = [_answer(engine, path, _prompt(ids, number, context - answer), answer) for number in range(REPEATS)]
        prefill = [1000 * end.prompt_tokens / end.timings.prompt_ms for end in runs if end.timings.prompt_ms > 0]
        decode = [
            1000 * (end.completion_tokens - 1) / end.timings.decode_ms
            for end in runs
            if end.completion_tokens > 1 and end.timings.decode_ms > 0
        ]
        return Cost(
            engine=engine.build,
            threads=threads,
            repeats=len(runs),
            load_s=round(load_s, 3),
            prefill_tokens_per_s=round(median(prefill), 1) if prefill else None,
            decode_tokens_per_s=round(median(decode), 1) if decode else None,
            decode_spread=round((max(decode) - min(decode)) / median(decode), 3) if decode else 0.0,
            peak_memory_bytes=_peak_memory(engine),
        )
    finally:
        engine.close()


def _prompt(ids: Sequence[int], number: int, length: int) -> tuple[int, ...]:
    """`length` ids that begin elsewhere each time, so that none is in the cache."""
    start = 1 + number * 7
    return tuple(islice(cycle(ids), start, start + length))


def _answer(engine: LlamaEngine, path: Path, prompt: tuple[int, ...], length: int) -> Generation:
    metadata = read_gguf(path).metadata
    named = (metadata.get(f"tokenizer.ggml.{end}_token_id") for end in ENDS)
    biases = tuple((int(token), -100.0) for token in dict.fromkeys(named) if isinstance(token, int))
    request = GenerateRequest(token_ids=prompt, max_tokens=length, sampling=GREEDY, logit_bias=biases)
    for item in engine.generate(request):
        if isinstance(item, Generation):
            return item
    raise EngineError("The engine's answer has no end.")


def _peak_memory(engine: LlamaEngine) -> int:
    """The most that the worker and the server it started have held; what the heartbeat says where it is not known."""
    worker = engine.keeper.running
    if worker is None:
        return 0
    try:
        children = psutil.Process(worker.pid).children(recursive=True)
    except psutil.Error:
        children = []
    peaks = [_high_water(pid) for pid in (worker.pid, *(child.pid for child in children))]
    return sum(peaks) or engine.measured_bytes


def _high_water(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
