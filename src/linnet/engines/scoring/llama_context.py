"""A loaded GGUF and a context over it: tokens in, rows of logits out. Knows nothing of labels or texts' meaning."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from ctypes import POINTER, c_float, c_int8, c_int32, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import EngineError, InputError, ResourceMissing
from linnet.engines.scoring.llama_c import F16, F32, NO_FLASH, Batch, ContextParams, library

Floats = NDArray[np.float32]
Cache = Literal["f16", "f32"]
BATCH = 512  # tokens of one call: where prompt processing reaches its speed
ROW_BYTES = 64 * 2**20  # logits of one call: with 150,000 tokens in the vocabulary, 110 rows


def shared_start(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens for one decode, in order. `sequences[i]` are those that see token i; `wanted[i]` asks for its logits."""

    tokens: Sequence[int]
    positions: Sequence[int]
    sequences: Sequence[tuple[int, ...]]
    wanted: Sequence[bool]


def line(tokens: Sequence[int], start: int = 0, wanted: int | None = None) -> Run:
    """`tokens` from position `start` in sequence 0, with logits for those from number `wanted` on, None for none."""
    count = len(tokens)
    silent = count if wanted is None else min(wanted, count)
    asked = [False] * silent + [True] * (count - silent)
    return Run(tokens, range(start, start + count), [(0,)] * count, asked)


class Model:
    """A GGUF in memory with its vocabulary. Raises EngineError when it does not load.

    writable: its weights lie in this process's own memory as the file has them, not mapped, rearranged or on a GPU.
    vocabulary_only: it has no weights, and can only read and write tokens. no_weights: nor that; the file is checked.
    """

    def __init__(
        self, path: Path, *, writable: bool = False, vocabulary_only: bool = False, no_weights: bool = False
    ) -> None:
        self.library = library()
        self.c, self.path = self.library.c, path
        self.library.log.clear()
        params = self.c.llama_model_default_params()
        params.vocab_only, params.no_alloc = vocabulary_only, no_weights
        if no_weights:
            params.load_mode = 0
        if writable:
            params.load_mode, params.use_extra_bufts, params.n_gpu_layers = 0, False, 0
        self.handle = self.c.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise EngineError(
                f"{path}: the engine could not load this model: {self.library.log.tail() or 'it gave no reason'}.",
                "Check the file with: linnet check FILE. This engine may not know the architecture yet.",
            )
        self.vocabulary = self.c.llama_model_get_vocab(self.handle)
        self.vocabulary_size = int(self.c.llama_vocab_n_tokens(self.vocabulary))
        self.trained_context = int(self.c.llama_model_n_ctx_train(self.handle))
        self.width = int(self.c.llama_model_n_embd_out(self.handle))
        self.has_tokenizer = bool(self.c.llama_vocab_type(self.vocabulary))
        self.adds_bos = bool(self.c.llama_vocab_get_add_bos(self.vocabulary))
        self.bos = int(self.c.llama_vocab_bos(self.vocabulary))
        # A recurrent state cannot be cut back to a prefix nor shared token by token.
        self.recurrent = bool(self.c.llama_model_is_recurrent(self.handle) or self.c.llama_model_is_hybrid(self.handle))

    def tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        self._need_tokenizer()
        data = text.encode("utf-8", "surrogatepass")
        room = len(data) + 16
        while True:
            ids = (c_int32 * room)()
            count = self.c.llama_tokenize(self.vocabulary, data, len(data), ids, room, add_special, parse_special)
            if count >= 0:
                return list(ids[:count])
            if -count <= room:  # asks for no more room than it had: an overflow inside
                raise EngineError(f"{self.path.name}: the tokenizer failed on a text of {len(data)} bytes.")
            room = -count

    def detokenize(self, ids: Sequence[int], special: bool) -> bytes:
        self._need_tokenizer()
        self.check_ids(ids)
        if not special and ids and ids[0] == self.bos:
            ids = ids[1:]  # else the library keeps the space that some tokenizers put before the first word
        tokens, room = (c_int32 * len(ids))(*ids), 16 * len(ids) + 16
        while True:
            text = ctypes.create_string_buffer(room)
            count = self.c.llama_detokenize(self.vocabulary, tokens, len(ids), text, room, False, special)
            if count >= 0:
                return text.raw[:count]
            room = -count

    def token_text(self, token: int) -> bytes:
        """Empty where there is no tokenizer."""
        if not self.has_tokenizer:
            return b""
        return bytes(self.c.llama_vocab_get_text(self.vocabulary, token) or b"")

    def ends_answer(self, token: int) -> bool:
        """Whether the engine stops at this token: EOS, and what else the file or its text marks as an end."""
        return bool(self.c.llama_vocab_is_eog(self.vocabulary, token))

    def _need_tokenizer(self) -> None:
        """Asked for a text, the library would stop the process where there is none."""
        if not self.has_tokenizer:
            raise EngineError(
                f"{self.path.name} has no tokenizer.", "Give token ids, or convert it with its tokenizer."
            )

    def check_ids(self, ids: Sequence[int]) -> None:
        """Raise InputError for a token that the vocabulary does not have: native code must never see it."""
        for place, token in enumerate(ids):
            if not 0 <= token < self.vocabulary_size:
                raise InputError(f"token {place} is {token}; the vocabulary has 0 to {self.vocabulary_size - 1}.")

    def close(self) -> None:
        if self.handle:
            self.c.llama_model_free(self.handle)
        self.handle = None


