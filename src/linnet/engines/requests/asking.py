"""Questions to a loaded decoder and its answers, one by one: greedy, held to a schema where there is one.

What a question is to blame for becomes its problem; what the engine is to blame for is `Unwell`. Knows no store.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import ContextExceeded, InputError, LinnetError
from linnet.core.files import sha256_bytes
from linnet.core.records import Record
from linnet.core.settings import get_number
from linnet.engines.grammar.schema_limits import BOUNDS, check_schema, is_bounded
from linnet.engines.llama.engine import LlamaEngine, open_llama, with_fitting_slots
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation, Message
from linnet.text.conversations import Turn
from linnet.text.questions import Question, raw_prompt, turns_of

SLOTS = 8
SPARE_TOKENS = 320  # of a template around the texts
CUT = "the answer was cut at its longest"


class Decoding(Record):
    """How answers are made, besides the prompt. `labels` are scored instead of written; `raw` needs no template."""

    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | bool | None = None
    labels: tuple[str, ...] = ()
    raw: bool = False

    def identity(self) -> dict[str, Any]:
        """What must be equal before two evaluations may be compared."""
        if self.labels:
            return {"method": "label scoring", "labels": list(self.labels)}
        # Not sorted: the order of the properties decides the order in which they are written.
        schema = None if self.json_schema is None else sha256_bytes(json.dumps(self.json_schema).encode())
        told = {"method": "greedy", "temperature": 0, "max_tokens": self.max_tokens, "stop": list(self.stop)}
        return {**told, "json_schema": schema, "raw": self.raw}


@dataclass(frozen=True, slots=True)
class Prompting:
    """What stands around a question: the instruction, and examples with their answers."""

    instruction: str = ""
    shots: Sequence[Question] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Who answers: a GGUF file with the hash of its bytes, or an endpoint with the model it is asked for."""

    name: str
    path: Path | None = None
    sha256: str = ""
    endpoint: str = ""


class Prediction(Record):
    """One answer. `text` is None where there is none, and `problem` says why; seconds from the request to its end."""

    row: int
    text: str | None
    problem: str = ""
    finish: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    probability: float | None = None

    @classmethod
    def answered(cls, row: int, text: str, finish: str, counts: tuple[int, int], started: float) -> Prediction:
        """An answer that came. `counts`: tokens of prompt and answer; `started`: of the monotonic clock."""
        return cls(
            row=row,
            text=text,
            problem=CUT if finish == "length" else "",
            finish=finish,
            prompt_tokens=counts[0],
            completion_tokens=counts[1],
            seconds=round(time.monotonic() - started, 4),
        )


class Unwell(Exception):
    """The engine or endpoint failed, and not this question. The message says how."""


def messages_of(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """Turns as an engine takes them. Raises InputError for calls of tools: they are not evaluated yet."""
    if any(turn.tool_calls or turn.role == "tool" for turn in turns):
        raise InputError("Questions with calls of tools are not evaluated by this version.", "Take those rows out.")
    return tuple(Message(turn.role, turn.content) for turn in turns)


def open_engine(
    source: Source, questions: Sequence[Question], prompting: Prompting, decoding: Decoding, slots: int = SLOTS
) -> LlamaEngine:
    """The engine of a file with as many slots as fit, each with room for the longest question.

    Raises InputError for a model without a chat template unless `raw`, ResourceMissing when one slot is too much.
    """
    if source.path is None:
        raise InputError(f"{source.name} is no file.")
    around = sum(len(t.content.encode()) for t in turns_of(questions[0], prompting.instruction, prompting.shots))
    longest = max(len(one.asked.encode()) for one in questions)
    need = around + longest + decoding.max_tokens + SPARE_TOKENS
    wished = int(get_number("LINNET_CONTEXT"))
    path = source.path

    def opened(slots: int) -> LlamaEngine:
        options = LoadOptions(slots=min(slots, len(questions)), context=0)
        engine = open_llama(path, options, label=source.name)
        limit = min(engine.context, wished, need)
        if limit == engine.context:
            return engine
        engine.close()  # a token is at least a byte: more than this is never needed
        return open_llama(path, LoadOptions(slots=options.slots, context=limit), label=source.name)

    engine = with_fitting_slots(slots, opened)
    if not engine.has_template and not decoding.raw:
        engine.close()
        raise InputError(
            f"{source.name} has no chat template: it is a base model, which continues a text.",
            "Use --raw: then it is asked without one.",
        )
    return engine


def request_of(question: Question, prompting: Prompting, decoding: Decoding) -> GenerateRequest:
    """The request of one question."""
    turns = turns_of(question, prompting.instruction, prompting.shots)
    told: dict[str, Any] = {"prompt": raw_prompt(turns)} if decoding.raw else {"messages": messages_of(turns)}
    return GenerateRequest(
        **told,
        sampling=GREEDY,
        max_tokens=decoding.max_tokens,
        stop=decoding.stop,
        json_schema=decoding.json_schema,
    )


def ask_engine(engine: LlamaEngine, question: Question, prompting: Prompting, decoding: Decoding) -> Prediction:
    """One answer; what this question is to blame for is its problem. Raises Unwell for failures of the engine."""
    started, last = time.monotonic(), None
    try:
        for event in engine.generate(request_of(question, prompting, decoding)):
            if isinstance(event, Generation):
                last = event
    except ContextExceeded as error:
        return Prediction(row=question.row, text=None, problem=error.message)
    except InputError:
        raise  # the schema, the template: it is the same for all
    except LinnetError as error:
        raise Unwell(error.message) from error
    if last is None:
        raise Unwell("the engine ended without an answer")
    counts = last.prompt_tokens, last.completion_tokens
    return Prediction.answered(question.row, last.text, last.finish_reason, counts, started)


def enforceable(schema: Any) -> tuple[Any, list[str]]:
    """The schema that answers can be held to while they are written, and which of its keywords were left out.

    Bounds of numbers that are no whole numbers, and multiples of a number, cannot be enforced: they are for the check
    afterwards. Raises InputError for anything else that cannot be.
    """
    dropped: list[str] = []
    found = _without_bounds(schema, "#", dropped)
    check_schema(found)
    return found, dropped


def _without_bounds(schema: Any, path: str, dropped: list[str]) -> Any:
    if isinstance(schema, list):
        return [_without_bounds(part, f"{path}/{place}", dropped) for place, part in enumerate(schema)]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, part in schema.items():
        # A property may have such a name: then its value is a schema, no number.
        if isinstance(part, int | float) and _is_left(key, schema):
            dropped.append(f"{path}/{key}")
        elif key in ("enum", "const", "default", "examples", "required"):
            kept[key] = part
        else:
            kept[key] = _without_bounds(part, f"{path}/{key}", dropped)
    return kept


def _is_left(key: str, schema: dict[str, Any]) -> bool:
    return not is_bounded(schema, key) if key in BOUNDS else key == "multipleOf" and schema.get("type") != "integer"
