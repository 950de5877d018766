"""The page of a task that writes text: the same rules as the classifier's page, its own plots."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linnet.pipeline.text_page import render
from tests.pipeline.nulls import failures
from tests.pipeline.test_report_page import Page
from tests.pipeline.text_sample import METRIC, sample

EVIL = '</style><script>alert(1)</script><img src="http://x.example/" onerror=a>\u202e\x1b[31m'


def said(content: dict[str, Any]) -> str:
    return " ".join(Page(render(content)).text.split())


def test_every_section_stands_in_order_and_every_row_is_told() -> None:
    page = Page(render(sample()))
    names = ("headline", "candidates", "cost", "answers", "worst", "training", "data")
    assert [one for one in page.values("id") if one in names] == list(names)
    for row in sample()["candidates"]:
        assert row["name"] in page.text
    words = said(sample())
    for text in ("0.913 [0.893, 0.933]", "by field room", "too few for an interval", "reference, gpt-x", "no answer"):
        assert text in words


def test_no_external_reference_and_no_script() -> None:
    page = Page(render(sample()))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert all(value.startswith("#") for value in page.values("href"))
    assert page.values("src") == []


def test_plots_mark_the_front_the_chosen_one_and_grey_the_others() -> None:
    page = render(sample())
    assert page.count('class="front-line"') == 4
    for status, count in (("chosen", 1), ("front", 2), ("dominated", 2)):
        assert page.count(f'class="mark {status}"') == 4 * count + (status == "chosen")  # and in the headline
    assert "reference 0.931 [0.911, 0.951]" in page


def test_scores_of_a_hundred_have_their_own_axis() -> None:
    content = json.loads(json.dumps(sample()).replace(METRIC, "bleu"))
    for row in content["candidates"]:
        for key in ("value", "low", "high"):
            row["test"]["bleu"][key] *= 100
    assert "lora-F16: 92.100 [90.100, 94.100]" in render(content)


def test_hostile_text_everywhere_is_only_text() -> None:
    def poison(value: Any) -> Any:
        if isinstance(value, str):
            return value + EVIL
        if isinstance(value, dict):
            return {key: poison(part) for key, part in value.items()}
        return [poison(part) for part in value] if isinstance(value, list) else value

    content = poison(sample())
    content["test"]["problems"] = {EVIL: 1}
    page = Page(render(content))
    assert not {"script", "img"} & set(page.tags)
    assert "\u202e" not in page.text
    assert "\x1b" not in page.text


@pytest.mark.parametrize("content", [{}, {"candidates": [{"name": "a"}]}, {"reference": {"model": "m", "error": "e"}}])
def test_what_is_absent_says_why(content: dict[str, Any]) -> None:
    words = said(content)
    assert "no plot" in words
    assert ("The reference m has no score." in words) is ("reference" in content)


def test_any_value_may_be_null() -> None:
    def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
        return [place for key in keys for place in ((*path, key), *places(value[key], (*path, key)))]

    small = sample()
    small |= {key: small[key][:2] for key in ("worst", "training", "gates")}
    small["test"]["slices"] = small["test"]["slices"][:2]
    small["candidates"] = [small["candidates"][index] for index in (2, 4, 8)]
    assert failures(small, places(small), render) == []
