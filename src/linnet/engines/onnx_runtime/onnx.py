"""Run an encoder classifier from an ONNX file with ONNX Runtime. Loads neither torch nor transformers.

A folder holds `model.onnx`, `tokenizer.json` and `engine.json` ({"max_tokens", "pad_id"}).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from linnet.core.errors import EngineError
from linnet.core.files import read_json
from linnet.core.settings import threads
from linnet.engines.base import Array

MODEL, TOKENIZER, ENGINE = "model.onnx", "tokenizer.json", "engine.json"
ENGINE_FOLDER = "engine"  # where a specialist's bundle keeps them
TOKENS_PER_BATCH = 512  # what one core works on; more only takes memory
SPREAD_TEXTS = 16  # from here on, batches side by side on one core each beat one batch on every core


class OnnxClassifier:
    """A loaded classifier; see engines.base.Classifier.

    Texts are run in batches of like length, so that short texts do not pay for long ones. Raises EngineError
    when the folder cannot be loaded or a run fails.
    """

    def __init__(self, folder: Path, thread_count: int | None = None) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        from tokenizers import Tokenizer

        facts = read_json(folder / ENGINE)
        self.max_tokens: int = facts["max_tokens"]
        self._pad_id: int = facts["pad_id"]
        self._threads = thread_count or threads()
        self._model = str(folder / MODEL)
        self._spread: Any = None
        self._lock = threading.Lock()
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
            self._session: Any = TokenModel(self._model, self._threads, self._pad_id)
        except Exception as error:  # both libraries raise bare Exception subclasses of their own
            raise EngineError(f"{folder} could not be loaded: {error}.", "Build the specialist again.") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._encode(texts)]

    def logits(self, texts: Sequence[str]) -> Array:
        rows = self._encode(texts)
        rows = [ids if len(ids) <= self.max_tokens else [*ids[: self.max_tokens - 1], ids[-1]] for ids in rows]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        batches = like_length_batches([len(rows[i]) for i in order], TOKENS_PER_BATCH)
        picked = [[order[i] for i in batch] for batch in batches]
        if len(rows) < SPREAD_TEXTS or self._threads == 1:
            scores = [self._session.run([rows[i] for i in chosen]) for chosen in picked]
        else:
            session, pool = self._spread_session()
            # The long ones first, so that the cores end together.
            found = pool.map(lambda chosen: session.run([rows[i] for i in chosen]), picked[::-1])
            scores = list(found)[::-1]
        if not scores:
            return np.empty((0, 0), dtype=np.float32)
        out = np.empty((len(rows), scores[0].shape[1]), dtype=np.float32)
        for chosen, part in zip(picked, scores, strict=True):
            out[chosen] = part
        return out

    def _spread_session(self) -> tuple[Any, ThreadPoolExecutor]:
        """A session that keeps to the core it is called from, and one thread for each core. Made when first needed."""
        with self._lock:
            if self._spread is None:
                self._spread = TokenModel(self._model, 1, self._pad_id), ThreadPoolExecutor(self._threads)
            spread: tuple[Any, ThreadPoolExecutor] = self._spread
            return spread

    def close(self) -> None:
        self._session = None
        if self._spread is not None:
            self._spread[1].shutdown()
            self._spread = None


class TokenModel:
    """An ONNX file that takes token ids and their mask, open."""

    def __init__(self, model: str, thread_count: int, pad_id: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads wait for each other busily for a moment: an operator on one short text takes less time than waking a
        # thread does. They sleep soon after, so that an idle server takes no processor time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._names = {node.name for node in self._session.get_inputs()}
        self._pad_id = pad_id

    def run(self, rows: list[list[int]]) -> Array:
        """The first result for rows of token ids, padded to the longest. Raises EngineError when the run fails."""
        width = max(len(ids) for ids in rows)
        ids = np.full((len(rows), width), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        feed = {"input_ids": ids, "attention_mask": mask}
        try:
            result: Array = self._session.run(None, {k: v for k, v in feed.items() if k in self._names})[0]
        except Exception as error:
            raise EngineError(f"The model failed on a batch of {len(rows)} texts: {error}.") from error
        return result


def like_length_batches(lengths: Sequence[int], tokens_per_batch: int) -> list[range]:
    """Cut a list of ascending lengths into runs whose padded size stays within `tokens_per_batch`."""
    batches, start = [], 0
    for index, length in enumerate(lengths):
        if index > start and (index - start + 1) * length > tokens_per_batch:
            batches.append(range(start, index))
            start = index
    if start < len(lengths):
        batches.append(range(start, len(lengths)))
    return batches
