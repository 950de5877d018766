"""Answer: a decoder's predictions for a set of questions, kept one by one. Greedy, through every slot of the engine.

A model of the store, a GGUF file, or a served endpoint: the same questions, prompts and limits. What fails is said
beside its question; an interrupted run goes on where it stopped. Knows no metric.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from linnet.core.errors import ContextExceeded, EngineError, InputError, NotFound
from linnet.core.events import Event, OnEvent, silent
from linnet.core.failpoints import failpoint
from linnet.core.files import write_bytes
from linnet.core.settings import get_number
from linnet.core.store import Step, Store
from linnet.engines.grammar.copied import without_copied
from linnet.engines.planning.hardware import read_energy_uj
from linnet.engines.requests.asking import (
    SLOTS,
    Decoding,
    Prediction,
    Prompting,
    Source,
    Unwell,
    ask_engine,
    messages_of,
    open_engine,
)
from linnet.metrics.identity import dataset_hash
from linnet.text.questions import Question, raw_prompt, turns_of

PREDICTIONS, ASKED, KEPT = "predictions.jsonl", "questions.jsonl", ".answers.jsonl"
GIVE_UP = 8  # failures of the engine or endpoint itself in a row: it would only go on so
LABEL_BATCH = 32


Ask = Callable[[Question], Prediction]


def answer(
    store: Store,
    source: Source,
    questions: Sequence[Question],
    prompting: Prompting,
    decoding: Decoding,
    on_event: OnEvent = silent,
    *,
    known: Mapping[int, Prediction] | None = None,
) -> Step:
    """Ask every question. The step holds predictions.jsonl, one Prediction a line in the order of the questions, and
    questions.jsonl, these without their rows' further fields.

    An endpoint is asked anew each time, for its model may have changed; answers of a file are reused. Raises
    InputError for no questions, EngineError or ResourceMissing when the engine or endpoint fails again and again:
    what was answered is kept, and the same call goes on.
    """
    if not questions:
        raise InputError("There are no questions to ask.", "Give a file with at least one row.")
    inputs = {
        "model": source.sha256 or [source.endpoint, source.name, time.time_ns()],
        "questions": dataset_hash(one.identity() for one in questions),
        "instruction": prompting.instruction,
        "shots": [one.identity() for one in prompting.shots],
        "decoding": decoding.identity(),
    }

    def work(folder: Path) -> dict[str, Any]:
        kept = {**(known or {}), **_read_kept(folder / KEPT, questions)}
        if kept:
            on_event(Event("note", "answer", f"{len(kept)} of {len(questions)} answers are there already"))
        energy, started = read_energy_uj(), time.monotonic()
        how = (prompting, decoding)
        found = _answer_all(source, questions, how, (folder / KEPT, kept), on_event)
        seconds, after = time.monotonic() - started, read_energy_uj()
        lines = [found[place].model_dump_json() for place in range(len(questions))]
        write_bytes(folder / PREDICTIONS, ("\n".join(lines) + "\n").encode())
        asked_lines = [one.model_dump_json(exclude={"example"}) for one in questions]
        write_bytes(folder / ASKED, ("\n".join(asked_lines) + "\n").encode())
        (folder / KEPT).unlink(missing_ok=True)
        asked = len(questions) - len(kept)
        joules = None if source.endpoint else _joules_per_1000(energy, after, asked)
        return _summary(list(found.values()), asked, seconds) | {"energy_joules_per_1000": joules}

    return store.step("answer", inputs, work, on_event, label=f"{source.name}, {len(questions)} questions")


def check_endpoint(url: str, model: str) -> None:
    """Raise InputError, or HubError in offline mode, where this endpoint may not be asked. Asks nothing."""
    from linnet.hub.chat_endpoint import ChatEndpoint

    ChatEndpoint(url, model).close()


def read_predictions(step: Step) -> list[Prediction]:
    """The answers of a finished step."""
    lines = (step.folder / PREDICTIONS).read_bytes().splitlines()
    return [Prediction.model_validate_json(line) for line in lines]


def read_asked(folder: Path) -> list[Question]:
    """The questions of a finished step's folder. Raises NotFound for a run of an earlier version, which kept none."""
    path = folder / ASKED
    if not path.is_file():
        raise NotFound(f"{folder.name} holds no questions: an earlier version made it.", "Evaluate again.")
    return [Question.model_validate_json(line) for line in path.read_bytes().splitlines()]


