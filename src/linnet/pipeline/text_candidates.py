"""The candidates of a task that writes text: each base by each method by each type, and the baselines beside them.

Every one is asked the same questions in the same words; only the model, or what is shown before a question, differs.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from linnet.core.errors import GateFailed, InputError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.records import FileEntry, Footprint, Interval, Model, TaskEvaluation
from linnet.core.runs import find_run
from linnet.core.store import Step, Store
from linnet.core.task import METRICS, Task
from linnet.engines.base import GGUF
from linnet.engines.planning.hardware import machine
from linnet.engines.requests.asking import Decoding, Prediction, Prompting, Source, enforceable
from linnet.engines.scoring.measure_decoder import measure_decoder
from linnet.metrics.identity import dataset_hash
from linnet.metrics.judging import HUNDREDS
from linnet.pipeline.candidates_plan import Way
from linnet.pipeline.evaluate import Evaluated, Wish, hash_of_prompt, judge_predictions
from linnet.pipeline.gguf import as_source, converted, own_precision
from linnet.pipeline.text_data import read_split, task_schema
from linnet.pipeline.tune import run_tuning
from linnet.stages.answer import answer, read_predictions
from linnet.stages.choose import Contender
from linnet.stages.evaluate import Answers, Ruler, evaluate_answers, task_evaluation
from linnet.stages.merge import merge
from linnet.text.questions import Question, choose_shots

SHOTS = 3
JUDGED = ("validation", "test")
MOST_TOKENS, FEWEST_TOKENS = 1024, 32
EXTRACT_ALSO = ("schema_valid",)


@dataclass(frozen=True, slots=True)
class Tuned:
    """A trained base: what it was, how, the run, and the merged model once there."""

    name: str
    base: Model
    method: str
    step: Step
    merged: Step | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A candidate or baseline with its answers on a split. `source` is None where no model answers, `base` what a
    candidate was made of, or is."""

    name: str
    source: Source | None
    evaluated: dict[str, Evaluated]
    answers: dict[str, list[str | None]] = field(default_factory=dict)
    quantization: str = ""
    tuned: Tuned | None = None
    footprint: Footprint | None = None
    gates: tuple[dict[str, Any], ...] = ()
    prompting: Prompting = field(default_factory=Prompting)
    broken: str = ""
    base: Model | None = None
    method: str = ""

    def metric(self, split: str, name: str) -> Interval:
        return self.evaluated[split].evaluation.metric(name)

    def contender(self) -> Contender:
        """As `choose` sees it."""
        assert self.footprint is not None  # noqa: S101 candidates are measured
        return Contender(self.name, scaled(self.evaluated["validation"].evaluation), self.footprint, self.broken)


def scaled(found: TaskEvaluation) -> TaskEvaluation:
    """With every metric from 0 to 1, as floor and max_loss are."""
    shares = {
        name: Interval(value=one.value / 100, low=one.low / 100, high=one.high / 100) if name in HUNDREDS else one
        for name, one in found.metrics.items()
    }
    return found.model_copy(update={"metrics": shares})


@dataclass(frozen=True, slots=True)
class Work:
    """What every step of one build needs."""

    store: Store
    task: Task
    prepared: Step
    on_event: OnEvent = silent

    @property
    def metrics(self) -> tuple[str, ...]:
        """The one that decides, then those that are told beside it."""
        first = self.task.quality.metric
        also: tuple[str, ...] = ("exact_match", *EXTRACT_ALSO) if self.task.task.answer_schema else ()
        also = METRICS["tag"] if self.task.task.kind == "tag" else also
        return tuple(dict.fromkeys((first, *also)))

    def questions(self, split: str) -> list[Question]:
        return read_split(self.prepared, split)

    def decoding(self) -> Decoding:
        """Greedy, under the schema, with room for the longest answer of the training rows, a byte a token."""
        longest = max(len(one.references[0].encode()) for one in self.questions("train"))
        limit = min(MOST_TOKENS, max(FEWEST_TOKENS, longest + FEWEST_TOKENS))
        schema = self.schema()
        return Decoding(max_tokens=limit, json_schema=None if schema is None else enforceable(schema)[0])

    def schema(self) -> Any:
        """The whole schema, that answers are checked against."""
        return task_schema(self.task)


