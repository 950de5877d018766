"""Every skill by name, the endless stream, and a few sentences for a look without a corpus."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from . import (
    by_example,
    classifying,
    copying,
    dating,
    extracting,
    grammar,
    listing,
    locating,
    numbering,
    passages,
    records,
    rewriting,
    schemas,
    spoken,
    tools,
    turns,
)
from .core import Sample, Skill, Split

SKILLS: dict[str, Skill] = {
    name: Skill(name, weight, maker)
    for name, weight, maker in [
        ("copy", 8, copying.make),
        ("locate", 8, locating.make),
        ("extract", 14, extracting.make),
        ("tools", 16, tools.make),
        ("schema", 10, schemas.make),
        ("dates", 6, dating.make),
        ("numbers", 6, numbering.make),
        ("lists", 4, listing.make),
        ("grammar", 4, grammar.make),
        ("classify", 5, classifying.make),
        ("rewrite", 5, rewriting.make),
        ("records", 4, records.make),
        ("turns", 3, turns.make),
        ("by_example", 8, by_example.make),
        ("passage", 8, passages.make),
        ("spoken", 24, spoken.make),
    ]
}
SENTENCES = (
    "The old clock in the hall had stopped at ten, and nobody had thought to wind it again.",
    "She folded the letter twice, put it in her pocket, and walked down to the harbour.",
    "There was no sound but the rain upon the leaves and the slow step of the horse.",
    "My uncle, who had never been to sea, spoke of ships as other men speak of their children.",
    "When the door opened at last, a tall man with a lantern stood before them.",
    "They ate their bread in silence, each thinking of the road that lay ahead.",
    '"You will find," said the doctor, "that nothing is ever quite as simple as that."',
    "In the morning the fields were white, and the river had frozen from bank to bank.",
    "He counted the coins again, though he knew very well how many there were.",
    "The children ran before the cart, shouting the news to every window in the street.",
)


def stream(seed: int, split: Split, sentences: Sequence[str]) -> Iterator[Sample]:
    """Samples without end, the same for the same seed, split and sentences."""
    rng = random.Random(f"{seed}-{split}")
    skills = list(SKILLS.values())
    weights = [skill.weight for skill in skills]
    while True:
        for skill in rng.choices(skills, weights, k=64):
            yield skill(rng, split, sentences)