def _summary(found: Sequence[Prediction], asked: int, seconds: float) -> dict[str, Any]:
    problems = Counter(one.problem for one in found if one.problem)
    return {
        "questions": len(found),
        "failed": sum(one.text is None for one in found),
        "cut": sum(one.finish == "length" for one in found),
        "problems": dict(problems.most_common(20)),
        "completion_tokens": sum(one.completion_tokens for one in found),
        "seconds": round(seconds, 3),
        "requests_per_second": round(asked / seconds, 3) if asked and seconds > 0 else None,
    }


def _joules_per_1000(before: int | None, after: int | None, asked: int) -> float | None:
    """Of a thousand questions, from the counter in microjoules; None without one, or when it began anew."""
    if before is None or after is None or after < before or not asked:
        return None
    return (after - before) / 1000 / asked


def _answer_all(
    source: Source,
    questions: Sequence[Question],
    how: tuple[Prompting, Decoding],
    before: tuple[Path, dict[int, Prediction]],
    on_event: OnEvent,
) -> dict[int, Prediction]:
    """The answers of an interrupted run, `before`, and all others, each written to its file when it is there."""
    (prompting, decoding), (path, kept) = how, before
    found = dict(kept)
    todo = [place for place in range(len(questions)) if place not in kept]
    with path.open("ab") as handle:

        def keep(place: int, one: Prediction) -> None:
            failpoint("answer.kept")
            found[place] = one
            handle.write(json.dumps([place, one.to_json()]).encode() + b"\n")
            handle.flush()
            on_event(Event("progress", "answer", source.name, done=len(found), total=len(questions)))

        if not todo:
            return found
        if decoding.labels:
            _score_labels(source, [(p, questions[p]) for p in todo], prompting, decoding.labels, keep)
            return found
        opened = _endpoint if source.endpoint else _engine
        with opened(source, questions, prompting, decoding) as (ask, slots):
            ask_all(ask, [(p, questions[p]) for p in todo], slots, keep)
    return found


def _read_kept(path: Path, questions: Sequence[Question]) -> dict[int, Prediction]:
    """The answers of an interrupted run; those that failed are asked again, a line cut by a crash is left out."""
    found: dict[int, Prediction] = {}
    for line in path.read_bytes().split(b"\n")[:-1] if path.is_file() else ():
        try:
            place, told = json.loads(line)
            one = Prediction.model_validate(told)
        except ValueError:
            continue
        if one.text is not None and place < len(questions):
            found[place] = one
    return found


def ask_all(
    ask: Ask, todo: Sequence[tuple[int, Question]], slots: int, keep: Callable[[int, Prediction], None]
) -> None:
    """All at once, as many as there are slots. Raises EngineError after GIVE_UP failures of the engine in a row."""
    failures, queue = 0, iter(todo)
    threads = ThreadPoolExecutor(slots, "linnet-answer")
    running: dict[Future[Prediction], tuple[int, Question]] = {}
    try:
        while True:
            while len(running) < 2 * slots and (item := next(queue, None)) is not None:
                running[threads.submit(ask, item[1])] = item
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                place, question = running.pop(future)
                try:
                    one, failures = future.result(), 0
                except Unwell as error:
                    failures += 1
                    one = Prediction(row=question.row, text=None, problem=str(error)[:300])
                    if failures >= min(GIVE_UP, len(todo)):
                        raise EngineError(
                            f"{failures} questions in a row got no answer. The last: {error}.",
                            "What was answered is kept: mend the cause and run the same command again.",
                        ) from error
                keep(place, one)
    finally:
        # Not waited for: the caller closes the engine or connection, which ends what still runs.
        threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _engine(
    source: Source, questions: Sequence[Question], prompting: Prompting, decoding: Decoding
) -> Iterator[tuple[Ask, int]]:
    engine = open_engine(source, questions, prompting, decoding)
    try:
        engine.start()
        yield lambda question: ask_engine(engine, question, prompting, decoding), engine.slots
    finally:
        engine.close()


