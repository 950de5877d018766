"""A reference behind an endpoint: asked like a candidate, judged like one, and never in the way of a build."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from linnet.cli.build import build as command
from linnet.core.errors import InputError, TaskError
from linnet.core.events import Event
from linnet.core.store import Store
from linnet.core.task import ReportPart, Task, parse_task, with_reference
from linnet.engines.requests.asking import Decoding, Prediction, Prompting
from linnet.pipeline.build import build_until
from linnet.pipeline.evaluate import Wish, judge_predictions
from linnet.pipeline.text_reference import ask_reference
from linnet.stages.evaluate import task_evaluation
from linnet.text.conversations import Turn
from linnet.text.questions import Question
from tests.endpoints import listening, refused, reply, said

HOW = ((Prompting(), Decoding(max_tokens=8)), Wish(("exact_match",), "test"))
Reply = Callable[[str, int], tuple[int, str]]  # the question and how often it was asked; status and text


@pytest.fixture
def serve() -> Iterator[Callable[[Reply], str]]:
    held = threading.Event()
    with ExitStack() as servers:

        def start(choose: Reply) -> str:
            times: dict[str, int] = {}

            def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
                asked = body["messages"][-1]["content"]
                times[asked] = times.get(asked, 0) + 1
                status, text = choose(asked, times[asked])
                if text == "(hangs)":
                    held.wait(60)
                    return
                reply(handler, status, said(text) if status == 200 else refused(text))

            return f"{servers.enter_context(listening(answer))}/v1"

        yield start
        held.set()


def questions(*texts: str) -> list[Question]:
    return [
        Question(row=row, turns=(Turn(role="user", content=text),), references=(text.upper(),))
        for row, text in enumerate(texts, 1)
    ]


def test_it_is_judged_under_the_identity_of_a_candidate(serve: Callable[[Reply], str], tmp_path: Path) -> None:
    url = serve(lambda asked, _: (200, asked.upper() if asked != "c" else "no"))
    store, asked = Store(tmp_path), questions("a", "b", "c")
    found = ask_reference(store, ReportPart(reference="gpt-x", endpoint=url), asked, HOW)
    assert found is not None
    assert found.evaluated is not None
    assert found.answers == ("A", "B", "no")
    assert found.evaluated.evaluation.metric("exact_match").value == pytest.approx(2 / 3)
    own = [Prediction(row=one.row, text="A") for one in asked]
    candidate = task_evaluation(judge_predictions(store, ("lora", "run"), own, asked, HOW))
    assert found.evaluated.evaluation.identities == candidate.identities
    assert "never to be chosen" in found.why()


def test_a_rate_limit_is_waited_out_and_a_hang_costs_its_own_example(
    serve: Callable[[Reply], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINNET_ENDPOINT_TIMEOUT_S", "2")

    def reply(asked: str, times: int) -> tuple[int, str]:
        if asked == "slow":
            return 200, "(hangs)"
        return (429, "too many") if asked == "busy" and times == 1 else (200, asked.upper())

    part = ReportPart(reference="gpt-x", endpoint=serve(reply))
    found = ask_reference(Store(tmp_path), part, questions("slow", "busy", "a"), HOW)
    assert found is not None
    assert found.answers == (None, "BUSY", "A")
    told = found.told()
    assert (told["asked"], told["failed"], told["error"]) == (3, 1, "")
    assert "did not answer within 2 s" in next(iter(told["problems"]))
    assert "1 of 3 got no answer and count as wrong" in found.why()


def test_one_that_refuses_everything_has_no_score_and_says_why(serve: Callable[[Reply], str], tmp_path: Path) -> None:
    seen: list[Event] = []
    part = ReportPart(reference="gpt-x", endpoint=serve(lambda *_: (400, "no such model")))
    found = ask_reference(Store(tmp_path), part, questions(*map(str, range(30))), HOW, seen.append)
    assert found is not None
    assert found.evaluated is None
    assert "no such model" in found.error
    assert any(event.kind == "warning" and "gpt-x has no score" in event.message for event in seen)


def test_nothing_is_asked_where_none_is_named(tmp_path: Path) -> None:
    assert ask_reference(Store(tmp_path), ReportPart(), questions("a"), HOW) is None


def task(folder: Path, **report: str) -> Task:
    content = {
        "task": {"name": "t", "kind": "generate", "input": "a", "output": "b"},
        "data": {"train": "train.jsonl"},
        **({"report": report} if report else {}),
    }
    return parse_task(content, folder)


def test_model_and_endpoint_belong_together(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="reference and endpoint belong together"):
        task(tmp_path, reference="gpt-x")
    plain = task(tmp_path)
    assert plain.report.settings() == {}
    with pytest.raises(TaskError, match="belong together"):
        with_reference(plain, "", "http://127.0.0.1:1/v1")
    named = with_reference(plain, "gpt-x", "http://127.0.0.1:1/v1")
    assert named.report.settings() == {"report": {"reference": "gpt-x", "endpoint": "http://127.0.0.1:1/v1"}}
    assert with_reference(named, "gpt-y", "").report.reference == "gpt-y"


@pytest.mark.parametrize("url", ["http://example.org/v1", "ftp://127.0.0.1/v1"])
def test_an_endpoint_that_may_not_be_asked_stops_the_build_before_any_work(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError):
        build_until(task(tmp_path, reference="gpt-x", endpoint=url), "", Store(tmp_path / "store"))
    assert not (tmp_path / "store" / "runs").exists()


def test_the_command_refuses_half_a_reference(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(
        '[task]\nname="t"\nkind="generate"\ninput="a"\noutput="b"\n[data]\ntrain="train.jsonl"\n'
    )
    with pytest.raises(TaskError, match="belong together"):
        command(tmp_path, "", reference="gpt-x", endpoint="", dry_run=False, as_json=True, quiet=True)
