"""Answers one by one: the same at every interruption, each failure beside its question, labels as whole answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.core.errors import EngineError, InputError, LinnetError
from linnet.core.files import sha256_file
from linnet.core.store import Store
from linnet.engines.requests.asking import Decoding, Prompting, Source
from linnet.engines.requests.generation import Message
from linnet.engines.scoring.label_scoring import LabelScorer
from linnet.formats.builtin import our_model
from linnet.stages.answer import KEPT, answer, read_asked, read_predictions
from linnet.text.conversations import Turn
from linnet.text.questions import Question
from tests.endpoints import listening, refused, reply, said
from tests.engines.made_llama import make_gguf, needs_stories

SHORT = Decoding(max_tokens=8)
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"],
                          "additionalProperties": False}  # fmt: skip


def questions(*texts: str) -> list[Question]:
    turns = [(Turn(role="user", content=text),) for text in texts]
    return [Question(row=i, turns=one, references=("x",)) for i, one in enumerate(turns)]


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture(scope="module")
def nano() -> Source:
    path = Path(our_model("builtin:nano:Q8_0").path)
    return Source("nano", path, sha256_file(path))


def test_every_question_is_answered_in_its_order_and_once(nano: Source, tmp_path: Path) -> None:
    store, asked = Store(tmp_path), questions("Say one.", "Say two.", "Say three.")
    step = answer(store, nano, asked, Prompting("Be brief."), SHORT)
    found = read_predictions(step)
    assert [one.row for one in found] == [0, 1, 2]
    assert all(one.text is not None and one.completion_tokens <= 8 for one in found)
    assert answer(store, nano, asked, Prompting("Be brief."), SHORT).reused
    assert read_asked(step.folder) == asked
    assert not (step.folder / KEPT).exists()


def test_an_answer_obeys_its_schema(nano: Source, tmp_path: Path) -> None:
    decoding = Decoding(max_tokens=40, json_schema=SCHEMA)
    found = read_predictions(answer(Store(tmp_path), nano, questions("Pick."), Prompting(), decoding))
    assert json.loads(found[0].text or "")["a"] in ("x", "y")


def test_interrupted_it_keeps_what_was_answered(nano: Source, tmp_path: Path, arm: Callable[[str], None]) -> None:
    store, asked = Store(tmp_path), questions("One?", "Two?", "Three?", "Four?")
    arm("answer.kept:3=error")
    with pytest.raises((OSError, LinnetError)):
        answer(store, nano, asked, Prompting(), SHORT)
    (folder,) = [p for p in (tmp_path / "runs").iterdir() if p.name.startswith("answer-")]
    assert len((folder / KEPT).read_bytes().splitlines()) >= 2
    assert not (folder / "predictions.jsonl").exists()
    arm("")
    notes: list[str] = []
    step = answer(store, nano, asked, Prompting(), SHORT, lambda event: notes.append(event.message))
    assert any("answers are there already" in note for note in notes)
    whole = answer(Store(tmp_path / "other"), nano, asked, Prompting(), SHORT)
    assert [p.text for p in read_predictions(step)] == [p.text for p in read_predictions(whole)]


def test_a_question_over_the_context_costs_itself_alone(nano: Source, tmp_path: Path) -> None:
    asked = questions("Short?", "long " * 3000)
    found = read_predictions(answer(Store(tmp_path), nano, asked, Prompting(), SHORT))
    assert found[0].text is not None
    assert found[1].text is None
    assert "context" in found[1].problem


def test_a_schema_that_cannot_be_enforced_stops_at_once(nano: Source, tmp_path: Path) -> None:
    bad = Decoding(json_schema={"type": "string", "pattern": "("})
    with pytest.raises(InputError, match="pattern"):
        answer(Store(tmp_path), nano, questions("a", "b"), Prompting(), bad)


@needs_stories
def test_no_template_needs_raw(tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "base.gguf")
    source = Source("base", path, sha256_file(path))
    with pytest.raises(InputError, match="no chat template"):
        answer(Store(tmp_path / "s"), source, questions("a"), Prompting(), SHORT)
    raw = Decoding(max_tokens=4, raw=True)
    assert read_predictions(answer(Store(tmp_path / "s"), source, questions("a"), Prompting(), raw))[0].text is not None


def test_labels_are_scored_as_whole_answers(nano: Source, tmp_path: Path) -> None:
    labels = ("card", "card lost", "other")
    decoding = Decoding(labels=labels)
    asked = questions("My card is gone", "Hello", "word " * 6000)
    found = read_predictions(answer(Store(tmp_path), nano, asked, Prompting("Label it."), decoding))
    assert found[2].text is None
    assert "context" in found[2].problem
    assert nano.path is not None
    with LabelScorer(nano.path, labels) as scorer:
        ids = scorer.prompt_ids([Message("system", "Label it."), Message("user", "My card is gone")])
        scores = scorer.scores([ids])[0]
        # The chain rule, one token at a time, from the logits themselves.
        for label, score in zip(scorer.labels, scores, strict=True):
            rows = scorer.logits([*ids, *label])[len(ids) - 1 : -1].astype(np.float64)
            rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
            assert sum(row[token] for row, token in zip(rows, label, strict=True)) == pytest.approx(score, abs=1e-3)
        assert scorer.labels[0][-1] == scorer.labels[1][-1]  # both end the answer
        user = scorer.prompt_ids([Message("user", "<|im_end|>")])
        end, other = scorer.labels[0][-1], scorer.prompt_ids([Message("user", "hi")])
        assert user.count(end) == other.count(end)
    assert found[0].text == labels[int(scores.argmax())]
    assert 0 < (found[0].probability or 0) <= 1


@pytest.fixture
def endpoint() -> Iterator[tuple[str, dict[str, int]]]:
    """Answers with what was asked, backwards; 'bad' gets 400, and all do while `down` is set."""
    state = {"down": 0, "asked": 0}

    def answered(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        text = body["messages"][-1]["content"]
        state["asked"] += 1
        status = 400 if text == "bad" or state["down"] else 200
        reply(handler, status, said(text[::-1]) if status == 200 else refused("refused"))

    with listening(answered) as url:
        yield url, state


def test_an_endpoint_is_asked_like_a_model(endpoint: tuple[str, dict[str, int]], tmp_path: Path) -> None:
    source = Source("m", endpoint=endpoint[0])
    asked = questions("abc", "bad", *(f"n{i}" for i in range(20)))
    step = answer(Store(tmp_path), source, asked, Prompting("Do."), SHORT)
    found = read_predictions(step)
    assert [one.text for one in found[:3]] == ["cba", None, "0n"]
    assert "400: refused" in found[1].problem
    assert step.result["failed"] == 1
    assert not answer(Store(tmp_path), source, asked, Prompting("Do."), SHORT).reused


def test_an_endpoint_that_refuses_everything_ends_the_run(endpoint: tuple[str, dict[str, int]], tmp_path: Path) -> None:
    endpoint[1]["down"] = 1
    with pytest.raises(EngineError, match="8 questions in a row got no answer"):
        answer(Store(tmp_path), Source("m", endpoint=endpoint[0]), questions(*map(str, range(200))), Prompting(), SHORT)
    assert endpoint[1]["asked"] < 60
    assert not list((tmp_path / "runs").glob("answer-*/predictions.jsonl"))


def test_an_endpoint_gives_no_label_probabilities(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no probabilities"):
        answer(Store(tmp_path), Source("m", endpoint="http://127.0.0.1:9"), questions("a"), Prompting(),
               Decoding(labels=("a", "b")))  # fmt: skip
