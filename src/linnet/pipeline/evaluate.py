"""Evaluate a decoder: read the questions, ask it, judge the answers. One ruler for a model and for an endpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from linnet.core.errors import CorruptFile, DataError, InputError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import read_json
from linnet.core.names import is_name
from linnet.core.records import Asked, TaskEvaluation
from linnet.core.store import Step, Store
from linnet.engines.requests.asking import Decoding, Prediction, Prompting, Source, enforceable
from linnet.metrics.agreement import Agreement
from linnet.metrics.grading import Graded
from linnet.metrics.identity import prompt_hash
from linnet.metrics.judging import LABEL_METRICS, LIKELIHOOD_METRICS, NAMES, check_metric
from linnet.pipeline.gguf import as_source
from linnet.pipeline.judge import Judge, JudgeOptions, exchanges, grade, open_judge, warn_of_itself
from linnet.pipeline.judge_human import grade_agreement, read_human
from linnet.pipeline.likelihood import likelihood
from linnet.stages.answer import answer, read_predictions
from linnet.stages.evaluate import Answers, Ruler, evaluate_answers, task_evaluation
from linnet.text.conversations import Turn
from linnet.text.questions import Asking, Question, choose_shots, read_questions

SCHEMA_METRICS = ("field_f1", "exact_match", "schema_valid")
MAX_SCHEMA_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """How to evaluate. `metrics`: the first one decides; without any, a schema means those of extraction.

    `shots` rows of `shots_from` are shown with their answers before each question. `labels` are scored as whole
    answers; for accuracy and macro_f1 they are those of the data by default. `endpoint` is asked for the model instead
    of loading it here. `judge` is the model that the metric judge is given by.
    """

    metrics: tuple[str, ...] = ()
    asking: Asking = field(default_factory=Asking)
    instruction: str = ""
    schema: str = ""
    shots: int = 0
    shots_from: str = ""
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    raw: bool = False
    labels: tuple[str, ...] = ()
    endpoint: str = ""
    seed: int = 0
    judge: JudgeOptions | None = None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation with the run that holds it, the one that holds its answers where there are any, and how far a
    judge agrees with people where they were asked."""

    step: Step
    evaluation: TaskEvaluation
    answered: Step | None = None
    agreement: Agreement | None = None

    def summary(self) -> dict[str, Any]:
        """The one line of `--json`."""
        speed = self.answered.result["requests_per_second"] if self.answered else None
        told = {"agreement": self.agreement.to_json()} if self.agreement else {}
        return {**self.evaluation.to_json(), "run": self.step.run.id, "requests_per_second": speed, **told}


def evaluate(
    model: str,
    data: str | Path,
    options: EvaluateOptions | None = None,
    *,
    store: Store | None = None,
    on_event: OnEvent = silent,
) -> Evaluated:
    """Ask a decoder every question of a file and judge its answers; or measure how well it predicts texts.

    Raises InputError for an unknown metric or a combination that has no meaning, DataError, NotFound, EngineError,
    ResourceMissing. Answers that were given before an error are kept.
    """
    store, options = store or Store(), options or EvaluateOptions()
    asked = None if options.endpoint else _asked(store, model)
    if asked is not None:
        options = _as_built(options, asked)
    metrics, path = _metrics(options, asked), Path(data).expanduser()
    if any(metric in LIKELIHOOD_METRICS for metric in metrics):
        if not set(metrics) <= set(LIKELIHOOD_METRICS) or options.endpoint:
            raise InputError("Likelihoods are measured on texts, by a model that is loaded here, and alone.")
        step = likelihood(store, as_source(store, model, on_event)[0], path, metrics, on_event)
        return Evaluated(step, task_evaluation(step))
    judge, questions = _judge(store, options, on_event), read_questions(path, options.asking)
    shots = _shots(questions, options) or _own_shots(asked)
    schema = read_schema(Path(options.schema)) if options.schema else asked.schema_object() if asked else None
    held, dropped = (None, []) if schema is None else enforceable(schema)
    if dropped:
        on_event(Event("warning", "answer", f"not enforced while writing, but checked: {', '.join(dropped)}"[:300]))
    decoding = Decoding(
        max_tokens=options.max_tokens, stop=options.stop, raw=options.raw, json_schema=held,
        labels=_labels(questions, metrics, options),
    )  # fmt: skip
    prompting = Prompting(options.instruction, tuple(shots))
    source = Source(model, endpoint=options.endpoint) if options.endpoint else as_source(store, model, on_event)[0]
    wish = Wish(metrics, path.stem, options.seed, judge=judge)
    return ask_and_judge(store, source, questions, (prompting, decoding), wish, on_event)


def _metrics(options: EvaluateOptions, asked: Asked | None) -> tuple[str, ...]:
    metrics = options.metrics or (SCHEMA_METRICS if options.schema or (asked and asked.answer_schema) else ())
    for metric in metrics:
        check_metric(metric)
    if options.judge and "judge" not in metrics:
        metrics = (*metrics, "judge")
    if "judge" in metrics and options.judge is None:
        raise InputError("The metric judge needs a model that judges.", "Name it with --judge MODEL.")
    if not metrics:
        raise InputError("Which metric? None was named.", f"Known: {', '.join(NAMES)}, or FILE.py. Say --metric NAME.")
    return metrics


def _judge(store: Store, options: EvaluateOptions, on_event: OnEvent) -> Judge | None:
    """The judge, and a first look at people's grades: before anything is asked."""
    if options.judge is None:
        return None
    judge = open_judge(store, options.judge, on_event)
    if judge.human:
        read_human(Path(judge.human).expanduser(), judge.scale)
    return judge