def tune_all(work: Work, ways: Sequence[Way]) -> list[Tuned]:
    """Every way that trains, trained."""
    made = []
    for way in ways:
        if way.job is not None:
            step = run_tuning(work.store, way.base, way.job, work.on_event).step
            made.append(Tuned(way.label, way.base, way.method, step))
    return made


def merge_all(work: Work, tuned: Sequence[Tuned]) -> list[Tuned]:
    """Each one as a whole model and its GGUF, proven."""
    return [
        replace(one, merged=merge(work.store, one.base, find_run(work.store, one.step.run.id, "tune"), work.on_event))
        for one in tuned
    ]


@dataclass(frozen=True, slots=True)
class Whole:
    """What a way made, or the base that it asks, as one GGUF of its own type `kind`, with the gates it passed."""

    way: Way
    source: Source
    kind: str
    gates: tuple[dict[str, Any], ...] = ()
    tuned: Tuned | None = None


def whole_models(work: Work, ways: Sequence[Way], merged: Sequence[Tuned]) -> list[Whole]:
    """The model of every way, before its types are made."""
    trained = {one.name: one for one in merged}
    return [_whole(work, way, trained.get(way.label)) for way in ways]


def _whole(work: Work, way: Way, tuned: Tuned | None) -> Whole:
    if way.base.format == "gguf":
        return Whole(way, as_source(work.store, way.name, work.on_event)[0], way.kinds[0])
    if tuned is None:
        path = Path(way.base.path)
        kind = own_precision(path)
        step = converted(work.store, path, way.base.files, kind, work.on_event)
        return Whole(way, Source(way.candidate(kind), step.folder / GGUF, step.sha256(GGUF)), kind)
    assert tuned.merged is not None  # noqa: S101 of `merge_all`
    kind, gates = own_precision(tuned.merged.folder / "model"), tuple(tuned.merged.result["gates"])
    source = Source(way.candidate(kind), tuned.merged.folder / GGUF, tuned.merged.sha256(GGUF))
    return Whole(way, source, kind, gates, tuned)


def as_made(work: Work, whole: Whole) -> Made:
    """The model of a way as it is asked in its own type, with examples before the question if its method says so."""
    way, name = whole.way, whole.way.candidate(whole.kind)
    prompting = Prompting(shots=tuple(shots_of(work))) if way.method == "few_shot" else Prompting()
    return Made(
        name, replace(whole.source, name=name), {}, quantization=whole.kind, tuned=whole.tuned, gates=whole.gates,
        prompting=prompting, base=way.base, method=way.method,
    )  # fmt: skip


def convert_all(work: Work, wholes: Sequence[Whole]) -> tuple[list[Made], dict[str, str]]:
    """Every type that is left of every way; and the types whose gate failed, with what it said."""
    made, failed = [], {}
    for whole in wholes:
        for kind in whole.way.kinds:
            try:
                made.append(_typed(work, whole, kind))
            except GateFailed as error:
                name = whole.way.candidate(kind)
                failed[name] = f"gate failed: {error.message}"
                work.on_event(Event("warning", "convert", f"{name}: {error.message}"))
    if not made:
        raise GateFailed(
            f"No type passed its gate. {'; '.join(failed.values())}", "Try other [candidates] quantizations."
        )
    return made, failed


def _typed(work: Work, whole: Whole, kind: str) -> Made:
    made = as_made(work, whole)
    if kind == whole.kind:
        return made
    assert whole.source.path is not None  # noqa: S101 it is a file
    files = {GGUF: FileEntry(sha256=whole.source.sha256, size_bytes=whole.source.path.stat().st_size)}
    step = converted(work.store, whole.source.path, files, kind, work.on_event)
    source = Source(whole.way.candidate(kind), step.folder / GGUF, step.sha256(GGUF))
    gates = (*whole.gates, _gate(kind, whole.kind, step))
    return replace(made, name=source.name, source=source, quantization=kind, gates=gates)


def _gate(kind: str, own: str, step: Step) -> dict[str, Any]:
    divergence = step.result["gate"]["divergence"] or {}
    told = f"mean KL divergence {divergence['mean']:.4f}" if "mean" in divergence else step.result["gate"]["note"]
    return {"name": f"GGUF {own} = {kind}", "bound": "predicts as its source", "measured": told, "passed": True}


