"""Token windows for training, made once and kept as two uint16 files: `short` (512) and `long` (1,024).

A window holds whole practice samples and whole prompts, and is filled up with running text; some windows are text
alone. Of those, some are rearranged for filling in the middle, and some are a stretch of text that comes again and
again, for copying. Nothing is padded. Each shard is made from its own seed, by a process of its own.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linnet.core.files import atomic_file
from recipes.nano import corpus
from recipes.nano.shape import VOCABULARY
from recipes.nano.tokenizer import END, MIDDLE, PREFIX, SUFFIX, render, save, train_tokenizer

SHORT, LONG = 512, 1024
# Of the windows: running text alone, or samples of which this share are prompts. The long ones come last.
TEXT_SHARE = {SHORT: 0.22, LONG: 0.14}
PROMPT_SHARE = {SHORT: 0.06, LONG: 0.06}  # of the samples; a prompt is four times as long as a practice sample
MIDDLE_SHARE, AGAIN_SHARE = 0.4, 0.3  # of the windows of text alone
PIECE, GAP, PERIOD = (64, 300), (2, 64), (24, 200)  # tokens, from and to
BATCH, SHARDS = 512, 2


@dataclass(slots=True)
class Sources:
    """Endless token streams: samples (whole) and running text (cut anywhere)."""

    practice: Iterator[list[int]]
    prompts: Iterator[list[int]]
    text: np.ndarray
    at: int = 0

    def take_text(self, count: int) -> list[int]:
        if self.at + count > len(self.text):
            self.at = 0
        found = self.text[self.at : self.at + count].tolist()
        self.at += count
        return found


def practice_texts(seed: int, split: str, sentences: list[str]) -> Iterator[str]:
    from recipes.nano.practice import stream

    for sample in stream(seed, split, sentences):  # type: ignore[arg-type]
        yield render((m.role, m.content) for m in sample.messages)


def tokens_of(tokenizer: Any, texts: Iterator[str]) -> Iterator[list[int]]:
    while chunk := list(itertools.islice(texts, BATCH)):
        for encoding in tokenizer.encode_batch_fast(chunk):
            yield encoding.ids


def read_or_make_tokenizer(
    folder: Path, books: list[corpus.Book], pairs: list[corpus.Pair], lines: list[str], vocabulary: int
) -> Any:
    """Trained on practice, prompts, stories and a page of every novel, about a third of it each."""
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").exists():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    practice = list(itertools.islice(practice_texts(1, "train", lines), 12_000))
    prompts = [pair.prompt + "\n" + pair.completion for pair in pairs[::6]]
    pages = [book.text[20_000:60_000] for book in books]
    tokenizer = train_tokenizer([*practice, *prompts, *pages], vocabulary)
    save(tokenizer, folder)
    return tokenizer


def running_text(tokenizer: Any, books: list[corpus.Book], budget: int, rng: random.Random) -> np.ndarray:
    """About `budget` tokens: stories whole, novels in stretches of 8,000 characters from all over, in random order."""
    end = tokenizer.token_to_id(END)
    pieces = []
    for book in books:
        starts = [0] if len(book.text) < 12_000 else range(4_000, len(book.text) - 8_000, 8_000)
        pieces += [book.text[s : s + 8_000] if len(book.text) >= 12_000 else book.text for s in starts]
    rng.shuffle(pieces)
    found: list[int] = []
    for ids in tokens_of(tokenizer, iter(pieces)):
        found += [end, *ids]
        if len(found) >= budget:
            break
    return np.array(found, dtype=np.uint16)


def _middles_last(ids: list[int], special: tuple[int, int, int, int], rng: random.Random) -> list[int]:
    """Pieces of a text, each as prefix, suffix, middle and an end: what filling in the middle learns from."""
    prefix, suffix, middle, end = special
    found: list[int] = []
    while len(found) < len(ids):
        body = ids[len(found) :][: rng.randint(*PIECE)]
        if len(body) < PIECE[0]:
            break
        gap = min(int(GAP[0] * (GAP[1] / GAP[0]) ** rng.random()), len(body) // 2)  # short gaps as often as long ones
        a = rng.randint(1, len(body) - gap - 1)
        found += [prefix, *body[:a], suffix, *body[a + gap :], middle, *body[a : a + gap], end]
    return (found + ids)[: len(ids)]


def _again(ids: list[int], rng: random.Random) -> list[int]:
    """The beginning of a text over and over: without it, copying comes late."""
    period = rng.randint(*PERIOD)
    return (ids[:period] * (len(ids) // period + 1))[: len(ids)]


def fill(sources: Sources, width: int, special: tuple[int, int, int, int], rng: random.Random) -> list[int]:
    """One window of width + 1 tokens: the inputs and, one further, the targets."""
    size = width + 1
    if rng.random() < TEXT_SHARE[width]:
        ids, drawn = sources.take_text(size), rng.random()
        if drawn < MIDDLE_SHARE:
            return _middles_last(ids, special, rng)
        return _again(ids, rng) if drawn < MIDDLE_SHARE + AGAIN_SHARE else ids
    window: list[int] = []
    while len(window) < size - 24:
        sample = next(sources.prompts if rng.random() < PROMPT_SHARE[width] else sources.practice)
        if len(window) + len(sample) > size:
            break
        window += sample
    return window + sources.take_text(size - len(window))


def build(folder: Path, width: int, count: int, vocabulary: int = VOCABULARY) -> None:
    """Write tokenizer/ and about `count` windows to <width>-<shard>.bin. What is there already is kept."""
    each = count // SHARDS
    missing = [shard for shard in range(SHARDS) if not _is_whole(_shard(folder, width, shard), width, each)]
    if not missing:
        return
    books, pairs = corpus.books(test=False), corpus.pairs(test=False)
    read_or_make_tokenizer(folder / "tokenizer", books, pairs, corpus.sentences(books), vocabulary)
    spawned = multiprocessing.get_context("spawn")
    workers = [spawned.Process(target=_build_shard, args=(folder, width, shard, each)) for shard in missing]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("The windows could not be made; the reason stands above.")


def _shard(folder: Path, width: int, shard: int) -> Path:
    return folder / f"{width}-{shard}.bin"


def _is_whole(path: Path, width: int, count: int) -> bool:
    return path.exists() and path.stat().st_size == count * (width + 1) * 2


def _build_shard(folder: Path, width: int, shard: int, count: int) -> None:
    seed = width + shard * 10_000
    rng = random.Random(seed)
    books, pairs = corpus.books(test=False), corpus.pairs(test=False)
    lines = corpus.sentences(books)
    tokenizer = read_or_make_tokenizer(folder / "tokenizer", books, pairs, lines, 0)
    rng.shuffle(pairs)
    prompts = (render([("user", p.prompt), ("assistant", p.completion)]) for p in itertools.cycle(pairs))
    sources = Sources(
        practice=tokens_of(tokenizer, practice_texts(seed, "train", lines)),
        prompts=(ids for ids in tokens_of(tokenizer, prompts) if len(ids) <= SHORT),
        text=running_text(tokenizer, books, width * count * 2 // 5, rng),
    )
    prefix, suffix, middle, end = (tokenizer.token_to_id(t) for t in (PREFIX, SUFFIX, MIDDLE, END))
    with atomic_file(_shard(folder, width, shard)) as handle:
        for _ in range(count):
            window = fill(sources, width, (prefix, suffix, middle, end), rng)
            handle.write(np.array(window, dtype=np.uint16).tobytes())


def read(folder: Path, width: int) -> list[np.ndarray]:
    """The shards, each [windows, width + 1] token ids."""
    return [
        np.memmap(_shard(folder, width, shard), dtype=np.uint16, mode="r").reshape(-1, width + 1)
        for shard in range(SHARDS)
    ]
