"""`linnet evaluate` and `linnet compare` as a person types them, for decoders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.core.records import Asked
from linnet.core.store import Store
from tests.cli.test_app import Linnet, home, linnet
from tests.http.test_tasks import SCHEMA, packed
from tests.pipeline.judges import always_first, judging, longer

__all__ = ["home", "linnet"]


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    content = [{"said": f"Light {i} in the hall", "room": json.dumps({"room": "hall"})} for i in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


def test_a_packed_specialist_is_asked_as_it_was_built(linnet: Linnet, home: Path, rows: Path, tmp_path: Path) -> None:
    packed(
        Store(home),
        tmp_path / "m",
        "lamp",
        "extract",
        Asked(input="said", answer_schema=json.dumps(SCHEMA), max_tokens=24),
    )
    found = linnet.json("evaluate", "lamp", "--data", str(rows), "--output", "room")
    assert found["metrics"]["schema_valid"]["value"] == 1
    assert found["identities"]["field_f1"]["decoding"]["max_tokens"] == 24
    other = linnet.json("evaluate", "lamp", "--data", str(rows), "--output", "room", "--instruction", "Which room?")
    code, out, err = linnet("compare", found["run"], other["run"])
    assert (code, out) == (2, "")
    assert "the prompt template differs" in err


def test_two_models_on_the_same_rows(linnet: Linnet, home: Path, rows: Path) -> None:
    given = ("--data", str(rows), "--input", "said", "--output", "room", "--metric", "exact_match", "--max-tokens", "2")
    code, out, err = linnet("compare", "builtin:nano", "builtin:nano:Q8_0", *given, "--quiet")
    assert (code, err) == (0, "")
    assert "No difference is shown between builtin:nano and builtin:nano:Q8_0" in out
    (one,) = linnet.json("compare", "builtin:nano", "builtin:nano:Q8_0", *given)["comparisons"]
    assert one["difference"]["value"] == 0


def test_a_judge_decides_between_two_runs(linnet: Linnet, home: Path, rows: Path, tmp_path: Path) -> None:
    given = ("--data", str(rows), "--input", "said", "--output", "room", "--metric", "token_f1")
    runs = []
    for text in ("hall", "It is in the hall."):
        with judging(lambda _, text=text: text) as candidate:  # type: ignore[misc]
            runs.append(linnet.json("evaluate", f"m{len(text)}", *given, "--endpoint", candidate.url)["run"])
    people = tmp_path / "people.csv"
    people.write_text("row,verdict\n" + "".join(f"{row},{'A' if row < 3 else 'B'}\n" for row in range(1, 13)))
    with judging(longer) as judge:
        asked = ("compare", *runs, "--judge", "j", "--endpoint", judge.url)
        code, out, err = linnet(*asked, "--human", str(people), "--quiet")
        found = linnet.json(*asked, "--rubric", "Take the better one.")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("judge j, rubric ")
    assert lines[1].startswith("  Judge and people agree in 83.3 % of 12 verdicts")
    assert lines[1].endswith("this judge should not decide.")
    assert lines[2] == "m4 0 wins   m18 12 wins   0 ties"
    assert lines[3].startswith("  m18 is preferred to m4: it wins 100.0 %")
    assert (home / "runs" / found["comparisons"][0]["run"] / "verdicts.jsonl").is_file()
    assert found["agreement"] is None
    assert found["comparisons"][0]["better"] == "m18"
    with judging(always_first) as judge:
        one = linnet.json("compare", *runs, "--judge", "j", "--endpoint", judge.url)["comparisons"][0]
    assert (one["ties"], one["always_a"], one["better"]) == (12, 12, "")
    assert "The judge prefers the first place." in one["judged"]
    code, out, err = linnet("compare", *runs, "--judge", "j", "--max-loss", "0.1")
    assert (code, out) == (2, "")
    assert "a win rate has no --max-loss" in err


def test_a_judge_grades_single_answers(linnet: Linnet, home: Path, rows: Path) -> None:
    with judging(lambda _: "hall") as candidate, judging(longer) as judge:
        given = ("evaluate", "m", "--data", str(rows), "--input", "said", "--endpoint", candidate.url,
                 "--metric", "judge", "--judge", "j", "--judge-endpoint", judge.url, "--scale", "1-5")  # fmt: skip
        code, out, err = linnet(*given, "--quiet")
        found = linnet.json(*given, "--rubric", "Short is bad.")
    assert (code, err) == (0, "")
    assert "mean grade 4.00 on the scale 1-5" in out
    assert found["metrics"]["judge"]["value"] == 0.75
    assert found["identities"]["judge"]["judge"]["scale"] == "1-5"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate", "builtin:nano"), "The examples are needed"),
        (("evaluate", "builtin:nano", "--data", "x.jsonl", "--metric", "nope"), "No metric is called"),
        (("evaluate", "builtin:nano", "--data", "absent.jsonl", "--metric", "bleu"), "no such file"),
        (("evaluate", "m", "--endpoint", "http://192.0.2.1/v1", "--data", "R", "--metric", "bleu", "--input", "said",
          "--output", "room"), "is not this machine"),
        (("compare", "one"), "2 to 20"),
        (("compare", "one", "two", "--rubric", "x"), "Who judges"),
        (("evaluate", "m", "--data", "R", "--input", "said", "--metric", "judge"), "needs a model that judges"),
    ],
)  # fmt: skip
def test_what_is_refused(linnet: Linnet, home: Path, rows: Path, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = linnet(*(str(rows) if one == "R" else one for one in arguments))
    assert (code, out) == (2, "")
    assert words in err
