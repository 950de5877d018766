"""Run a GGUF decoder: llama.cpp in a worker process, behind the Decoder protocol.

Prompts are tokenised, counted and checked here before the engine sees them; a worker that dies is started again.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.core.errors import ContextExceeded, EngineError, InputError, ResourceMissing
from linnet.engines.grammar.schema_limits import check_grammar, check_schema
from linnet.engines.llama.gpu_plan import with_gpu
from linnet.engines.llama.llama_body import call_grammar, completion_body, message_json
from linnet.engines.llama.llama_client import STALL_S, EngineClient, EngineGone, EngineStalled, EventStream
from linnet.engines.llama.llama_prompt import chat_ids, control_tokens, fill_in_ids, plain_ids, refuse_control_tokens
from linnet.engines.llama.llama_run import Run
from linnet.engines.llama.load_plan import LoadOptions, LoadPlan, plan_load, worker_options
from linnet.engines.native.choice import WHEEL, choose_engine, engine_name
from linnet.engines.requests.generation import (
    Cancel,
    FieldError,
    Finish,
    GenerateRequest,
    Generation,
    Message,
    Piece,
    check_text,
)
from linnet.engines.requests.stop_texts import StopTexts
from linnet.engines.requests.tool_format import ToolFormat, ToolParser, require_format, tool_format, with_calls
from linnet.engines.requests.tools import Tool
from linnet.engines.worker.process import Worker, WorkerSpec
from linnet.engines.worker.worker_keeper import WorkerKeeper
from linnet.formats.chat_template import check_template
from linnet.formats.gguf import read_gguf
from linnet.formats.gguf_adapter import check_adapter
from linnet.formats.model_check import check_model, check_text_model, require_template

if TYPE_CHECKING:
    from linnet.engines.base import Array

HUGE = 128 << 10  # characters
_FINISH: dict[str, Finish] = {"eos": "stop", "word": "stop", "limit": "length", "none": "length"}


def open_llama(
    path: Path, options: LoadOptions | None = None, *, label: str = "", free_bytes: int | None = None
) -> LlamaEngine:
    """Check the files, plan the memory, and give an engine that loads at first use (or at `start`).

    Native code never sees a file that was not checked. Raises ModelFileError, which names the field, NotFound,
    ResourceMissing when it does not fit into `free_bytes` (None: what the machine has), and what `choose_engine` does.
    """
    options = options or LoadOptions()
    report = check_text_model(path)
    if options.template:
        found = check_template(options.template)
        if not found.ok:
            raise InputError(found.refusal, "Give another template, or 'builtin:chatml'.")
    else:
        require_template(report, label or path.name)
    for _, adapter in options.adapters:
        check_model(adapter)
        check_adapter(adapter, path)
    if options.draft_model is not None:
        check_text_model(options.draft_model)
    options, reasons = with_gpu(path, options)
    if not options.engine:
        chosen = choose_engine(gpu=bool(options.gpu_layers))
        options = replace(options, engine=chosen.engine)
        reasons = (*reasons, f"engine {chosen.kind}: {chosen.why}")
    plan = plan_load(path, options, label=label, free_bytes=free_bytes)
    return LlamaEngine(replace(plan, reasons=(*plan.reasons, *reasons)))


def with_fitting_slots(slots: int, opened: Callable[[int], LlamaEngine]) -> LlamaEngine:
    """What `opened` gives with as many slots as fit: half of them as long as memory is missing for more.

    Raises ResourceMissing when one slot is too much, and what `opened` raises.
    """
    while True:
        try:
            return opened(slots)
        except ResourceMissing:
            if slots == 1:
                raise
            slots //= 2


class LlamaEngine:
    """A decoder in a process of its own; see engines.base.Decoder. Safe to use from many threads.

    `plan` says what it may take; `command` and `stall_s` are for tests.
    """

    def __init__(self, plan: LoadPlan, *, command: tuple[str, ...] = (), stall_s: float = STALL_S) -> None:
        self.plan = plan
        header = read_gguf(plan.path)
        self._control = control_tokens(header)
        template = plan.options.template or self._control.template
        self.has_template = bool(template)
        self.tool_format = tool_format(template)
        self._vocabulary = len(header.strings("tokenizer.ggml.tokens"))
        self.adapters = {name: number for number, (name, _) in enumerate(plan.options.adapters)}
        self._stall_s = stall_s
        self._slots = threading.BoundedSemaphore(plan.options.slots)
        self._busy = 0
        self._count = threading.Lock()
        self.keeper = WorkerKeeper(
            WorkerSpec(
                label=plan.label,
                model=plan.path.absolute(),
                options=worker_options(plan),
                engine=plan.options.engine or WHEEL,
                weights_bytes=plan.weights_bytes,
                address_space_bytes=plan.address_space_bytes,
                command=command,
            )
        )

    @property
    def context(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        return self.plan.context_limit

    @property
    def slots(self) -> int:
        """How many requests run at once; further ones wait."""
        return self.plan.options.slots

    @property
    def busy_slots(self) -> int:
        return self._busy

    @property
    def planned_bytes(self) -> int:
        return self.plan.total_bytes + self.plan.growth_bytes

    @property
    def build(self) -> str:
        """The engine: the wheel and its version once loaded, a native build by its id, or the path of a binary."""
        engine, worker = self.plan.options.engine or WHEEL, self.keeper.running
        return engine_name(engine) if engine != WHEEL else worker.facts.build if worker else WHEEL

    @property
    def failed(self) -> bool:
        """Whether it crashed too often: `keeper.reset` or a new engine is needed."""
        return self.keeper.breaker.is_open

    @property
    def measured_bytes(self) -> int:
        """Memory the worker holds by its last heartbeat; 0 when none runs."""
        worker = self.keeper.running
        return worker.facts.rss_bytes if worker else 0

    def start(self) -> None:
        """Load now. Raises EngineError or ResourceMissing."""
        self.keeper.worker()

    def close(self) -> None:
        self.keeper.close()

    def _client(self) -> tuple[Worker, EngineClient]:
        worker = self.keeper.worker()
        return worker, EngineClient(worker.socket, worker.key, self._stall_s)

    def _call(self, route: str, body: dict[str, Any]) -> Any:
        worker, client = self._client()
        with _explained(worker):
            return client.call(route, body)

    def _text(self, route: str, body: dict[str, Any], field: str) -> str:
        answer = self._call(route, body)
        if not isinstance(answer, dict) or not isinstance(text := answer.get(field), str):
            raise EngineError(f"The engine's answer to {route} has no {field}.")
        return text

    def tokenize(self, text: str, *, add_special: bool = False, control_tokens: bool = False) -> list[int]:
        """Token ids of a text; with `control_tokens` their texts become the tokens themselves. Raises InputError."""
        check_text("text", text)
        body = {"content": text, "add_special": add_special, "parse_special": control_tokens}
        answer = self._call("/tokenize", body)
        ids = answer.get("tokens") if isinstance(answer, dict) else None
        if not isinstance(ids, list) or not all(type(one) is int for one in ids):
            raise EngineError("The engine gave no token ids.")
        return ids

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids, control tokens as their own texts."""
        return self._text("/detokenize", {"tokens": [int(one) for one in ids]}, "content")

    def apply_template(
        self, messages: Sequence[Message], *, thinking: bool | None = None, tools: Sequence[Tool] = ()
    ) -> str:
        """The chat as the model's template writes it, with the answer's beginning.

        Raises InputError when the model has no template, one without a place for tools that are given, or one that
        refuses these messages.
        """
        if not self.has_template:
            raise InputError(
                f"{self.plan.label} has no chat template: it is a base model.",
                "Give it a raw prompt, or load it with a template, for example 'builtin:chatml'.",
            )
        require_format(self.tool_format, messages, tools, self.plan.label)
        turns = self.tool_format.turns(messages) if self.tool_format else messages
        body: dict[str, Any] = {"messages": [message_json(turn) for turn in turns]}
        if tools:
            # None may be chosen, so that the engine builds no grammar from schemas that nobody has weighed.
            body |= {"tools": [tool.to_json() for tool in tools], "tool_choice": "none"}
        if thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": thinking}
        return self._text("/apply-template", body, "prompt")

    def prompt_ids(self, request: GenerateRequest) -> list[int]:
        """The request's prompt as token ids. Control tokens in messages, and in a raw prompt, stay plain text."""

        def tokenize(text: str, add_special: bool, control: bool) -> list[int]:
            return self.tokenize(text, add_special=add_special, control_tokens=control)

        if request.token_ids is not None:
            return list(request.token_ids)
        self._refuse_if_huge("".join(m.content for m in request.messages or ()) or request.prompt or "")
        if request.prompt is not None and request.suffix is not None:
            self._refuse_if_huge(request.suffix)
            return fill_in_ids(request.prompt, request.suffix, self._control, tokenize)
        if request.prompt is not None:
            if request.control_tokens or self._control.is_plain(request.prompt):
                return tokenize(request.prompt, True, True)
            return plain_ids(request.prompt, self._control, tokenize)
        messages = request.messages or ()
        refuse_control_tokens(messages, request.tools, self._control)

        def render(chat: Sequence[Message]) -> str:
            return self.apply_template(chat, thinking=request.thinking, tools=request.tools)

        return chat_ids(messages, self._control, render, tokenize)

    def _refuse_if_huge(self, text: str) -> None:
        """Count a very long text in parts: whole, the tokenizer would take hundreds of times its size.

        Raises ContextExceeded with what the parts counted so far have at least.
        """
        count = 0
        for at in range(0, len(text) if len(text) > HUGE else 0, HUGE):
            count += max(0, len(self.tokenize(text[at : at + HUGE])) - 2)  # a cut may make a token or two more
            if count > self.context:
                raise ContextExceeded(count, self.context, at_least=True)

    def embed(self, texts: Sequence[str | Sequence[int]]) -> Array:
        """Unit vectors of texts or of token ids, shape (texts, width). Raises EngineError unless loaded with
        `embedding`, InputError for an id that the model has not, ContextExceeded."""
        if not self.plan.options.embedding:
            raise EngineError(f"{self.plan.label} was not loaded for embeddings.", "Load it with embedding=True.")
        import numpy as np

        ids = [self.prompt_ids(_asked(text)) for text in texts]
        for row in ids:
            if wrong := next((token for token in row if token >= self._vocabulary), None):
                said = f"the token {wrong} is none of this model: they are 0 to {self._vocabulary - 1}."
                raise InputError(said)
            if len(row) > self.context:
                raise ContextExceeded(len(row), self.context)
        # One call a text: the deadline of a call is for one text, not for a library of them.
        vectors = np.asarray([self._vector(row) for row in ids], dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)

    def _vector(self, ids: Sequence[int]) -> list[float]:
        try:
            row = self._call("/embedding", {"content": [list(ids)]})[0]["embedding"]
            return [float(value) for value in (row[0] if isinstance(row[0], list) else row)]
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise EngineError("The engine's answer to /embedding holds no vector.") from error

    def generate(self, request: GenerateRequest, cancel: Cancel | None = None) -> Iterator[Piece | Generation]:
        """Pieces of the answer, then one Generation. Closing the iterator, or `cancel`, frees the slot.

        The request is checked and its prompt counted before this returns: raises InputError, ContextExceeded,
        ResourceMissing, EngineError. Iterating raises EngineError when the worker dies.
        """
        if request.json_schema is not None:
            check_schema(request.json_schema)
        if request.grammar is not None:
            check_grammar(request.grammar)
        for token, _ in request.logit_bias:
            if token >= self._vocabulary:
                said = f"logit_bias names the token {token}: this model's are 0 to {self._vocabulary - 1}."
                raise FieldError("logit_bias", said)
        cancel = cancel or Cancel()
        started = time.monotonic()
        ids = self.prompt_ids(request)
        room = self.context - len(ids)
        if room < 1:
            raise ContextExceeded(len(ids), self.context)
        seed = secrets.randbelow((1 << 32) - 1) if request.sampling.seed is None else request.sampling.seed
        body = completion_body(request, ids, room, seed, self.adapters)
        stops = request.stop
        if request.tools:
            found = self._format_for(request)
            stops += (found.end,) if found.end and not request.parallel_calls else ()
            body |= call_grammar(request, found)
        run = Run(len(ids), seed, started, request.top_logprobs, StopTexts(stops), body["n_predict"])
        events = self._run(body, run, cancel)
        if not request.tools:
            return events
        return with_calls(events, ToolParser(found, request.tools, parallel=request.parallel_calls))

    def _format_for(self, request: GenerateRequest) -> ToolFormat:
        require_format(self.tool_format, request.messages or (), request.tools, self.plan.label)
        assert self.tool_format is not None  # noqa: S101 checked by the line above
        return self.tool_format

    def _run(self, body: dict[str, Any], run: Run, cancel: Cancel) -> Iterator[Piece | Generation]:
        if not self._take_slot(cancel):
            yield run.end("cancelled")
            return
        try:
            run.got_slot = time.monotonic()
            worker, client = self._client()
            stream = client.stream("/completion", body)
            cancel.on_cancel(stream.cancel)
            with _explained(worker):
                yield from self._pieces(stream, run)
        finally:
            cancel.forget()
            with self._count:
                self._busy -= 1
            self._slots.release()

    def _pieces(self, stream: EventStream, run: Run) -> Iterator[Piece | Generation]:
        with contextlib.closing(stream.events()) as events:
            for event in events:
                if event.get("stop") is True:
                    if (rest := run.rest()) is not None:
                        yield rest
                    yield run.end(_FINISH.get(str(event.get("stop_type")), "stop"), event)
                    return
                if (piece := run.piece(event)) is not None:
                    yield piece
                if run.stops.found:
                    yield run.end("stop")
                    return
        if not stream.cancelled:
            raise EngineGone("The engine's answer broke off.")
        yield run.end("cancelled")

    def _take_slot(self, cancel: Cancel) -> bool:
        """Wait for a free slot; False when cancelled first. The engine's own queue would have no limit and no end."""
        while not cancel.cancelled:
            if self._slots.acquire(timeout=0.05):
                with self._count:
                    self._busy += 1
                return True
        return False


def _asked(text: str | Sequence[int]) -> GenerateRequest:
    return GenerateRequest(prompt=text) if isinstance(text, str) else GenerateRequest(token_ids=tuple(text))


@contextlib.contextmanager
def _explained(worker: Worker) -> Iterator[None]:
    """Say why a connection broke: a dead worker's reason, or kill one that hangs."""
    try:
        yield
    except EngineStalled as error:
        worker.kill("hung")
        raise worker_error(worker, error) from error
    except EngineGone as error:
        raise worker_error(worker, error) from error


def worker_error(worker: Worker, error: EngineError) -> Exception:
    return worker.error("failed while it answered") if worker.ended.wait(1.0) else error