class Context:
    """A cache of keys and values over a model. Sequence 0 keeps what was computed last; the others are borrowed.

    cells: tokens the cache holds over all sequences. sequences: how many there may be, at most 256.
    watch: a C function that is called at every operation (ggml_backend_sched_eval_callback); must outlive this.
    Raises ResourceMissing when there is no memory for it.
    """

    def __init__(
        self,
        model: Model,
        cells: int,
        sequences: int,
        threads: int,
        cache: Cache,
        embeddings: bool = False,
        *,
        watch: Any = None,
    ) -> None:
        self.model, self.c, self.embeddings = model, model.c, embeddings
        # The library keeps a row of logits for every sequence in any case, also where embeddings are asked for.
        self.rows = max(sequences, min(BATCH, ROW_BYTES // (4 * model.vocabulary_size)))
        self.batch = min(BATCH, cells)
        params = self.c.llama_context_default_params()
        params.n_ctx, params.n_seq_max = cells, sequences
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = F32 if cache == "f32" else F16
        # Flash attention on a processor rounds to 16 bits inside, and differently for one token than for many: the
        # same continuation would score up to 0.01 apart, alone and among others.
        params.flash_attn_type = NO_FLASH
        params.kv_unified, params.embeddings = True, embeddings  # unified: sequences share the cells of a prefix
        params.pooling_type = 0 if embeddings else -1
        if watch is not None:
            params.cb_eval, params.op_offload = ctypes.cast(watch, c_void_p), False
        self._kept: list[int] | None = []  # None: unknown
        self._open(params)
        if embeddings and not self.memory and self.batch < cells:
            # An encoder attends to both sides, so it must see a text in one piece.
            self.close()
            self.rows = self.batch = cells
            self._open(params)

    def _open(self, params: ContextParams) -> None:
        params.n_batch = params.n_ubatch = self.batch
        params.n_outputs_max = max(params.n_seq_max, min(self.rows, self.batch))
        log = self.model.library.log
        log.clear()
        self.handle = self.c.llama_init_from_model(self.model.handle, params)
        if not self.handle:
            raise ResourceMissing(
                f"{self.model.path.name}: no context of {params.n_ctx} tokens could be made: "
                f"{log.tail() or 'no reason given'}.",
                "Ask for a smaller context.",
            )
        self.memory = self.c.llama_get_memory(self.handle)  # None for encoders, which keep nothing

    def adapt(self, path: Path) -> None:
        """Apply a LoRA adapter (GGUF). Raises EngineError when it does not fit the model."""
        log = self.model.library.log
        log.clear()
        adapter = self.c.llama_adapter_lora_init(self.model.handle, str(path).encode())
        one = (c_void_p * 1)(adapter)
        if not adapter or self.c.llama_set_adapters_lora(self.handle, one, 1, (c_float * 1)(1.0)):
            raise EngineError(
                f"{path}: this adapter does not fit {self.model.path.name}: {log.tail() or 'no reason given'}.",
                "An adapter belongs to the model it was trained on.",
            )

    def trunk(self, ids: Sequence[int], last: bool = False) -> Floats:
        """Make sequence 0 hold exactly `ids`; what it shares with the last ones is not computed again.

        Gives the logits of the last token, [1, vocabulary], where `last` asks for them; they are a view.
        """
        same = shared_start(self._kept or (), ids)
        if last:
            same = min(same, len(ids) - 1)
        if self._kept is None or same < len(self._kept):
            # A recurrent state cannot be cut back to a prefix: then all is computed again.
            same = same if same and self.c.llama_memory_seq_rm(self.memory, 0, same, -1) else 0
            if not same:
                self.clear()
        self._kept = None  # until all of it is there
        rows = np.empty((0, 0), dtype=np.float32)
        for _, found in self.run(line(ids[same:], same, len(ids) - same - 1 if last else None)):
            rows = found
        self._kept = list(ids)
        return rows

    def read(self, ids: Sequence[int], first: int, piece: int = BATCH) -> Iterator[Floats]:
        """Decode `ids` from an empty cache, at most `piece` at once; the logits of the tokens from `first` on."""
        self.clear()
        self._kept = None
        for start in range(0, len(ids), piece):
            part = line(ids[start : start + piece], start, max(0, first - start))
            for _, rows in self.run(part):
                yield rows
        self._kept = list(ids)

    def share(self, sequences: range) -> None:
        """Let `sequences` see what sequence 0 holds; no data is copied."""
        for sequence in sequences:
            self.c.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)

    def drop(self, sequences: range) -> None:
        for sequence in sequences:
            self.c.llama_memory_seq_rm(self.memory, sequence, -1, -1)

    def clear(self, wipe: bool = False) -> None:
        """Forget every sequence. `wipe` zeroes the numbers too: a NaN left there would reach through the mask."""
        self._kept = []
        if self.memory:
            self.c.llama_memory_clear(self.memory, wipe)

    def run(self, run: Run) -> Iterator[tuple[int, Floats]]:
        """Decode, and give (number of the first wanted token, their logits) piece by piece.

        The rows [wanted, vocabulary] (or [wanted, width] of an embedding context) are a view that the next
        piece overwrites. Raises EngineError when decoding fails or a number is not finite; the cache is then empty.
        """
        wanted = np.asarray(run.wanted, dtype=bool)
        start = given = 0
        while start < len(run.tokens):
            counted = np.cumsum(wanted[start : start + self.batch])
            stop = start + int(np.searchsorted(counted, self.rows, side="right"))
            rows = self._decode(run, start, stop, wanted[start:stop])
            if len(rows):
                self._check_finite(run, rows, start, np.flatnonzero(wanted[start:stop]))
                yield given, rows
            given += len(rows)
            start = stop

    def _decode(self, run: Run, start: int, stop: int, wanted: NDArray[np.bool_]) -> Floats:
        batch, _alive = _batch(run, start, stop, wanted)
        code = self.c.llama_decode(self.handle, batch)
        if code:
            self.clear(wipe=True)
            why = "the cache is full" if code == 1 else self.model.library.log.tail() or "no reason given"
            raise EngineError(f"{self.model.path.name}: decoding {stop - start} tokens failed with {code}: {why}.")
        width = self.model.width if self.embeddings else self.model.vocabulary_size
        count = int(wanted.sum())
        if not count:
            return np.empty((0, width), dtype=np.float32)
        get = self.c.llama_get_embeddings if self.embeddings else self.c.llama_get_logits
        return np.ctypeslib.as_array(get(self.handle), shape=(count, width))

    def _check_finite(self, run: Run, rows: Floats, start: int, places: NDArray[np.intp]) -> None:
        # The largest of a row: a NaN anywhere is passed on, and a lone -inf (a token never to be said) is allowed.
        tops = rows.max(axis=1)
        if np.isfinite(tops).all():
            return
        bad = np.flatnonzero(~np.isfinite(tops))
        self.clear(wipe=True)
        # Not "the token": a NaN that one token makes reaches its neighbours in the batch, zero weight times NaN.
        what = "embeddings" if self.embeddings else "logits"
        raise EngineError(
            f"{self.model.path.name}: the {what} of {len(bad)} of {len(tops)} tokens, the first at position "
            f"{run.positions[start + int(places[bad[0]])]}, are not finite ({tops[bad[0]]}).",
            "The weights are damaged or overflow in this format: run linnet check FILE, or take another quantisation.",
        )

    def close(self) -> None:
        if self.handle:
            self.c.llama_free(self.handle)
        self.handle = None


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(array.ctypes.data, POINTER(kind))


def _batch(run: Run, start: int, stop: int, wanted: NDArray[np.bool_]) -> tuple[Batch, list[NDArray[Any]]]:
    """The C batch of tokens start..stop, and the arrays it points into, which must outlive its use."""
    tokens = np.asarray(run.tokens[start:stop], dtype=np.int32)
    positions = np.asarray(run.positions[start:stop], dtype=np.int32)
    sets = run.sequences[start:stop]
    sizes = np.fromiter(map(len, sets), dtype=np.int32, count=len(sets))
    flat = np.fromiter((sequence for members in sets for sequence in members), dtype=np.int32)
    begins = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    table = (flat.ctypes.data + begins * flat.itemsize).astype(np.uintp)
    marks = wanted.astype(np.int8)
    batch = Batch(
        len(sets),
        _pointer(tokens, c_int32),
        None,
        _pointer(positions, c_int32),
        _pointer(sizes, c_int32),
        _pointer(table, POINTER(c_int32)),
        _pointer(marks, c_int8),
    )
    return batch, [tokens, positions, sizes, flat, table, marks]
