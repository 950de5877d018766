"""Values and dice of the practice data.

A `Pool` is a list cut in two, so that test samples use lines (templates, words) no train sample has.
A template is text with `[this|that|]` for a choice and `{name}` for a slot. It knows nothing of any skill.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar
from zlib import crc32

Split = Literal["train", "test"]
Role = Literal["system", "user", "assistant", "tool"]
T = TypeVar("T")
_BARE = re.compile(r"\{\w+\}")


@dataclass(frozen=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True)
class Sample:
    skill: str
    messages: tuple[Message, ...]


class Pool:
    """Lines cut in two. Templates: the lowest fifth by hash is test. Words: each word's own hash decides.

    A line that stands twice is drawn twice as often. A template that is a slot and nothing else is train's alone.
    """

    every: ClassVar[list[Pool]] = []

    def __init__(self, text: str | Iterable[str], *, words: bool = False) -> None:
        parts = text.split("\n") if isinstance(text, str) else text
        lines = [line.strip() for line in parts if line.strip()]
        self.words = words
        if words:
            held = {w for w in lines if crc32(w.lower().encode()) % 5 == 0}
        else:
            shaped = [w for w in dict.fromkeys(lines) if not _BARE.fullmatch(w)]
            held = set(sorted(shaped, key=lambda w: crc32(w.encode()))[: max(1, round(len(shaped) / 5))])
        self.train = tuple(w for w in lines if w not in held)
        self.test = tuple(w for w in lines if w in held)
        if not (self.train and self.test):
            raise ValueError(f"a pool of {len(lines)} lines cannot be cut in two: {lines[:3]}")
        Pool.every.append(self)

    def side(self, split: Split) -> tuple[str, ...]:
        return self.train if split == "train" else self.test


def lexicon(text: str) -> Pool:
    """A word list: entries parted by commas or line ends."""
    return Pool(text.replace("\n", ",").split(","), words=True)


class _Slot(str):
    __slots__ = ()


@cache
def _parse(template: str) -> tuple[Any, ...]:
    parts, rest = _sequence(template, 0, "")
    if rest != len(template):
        raise ValueError(f"unbalanced template: {template!r}")
    return parts


def _sequence(text: str, at: int, stop: str) -> tuple[tuple[Any, ...], int]:
    parts: list[Any] = []
    plain = ""
    while at < len(text) and text[at] not in stop:
        mark = text[at]
        if mark not in "[{":
            plain += mark
            at += 1
            continue
        parts.append(plain)
        plain = ""
        if mark == "{":
            end = text.index("}", at)
            parts.append(_Slot(text[at + 1 : end]))
        else:
            choices = []
            end = at
            while text[end] != "]":
                choice, end = _sequence(text, end + 1, "|]")
                choices.append(choice)
            parts.append(choices)
        at = end + 1
    parts.append(plain)
    return tuple(p for p in parts if p != "" or isinstance(p, _Slot)), at


def slot_names(template: str) -> list[str]:
    """The slots of a template outside choices, in order."""
    return [str(part) for part in _parse(template) if isinstance(part, _Slot)]


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class Draw:
    """The dice of one sample: a generator, a split, and sentences from books."""

    def __init__(self, rng: random.Random, split: Split, sentences: Sequence[str]) -> None:
        self.rng = rng
        self.split: Split = split
        self.sentences = sentences
        self.roll = rng.random

    def of(self, options: Sequence[T]) -> T:
        return options[int(self.roll() * len(options))]

    def chance(self, share: float) -> bool:
        return self.roll() < share

    def num(self, low: int, high: int) -> int:
        return low + int(self.roll() * (high - low + 1))

    def pick(self, pool: Pool) -> str:
        return self.of(pool.side(self.split))

    def some(self, pool: Pool, count: int) -> list[str]:
        side = pool.side(self.split)
        return self.rng.sample(side, min(count, len(side)))

    def shuffled(self, items: Iterable[T]) -> list[T]:
        mixed = list(items)
        self.rng.shuffle(mixed)
        return mixed

    def fill(self, template: str, **slots: object) -> str:
        return self._render(_parse(template), slots)

    def say(self, pool: Pool, **slots: object) -> str:
        return self._render(_parse(self.pick(pool)), slots)

    def _render(self, parts: Sequence[Any], slots: dict[str, object]) -> str:
        out = []
        for part in parts:
            if type(part) is str:
                out.append(part)
            elif type(part) is _Slot:
                out.append(str(slots[part]))
            else:
                out.append(self._render(self.of(part), slots))
        return "".join(out)

    def sentence(self, low: int = 15, high: int = 220) -> str:
        """A sentence from the books, of `low` to `high` characters where one is soon found."""
        for _ in range(6):
            text = " ".join(self.of(self.sentences).split())
            if low <= len(text) <= high:
                return text
        return cut(text, high)

    def piece(self, low: int = 2, high: int = 7) -> str:
        """Some words in a row from a sentence, without marks at the ends."""
        words = self.sentence(20, 300).split()
        count = min(self.num(low, high), len(words))
        start = self.num(0, len(words) - count)
        return " ".join(words[start : start + count]).strip(" ,.;:!?\"'“”‘’()-—_") or "nothing else"


def cut(text: str, high: int) -> str:
    if len(text) <= high:
        return text
    return text[:high].rsplit(" ", 1)[0]


@dataclass(frozen=True)
class Skill:
    """A family of samples: called with dice, a split and sentences it makes one. Short ones may share a talk."""

    name: str
    weight: float
    maker: Callable[[Draw], tuple[Message, ...]]

    def __call__(self, rng: random.Random, split: Split, sentences: Sequence[str]) -> Sample:
        d = Draw(rng, split, sentences)
        messages = self.maker(d)
        while messages[0].role != "system" and sum(len(m.content) for m in messages) < 120 and d.chance(0.4):
            more = self.maker(d)
            if more[0].role == "system" or sum(len(m.content) for m in more) > 600:
                break
            messages = (*messages, *more)
        return Sample(self.name, messages)


def by_weight(d: Draw, options: Sequence[tuple[float, T]]) -> T:
    total = d.roll() * sum(weight for weight, _ in options)
    for weight, option in options:
        total -= weight
        if total <= 0:
            return option
    return options[-1][1]
