"""Averages and Matthews' correlation against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from linnet.metrics.averages import averages, matthews
from linnet.metrics.classification import confusion_matrix

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(PAIRS)
@settings(max_examples=150, deadline=None)
def test_equal_to_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    matrix = confusion_matrix(true, predicted, 6)
    for average in ("micro", "macro", "weighted"):
        found = averages(matrix, average)
        wanted = reference.precision_recall_fscore_support(true, predicted, average=average, zero_division=0)
        assert (found.precision, found.recall, found.f1) == pytest.approx(wanted[:3])
    assert matthews(matrix) == pytest.approx(reference.matthews_corrcoef(true, predicted))


def test_millions_of_examples_do_not_overflow() -> None:
    assert matthews(np.array([[3_000_000_000, 0], [0, 3_000_000_000]])) == 1
    assert matthews(np.array([[0, 5], [5, 0]])) == -1


def test_one_class_has_no_correlation() -> None:
    assert matthews(np.array([[9, 0], [0, 0]])) == 0
    assert averages(np.zeros((2, 2), dtype=np.int64), "macro").f1 == 0
