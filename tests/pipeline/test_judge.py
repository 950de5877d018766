"""Grades of single answers: shares of a scale, nonsense beside its example, one identity with the judge in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import DataError, InputError, NotFound
from linnet.core.store import Store
from linnet.pipeline.compare import compare
from linnet.pipeline.evaluate import Evaluated, EvaluateOptions, evaluate
from linnet.pipeline.judge import RUBRIC, JudgeOptions, open_judge
from linnet.stages.evaluate import judgement
from linnet.text.questions import Asking
from tests.engines.made_llama import STORIES, needs_stories
from tests.pipeline.judges import Asked, Habit, judging, longer, nonsense, sometimes_nonsense

COUNT = 20


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"q": f"Thing {i}?"}) + "\n" for i in range(COUNT)))
    return path


def candidate(shown: dict[str, str]) -> str:
    """An answer of one to five letters."""
    number = int("".join(filter(str.isdigit, shown[""])))
    return "x" * (number % 5 + 1)


@contextmanager
def both(habit: Habit) -> Iterator[tuple[Asked, Asked]]:
    with judging(habit) as judge, judging(candidate) as asked:
        yield judge, asked


def graded(store: Store, rows: Path, at: tuple[Asked, Asked], name: str = "m", **more: str) -> Evaluated:
    judge = JudgeOptions(**{"model": "j", "endpoint": at[0].url, **more})
    options = EvaluateOptions(asking=Asking("q"), endpoint=at[1].url, judge=judge)
    return evaluate(name, rows, options, store=store)


def test_grades_are_shares_of_the_scale(rows: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with both(longer) as at:
        made = graded(store, rows, at, rubric="Long is good.")
    found = judgement(made.step, "judge")
    assert found.values == [0, 0.25, 0.5, 0.75, 1] * 4
    assert made.evaluation.primary == "judge"
    assert made.evaluation.metric("judge").value == pytest.approx(0.5)
    assert made.evaluation.metric("judge").low < 0.5 < made.evaluation.metric("judge").high
    system, user = (turn["content"] for turn in at[0].bodies[0]["messages"])
    assert "Long is good." in system
    assert "from 1, the worst, to 5, the best" in system
    assert "<answer>" in user
    assert "<reference>" not in user
    assert at[0].bodies[0]["response_format"]["json_schema"]["schema"]["properties"]["grade"]["enum"] == [1, 2, 3, 4, 5]


def test_nonsense_is_counted_and_the_run_goes_on(rows: Path, tmp_path: Path) -> None:
    with both(sometimes_nonsense) as at:
        made = graded(Store(tmp_path / "s"), rows, at).evaluation
    assert (made.examples, made.counted) == (COUNT, COUNT - 2)
    assert made.problems == {"the judge's verdict could not be read: not counted": 2}
    with (
        both(nonsense) as at,
        pytest.raises(DataError, match=r"(?s)No example could be judged by judge.*could not be read"),
    ):
        graded(Store(tmp_path / "s"), rows, at)


def test_a_missing_answer_has_the_lowest_grade(rows: Path, tmp_path: Path) -> None:
    def refuses(shown: dict[str, str]) -> Any:
        return None if shown[""] == "Thing 4?" else candidate(shown)

    store = Store(tmp_path / "s")
    with judging(longer) as judge, judging(refuses) as asked:
        made = graded(store, rows, (judge, asked))
    assert len(judge.bodies) == COUNT - 1
    found = judgement(made.step)
    assert (found.values[4], found.problems[4]) == (0.0, "there is no prediction: counted as 0")
    assert made.evaluation.failed == 1


def test_the_judge_is_part_of_the_identity(rows: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with both(longer) as at:
        first = graded(store, rows, at).step.run.id
        same = graded(store, rows, at, "other").step.run.id
        (found,) = compare([first, same], store=store)
        assert found.difference.value == 0
        for more, words in (
            ({"scale": "1-7"}, "the judge's scale differs: 1-5 and 1-7"),
            ({"rubric": "Be strict."}, "the judge's rubric differs"),
            ({"model": "k"}, "the judge's model differs: j at http.* and k at http"),
        ):
            with pytest.raises(InputError, match=words):
                compare([first, graded(store, rows, at, "third", **more).step.run.id], store=store)


def test_people_and_the_judge(rows: Path, tmp_path: Path) -> None:
    store, path = Store(tmp_path / "s"), tmp_path / "human.csv"
    own = tmp_path / "own.jsonl"
    own.write_text(
        "".join(json.dumps({"question": "Q?", "answer": "x" * (i + 1), "grade": 5 - i}) + "\n" for i in range(5))
    )
    with both(longer) as at:
        path.write_text("row,grade\n400,1\n")
        with pytest.raises(DataError, match="none of the 20 examples"):
            graded(store, rows, at, human=str(path))
        path.write_text("row,grade\n" + "".join(f"{i + 1},{i % 5 + 1}\n" for i in range(10)))
        made = graded(store, rows, at, human=str(path))
        agreed = made.agreement
        against = graded(store, rows, at, human=str(own)).agreement
        asked = len(at[1].bodies)
        path.write_text("row,grade\n1,9\n")
        with pytest.raises(DataError, match="line 2: the grade 9 is not on the scale 1-5"):
            graded(store, rows, at, human=str(path))
        assert len(at[1].bodies) == asked  # told before anything was asked
    assert agreed is not None
    assert against is not None
    assert (agreed.verdicts, agreed.kappa, agreed.weights, agreed.decides) == (10, 1.0, "quadratic", True)
    assert json.loads((made.step.folder / "agreement.json").read_text()) == agreed.to_json()
    assert against.kappa == pytest.approx(-1)
    assert "should not decide" in against.sentence


@needs_stories
def test_a_real_model_grades_under_grammar(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")
    store = Store(tmp_path / "s")
    judge, notes = JudgeOptions(model=str(STORIES), rubric="Grade it.", scale="0-3"), []
    options = EvaluateOptions(asking=Asking("q", limit=6), max_tokens=4, raw=True, judge=judge)
    made = evaluate(str(STORIES), rows, options, store=store, on_event=lambda event: notes.append(event.message))
    assert any("judges itself" in note for note in notes)
    assert made.evaluation.counted == 6
    assert not [text for text in made.evaluation.problems if "judge" in text]
    assert set(judgement(made.step).values) <= {0, 1 / 3, 2 / 3, 1}


def test_rubrics_are_texts_or_files(tmp_path: Path) -> None:
    store, path = Store(tmp_path / "s"), tmp_path / "rubric.md"

    def rubric(text: str) -> str:
        return open_judge(store, JudgeOptions(model="j", endpoint="http://127.0.0.1:9", rubric=text)).rubric

    path.write_text("\ufeffBe kind.\n")
    assert (rubric(str(path)), rubric("Be {brief}."), rubric("")) == ("Be kind.", "Be {brief}.", RUBRIC)
    path.write_text(" \n")
    with pytest.raises(DataError, match="the rubric is empty"):
        rubric(str(path))
    path.write_bytes(b"\xff")
    with pytest.raises(DataError, match="not valid UTF-8"):
        rubric(str(path))
    with pytest.raises(NotFound):
        rubric(str(tmp_path / "absent.txt"))
    with pytest.raises(InputError, match="at most 20000"):
        rubric("x" * 20_001)


@pytest.mark.parametrize(
    ("metrics", "judge", "words"),
    [
        (("judge",), None, "needs a model that judges"),
        ((), JudgeOptions(model=""), "Who judges"),
        ((), JudgeOptions(model="j", scale="5"), "is no scale"),
        (("perplexity",), JudgeOptions(model="j"), "Likelihoods are measured"),
    ],
)
def test_what_has_no_meaning_is_refused(
    rows: Path, tmp_path: Path, metrics: tuple[str, ...], judge: JudgeOptions | None, words: str
) -> None:
    options = EvaluateOptions(metrics=metrics, asking=Asking("q"), judge=judge, endpoint="http://127.0.0.1:9")
    with pytest.raises(InputError, match=words):
        evaluate("m", rows, options, store=Store(tmp_path / "s"))
