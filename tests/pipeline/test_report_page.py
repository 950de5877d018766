"""The report page: everything is there, nothing is fetched, hostile text stays text, absent values say why."""

from __future__ import annotations

import copy
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from linnet.pipeline import report_page as page_of
from linnet.pipeline import report_plots as plots
from linnet.pipeline.report_page import class_rows, clean, render, wilson
from tests.pipeline.nulls import failures

SAMPLE = json.loads((Path(__file__).parent / "sample_report.json").read_text("utf-8"))
SECTIONS = ("headline", "candidates", "answers", "mistakes", "training", "data", "lineage")
VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; refuses tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        self.text += " " * (tag == "br")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def values(self, key: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == key]


def report(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(SAMPLE) | changes


def said(**changes: Any) -> str:
    """The words of the page, with single spaces."""
    return " ".join(Page(render(report(**changes))).text.split())


def relabel(content: dict[str, Any], count: int) -> dict[str, Any]:
    """The same report with `count` labels, 40 test examples each, of which up to nine go astray."""
    labels = [f"label_{i}_with_quite_a_long_name_for_a_table" if i % 9 == 0 else f"label_{i}" for i in range(count)]
    confusion = [[0] * count for _ in range(count)]
    for i in range(count):
        confusion[i][i] += 40 - i % 10
        confusion[i][(i * 7 + 3) % count] += i % 10
    scores = {label: {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 40} for label in labels}
    test = content["candidates"][1]["test"]
    test |= {"labels": labels, "confusion": confusion, "per_class": scores, "examples": 40 * count}
    content["task"]["task"]["labels"] = labels
    for split in content["data"]["splits"].values():
        split["labels"] = dict.fromkeys(labels, 40)
    return content


def test_every_section_stands_in_order_under_one_heading() -> None:
    page = Page(render(report()))
    assert [place for place in page.values("id") if place in SECTIONS] == list(SECTIONS)
    assert page.tags.count("h1") == 1
    assert page.tags.count("h2") == 6
    assert "support:1" in page.text


def test_the_headline_says_what_it_does_with_intervals_and_the_baseline() -> None:
    text = said()
    test = SAMPLE["candidates"][1]["test"]
    low, high = (f"{100 * test['accuracy'][key]:.1f}" for key in ("low", "high"))
    assert f"Answers {100 * test['accuracy']['value']:.1f} % [{low}, {high}] of 420 test examples correctly" in text
    assert "none of them was used in training" in text
    assert "TF-IDF words with logistic regression (tfidf_logistic), reaches 0.752 [0.699, 0.793]" in text
    assert "Chosen: full-int8. The smallest of 2" in text
    assert SAMPLE["choice"]["warnings"][0] in text


def test_every_metric_of_every_candidate_has_its_interval() -> None:
    html = render(report())
    for one in SAMPLE["candidates"]:
        for split in ("validation", "test"):
            for metric in ("macro_f1", "accuracy") if split == "test" else ("macro_f1",):
                found = one[split][metric]
                assert f"{found['value']:.3f}</span>" in html
                assert f"[{found['low']:.3f}, {found['high']:.3f}]" in html


def test_a_baseline_that_is_as_good_is_said_first() -> None:
    choice = SAMPLE["choice"] | {"recommends_baseline": True}
    text = said(choice=choice)
    assert text.index("Use the simple baseline instead") < text.index("Answers")
    assert "Use the simple baseline instead" not in said()


def test_the_difference_is_put_into_words() -> None:
    cases = {
        (0.1, 0.3): "chance does not explain",
        (-0.1, 0.3): "may be chance",
        (-0.3, -0.1): "the baseline is better",
    }
    for (low, high), words in cases.items():
        headline = SAMPLE["headline"] | {"difference": {"value": (low + high) / 2, "low": low, "high": high}}
        assert words in said(headline=headline)


def test_accuracy_as_the_metric_is_not_said_twice() -> None:
    headline = SAMPLE["headline"] | {"metric": "accuracy", "test": SAMPLE["candidates"][1]["test"]["accuracy"]}
    text = said(headline=headline)
    assert "Its macro F1" not in text
    assert "Validation accuracy" in text


def test_a_failed_gate_and_leaked_rows_stand_in_the_headline() -> None:
    content = report()
    content["gates"][0]["passed"] = False
    content["data"]["leakage"] = {"exact": 5, "near": 1, "group": 0, "action": "kept"}
    text = said(**content)
    head = text[: text.index("All were measured")]
    assert "A parity gate failed: full: torch = onnx fp32" in head
    assert "6 test examples overlap with the training data" in head
    assert "used in training" not in head


def test_no_external_reference_and_no_script() -> None:
    html = render(report())
    page = Page(html)
    assert {tag for tag in page.tags if tag in {"script", "link", "img", "iframe", "object", "embed", "base"}} == set()
    assert all(value.startswith("#") for value in page.values("href"))
    assert {value[1:] for value in page.values("href")} <= set(page.values("id"))
    names = {name for _, name, _ in page.attributes}
    assert not names & {"src", "srcset", "action", "background", "poster", "xlink:href", "data", "style"}
    assert not [name for name in names if name.startswith("on")]
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|expression", style)
    assert "default-src 'none'" in html


HOSTILE = "<script>alert(1)</script><img src=x onerror=a()>\x1b[31mred\u202eevil\u2066\x00\u200b{{ 7*7 }}\"'&\ud800"


def test_hostile_text_everywhere_is_only_text() -> None:
    def poison(value: Any, path: str = "") -> Any:
        if isinstance(value, dict):
            keys = {"per_class", "labels", "kinds", "runs", "settings"}
            odd = path.rsplit(".", 1)[-1] in keys
            return {(key + HOSTILE if odd else key): poison(item, f"{path}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [poison(item, path) for item in value]
        return value + HOSTILE if isinstance(value, str) and path not in (".headline.metric",) else value

    content = poison(report())
    for one, original in zip(content["candidates"], SAMPLE["candidates"], strict=True):
        one["kind"], one["status"] = original["kind"], original["status"]
    html = render(content)
    page = Page(html)
    assert not {"script", "img"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script><img src=x onerror=a()>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "\\x1b[31mred\\u202eevil\\u2066\\x00\\u200b" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ud800-\udfff]", html)
    html.encode("utf-8")


def test_clean_keeps_what_words_and_emoji_need() -> None:
    assert clean("né\u00a0là\tok\nok\r\nok") == "né\u00a0là\tok\nok\nok"
    assert clean("👨\u200d👩") == "👨\u200d👩"
    assert clean("a\rb\x7f\ufeff\U000e0041") == "a\\x0db\\x7f\\ufeff\\U000e0041"
    assert clean({"a\x1b": ["b\x1b", 1, None]}) == {"a\\x1b": ["b\\x1b", 1, None]}


def test_a_long_mistake_is_whole_and_folded() -> None:
    content = report()
    content["mistakes"][0]["text"] = "word " * 2000
    page = Page(render(content))
    assert "word " * 2000 in page.text
    assert "all 10,000 characters" in page.text


def test_an_empty_report_is_still_a_page() -> None:
    page = Page(render({}))
    assert [place for place in page.values("id") if place in SECTIONS] == list(SECTIONS)
    for words in ("no candidate was chosen", "calibration was not measured", "no parity gate was run"):
        assert f"– {words}" in page.text


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key of a report, once for each list and each table of labels."""
    if isinstance(value, list):
        one = min(1, len(value) - 1)
        return _places(value[one], (*path, one)) if value and isinstance(value[0], dict) else []
    if not isinstance(value, dict):
        return []
    keys = list(value)[:1] if path[-1:] in {("labels",), ("per_class",)} else value
    return [place for key in keys for place in ((*path, key), *_places(value[key], (*path, key)))]


def test_any_value_may_be_null() -> None:
    small = report()
    for part in (small, small["data"]):
        part |= {key: value[:2] for key, value in part.items() if isinstance(value, list)}

    # A count in a table of counts is never absent.
    places = [place for place in _places(small) if place[-1] != "count" and place[-2:-1] != ("labels",)]
    assert failures(small, places, render) == []


def test_what_is_absent_says_why() -> None:
    content = report(out_of_scope=None, mistakes=[], training=[], gates=[])
    content["candidates"][0]["footprint"] = None
    text = said(**content)
    assert "Not in the plot, for want of a measured size or a test score: full-fp32" in text
    for why in ("the task names no out-of-scope label", "no training was recorded", "not measured", "not reported"):
        assert f"– {why}" in text


@pytest.mark.parametrize("count", [2, 13, 30, 77, 150])
def test_any_number_of_labels(count: int) -> None:
    html = render(relabel(report(), count))
    assert f"label_{count - 1}" in Page(html).text
    assert ('class="count mid"' in html) is (count <= 13)


def test_the_most_confused_pairs_are_listed() -> None:
    pairs = page_of.confused_pairs({"labels": ["a", "b", "c"], "confusion": [[5, 3, 0], [1, 9, 0], [3, 0, 0]]})
    found = [(pair["true"], pair["predicted"], pair["cases"], pair["of"]) for pair in pairs]
    assert found == [("c", "a", 3, 3), ("a", "b", 3, 8), ("b", "a", 1, 10)]


def test_wilson_against_known_values() -> None:
    low, high = wilson(8, 10)  # Wilson (1927); the same as statsmodels' proportion_confint(8, 10, method="wilson")
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 5)[0] == 0.0
    assert wilson(5, 5)[1] == 1.0


def test_class_rows_are_weakest_first_with_intervals_that_hold_the_value() -> None:
    scores = {"a": {"precision": 0.75, "recall": 0.6, "f1": 2 / 3, "support": 5}}
    scores["b"] = {"precision": 0.6, "recall": 0.75, "f1": 2 / 3 + 1e-9, "support": 4}
    rows = class_rows({"labels": ["a", "b"], "confusion": [[3, 2], [1, 3]], "per_class": scores})
    assert [row["label"] for row in rows] == ["a", "b"]
    for row in rows:
        for key in ("precision", "recall", "f1"):
            assert row[key].low < row[key].value < row[key].high
    low, high = wilson(3, 6)
    assert math.isclose(rows[0]["f1"].low, 2 * low / (1 + low))
    assert math.isclose(rows[0]["f1"].high, 2 * high / (1 + high))


def test_a_score_that_the_matrix_contradicts_gets_no_interval() -> None:
    scores = {"a": {"precision": 0.1, "recall": 1.0, "f1": 0.2, "support": 4}}
    row = class_rows({"labels": ["a"], "confusion": [[4]], "per_class": scores})[0]
    assert (row["precision"].value, row["precision"].low) == (0.1, None)
    assert row["recall"].low is not None


def test_formats() -> None:
    cases = {
        page_of.percent: {0.9123: "91.2 %", None: "–"},
        page_of.signed: {-0.0123: "−0.012", 0.5: "+0.500", None: "–"},
        page_of.sig: {0.4123: "0.412", 4.123: "4.12", 1310.4: "1,310", None: "–", math.nan: "–"},
        page_of.size: {22_900_000: "22.9 MB", 999_960: "1 MB", 480: "480 B", None: "–"},
        page_of.duration: {9.25: "9.2 s", 131.2: "2 min 11 s", 7260: "2 h 1 min"},
        page_of.when: {"2026-11-22T17:49:31Z": "22 November 2026, 17:49 UTC", "soon": "soon"},
        page_of.sentence: {"loses 0.02": "Loses 0.02.", "Done.": "Done.", None: ""},
        page_of.breakable: {"a_b<c>": "a_<wbr>b&lt;c&gt;"},
    }
    for function, pairs in cases.items():
        for value, text in pairs.items():
            assert str(function(value)).replace("\u00a0", " ") == text
    settings = {"a": {"b": [1, 2], "c": None}, "d": True, "size": 2_000_000}
    rows = [("a.b", "1, 2"), ("a.c", "not set"), ("d", "yes"), ("size", "2000000 (2\u00a0MB)")]
    assert page_of.flat(settings) == rows


def test_scale_and_ticks() -> None:
    assert plots.scale(5, (0, 10), (100, 200)) == 150
    assert plots.scale(5, (0, 10), (200, 100)) == 150
    assert plots.scale(3, (3, 3), (0, 8)) == 4
    assert plots.nice_ticks(0.72, 0.95) == [0.75, 0.8, 0.85, 0.9, 0.95]
    assert plots.nice_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert plots.nice_ticks(2, 2) == [2]
    assert plots.log_ticks(15, 250) == [20, 50, 100, 200]


def test_spread_moves_as_little_as_needed() -> None:
    for positions, moved in {(10, 50): [10, 50], (12, 10): [15, 7], (10, 10, 10): [2, 10, 18], (): []}.items():
        assert plots.spread(positions, 8) == moved
    for positions, moved in {(1, 2): [0, 8], (17, 18): [12, 20], (1, 1, 1, 1, 1): [0, 5, 10, 15, 20]}.items():
        assert plots.spread(positions, 8, 0, 20) == moved


def test_overlap_and_shortening() -> None:
    assert plots.overlap((0, 0, 4, 4), [(2, 2, 6, 6), (4, 0, 8, 4)]) == 4
    assert (plots.short("abcdef", 4), plots.short("abc", 4)) == ("abc…", "abc")


def test_names_avoid_what_is_taken_and_stay_inside() -> None:
    frame = plots.Frame(0, 200, 0, 100, (0, 1), (0, 1))
    assert plots.name_spot((50, 50, 5), 40, [], frame) == (60, 42, 100, 58)
    assert plots.name_spot((50, 50, 5), 40, [(55, 0, 200, 100)], frame) == (0, 42, 40, 58)
    assert plots.name_spot((195, 50, 5), 40, [], frame)[2] <= 200


def test_a_far_baseline_does_not_squash_the_candidates() -> None:
    mark = plots.Mark("a", 0.9, 0.88, 0.92, "chosen", 1e6)
    near, far = plots.Mark("b", 0.85, 0.83, 0.87), plots.Mark("c", 0.02, 0.01, 0.03)
    low, high = plots.y_domain([mark], [near, far])
    assert (round(low, 4), round(high, 4)) == (0.8189, 0.9257)
    assert "↓ below: c 0.020 [0.010, 0.030]" in plots.quality([mark], [near, far], "macro F1")


def test_the_size_axis_is_logarithmic_and_the_disc_area_is_latency() -> None:
    costs = ((10e6, 1.0), (100e6, 4.0), (1000e6, 16.0))
    marks = [plots.Mark(f"c{bytes_}", 0.9, 0.88, 0.92, "acceptable", bytes_, ms) for bytes_, ms in costs]
    svg = plots.quality(marks, [], "macro F1")
    discs = re.findall(r'class="mark acceptable" cx="([\d.]+)" cy="[\d.]+" r="([\d.]+)"', svg)
    xs, radii = [float(x) for x, _ in discs], [float(r) for _, r in discs]
    assert math.isclose(xs[1] - xs[0], xs[2] - xs[1], abs_tol=0.02)
    assert math.isclose(radii[2], 2 * radii[1], abs_tol=0.02)


def test_reliability_dot_lies_where_it_should() -> None:
    svg = plots.reliability([plots.Bin(4, 0.5, 0.25, 0.1, 0.6), plots.Bin(0, 0.9, 0.0, 0.0, 1.0)], width=340)
    # The frame is 40 to 330 wide, and 24 (one) to 264 (zero) high.
    assert svg.count('class="mark chosen"') == 1
    assert 'class="mark chosen" cx="185" cy="204"' in svg


def test_one_epoch_and_one_label_can_be_drawn() -> None:
    assert "<polyline" in plots.curves({"train": [(1, 0.5)], "validation": []}, "loss", 1)
    assert "1 → 1" in plots.heat_map([[3]], ["1"])
    assert plots.levels([plots.Mark("a", 1.0, 1.0, 1.0, "chosen")], None, "accuracy")


def test_names_in_plots_are_escaped() -> None:
    evil = '<script>"&'
    marks = [plots.Mark(evil, 0.9, 0.88, 0.92, "chosen", 1e6, 2.0)]
    drawn = [plots.quality(marks, marks, evil), plots.heat_map([[1, 1], [0, 1]], [evil, "b"])]
    for svg in (*drawn, plots.levels(marks, 0.5, evil), plots.curves({evil: [(1, 1.0), (2, 0.5)]}, evil)):
        assert "<script>" not in svg
        assert "&lt;script&gt;" in svg
        assert Page(svg).tags[1] == "title"


def _contrast(*colours: str) -> float:
    """WCAG 2 contrast of two colours."""
    parts = [[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours]
    linear = [[p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in rgb] for rgb in parts]
    dark, light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)
    return (light + 0.05) / (dark + 0.05)


def test_text_can_be_read_in_light_and_dark() -> None:
    schemes = re.findall(r":root\{([^}]*)\}", render(report()))
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([\w-]+):(#\w{6})", scheme))
        for ink in ("ink", "soft", "accent", "bad", "base"):
            assert _contrast(colours[ink], colours["paper"]) >= 4.5, ink
        for wash in ("wash", "bad-wash", "warn-wash"):
            assert _contrast(colours["ink"], colours[wash]) >= 7, wash
        assert _contrast(colours["soft"], colours["wash"]) >= 4.5
        assert _contrast(colours["other"], colours["paper"]) >= 3
