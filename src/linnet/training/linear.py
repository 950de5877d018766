"""The baselines every model must beat: the most common label, and TF-IDF with logistic regression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from linnet.core.records import Example
from linnet.metrics.classification import point

STRENGTHS = (1.0, 10.0, 50.0)


def majority(train: Sequence[Example], texts: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """The most common training label for every text."""
    common = Counter(example.label for example in train).most_common(1)[0][0]
    return np.full(len(texts), labels.index(common), dtype=np.int64)


def tfidf_logistic(
    train: Sequence[Example], validation: Sequence[Example], texts: Sequence[str], labels: Sequence[str]
) -> NDArray[np.float32]:
    """Probabilities, shape (texts, labels), of the linear model that these examples give: see `linear_model`."""
    return linear_model(train, validation, labels)(texts)


def linear_model(
    train: Sequence[Example], validation: Sequence[Example], labels: Sequence[str]
) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """A linear model on words and pairs of words: from texts to probabilities, shape (texts, labels).

    The strength of the regularisation is chosen on the validation examples, as for every other candidate.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    place = {label: index for index, label in enumerate(labels)}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    features = vectorizer.fit_transform([example.text for example in train])
    target = np.array([place[example.label] for example in train])
    checked = vectorizer.transform([example.text for example in validation])
    truth = np.array([place[example.label] for example in validation])
    best, best_score = None, -1.0
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=2000).fit(features, target)
        score = point(truth, model.predict(checked).astype(np.int64), len(labels), "macro_f1")
        if score > best_score:
            best, best_score = model, score
    assert best is not None  # noqa: S101 - STRENGTHS is not empty
    chosen = best

    def shares(texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.zeros((len(texts), len(labels)), dtype=np.float32)
        found[:, chosen.classes_] = chosen.predict_proba(vectorizer.transform(list(texts)))
        return found

    return shares
