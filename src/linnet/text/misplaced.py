"""Labels that stand beside another row's text, or under another label's name: two faults of a file, not of its rows.

Found by what a simple classifier answers, or by the words that an answer shares with its text. A fault is told only
where another place or name fits more than twice as many rows as the own one, and a sign test says it is no chance.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from linnet.core.records import Example
from linnet.text.normalize import normalize
from linnet.text.splits import rank
from linnet.text.suspects import Suspects, answers_to, out_of_fold, words

STEPS = (1, -1, 2, -2)
LUCK = 1e-4
HINT = 'Correct the file. If it is right as it is, set [data] doubtful = "accept".'
MOST_REFITTED = 3_000
_COMMON = 0.2


def is_luck(wins: int, losses: int, tried: int = 1) -> bool:
    """Whether so many more wins than losses may be chance, when `tried` things were compared: a sign test."""
    if wins <= 2 * losses:
        return True
    count = wins + losses
    log_term = math.lgamma(count + 1) - math.lgamma(wins + 1) - math.lgamma(losses + 1) - count * math.log(2)
    term = chance = math.exp(max(log_term, -700.0))
    for place in range(wins, count):
        term *= (count - place) / (place + 1)
        chance += term
    return tried * chance > LUCK


def shift_of(answers: Sequence[str], labels: Sequence[str]) -> int:
    """How many rows below its text each label stands, in the order of the file; 0 where they fit, or fit nowhere."""
    for step in STEPS:
        pairs = _pairs(len(labels), step)
        wins = sum(answers[here] == labels[there] != labels[here] for here, there in pairs)
        losses = sum(answers[here] == labels[here] != labels[there] for here, there in pairs)
        if not is_luck(wins, losses, len(STEPS)):
            return step
    return 0


def _pairs(count: int, step: int) -> list[tuple[int, int]]:
    return [(here, here + step) for here in range(count) if 0 <= here + step < count]


def exchanged(labels: Sequence[str], answers: Sequence[str]) -> dict[str, str]:
    """Labels that are answered with each other's names: {label: the label that is answered for it}, a permutation.

    Each is answered with the other more often than with itself, the other way round too, and not by chance.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for label, answer in zip(labels, answers, strict=True):
        counts[label][answer] += 1
    moved = {label: min(found, key=lambda one: (-found[one], one)) for label, found in counts.items()}
    moved = {label: other for label, other in moved.items() if counts[label][other] > counts[label][label]}
    while (kept := {a: b for a, b in moved.items() if b in moved and a in moved.values()}) != moved:
        moved = kept
    if len(set(moved.values())) != len(moved):
        return {}
    wins = sum(counts[label][other] for label, other in moved.items())
    losses = sum(counts[label][label] for label in moved)
    return dict(sorted(moved.items())) if moved and not is_luck(wins, losses, len(counts) ** 2) else {}


def doubts_of(
    train: tuple[str, Sequence[Example]], test: tuple[str, Sequence[Example]] | None, suspects: Suspects
) -> list[str]:
    """What is wrong with the order or the names of the labels, a sentence each. Takes (name, rows in order) of files.

    `suspects` are those of the training rows. Raises ResourceMissing without scikit-learn.
    """
    name, rows = train
    if step := _shift_in(rows, suspects.answers):
        return [shift_text(name, step, "label")]
    if test is None or not test[1]:
        return []
    other, tests = test
    labels, answers = [one.label for one in tests], answers_to(rows, [one.text for one in tests])
    if step := shift_of(answers, labels):
        return [shift_text(other, step, "label")]
    if found := exchanged(labels, answers):
        return [f"{other}: {exchange_text(found)} compared with {name}."]
    return []


def shift_text(name: str, step: int, what: str) -> str:
    """The sentence that names the fault."""
    rows = "1 row" if abs(step) == 1 else f"{abs(step)} rows"
    way = "below" if step > 0 else "above"
    return f"{name}: the {what} column is shifted: each {what} stands {rows} {way} its text."


def exchange_text(found: Mapping[str, str]) -> str:
    """The beginning of a sentence that names swapped labels."""
    shown = list(found)[:6]
    listed = " and ".join(filter(None, (", ".join(map(repr, shown[:-1])), repr(shown[-1]))))
    more = f" (and {len(found) - 6} more)" if len(found) > 6 else ""
    return f"the labels {listed}{more} are swapped"


def _shift_in(rows: Sequence[Example], answers: Mapping[int, str]) -> int:
    """The shift of the rows that the classifier itself was trained on: it has learned nothing, and from moved labels
    it learns something. Tried only where what it learned is little: each try trains it again."""
    if not answers:
        return 0
    right = {index for index, answer in answers.items() if answer == rows[index].label}
    most = max(Counter(rows[index].label for index in answers).values())
    if 2 * len(right) > most + len(answers):
        return 0
    chosen = sorted(answers, key=lambda index: rank("shift", str(index)))[:MOST_REFITTED]
    for step in (1, -1):
        moved = [one.model_copy(update={"label": rows[(i + step) % len(rows)].label}) for i, one in enumerate(rows)]
        probabilities, labels = out_of_fold(moved, chosen)
        fits = {
            index
            for index, row in zip(chosen, probabilities, strict=True)
            if labels[row.index(max(row))] == moved[index].label
        }
        if not is_luck(len(fits - right), len(right.intersection(chosen) - fits), 2):
            return step
    return 0


def answer_shift(asked: Sequence[str], answers: Sequence[str]) -> int:
    """`shift_of` for answers that are texts: which row's text shares more words with each answer.

    Words of every fifth answer, such as the keys of a JSON object, tell nothing and are left out.
    """
    held = [set(words(normalize(text))) for text in answers]
    common = Counter(word for found in held for word in found)
    held = [{word for word in found if common[word] <= max(2, _COMMON * len(held))} for found in held]
    texts = [set(words(normalize(text))) for text in asked]
    for step in STEPS:
        wins = losses = 0
        for here, there in _pairs(len(texts), step):
            if not held[here] or not held[there]:
                continue
            own = len(texts[here] & held[here]) / len(held[here])
            other = len(texts[here] & held[there]) / len(held[there])
            wins, losses = wins + (other > own), losses + (own > other)
        if not is_luck(wins, losses, len(STEPS)):
            return step
    return 0