def judged(work: Work, made: Made, known: Mapping[int, Prediction] | None = None) -> Made:
    """With its answers on both splits, asked in one go and judged apart. `known` are answers to validation questions,
    by their places."""
    assert made.source is not None  # noqa: S101 a model answers
    questions = {split: work.questions(split) for split in JUDGED}
    every = [one for split in JUDGED for one in questions[split]]
    how = (made.prompting, work.decoding())
    answered = answer(work.store, replace(made.source, name=made.name), every, *how, work.on_event, known=known)
    found, evaluated, answers = read_predictions(answered), {}, {}
    for split in JUDGED:
        part, found = found[: len(questions[split])], found[len(questions[split]) :]
        wish = Wish(work.metrics, split, work.task.data.seed, work.schema())
        who = (made.name, answered.run.id)
        step = judge_predictions(work.store, who, part, questions[split], (how, wish), work.on_event)
        evaluated[split] = Evaluated(step, task_evaluation(step), answered)
        answers[split] = [one.text for one in part]
    return replace(made, evaluated=evaluated, answers=answers)


def measured(work: Work, made: Made) -> Made:
    """With what it costs on this machine."""
    assert made.source is not None  # noqa: S101 a model answers
    source, questions, decoding = made.source, work.questions("validation"), work.decoding()
    here = machine(work.store.root)
    inputs = {
        "model": source.sha256,
        "questions": dataset_hash(one.identity() for one in questions),
        "shots": [one.identity() for one in made.prompting.shots],
        "decoding": decoding.to_json(),
        "machine": [here.processor, here.usable_cores, here.instruction_sets],
    }

    def run(_: Path) -> dict[str, Any]:
        return measure_decoder(source, questions, made.prompting, decoding).to_json()

    step = work.store.step("measure", inputs, run, work.on_event, label=made.name)
    return replace(made, footprint=Footprint.model_validate(step.result))


def baselines(work: Work) -> list[Made]:
    """Each base as it is, without and with examples before the question; not what competes as a candidate."""
    made, competing = [], work.task.candidates.methods
    for name in work.task.candidates.models:
        label = name.replace(":", "-")
        if "prompt" not in competing:
            made.append(Made(f"{label} zero-shot", as_source(work.store, name, work.on_event)[0], {}))
        if "few_shot" not in competing:
            shots, source = tuple(shots_of(work)), as_source(work.store, name, work.on_event)[0]
            made.append(Made(f"{label} {len(shots)}-shot", source, {}, prompting=Prompting(shots=shots)))
    return made


def shots_of(work: Work) -> list[Question]:
    """The training rows that are shown before a question."""
    train, asked = work.questions("train"), [*work.questions("validation"), *work.questions("test")]
    return choose_shots(train, min(SHOTS, len({one.asked for one in train})), work.task.data.seed, asked)


def judged_baseline(work: Work, made: Made) -> Made | None:
    """A baseline on both splits; None, with a warning, for one that cannot be asked (no chat template)."""
    try:
        return judged(work, made)
    except InputError as error:
        work.on_event(Event("warning", "evaluate", f"{made.name}: {error.message}"))
        return None


def majority(work: Work) -> Made:
    """The most common answer of the training rows, whatever is asked."""
    counts = Counter(one.references[0] for one in work.questions("train"))
    most = max(counts, key=lambda text: (counts[text], text))
    decoding, made = work.decoding(), Made("most common answer", None, {})
    for split in JUDGED:
        questions = work.questions(split)
        ruler = Ruler(
            metrics=work.metrics, split=split, prompt=hash_of_prompt(Prompting(), decoding),
            decoding=decoding.identity(), schema=work.schema(), seed=work.task.data.seed,
        )  # fmt: skip
        answers = Answers("constant", [most] * len(questions), [""] * len(questions))
        step = evaluate_answers(work.store, made.name, answers, questions, ruler, work.on_event)
        made = replace(made, evaluated={**made.evaluated, split: Evaluated(step, task_evaluation(step))})
    return made


def bundle(work: Work, made: Made) -> Path:
    """A folder with nothing but the model, as it is packed."""
    source = made.source
    assert source is not None  # noqa: S101 the chosen one is a model
    assert source.path is not None  # noqa: S101 and lies here
    path = source.path

    def run(folder: Path) -> dict[str, Any]:
        target = folder / GGUF
        target.unlink(missing_ok=True)
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
        return {}

    return work.store.step("bundle", {"model": source.sha256}, run, work.on_event, label=made.name).folder
