"""Two evaluations are compared under one ruler only, and the refusal names the first difference."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from linnet.core.errors import InputError
from linnet.metrics.identity import (
    EvaluationIdentity,
    dataset_hash,
    first_difference,
    prompt_hash,
    refuse_unless_comparable,
)

ROWS = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]


def identity(**changed: Any) -> EvaluationIdentity:
    plain = {
        "dataset": dataset_hash(ROWS), "split": "test", "examples": 2, "prompt": prompt_hash("{text}"),
        "decoding": {"temperature": 0, "stop": ["\n"], "max_new_tokens": 20},
        "metric": "macro_f1", "metric_version": "1", "seed": 0,
    }  # fmt: skip
    return EvaluationIdentity.model_validate(plain | changed)


def test_equal_rulers() -> None:
    assert first_difference(identity(), identity()) == ""
    refuse_unless_comparable(identity(), identity(decoding={"max_new_tokens": 20, "temperature": 0.0, "stop": ["\n"]}))
    assert EvaluationIdentity.model_validate(identity().to_json()).digest == identity().digest


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"dataset": dataset_hash(ROWS[::-1])}, "the examples differ: "),
        ({"split": "validation"}, "the split differs: test and validation"),
        ({"prompt": prompt_hash("{text}", "Answer.")}, "the prompt template differs"),
        (
            {"decoding": {"temperature": 0.7, "stop": ["\n"], "max_new_tokens": 20}},
            "setting temperature differs: 0 and 0.7",
        ),
        ({"decoding": {"temperature": 0, "stop": ["\n"]}}, "setting max_new_tokens differs: 20 and not set"),
        (
            {"decoding": {"temperature": 0, "stop": [], "max_new_tokens": 20, "top_k": 1}},
            'setting stop differs: ["\\n"]',
        ),
        ({"metric": "accuracy", "seed": 3}, "the metric differs: macro_f1 and accuracy"),
        ({"metric_version": "2"}, "the metric's version differs: 1 and 2"),
        ({"seed": 1}, "the seed differs: 0 and 1"),
        ({"judge": {"scale": "1-5"}}, "the judge's scale differs: not set and 1-5"),
    ],
)
def test_the_first_difference_is_named(changed: dict[str, Any], words: str) -> None:
    assert words in first_difference(identity(), identity(**changed))
    assert identity(**changed).digest != identity().digest
    with pytest.raises(InputError, match="cannot be compared"):
        refuse_unless_comparable(identity(), identity(**changed))


def test_hashes() -> None:
    assert dataset_hash(ROWS) == dataset_hash([dict(reversed(row.items())) for row in ROWS])
    assert dataset_hash(ROWS) != dataset_hash(ROWS[:1])
    assert prompt_hash("a", "b") != prompt_hash("ab")
    assert prompt_hash("a", "", ROWS) != prompt_hash("a")
    with pytest.raises(InputError, match="cannot be hashed"):
        dataset_hash([{"x": float("nan")}])


def test_a_hash_is_a_hash() -> None:
    with pytest.raises(ValidationError):
        identity(dataset="abc")
