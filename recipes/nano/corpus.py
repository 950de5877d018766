"""Read the corpus: whole books and whole prompt rows are held out, by a hash of what names them."""

from __future__ import annotations

import json
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from linnet.core.errors import ResourceMissing

HELD_OUT_ONE_IN = 20
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])")
SEPARATOR = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Book:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    prompt: str
    completion: str


def folder() -> Path:
    """Where the corpus is: $LINNET_DATA/corpus, else ../shared/data/corpus. Raises ResourceMissing."""
    found = Path(os.environ.get("LINNET_DATA", Path(__file__).parents[3] / "shared" / "data")) / "corpus"
    if not found.is_dir():
        raise ResourceMissing(f"The corpus is not at {found}.", "Set LINNET_DATA to the folder that holds corpus/.")
    return found


def held_out(name: str) -> bool:
    return zlib.crc32(name.encode()) % HELD_OUT_ONE_IN == 0


def clean(text: str) -> str:
    """Plain line ends; lines of a paragraph joined; typographic quotes and dashes made plain."""
    text = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")
    text = text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2014: "--", 0x2013: "-", 0xA0: " "})
    text = re.sub(r"[ \t]+", " ", text)
    paragraphs = [re.sub(r"\s*\n\s*", " ", part).strip(" #") for part in re.split(r"\n\s*\n", text)]
    return "\n\n".join(part for part in paragraphs if part)


def _rows(name: str) -> Iterator[dict[str, str]]:
    with lzma.open(folder() / f"{name}.jsonl.xz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def books(*, test: bool, sets: tuple[str, ...] = ("novels", "storybook")) -> list[Book]:
    """The held-out books, or the others."""
    return [Book(row["id"], clean(row["text"])) for name in sets for row in _rows(name) if held_out(row["id"]) is test]


def pairs(*, test: bool) -> list[Pair]:
    """Prompts with their answers; held out by the first half, so that questions on one passage stay together."""
    found = []
    for row in _rows("prompts_t0_permissive"):
        prompt, completion = clean(row["prompt"]), row["completion"].replace(SEPARATOR, "").strip()
        if completion and held_out(prompt[: len(prompt) // 2]) is test:
            found.append(Pair(prompt, completion))
    return found


def sentences(found: list[Book], limit: int = 200_000) -> list[str]:
    """Sentences of 20 to 160 characters, material for the practice."""
    kept: list[str] = []
    for book in found:
        for paragraph in book.text.split("\n\n")[20:]:
            kept += [s for s in SENTENCE.split(paragraph) if 20 <= len(s) <= 160 and '"' not in s]
    return kept[:: max(1, len(kept) // limit)]
