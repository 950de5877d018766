"""Run a decoder's safetensors in torch, in this process, behind the Decoder protocol: as stored, in nf4 or in int8.

For a model that has no GGUF, and to see what bitsandbytes makes of it. What a chat shares with the one before it is
not computed again. Knows no terminal.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import psutil
import torch

from linnet.core import settings
from linnet.core.errors import ContextExceeded, EngineError, InputError, ResourceMissing
from linnet.engines.base import Array
from linnet.engines.measure import peak_memory_bytes
from linnet.engines.pytorch.torch_load import check_kind, load_causal
from linnet.engines.pytorch.torch_sampling import draw, probabilities
from linnet.engines.pytorch.torch_text import FolderText, folder_text
from linnet.engines.requests.generation import (
    Cancel,
    FieldError,
    Finish,
    GenerateRequest,
    Generation,
    Message,
    Piece,
    Timings,
)
from linnet.engines.requests.stop_texts import StopTexts
from linnet.engines.scoring.llama_context import shared_start
from linnet.formats.model_check import check_text_model

BATCH = 256  # tokens of a prompt computed at once: a cancelled one ends after so many
BYTES = {"none": 4.0, "int8": 1.3, "nf4": 0.8}  # of memory for each weight, at most; embeddings stay wide
ROOM = 1.1


@dataclass(frozen=True, slots=True)
class TorchOptions:
    """How a model is opened. `context` and `threads` 0: chosen; `template` as `torch_text.folder_text` takes it."""

    quantization: str = "none"
    context: int = 0
    threads: int = 0
    template: str = ""


def open_torch(folder: Path, options: TorchOptions = TorchOptions(), *, label: str = "") -> TorchDecoder:
    """Check the folder and the memory, and load. Takes as long as loading takes.

    Raises InputError, ModelFileError, EngineError, and ResourceMissing for a library or for memory that is not there.
    """
    check_kind(options.quantization)
    report = check_text_model(folder)
    if report.format != "huggingface":
        raise InputError(
            f"{label or folder} is {report.format}; torch runs the folder of a model.", "Leave --engine out."
        )
    text = folder_text(folder, label or folder.name, options.template)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    need = int(BYTES[options.quantization] * ROOM * (report.parameters or 0))
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    if need > free:
        raise ResourceMissing(
            f"{text.label} as {options.quantization} takes up to {need / 1e9:.1f} GB; {free / 1e9:.1f} GB are free.",
            "Use --quantize nf4, a smaller model, or its GGUF.",
        )
    torch.set_num_threads(options.threads or settings.threads())
    dtype = torch.float32 if device == "cpu" and options.quantization == "none" and _is_half(folder) else None
    started = time.monotonic()
    model = load_causal(folder, options.quantization, dtype, device=device)
    return TorchDecoder(model, text, options, time.monotonic() - started)


def _is_half(folder: Path) -> bool:
    """float16, which a processor computes slowly or not at all."""
    from linnet.formats.hf_folder import read_folder

    config = read_folder(folder).config
    return str(config.get("dtype") or config.get("torch_dtype")) == "float16"


class TorchDecoder:
    """A decoder in this process; see engines.base.Decoder. Requests take turns."""

    def __init__(self, model: Any, text: FolderText, options: TorchOptions, load_seconds: float) -> None:
        self._model, self.text = model, text
        self._lock = threading.Lock()
        self._cache: Any = None
        self._kept: list[int] = []
        self.context = _context(model.config, options.context)
        self._ends = text.ends | _ends(model)
        self._last_only = "logits_to_keep" in signature(model.forward).parameters
        layers = getattr(model.config.get_text_config(), "layer_types", None) or ()
        # Another kind of layer keeps a state that cannot be cut back to a prefix.
        self._reuses = all(kind == "full_attention" for kind in layers) and not _is_recurrent(model)
        self.has_template = text.template is not None
        self.build = f"torch {torch.__version__} {model.device.type}, {options.quantization} ({model.dtype})"
        self.load_seconds = load_seconds
        self.weights_bytes = int(model.get_memory_footprint())
        self._parameters = int(model.num_parameters())

    @property
    def peak_memory_bytes(self) -> int:
        """The most that was held: of the accelerator's memory where there is one, else of this process."""
        if self._model.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated())
        return peak_memory_bytes()

    @property
    def reasons(self) -> tuple[str, ...]:
        """What it takes, for a person."""
        wide = self._parameters * 4
        return (
            f"weights {self.weights_bytes / 1e6:,.1f} MB in memory, {wide / 1e6:,.1f} MB in float32",
            f"this process has held {self.peak_memory_bytes / 1e6:,.0f} MB at most",
        )

    def close(self) -> None:
        """Give the memory back. A generation that runs ends first."""
        with self._lock:
            self._model = self._cache = None
            self._kept = []

    def tokenize(self, text: str, *, add_special: bool = False, control_tokens: bool = False) -> list[int]:
        return self.text.tokenize(text, add_special, control_tokens)

    def detokenize(self, ids: Sequence[int]) -> str:
        found: str = self.text.parsing.decode(list(ids), skip_special_tokens=False)
        return found

    def apply_template(self, messages: Sequence[Message], *, thinking: bool | None = None) -> str:
        return self.text.render(messages, thinking)

    def prompt_ids(self, request: GenerateRequest) -> list[int]:
        return self.text.prompt_ids(request)

    def embed(self, texts: Sequence[str | Sequence[int]]) -> Array:
        del texts
        raise EngineError(f"{self.text.label}: the torch engine gives no embeddings.", "Use its GGUF.")

    def generate(self, request: GenerateRequest, cancel: Cancel | None = None) -> Iterator[Piece | Generation]:
        """Pieces of the answer, then one Generation. The request is checked before this returns.

        Raises InputError, FieldError for what this engine has no means for, ContextExceeded.
        """
        started = time.monotonic()
        ids = self.prompt_ids(request)
        if not ids:
            raise InputError("the prompt has no tokens.", "Give it a word to begin with.")
        size = int(self._model.config.get_text_config().vocab_size)
        if wrong := next((one for one in (*ids, *(t for t, _ in request.logit_bias)) if one >= size), None):
            raise FieldError("token_ids", f"the token {wrong} is none of this model: they are 0 to {size - 1}.")
        if len(ids) >= self.context:
            raise ContextExceeded(len(ids), self.context)
        seed = secrets.randbelow((1 << 32) - 1) if request.sampling.seed is None else request.sampling.seed
        room = min(self.context - len(ids), request.max_tokens or self.context)
        run = _Run(request, ids, room, seed, started, StopTexts(request.stop))
        return self._answer(run, cancel or Cancel())

    def _answer(self, run: _Run, cancel: Cancel) -> Iterator[Piece | Generation]:
        while not self._lock.acquire(timeout=0.05):
            if cancel.cancelled:
                yield run.end("cancelled")
                return
        try:
            run.got_turn = time.monotonic()
            if self._model is None:
                raise EngineError(f"{self.text.label}: this model is closed.")
            try:
                yield from self._pieces(run, cancel)
            except torch.OutOfMemoryError as error:
                self._forget()
                raise ResourceMissing(
                    f"{self.text.label}: no memory for this answer.", "Shorten the prompt."
                ) from error
            except RuntimeError as error:
                self._forget()
                raise EngineError(f"{self.text.label}: torch failed: {error}.") from error
        finally:
            self._lock.release()

    def _pieces(self, run: _Run, cancel: Cancel) -> Iterator[Piece | Generation]:
        from tokenizers.decoders import DecodeStream

        generator = torch.Generator().manual_seed(run.seed)
        stream = DecodeStream(skip_special_tokens=True)
        logits = self._prompt(run, cancel)
        biases = dict(run.request.logit_bias)
        while logits is not None and len(run.made) < run.room and not cancel.cancelled:
            if biases:
                logits = logits.clone()
                for token, bias in biases.items():
                    logits[token] += bias
            chosen = draw(probabilities(logits, run.request.sampling, [*run.ids, *run.made]), generator)
            if run.first is None:
                run.first = time.monotonic()
            run.made.append(chosen)
            if chosen in self._ends:
                yield from run.closing()
                yield run.end("stop")
                return
            safe = run.stops.feed(stream.step(self.text.parsing, chosen) or "")
            run.text += safe
            yield Piece(safe, (chosen,))
            if run.stops.found:
                yield run.end("stop")
                return
            if len(run.made) < run.room:
                logits = self._step([chosen])
        yield from run.closing()
        yield run.end("cancelled" if cancel.cancelled else "length")

    def _prompt(self, run: _Run, cancel: Cancel) -> torch.Tensor | None:
        """The logits behind the prompt; None when it was cancelled."""
        same = min(shared_start(self._kept, run.ids), len(run.ids) - 1) if self._reuses else 0
        if not same:
            self._forget()
        elif same < len(self._kept):
            self._cache.crop(same - len(self._kept))
            self._kept = self._kept[:same]
        run.cached, logits = same, None
        for start in range(same, len(run.ids), BATCH):
            if cancel.cancelled:
                return None
            logits = self._step(run.ids[start : start + BATCH])
        run.prompt_ms = 1000 * (time.monotonic() - run.got_turn)
        return logits

    def _step(self, ids: Sequence[int]) -> torch.Tensor:
        """Feed tokens; the logits behind the last, float32 (vocabulary,)."""
        keep = {"logits_to_keep": 1} if self._last_only else {}
        with torch.inference_mode():
            given = torch.tensor([list(ids)], device=self._model.device)
            found = self._model(input_ids=given, past_key_values=self._cache, use_cache=True, **keep)
            logits: torch.Tensor = found.logits[0, -1].float()
        self._cache = found.past_key_values
        self._kept += ids
        if not torch.isfinite(logits.max()):
            self._forget()
            raise EngineError(f"{self.text.label}: the logits are not finite.", "The weights are damaged or overflow.")
        return logits

    def _forget(self) -> None:
        self._cache, self._kept = None, []


