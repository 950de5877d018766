"""Areas under curves against scikit-learn, with a class absent, and with weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from linnet.core.errors import DataError
from linnet.metrics.bootstrap import Drawing, bootstrap
from linnet.metrics.discrimination import auprc, auprc_statistic, auroc, auroc_by_class, auroc_statistic

ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=40)


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_equal_to_scikit_learn_with_ties(rows: list[tuple[int, int, int]]) -> None:
    true, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    if true.min() == true.max():
        return
    assert auroc(true, scores) == pytest.approx(reference.roc_auc_score(true, scores))
    assert auprc(true, scores) == pytest.approx(reference.average_precision_score(true, scores))
    if (weights * true).any() and (weights * (1 - true)).any():
        row = weights[None].astype(float)
        found = auroc_statistic(true, scores)(row)[0], auprc_statistic(true, scores)(row)[0]
        assert found == pytest.approx(
            (
                reference.roc_auc_score(true, scores, sample_weight=weights),
                reference.average_precision_score(true, scores, sample_weight=weights),
            )
        )


@pytest.mark.parametrize("metric", [auroc, auprc])
@pytest.mark.parametrize(
    ("true", "scores", "words"),
    [
        ([1, 1], [0.1, 0.2], "all 2 are positive"),
        ([0], [0.1], "all 1 are negative"),
        ([], [], "there are none"),
        ([0, 1], [0.1], "One score for each"),
        ([0, 2], [0.1, 0.2], "0 or 1"),
        ([0, 1], [0.1, np.nan], "finite"),
    ],
)
def test_what_has_no_area(metric, true, scores, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=words):
        metric(true, scores)


def test_resamples_without_a_class_are_counted_and_left_out() -> None:
    true, scores = np.array([1] + [0] * 9), np.arange(10)[::-1]
    found = bootstrap(auroc_statistic(true, scores), 10)
    assert found.value == 1
    assert 500 < found.undefined < 900  # 0.9^10 of 2000: 697
    with pytest.raises(DataError, match="no value in"):
        bootstrap(auroc_statistic(np.zeros(10), scores), 10, Drawing(resamples=50))


def test_each_class_against_the_rest() -> None:
    generator = np.random.default_rng(0)
    true = generator.integers(0, 3, 200)
    shares = generator.dirichlet(np.ones(3), 200) + np.eye(3)[true] * 0.2
    shares /= shares.sum(axis=1, keepdims=True)
    found = auroc_by_class(shares, true, ["a", "b", "c"])
    assert found.macro == pytest.approx(reference.roc_auc_score(true, shares, multi_class="ovr"))
    four = auroc_by_class(np.c_[shares, np.zeros(200)], true, ["a", "b", "c", "d"])
    assert four.macro == found.macro
    assert four.absent == {"d": "AUROC needs examples of both classes; all 200 are negative."}
    with pytest.raises(DataError, match="No class"):
        auroc_by_class(np.ones((2, 1)), np.array([0, 0]), ["a"])
