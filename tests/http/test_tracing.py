"""A trace for each request: what it holds, what it never holds, and what happens when it cannot be written."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from linnet.core.keys import Keys
from linnet.core.store import Store
from linnet.core.traces import Trace, Traces
from linnet.engines.requests.generation import GenerateRequest, Generation, Timings
from linnet.http.access import Access
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from linnet.http.generations import Generations
from linnet.http.tracing import CUT, MAX_TEXT, REQUESTS, Draft, JsonLines, Recorder, masked
from linnet.stages.serve import Specialists
from tests.http.conftest import Client
from tests.http.decoders import STORY, faulty
from tests.http.test_metrics import numbers

SECRET = "the text that must not be repeated"


@pytest.fixture
def traces(tmp_path: Any) -> Traces:
    return Traces(Store(tmp_path / "home"))


@pytest.fixture
def recorder(traces: Traces) -> Iterator[Recorder]:
    made = Recorder(traces)
    yield made
    made.close()


@pytest.fixture
def traced(
    specialists: Specialists, decoders: Decoders, generations: Generations, recorder: Recorder, writer: Client
) -> Client:
    app = create_app(specialists, decoders=decoders, generations=generations, recorder=recorder)
    return Client(app, writer.runner)


def found(recorder: Recorder, traces: Traces) -> list[Trace]:
    """Everything that was noted, written and read again."""
    recorder.close()
    return traces.find()


def test_a_trace_is_what_the_answer_says(traced: Client, recorder: Recorder, traces: Traces) -> None:
    body = {"model": "stories", "prompt": STORY, "max_tokens": 5, "temperature": 0}
    first = traced.post("/v1/completions", json=body)
    usage = first.json()["usage"]
    traced.post("/api/generate", json={"model": "stories", "prompt": STORY, "options": {"num_predict": 3}})
    traced.post(
        "/v1/messages", json={"model": "chatty", "max_tokens": 2, "messages": [{"role": "user", "content": "a"}]}
    )
    traced.classify()
    traced.post("/v1/embeddings", json={"model": "stories", "input": "dog"})
    traced.get("/v1/models")
    one, two, three, four, five = found(recorder, traces)
    assert one.id == first.headers["x-request-id"]
    assert (one.route, one.dialect, one.model, one.status) == ("/v1/completions", "openai", "stories:latest", 200)
    assert (one.prompt_tokens, one.completion_tokens) == (usage["prompt_tokens"], 5)
    assert (one.finish, one.code, one.key) == ("length", "", "")
    assert one.first_token_ms is not None
    assert 0 < one.first_token_ms <= one.total_ms
    assert (two.dialect, two.completion_tokens) == ("ollama", 3)
    assert (three.dialect, three.model, three.completion_tokens) == ("anthropic", "chatty:latest", 2)
    assert (four.dialect, four.model, four.prompt_tokens > 0) == ("linnet", "support:1", True)
    assert (five.route, five.model, five.prompt_tokens > 0) == ("/v1/embeddings", "stories:latest", True)
    assert one.time <= two.time <= three.time
    told = numbers(traced)
    assert (told["linnet_traces_written_total"], told["linnet_traces_dropped_total"]) == (5, 0)
    assert told["linnet_specialists_queue_depth"] == told["linnet_specialists_running"] == 0


def test_refusals_and_faults_have_their_codes(
    traced: Client, recorder: Recorder, traces: Traces, specialists: Specialists
) -> None:
    body = {"model": "stories", "prompt": STORY, "max_tokens": 5}
    traced.post("/v1/completions", json={**body, "model": SECRET})
    traced.post("/v1/completions", json={**body, "prompt": "dog " * 600})
    traced.post_bytes("/v1/completions", b"{bad")
    traced.post("/v1/completions", content=b"{}", headers={"content-type": "text/plain"})
    traced.post("/v1/completions", json={**body, "stream": "x"})
    traced.post(f"/{SECRET}", json={})
    broken = faulty(specialists.store, "cut-off")
    client = Client(create_app(specialists, decoders=broken, recorder=recorder), traced.runner)
    client.post("/v1/completions", json={**body, "stream": True})
    broken.close()
    *refused, cut = found(recorder, traces)
    assert [(trace.status, trace.code) for trace in refused] == [
        (400, "invalid_request_error"),
        (400, "context_length_exceeded"),
        (400, "invalid_request_error"),
        (415, "invalid_request_error"),
        (400, "invalid_request_error"),
    ]
    assert (cut.status, cut.code, cut.failed) == (200, "engine_crashed", True)
    assert not any(trace.failed for trace in refused)
    assert SECRET not in "".join(trace.model_dump_json() for trace in (*refused, cut))


def test_the_key_is_named_and_not_shown(
    specialists: Specialists, recorder: Recorder, traces: Traces, runner: Any
) -> None:
    keys = Keys(traces._database._store)
    made, text = keys.create("ci", rights=["classify"])
    client = Client(create_app(specialists, recorder=recorder, access=Access(keys, required=True)), runner)
    body = {"model": "support", "input": "refund"}
    for headers in ({"x-api-key": text}, {}):
        client.post("/v1/classify", json=body, headers=headers)
    client.post("/v1/embeddings", json=body, headers={"x-api-key": text})
    known, unknown, refused = found(recorder, traces)
    assert (known.key, known.status) == (made.id, 200)
    assert (unknown.key, unknown.status, unknown.code) == ("", 401, "invalid_api_key")
    assert (refused.status, refused.code) == (403, "permission_error")
    assert text[13:] not in "".join(trace.model_dump_json() for trace in (known, unknown, refused))


def test_no_text_is_kept_unless_asked_for(
    traced: Client, recorder: Recorder, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [{"role": "user", "content": "Write to jane.doe@example.com, it is about dogs"}]
    body = {"model": "chatty", "messages": messages, "max_tokens": 3, "temperature": 0}
    traced.post("/v1/chat/completions", json=body)
    monkeypatch.setenv("LINNET_TRACE_CONTENT", "1")
    answer = traced.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
    without, kept = found(recorder, traces)
    assert (without.request, without.answer) == ("", "")
    assert kept.request == "user: Write to [email], it is about dogs"
    assert kept.answer == answer
    assert b"jane.doe" not in b"".join(path.read_bytes() for path in traces._database.path.parent.glob("linnet.db*"))


def test_texts_are_masked_and_cut() -> None:
    assert masked("a" * (MAX_TEXT + 5)) == "a" * MAX_TEXT + CUT
    assert masked("4111 1111 1111 1111, call +44 20 7946 0958") == "[credit_card], call [phone]"
    halved = "x " * (MAX_TEXT // 2 - 4) + "jane.doe@example.com"
    assert "jane" not in masked(halved)


def draft(number: int = 0) -> tuple[Draft, int]:
    return Draft("POST", "/v1/completions", model=f"m{number}:latest"), 200


def test_a_full_queue_drops_and_counts(recorder: Recorder, traces: Traces) -> None:
    small = Recorder(traces, queue=3)
    with small._changed:  # the writer cannot take any
        for number in range(10):
            small.note(*draft(number))
    small.close()
    assert (small.written, small.dropped) == (3, 7)
    assert [trace.model for trace in traces.find()] == ["m0:latest", "m1:latest", "m2:latest"]


def test_a_database_that_cannot_be_written_costs_no_request(traced: Client, recorder: Recorder, traces: Traces) -> None:
    traces._database.path.mkdir(parents=True)
    assert traced.classify().status_code == 200
    recorder.close()
    assert (recorder.written, recorder.dropped) == (0, 1)


def test_the_oldest_go_first(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_TRACE_ROWS", "4")
    old = Trace(id="old", time="2020-01-01T00:00:00.000Z", route="/x", dialect="openai", status=200, total_ms=1)
    traces.add([old] * 3)
    recorder = Recorder(traces)
    for number in range(9):
        recorder.note(*draft(number))
    recorder.close()
    assert [trace.model for trace in traces.find()] == [f"m{number}:latest" for number in range(5, 9)]
    assert traces.prune(100, days=30) == 0
    traces.add([old])
    assert traces.prune(100, days=30) == 1
    monkeypatch.setenv("LINNET_TRACE_ROWS", "0")
    none = Recorder(traces)
    none.note(*draft())
    none.close()
    assert len(traces.find()) == 4


def test_a_log_line_is_json_without_texts(caplog: pytest.LogCaptureFixture, traces: Traces) -> None:
    caplog.set_level(logging.INFO, logger=REQUESTS.name)
    recorder = Recorder(traces)
    made, status = draft()
    made.keep_texts = True
    request = GenerateRequest(prompt=SECRET)
    made.generated(request, Generation(SECRET, "stop", 3, 0, 2, 1, Timings(0, 1.5, 2)), 1.0)
    recorder.note(made, status)
    recorder.close()
    (record,) = [record for record in caplog.records if record.name == REQUESTS.name]
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["route"], line["status"], line["completion_tokens"]) == (
        "request",
        made.route,
        200,
        2,
    )
    assert line["first_token_ms"] == 2.5
    assert SECRET not in JsonLines().format(record)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z", line["time"])


WRITES = """
import sys
from pathlib import Path
from linnet.core.keys import Keys
from linnet.core.store import Store
from linnet.core.traces import Traces
from linnet.http.tracing import Draft, Recorder
recorder = Recorder(Traces(Store(Path(sys.argv[1]))))
number = 0
while True:
    recorder.note(Draft("POST", "/v1/completions", model=f"m{number}"), 200)
    number += 1
    if number % 500 == 0:
        print(recorder.written, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 6])
def test_kill_leaves_a_sound_database(tmp_path: Any, lines: int) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen([sys.executable, "-c", WRITES, str(home)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    written = 0
    for _ in range(lines):
        written = int(process.stdout.readline())
    while not written:
        written = int(process.stdout.readline())
    process.kill()
    process.communicate()
    with sqlite3.connect(home / "linnet.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = Traces(Store(home)).find(limit=10**6)
    assert len(rows) >= written
    numbers = [int(row.model[1:]) for row in rows]
    assert numbers == sorted(numbers)
    assert Traces(Store(home)).prune(1, 0) == len(rows) - 1
