"""Grammar minimal pairs of our own making: two sentences that differ in one word; the first is right.

A model passes a pair when the right sentence has the higher probability.
"""

from __future__ import annotations

import itertools

PEOPLE = (("girl", "girls"), ("doctor", "doctors"), ("farmer", "farmers"), ("neighbour", "neighbours"))
THINGS = (("letter", "letters"), ("house", "houses"), ("boat", "boats"), ("garden", "gardens"))
PLACES = ("near the river", "in the old town", "behind the church", "of the captain")


def agreement() -> list[tuple[str, str]]:
    found = []
    for (one, many), place in itertools.product((*PEOPLE, *THINGS), PLACES):
        found.append((f"The {one} {place} was very old.", f"The {one} {place} were very old."))
        found.append((f"The {many} {place} were very old.", f"The {many} {place} was very old."))
    return found


def determiners() -> list[tuple[str, str]]:
    found = []
    for one, many in (*PEOPLE, *THINGS):
        found += [
            (f"He saw these {many} every day.", f"He saw this {many} every day."),
            (f"He saw that {one} every day.", f"He saw those {one} every day."),
            (f"There were many {many} there.", f"There were many {one} there."),
            (f"I had never seen a {one} before.", f"I had never seen a {many} before."),
        ]
    return found


def verbs() -> list[tuple[str, str]]:
    found = []
    forms = (("go", "went", "gone"), ("write", "wrote", "written"), ("take", "took", "taken"), ("see", "saw", "seen"))
    for who, (base, past, done) in itertools.product(("she", "the old man", "my brother", "they"), forms):
        found += [
            (f"Yesterday {who} {past} it away.", f"Yesterday {who} {done} it away."),
            (f"I know that {who} had {done} before.", f"I know that {who} had {past} before."),
            (f"I think {who} will {base} again.", f"I think {who} will {past} again."),
            (f"Did {who} {base} here?", f"Did {who} {past} here?"),
        ]
    return found


def pronouns() -> list[tuple[str, str]]:
    found = []
    for name, right, wrong in (("The king", "himself", "herself"), ("The queen", "herself", "himself"),
                               ("The boys", "themselves", "himself"), ("My mother", "herself", "itself")):  # fmt: skip
        for verb in ("hurt", "asked", "saw", "hid"):
            found.append((f"{name} {verb} {right}.", f"{name} {verb} {wrong}."))
    for verb in ("told", "gave", "showed", "sent"):
        found += [(f"She {verb} me the truth.", f"She {verb} I the truth."),
                  (f"He {verb} them the letter.", f"He {verb} they the letter.")]  # fmt: skip
    return found


def articles_and_order() -> list[tuple[str, str]]:
    found = []
    for noun in ("apple", "hour", "egg", "old man", "island"):
        found.append((f"It was an {noun}.", f"It was a {noun}."))
    for noun in ("table", "book", "young man", "horse", "year"):
        found.append((f"It was a {noun}.", f"It was an {noun}."))
    for a, b in (("big", "house"), ("green", "field"), ("poor", "child"), ("long", "road"), ("cold", "wind")):
        found.append((f"We came to the {a} {b} at last.", f"We came to the {b} {a} at last."))
    for word in ("where", "why", "how", "when"):
        found.append((f"Tell me {word} you did it.", f"Tell {word} me you did it."))
    return found


KINDS = {
    "agreement": agreement,
    "determiners": determiners,
    "verb forms": verbs,
    "pronouns": pronouns,
    "articles and order": articles_and_order,
}
