"""The number in an answer: a table by hand, and every worked answer of GSM8K."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from linnet.metrics.numeric import gsm8k_match, numbers, numeric_answer, numeric_match
from tests.shared import shared_data


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("There are 5 apples and 7 pears.", "7"),
        ("She pays $1,234.50 in all.", "1234.5"),
        ("It costs €12 or £ 13", "13"),
        ("The total is -42.", "-42"),
        ("The total is −42.", "-42"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("a loss of (3)", "3"),
        ("about 12km", "12"),
        ("7 m2", "7"),
        ("50% of them", "50"),
        ("3/4 of a cup", "3/4"),
        ("2 1/2 cups", "5/2"),
        (".5", "1/2"),
        ("1e3 steps", "1000"),
        ("1,000,000 people", "1000000"),
        ("in 1,2 and 3", "3"),
        ("2024-01-05", "5"),
        ("10 - 4 = 6", "6"),
        ("10-4", "4"),
        ("x = 12.", "12"),
        ("1,234, and no more", "1234"),
        ("#### 72", "72"),
        ("It is 5.\n#### 1,080 dollars (of 2,000)", "1080"),
        ("The answer is 8, because 4 + 4 = 8 and 2 * 4.", "8"),
        ("Answer: 18 eggs out of 20", "18"),
        (r"so \boxed{17} of 3", "17"),
        ("no digits at all", None),
        ("", None),
        ("version v2 of B12", None),
        ("1/0", "0"),
    ],
)
def test_by_hand(text: str, wanted: str | None) -> None:
    assert numeric_answer(text) == (None if wanted is None else Fraction(wanted))


def test_all_numbers_in_order() -> None:
    assert numbers("1 + 2.5 = 3.5, or 1,000 x 2") == [1, Fraction(5, 2), Fraction(7, 2), 1000, 2]


@pytest.mark.parametrize(
    ("prediction", "reference", "tolerance", "value"),
    [
        ("It is $5.00", "5", 0, 1),
        ("0.1", "1/10", 0, 1),
        ("3.14", "3.14159", 0, 0),
        ("3.14", "3.14159", 0.001, 1),
        ("0.0005", "0", 0.001, 1),
        ("none", "5", 0, 0),
        ("9007199254740993", "9007199254740992", 0, 0),
    ],
)
def test_comparing(prediction: str, reference: str, tolerance: float, value: float) -> None:
    assert numeric_match(prediction, [reference], tolerance) == value


def test_any_reference_will_do_and_one_without_a_number_is_an_error() -> None:
    assert numeric_match("7", ["5", "7"]) == 1
    with pytest.raises(ValueError, match="holds no number"):
        numeric_match("7", ["seven"])


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("work\n#### 1,080", "#### 1080", 1),
        ("#### 5.0", "#### 5", 0),
        ("#### 5\n#### 6", "#### 5", 1),
        ("The answer is 5", "#### 5", 0),
        ("#### $5", "#### 5", 0),
        ("####5", "#### 5", 0),
        ("#### -3", "#### -3", 1),
    ],
)
def test_the_rule_of_gsm8k(prediction: str, reference: str, value: float) -> None:
    assert gsm8k_match(prediction, [reference]) == value


def test_a_reference_without_the_mark() -> None:
    with pytest.raises(ValueError, match="no '#### '"):
        gsm8k_match("#### 5", ["5"])


def test_hostile_texts_are_read_quickly() -> None:
    for text in ("1," * 200_000, "1" * 100_000 + "x", "-" * 200_000, "1 " * 100_000 + "/", "answer " * 50_000):
        numeric_answer(text)


def test_every_worked_answer_of_gsm8k() -> None:
    path = shared_data("gsm8k") / "train.jsonl"
    if not path.is_file():
        pytest.skip("gsm8k is not here")
    answers = [json.loads(line)["answer"] for line in path.read_text().splitlines()]
    assert len(answers) == 7473
    finals = [answer.rpartition("#### ")[2] for answer in answers]
    assert sum(gsm8k_match(a, [a]) for a in answers) == 7473
    assert all(numeric_answer(a) == Fraction(f.replace(",", "")) for a, f in zip(answers, finals, strict=True))
    # Without the mark, as a model without its format would answer.
    assert sum(numeric_match(f"So she has ${f} left.", [a]) for f, a in zip(finals, answers, strict=True)) == 7473