@contextmanager
def _endpoint(
    source: Source, questions: Sequence[Question], prompting: Prompting, decoding: Decoding
) -> Iterator[tuple[Ask, int]]:
    from linnet.hub.chat_endpoint import ChatEndpoint, EndpointFailed, Patience

    del questions
    options: dict[str, Any] = {"max_tokens": decoding.max_tokens, "temperature": 0}
    if decoding.stop:
        options["stop"] = list(decoding.stop)
    if decoding.json_schema is not None:
        schema = {"name": "answer", "schema": without_copied(decoding.json_schema), "strict": True}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    patience = Patience(request_s=max(0.1, get_number("LINNET_ENDPOINT_TIMEOUT_S")))
    client = ChatEndpoint(source.endpoint, source.name, patience, slots=SLOTS)

    def ask(question: Question) -> Prediction:
        started = time.monotonic()
        turns = turns_of(question, prompting.instruction, prompting.shots)
        try:
            if decoding.raw:
                said = client.complete(raw_prompt(turns), options)
            else:
                messages_of(turns)
                said = client.chat([{"role": turn.role, "content": turn.content} for turn in turns], options)
        except EndpointFailed as error:
            raise Unwell(error.message) from error
        counts = said.prompt_tokens, said.completion_tokens
        return Prediction.answered(question.row, said.text, said.finish, counts, started)

    try:
        yield ask, SLOTS
    finally:
        client.close()


def _score_labels(
    source: Source,
    todo: Sequence[tuple[int, Question]],
    prompting: Prompting,
    labels: Sequence[str],
    keep: Callable[[int, Prediction], None],
) -> None:
    """The likeliest label of each question, with its probability among the labels."""
    from linnet.engines.scoring.label_scoring import LabelScorer
    from linnet.metrics.likelihood import label_probabilities

    if source.path is None:
        raise InputError("An endpoint gives no probabilities of labels.", "Leave --labels out: it then writes them.")
    with LabelScorer(source.path, labels) as scorer:
        for start in range(0, len(todo), LABEL_BATCH):
            asked: list[tuple[int, Question, list[int]]] = []
            for place, question in todo[start : start + LABEL_BATCH]:
                turns = turns_of(question, prompting.instruction, prompting.shots)
                ids = scorer.prompt_ids(messages_of(turns))
                longest = max(len(one) for one in scorer.labels)
                if len(ids) + longest > scorer.context:
                    problem = ContextExceeded(len(ids), scorer.context).message
                    keep(place, Prediction(row=question.row, text=None, problem=problem))
                else:
                    asked.append((place, question, ids))
            if not asked:
                continue
            started = time.monotonic()
            shares = label_probabilities(scorer.scores([ids for _, _, ids in asked]))
            each = round((time.monotonic() - started) / len(asked), 5)
            for (place, question, ids), row in zip(asked, shares, strict=True):
                best = int(row.argmax())
                keep(place, _label(question, labels[best], float(row[best]), len(ids), each))


def _label(question: Question, label: str, probability: float, tokens: int, seconds: float) -> Prediction:
    return Prediction(
        row=question.row, text=label, finish="label", prompt_tokens=tokens, seconds=seconds,
        probability=round(probability, 6),
    )  # fmt: skip