@dataclass(slots=True)
class _Run:
    """What was seen of one generation. Times are of the monotonic clock."""

    request: GenerateRequest
    ids: list[int]
    room: int
    seed: int
    started: float
    stops: StopTexts
    got_turn: float = 0.0
    first: float | None = None
    text: str = ""
    cached: int = 0
    prompt_ms: float = 0.0
    made: list[int] = field(default_factory=list)

    def closing(self) -> Iterator[Piece]:
        """The text that might have become a stop text and did not."""
        if rest := self.stops.rest():
            self.text += rest
            yield Piece(rest, ())

    def end(self, finish: Finish) -> Generation:
        now = time.monotonic()
        return Generation(
            text=self.text,
            finish_reason=finish,
            prompt_tokens=len(self.ids),
            cached_tokens=self.cached,
            completion_tokens=len(self.made),
            seed=self.seed,
            timings=Timings(
                queued_ms=1000 * ((self.got_turn or now) - self.started),
                first_token_ms=None if self.first is None else 1000 * (self.first - self.started),
                total_ms=1000 * (now - self.started),
                prompt_ms=self.prompt_ms,
                decode_ms=1000 * (now - (self.first or now)),
            ),
            stop_text=self.stops.text,
        )


def _context(config: Any, asked: int) -> int:
    trained = int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 1 << 20)
    if asked > trained:
        raise InputError(f"a context of {asked} tokens was asked for; this model was trained with {trained}.")
    return asked or min(trained, int(settings.get_number("LINNET_CONTEXT")))


def _ends(model: Any) -> frozenset[int]:
    """The end tokens that config.json and generation_config.json name."""
    found = [getattr(one, "eos_token_id", None) for one in (model.config.get_text_config(), model.generation_config)]
    return frozenset(token for one in found for token in (one if isinstance(one, list) else [one]) if token is not None)


def _is_recurrent(model: Any) -> bool:
    return bool(getattr(model, "_is_stateful", False))
