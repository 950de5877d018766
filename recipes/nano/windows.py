"""Token windows for training, made once and kept as two uint16 files: `short` (512) and `long` (1,024).

A window holds whole practice samples and whole prompts, and is filled up with running text; some windows are text
alone, and some of that text is rearranged for filling in the middle. Nothing is padded.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linnet.core.files import atomic_file
from recipes.nano import corpus
from recipes.nano.tokenizer import END, MIDDLE, PREFIX, SUFFIX, render, save, train_tokenizer

SHORT, LONG = 512, 1024
# Of the windows: running text alone, or samples of which this share are prompts. The long ones come last.
TEXT_SHARE = {SHORT: 0.20, LONG: 0.12}
PROMPT_SHARE = {SHORT: 0.06, LONG: 0.06}  # of the samples; a prompt is four times as long as a practice sample
MIDDLE_SHARE = 0.1
BATCH = 512


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


def read_or_make_tokenizer(folder: Path, books: list[corpus.Book], pairs: list[corpus.Pair], lines: list[str]) -> Any:
    """Trained on practice, prompts, stories and a page of every novel, about a third of it each."""
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").exists():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    practice = list(itertools.islice(practice_texts(1, "train", lines), 12_000))
    prompts = [pair.prompt + "\n" + pair.completion for pair in pairs[::6]]
    pages = [book.text[20_000:60_000] for book in books]
    tokenizer = train_tokenizer([*practice, *prompts, *pages])
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


def _middle_last(ids: list[int], special: tuple[int, int, int], rng: random.Random) -> list[int]:
    """prefix, suffix, then the middle: what filling in the middle learns from. Three tokens make room for the marks."""
    body = ids[:-3]
    a, b = sorted(rng.sample(range(1, len(body)), 2))
    prefix, suffix, middle = special
    return [prefix, *body[:a], suffix, *body[b:], middle, *body[a:b]]


def fill(sources: Sources, width: int, special: tuple[int, int, int], rng: random.Random) -> list[int]:
    """One window of width + 1 tokens: the inputs and, one further, the targets."""
    size = width + 1
    if rng.random() < TEXT_SHARE[width]:
        ids = sources.take_text(size)
        return _middle_last(ids, special, rng) if rng.random() < MIDDLE_SHARE else ids
    window: list[int] = []
    while len(window) < size - 24:
        sample = next(sources.prompts if rng.random() < PROMPT_SHARE[width] else sources.practice)
        if len(window) + len(sample) > size:
            break
        window += sample
    return window + sources.take_text(size - len(window))


def build(folder: Path, width: int, count: int) -> None:
    """Write tokenizer/ and `count` windows to <width>.bin. What is there already is kept."""
    target = folder / f"{width}.bin"
    if target.exists() and target.stat().st_size == count * (width + 1) * 2:
        return
    rng = random.Random(width)
    books, pairs = corpus.books(test=False), corpus.pairs(test=False)
    lines = corpus.sentences(books)
    tokenizer = read_or_make_tokenizer(folder / "tokenizer", books, pairs, lines)
    rng.shuffle(pairs)
    prompts = (render([("user", p.prompt), ("assistant", p.completion)]) for p in itertools.cycle(pairs))
    sources = Sources(
        practice=tokens_of(tokenizer, practice_texts(width, "train", lines)),
        prompts=(ids for ids in tokens_of(tokenizer, prompts) if len(ids) <= SHORT),
        text=running_text(tokenizer, books, width * count * 2 // 5, rng),
    )
    prefix, suffix, middle = (tokenizer.token_to_id(t) for t in (PREFIX, SUFFIX, MIDDLE))
    with atomic_file(target) as handle:
        for _ in range(count):
            window = fill(sources, width, (prefix, suffix, middle), rng)
            handle.write(np.array(window, dtype=np.uint16).tobytes())


def read(folder: Path, width: int) -> np.ndarray:
    """[windows, width + 1] token ids."""
    return np.memmap(folder / f"{width}.bin", dtype=np.uint16, mode="r").reshape(-1, width + 1)
