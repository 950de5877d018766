"""Labels that the rest of the data contradicts: a simple classifier that has not seen a row disagrees with it.

Out-of-fold probabilities as in confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068), with TF-IDF
words and logistic regression. A hint for a person to look at, never a correction.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from linnet.core.errors import require
from linnet.core.records import Example
from linnet.text.normalize import normalize
from linnet.text.splits import rank

MOST_ROWS = 20_000
MOST_SUSPECTS = 50
FOLDS, FEWER_FOLDS = 5, 3
# The model has a weight for each word and label, and fitting takes time with rows and labels: bounds on both.
_MOST_WEIGHTS, _MANY_CELLS = 1_000_000, 1_000_000
_LEAST_OTHER, _MOST_GIVEN = 0.5, 0.2
# Words, and runs of signs too, so that no text is without any.
_WORDS = r"\w+|[^\w\s]+"
_FIT: dict[str, Any] = {"C": 10.0, "tol": 1e-3, "max_iter": 100}


@dataclass(frozen=True, slots=True)
class Suspect:
    """An example, by position, and the label that the other examples speak for."""

    index: int
    suggested: str
    probability: float


@dataclass(frozen=True, slots=True)
class Suspects:
    """`found` are the fifty clearest of `total`; `asked` answers the questions; `sampled` rows were looked at.

    `answers` is the likeliest label of each of those, by position.
    """

    found: list[Suspect]
    total: int
    asked: list[Suspect]
    sampled: int
    answers: dict[int, str] = field(default_factory=dict)


def find_suspects(examples: Sequence[Example], seed: int, questions: Sequence[tuple[int, str]] = ()) -> Suspects:
    """Examples where another label has a probability over 0.5 and the given one under 0.2, the clearest first.

    Each of `questions` (position, label) is answered with the probability of that label. Over 20,000 examples a fixed
    sample is looked at, and those in question. Every label needs two examples. Raises ResourceMissing without
    scikit-learn.
    """
    ranks = [rank(f"{seed}:suspects", normalize(example.text)) for example in examples]
    chosen = sorted(range(len(examples)), key=lambda index: ranks[index])
    if len(chosen) > MOST_ROWS:
        chosen = _sample(examples, chosen, [index for index, _ in questions])
    probabilities, labels = out_of_fold(examples, chosen)
    column = {label: place for place, label in enumerate(labels)}
    found, answers = [], {}
    for index, row in zip(chosen, probabilities, strict=True):
        best = max(range(len(labels)), key=lambda place: row[place])
        answers[index] = labels[best]
        given = row[column[examples[index].label]]
        if row[best] > _LEAST_OTHER and given < _MOST_GIVEN:
            found.append((given - row[best], index, Suspect(index, labels[best], round(row[best], 3))))
    found.sort(key=lambda item: item[:2])
    row_of = dict(zip(chosen, probabilities, strict=True))
    return Suspects(
        found=[suspect for _, _, suspect in found[:MOST_SUSPECTS]],
        total=len(found),
        asked=[Suspect(index, label, round(row_of[index][column[label]], 3)) for index, label in questions],
        sampled=len(chosen),
        answers=answers,
    )


def _sample(examples: Sequence[Example], by_rank: list[int], wanted: list[int]) -> list[int]:
    """The lowest ranks, with two of every label and those in question, so that no probability is missing."""
    must = set(wanted)
    seen: dict[str, int] = {}
    for index in by_rank:
        label = examples[index].label
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= 2:
            must.add(index)
    others = [index for index in by_rank if index not in must]
    return sorted(must) + others[: max(0, MOST_ROWS - len(must))]


def out_of_fold(examples: Sequence[Example], chosen: list[int]) -> tuple[list[list[float]], list[str]]:
    """For each chosen example, the probabilities that a model gives it which was trained without its fold."""
    require("sklearn", "train")
    import numpy
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    labels = sorted({examples[index].label for index in chosen})
    place = {label: number for number, label in enumerate(labels)}
    given = numpy.array([place[examples[index].label] for index in chosen])
    features: Any = _features(len(labels)).fit_transform(examples[index].text for index in chosen)
    folds = _folds(given.tolist(), FOLDS if len(chosen) * len(labels) <= _MANY_CELLS else FEWER_FOLDS)
    probabilities = numpy.zeros((len(chosen), len(labels)))
    # One thread: faster for matrices this thin, and the same sums whatever the machine has.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for fold in sorted(set(folds.tolist())):
            inside = folds == fold
            model = LogisticRegression(**_FIT)
            model.fit(features[~inside], given[~inside])
            probabilities[numpy.ix_(inside, model.classes_)] = model.predict_proba(features[inside])
    return probabilities.tolist(), labels


def _features(labels: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, token_pattern=_WORDS, max_features=max(2_000, _MOST_WEIGHTS // labels))


def answers_to(examples: Sequence[Example], texts: Sequence[str]) -> list[str]:
    """The likeliest label of each text, by a classifier of the same kind trained on all examples, at most 20,000.

    Raises ResourceMissing without scikit-learn.
    """
    require("sklearn", "train")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    chosen = sorted(examples, key=lambda one: rank("answers", normalize(one.text)))[:MOST_ROWS]
    labels = [example.label for example in chosen]
    if len(set(labels)) < 2:
        return [labels[0]] * len(texts)
    vectors = _features(len(set(labels)))
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(**_FIT).fit(vectors.fit_transform(example.text for example in chosen), labels)
        return [str(label) for label in model.predict(vectors.transform(texts))]


def words(text: str) -> list[str]:
    """The words of a text, and its runs of signs."""
    return re.findall(_WORDS, text)


def _folds(given: list[int], count: int) -> Any:
    """Folds dealt out within each label: two examples of one label are never both in the same one of two."""
    import numpy

    dealt: dict[int, int] = {}
    folds = []
    for label in given:
        folds.append(dealt.get(label, 0) % count)
        dealt[label] = dealt.get(label, 0) + 1
    return numpy.array(folds)