def _asked(store: Store, name: str) -> Asked | None:
    """How a specialist that writes text is asked; None for every other name."""
    bare = name.partition(":")[0]
    return store.find(name)[0].asked if is_name(bare) and store.versions(bare) else None


def _as_built(options: EvaluateOptions, asked: Asked) -> EvaluateOptions:
    """What is not said is as the specialist was built."""
    asking = replace(options.asking, input=options.asking.input or asked.input)
    more: dict[str, Any] = {"instruction": options.instruction or asked.instruction, "max_tokens": options.max_tokens}
    if options.max_tokens == EvaluateOptions().max_tokens:
        more["max_tokens"] = asked.max_tokens
    return replace(options, asking=asking, **more)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is measured, on which split, the seed of resampling, the schema that answers are checked against, and who
    gives the grades of the metric judge."""

    metrics: tuple[str, ...]
    split: str
    seed: int = 0
    schema: Any = None  # the whole one, where not all of it can be enforced
    judge: Judge | None = None
    grades: Graded | None = None
    agreement: Agreement | None = None


def ask_and_judge(
    store: Store,
    source: Source,
    questions: Sequence[Question],
    how: tuple[Prompting, Decoding],
    wish: Wish,
    on_event: OnEvent = silent,
) -> Evaluated:
    """Answers, then their judgement; both kept."""
    prompting, decoding = how
    answered = answer(store, source, questions, prompting, decoding, on_event)
    found: list[Prediction] = read_predictions(answered)
    if (failed := answered.result["failed"]) and not answered.reused:
        on_event(Event("warning", "answer", f"{failed} of {len(found)} questions got no answer; they count as wrong"))
    agreed = None
    if wish.judge is not None:
        warn_of_itself(wish.judge, source.name, source.sha256, on_event)
        asked = exchanges(questions, prompting.instruction, [one.text for one in found])
        graded = grade(store, wish.judge, asked, on_event)
        agreed = grade_agreement(store, wish.judge, (graded, asked), on_event) if wish.judge.human else None
        wish = replace(wish, grades=graded, agreement=agreed)
    step = judge_predictions(store, (source.name, answered.run.id), found, questions, (how, wish), on_event)
    return Evaluated(step, task_evaluation(step), answered, agreed)


def judge_predictions(
    store: Store,
    who: tuple[str, str],
    found: Sequence[Prediction],
    questions: Sequence[Question],
    how: tuple[tuple[Prompting, Decoding], Wish],
    on_event: OnEvent = silent,
) -> Step:
    """The step that judges these answers. `who` is the candidate's name and the run that holds the answers."""
    (prompting, decoding), wish = how
    ruler = Ruler(
        metrics=wish.metrics,
        split=wish.split,
        prompt=hash_of_prompt(prompting, decoding),
        decoding=decoding.identity(),
        schema=wish.schema if wish.schema is not None else decoding.json_schema,
        labels=decoding.labels,
        seed=wish.seed,
        grades=wish.grades,
        agreement=wish.agreement,
    )
    answers = Answers(who[1], [one.text for one in found], [one.problem for one in found])
    return evaluate_answers(store, who[0], answers, questions, ruler, on_event)


def hash_of_prompt(prompting: Prompting, decoding: Decoding) -> str:
    """What stands around a question. A model's own chat template is part of the model."""
    form = "raw text" if decoding.raw else "chat"
    return prompt_hash(form, prompting.instruction.strip(), [one.identity() for one in prompting.shots])


def _shots(questions: Sequence[Question], options: EvaluateOptions) -> list[Question]:
    if bool(options.shots) != bool(options.shots_from):
        raise InputError("--shots and --shots-from belong together: how many rows, and of which file.", "Give both.")
    if not options.shots:
        return []
    asking = Asking(options.asking.input, options.asking.output, options.asking.format)
    rows = read_questions(Path(options.shots_from).expanduser(), asking)
    return choose_shots(rows, options.shots, options.seed, questions)


def _own_shots(asked: Asked | None) -> list[Question]:
    """The examples that a specialist was built with, as one question: all their turns, then the last answer."""
    if asked is None or not asked.shots:
        return []
    *turns, (_, last) = asked.shots
    told = tuple(Turn.model_validate({"role": role, "content": text}) for role, text in turns)
    return [Question(row=0, turns=told, references=(last,))]


def _labels(questions: Sequence[Question], metrics: Sequence[str], options: EvaluateOptions) -> tuple[str, ...]:
    if options.endpoint or options.raw or not (options.labels or set(metrics) & set(LABEL_METRICS)):
        return ()
    known = options.labels or tuple(sorted({one.references[0].strip() for one in questions if one.references}))
    if len(set(known)) < 2 or len(set(known)) != len(known):
        raise InputError("Labels must be at least two different ones.", "Name them with --labels A,B,C.")
    return known


def read_schema(path: Path) -> Any:
    """The JSON schema in a file. Raises NotFound, DataError for what is no JSON object."""
    try:
        found = read_json(path.expanduser())
    except CorruptFile as error:
        raise DataError(f"{path}: {error.message}", "A schema is a JSON object.") from error
    if not isinstance(found, dict) or len(json.dumps(found)) > MAX_SCHEMA_BYTES:
        raise DataError(f"{path}: a schema is a JSON object of at most {MAX_SCHEMA_BYTES >> 20} MiB.")
    return found
