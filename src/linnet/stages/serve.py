"""Specialists in memory: loaded when first asked for, shared by threads, dropped when others need the room.

Answers texts. Knows nothing of HTTP, and of the store only what `Store.find` returns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from linnet.core import settings
from linnet.core.errors import CorruptFile, EngineError, InputError
from linnet.core.records import Specialist
from linnet.core.store import Store, verify_files
from linnet.engines.base import Answer, Array, Classifier, answers
from linnet.engines.classifiers import open_classifier, open_tagger
from linnet.engines.onnx_runtime.onnx import ENGINE_FOLDER
from linnet.engines.tags import Entity, Tagger

MAX_TEXTS = 2048
MAX_CHARACTERS = 100_000


class TextTooLong(InputError):
    """A text has more tokens than the specialist reads. `index` is its place in the batch."""

    def __init__(self, index: int, tokens: int, limit: int) -> None:
        super().__init__(
            f"The text at index {index} has {tokens} tokens; this specialist reads at most {limit}.",
            "Shorten it. With `truncate` of classify only its start is read, and the answer says so.",
        )
        self.index = index
        self.tokens = tokens
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Classified:
    """Answers of one specialist, in the order of the texts.

    `tokens` counts what was read of each text; `truncated` holds the indices of texts that were cut.
    """

    specialist: Specialist
    answers: list[Answer]
    tokens: list[int]
    truncated: list[int]


@dataclass(frozen=True, slots=True)
class TaggedTexts:
    """The spans of each text, in the order of the texts, and how many tokens each had."""

    specialist: Specialist
    spans: list[list[Entity]]
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class _Entry:
    specialist: Specialist
    engine: Future[Any]


class Specialists:
    """Every specialist of a store, ready to answer. Safe to share between threads.

    `limit` is how many are kept in memory, LINNET_LOADED by default; the one used longest ago goes first.
    Raises InputError for a limit below one.
    """

    def __init__(self, store: Store, limit: int | None = None) -> None:
        self.store = store
        self.limit = int(settings.get_number("LINNET_LOADED")) if limit is None else limit
        if self.limit < 1:
            raise InputError(f"At least one specialist must fit in memory, not {self.limit}.", "Set LINNET_LOADED=1.")
        self._lock = Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def names(self) -> list[str]:
        """The full name of every version of every specialist, oldest version first."""
        return [f"{name}:{number}" for name in self.store.names() for number in self.store.versions(name)]

    def find(self, model: str) -> Specialist:
        """The record of `name` (its newest version) or `name:version`. Raises NotFound, NameInvalid, CorruptFile."""
        return self.store.find(model)[0]

    def loaded(self) -> list[str]:
        """The full names of those in memory, the one used longest ago first."""
        with self._lock:
            return list(self._entries)

    def classify(self, model: str, texts: Sequence[str], *, truncate: bool = False) -> Classified:
        """Answer every text with the specialist `name` (its newest version) or `name:version`.

        Raises InputError for an empty batch or text and for one over the limits, TextTooLong for one with more
        tokens than the specialist reads unless `truncate` is set, NotFound or NameInvalid for `model`, CorruptFile
        for a bundle whose bytes changed, EngineError when the model fails.
        """
        specialist, folder = self.store.find(model)
        _check_kind(specialist, "classify")
        check_texts(texts)
        engine: Classifier = self._engine(specialist, folder)
        counts = engine.token_counts(texts)
        truncated = [index for index, count in enumerate(counts) if count > engine.max_tokens]
        if truncated and not truncate:
            raise TextTooLong(truncated[0], counts[truncated[0]], engine.max_tokens)
        logits = engine.logits(texts)
        _check_logits(logits, specialist)
        tokens = [min(count, engine.max_tokens) for count in counts]
        return Classified(specialist, answers(logits, specialist.decision), tokens, truncated)

    def tag(self, model: str, texts: Sequence[str]) -> TaggedTexts:
        """The spans of every text, whatever its length. Raises as `classify`."""
        specialist, folder = self.store.find(model)
        _check_kind(specialist, "tag")
        check_texts(texts)
        tagger: Tagger = self._engine(specialist, folder)
        found = tagger.tag(texts)
        return TaggedTexts(specialist, [one.spans for one in found], [one.tokens for one in found])

    def _engine(self, specialist: Specialist, folder: Path) -> Any:
        """The loaded engine. The first caller loads it while others with the same wish wait for that one load.

        An entry that is pushed out is only forgotten: requests that still run on it keep it alive until they end.
        """
        name = specialist.full_name
        with self._lock:
            entry = self._entries.get(name)
            # A version that was removed and built again has the same name and another record.
            mine = entry is None or entry.specialist != specialist
            if entry is None or mine:
                entry = self._entries[name] = _Entry(specialist, Future())
            self._entries.move_to_end(name)
            while len(self._entries) > self.limit:
                self._entries.popitem(last=False)
        if mine:
            self._load(entry, folder)
        return entry.engine.result()

    def _load(self, entry: _Entry, folder: Path) -> None:
        try:
            entry.engine.set_result(load(entry.specialist, folder))
        except BaseException as error:  # whoever waits must hear of it, whatever it is
            with self._lock:
                if self._entries.get(entry.specialist.full_name) is entry:
                    del self._entries[entry.specialist.full_name]
            entry.engine.set_exception(error)


def redacted(text: str, spans: Sequence[Entity]) -> str:
    """The text with [LABEL] in place of each span."""
    parts, at = [], 0
    for one in spans:
        parts += [text[at : one.start], f"[{one.label}]"]
        at = one.end
    return "".join([*parts, text[at:]])


def purpose(specialist: Specialist) -> tuple[str, str]:
    """What it does with texts, and the route for it."""
    does = {"classify": "labels texts", "tag": "tags spans"}.get(specialist.kind, "writes texts")
    return does, f"/v1/{specialist.kind}" if specialist.kind in ("classify", "tag", "extract") else "/v1/generate"


def _check_kind(specialist: Specialist, kind: str) -> None:
    if specialist.kind != kind:
        does, route = purpose(specialist)
        raise InputError(f"{specialist.full_name} is of kind {specialist.kind}: it {does}.", f"Use {route}.")


def load(specialist: Specialist, folder: Path) -> Classifier | Tagger:
    """The engine of a bundle, after every one of its files has proved to be the one that was recorded.

    Raises CorruptFile for a missing, changed or unrecorded file, EngineError when it cannot be loaded.
    """
    verify_files(folder, specialist.files)
    engine = folder / ENGINE_FOLDER
    there = {path.relative_to(folder).as_posix() for path in engine.rglob("*") if not path.is_dir()}
    if not there:
        raise CorruptFile(f"{engine} is missing.", "Build the specialist again.")
    if strange := sorted(there - set(specialist.files)):
        raise CorruptFile(f"{folder / strange[0]} is not in the record of {specialist.full_name}.", "Remove it.")
    if specialist.kind == "tag":
        tagger = open_tagger(engine)
        if tagger.labels != specialist.decision.labels:
            raise CorruptFile(f"{specialist.full_name} names other labels than its model.", "Build it again.")
        return tagger
    return open_classifier(engine)


def check_texts(texts: Sequence[str]) -> None:
    """Raise InputError for a batch that no specialist takes: empty, too large, or with a text that is no text."""
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise InputError(f"{len(texts)} texts were given; a request takes 1 to {MAX_TEXTS}.")
    for index, text in enumerate(texts):
        if not text.strip():
            raise InputError(f"The text at index {index} is empty.", "Every text needs at least one character.")
        if len(text) > MAX_CHARACTERS:
            raise InputError(f"The text at index {index} has {len(text)} characters; the limit is {MAX_CHARACTERS}.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"The text at index {index} is not valid Unicode: it holds half a character.") from error


def _check_logits(logits: Array, specialist: Specialist) -> None:
    labels = len(specialist.decision.labels)
    if logits.ndim != 2 or logits.shape[1] != labels:
        raise EngineError(
            f"The model of {specialist.full_name} gives scores of shape {logits.shape} for {labels} labels.",
            "Build the specialist again.",
        )
    if not np.isfinite(logits).all():
        raise EngineError(f"The model of {specialist.full_name} gave a score that is not a finite number.")
