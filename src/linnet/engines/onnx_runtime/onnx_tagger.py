"""Run a tagger from an ONNX file with ONNX Runtime. Loads neither torch nor transformers.

A folder holds `model.onnx`, `tokenizer.json` and `engine.json` ({"max_tokens", "pad_id", "labels"}).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from linnet.core.errors import EngineError
from linnet.core.files import read_json
from linnet.core.settings import threads
from linnet.engines.base import Array
from linnet.engines.onnx_runtime.onnx import ENGINE, MODEL, TOKENIZER, TOKENS_PER_BATCH, TokenModel, like_length_batches
from linnet.engines.tags import Reader, Reading, Tagged, Window, entities, of_words


class OnnxTagger:
    """A loaded tagger. A text of any length is read whole, in windows that overlap.

    Raises EngineError when the folder cannot be loaded or a run fails.
    """

    def __init__(self, folder: Path, thread_count: int | None = None) -> None:
        facts = read_json(folder / ENGINE)
        self.labels: list[str] = facts["labels"]
        self._reader = Reader(folder / TOKENIZER, facts["max_tokens"])
        try:
            self._session: Any = TokenModel(str(folder / MODEL), thread_count or threads(), facts["pad_id"])
        except Exception as error:  # the library raises bare Exception subclasses of its own
            raise EngineError(f"{folder} could not be loaded: {error}.", "Build the specialist again.") from error

    @property
    def worker_bytes(self) -> int:
        return 0

    def read(self, texts: Sequence[str]) -> list[Reading]:
        return self._reader.read(texts)

    def tag(self, texts: Sequence[str]) -> list[Tagged]:
        """The spans of each text, in its order. Raises EngineError for a score that is not a finite number."""
        readings, found = self.read(texts), []
        for reading, logits in zip(readings, self.word_logits(readings), strict=True):
            if not np.isfinite(logits).all():
                raise EngineError("The tagger gave a score that is not a finite number.", "Build the specialist again.")
            found.append(Tagged(entities(reading, logits, self.labels), reading.tokens))
        return found

    def word_logits(self, readings: Sequence[Reading]) -> list[Array]:
        """For each text the logits of its words, shape (words, tags)."""
        windows = [window for reading in readings for window in reading.windows]
        return of_words(readings, self._all(windows), 1 + 2 * len(self.labels))

    def _all(self, windows: Sequence[Window]) -> list[Array]:
        """The logits of each window's own tokens, shape (tokens, tags), run in batches of like length."""
        order = sorted(range(len(windows)), key=lambda i: len(windows[i].ids))
        out: list[Array] = [np.empty(0, dtype=np.float32)] * len(windows)
        for batch in like_length_batches([len(windows[i].ids) for i in order], TOKENS_PER_BATCH):
            chosen = [order[i] for i in batch]
            logits = self._session.run([windows[i].ids for i in chosen])
            for row, i in enumerate(chosen):
                out[i] = logits[row, windows[i].lead : windows[i].lead + windows[i].count]
        return out

    def close(self) -> None:
        self._session = None
