"""What is noted of each request while it is answered, and the thread that writes it down: to the database and the log.

No request ever waits for either: a queue of limited length, and beyond it traces are dropped and counted.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from linnet.core import settings
from linnet.core.errors import LinnetError
from linnet.core.traces import Trace, Traces, stamp
from linnet.engines.requests.generation import GenerateRequest, Generation
from linnet.http.errors import Problem
from linnet.text.pii import find_pii

MAX_TEXT = 8 << 10  # characters that are kept of a text
CUT = " [cut]"
QUEUE, BATCH, BATCH_S = 4096, 512, 0.25
PRUNE_EVERY = 1000  # traces
REQUESTS = logging.getLogger("linnet.requests")


@dataclass(slots=True)
class Draft:
    """What is known so far of a request that runs. Filled in from the event loop and from its own threads."""

    method: str
    route: str
    keep_texts: bool = False
    id: str = field(default_factory=lambda: f"req_{uuid4().hex}")
    came: str = field(default_factory=lambda: stamp(datetime.now(UTC)))
    started: float = field(default_factory=time.monotonic)
    model: str = ""
    key: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    first_token_ms: float | None = None
    finish: str = ""
    code: str = ""
    requests: list[GenerateRequest] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    def failed(self, problem: Problem) -> None:
        self.code = self.code or problem.code or problem.type

    def generated(self, request: GenerateRequest, end: Generation, waited_ms: float) -> None:
        """One answer. `waited_ms` were spent before its engine was asked."""
        if self.keep_texts:
            self.requests.append(request)
            self.answers.append(end.text)
        self.prompt_tokens += end.prompt_tokens
        self.completion_tokens += end.completion_tokens
        self.cached_tokens += end.cached_tokens
        self.finish = end.finish_reason
        if end.timings.first_token_ms is not None and self.first_token_ms is None:
            self.first_token_ms = round(waited_ms + end.timings.first_token_ms, 3)

    @property
    def elapsed_ms(self) -> float:
        return round(1000 * (time.monotonic() - self.started), 3)

    def trace(self, status: int, total_ms: float) -> Trace:
        """The finished trace, without texts."""
        return Trace(
            id=self.id,
            time=self.came,
            route=self.route,
            dialect=_dialect(self.route),
            model=self.model,
            key=self.key,
            status=status,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cached_tokens=self.cached_tokens,
            first_token_ms=self.first_token_ms,
            total_ms=total_ms,
            finish=self.finish,
            code=self.code or ("" if status else "client_gone"),
        )


CURRENT: ContextVar[Draft | None] = ContextVar("draft", default=None)  # of the request that is being answered


def note_problem(problem: Problem) -> None:
    """Say in the trace of the request that is being answered what went wrong."""
    if (draft := CURRENT.get()) is not None:
        draft.failed(problem)


def note_read(model: str, tokens: int) -> None:
    """Say in the trace which model read how many tokens, where nothing is written."""
    if (draft := CURRENT.get()) is not None:
        draft.model, draft.prompt_tokens = model, draft.prompt_tokens + tokens


def _dialect(route: str) -> str:
    if route.startswith("/api/"):
        return "ollama"
    if route.startswith("/v1/messages"):
        return "anthropic"
    return "linnet" if route in ("/v1/classify", "/v1/stop") else "openai"


def masked(text: str) -> str:
    """A text with what looks like personal data replaced by its kind, cut to MAX_TEXT characters."""
    short = text[: MAX_TEXT + 256]  # what the cut would halve is found whole
    parts, at = [], 0
    for span in find_pii(short):
        parts += [short[at : span.start], f"[{span.kind}]"]
        at = span.end
    whole = "".join([*parts, short[at:]])
    return whole if len(text) <= MAX_TEXT and len(whole) <= MAX_TEXT else whole[:MAX_TEXT] + CUT


def _words(request: GenerateRequest) -> str:
    """What a request says; the ids of one that gives tokens."""
    if request.messages is not None:
        return "\n".join(f"{message.role}: {message.content}" for message in request.messages)
    return request.prompt if request.prompt is not None else f"{len(request.token_ids or ())} token ids"


class Recorder:
    """Takes finished drafts from the event loop and writes them from a thread of its own.

    `traces` None writes to no database; with `LINNET_TRACE_ROWS` 0 neither. Settings are read at every batch.
    """

    def __init__(self, traces: Traces | None = None, *, queue: int = QUEUE) -> None:
        self.dropped = 0
        self.written = 0
        self._traces, self._limit = traces, queue
        self._queue: deque[tuple[Draft, int, float]] = deque()
        self._changed = threading.Condition()
        self._closed = self._told = False
        self._since_prune = PRUNE_EVERY  # the first batch prunes too
        self._thread: threading.Thread | None = None

    @property
    def keeps_texts(self) -> bool:
        return self._traces is not None and settings.is_on("LINNET_TRACE_CONTENT")

    def note(self, draft: Draft, status: int) -> None:
        """Take a finished request. Returns at once."""
        finished = (draft, status, draft.elapsed_ms)
        with self._changed:
            if len(self._queue) >= self._limit:
                self.dropped += 1
                return
            self._queue.append(finished)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="linnet-traces", daemon=True)
                self._thread.start()
            if len(self._queue) in (1, BATCH):
                self._changed.notify_all()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._closed and len(self._queue) < BATCH:
                    self._changed.wait(BATCH_S)  # more will come: one transaction for all
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                if not batch and self._closed:
                    return
            self._write([(draft, draft.trace(status, total_ms)) for draft, status, total_ms in batch])

    def _write(self, batch: list[tuple[Draft, Trace]]) -> None:
        for draft, trace in batch:
            _log(draft, trace)
        try:
            rows = int(settings.get_number("LINNET_TRACE_ROWS"))
            if self._traces is None or not rows or not batch:
                return
            self._traces.add([_with_texts(*pair) if pair[0].keep_texts else pair[1] for pair in batch])
            self.written += len(batch)
            self._since_prune += len(batch)
            if self._since_prune >= PRUNE_EVERY:
                self._since_prune = 0
                self._traces.prune(rows, settings.get_number("LINNET_TRACE_DAYS"))
            self._told = False
        except Exception as error:  # traces are never worth a request, whatever is wrong with the disk
            self.dropped += len(batch)
            if not self._told:
                self._told = True
                reason = str(error).replace("\n", " ") if isinstance(error, LinnetError) else type(error).__name__
                logging.getLogger("linnet.http").error("traces cannot be written: %s", reason)


def _with_texts(draft: Draft, trace: Trace) -> Trace:
    said = "\n\n".join(dict.fromkeys(_words(request) for request in draft.requests))
    return trace.model_copy(update={"request": masked(said), "answer": masked("\n\n".join(draft.answers))})


def _log(draft: Draft, trace: Trace) -> None:
    if REQUESTS.isEnabledFor(logging.INFO):
        told = trace.to_json()
        REQUESTS.info("request", extra={"fields": {"method": draft.method, **told, "request": None, "answer": None}})


class JsonLines(logging.Formatter):
    """Log records as JSON, one a line: time, level, logger, message, and the fields of a request."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": stamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "fields", {})
        line |= {
            ("request_time" if name == "time" else name): value for name, value in fields.items() if value is not None
        }
        return json.dumps(line, ensure_ascii=False)
