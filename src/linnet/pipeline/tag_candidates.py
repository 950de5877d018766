"""The candidates of a task that tags spans: each encoder by each method by each type, and the lexicon beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from linnet.core.events import Event
from linnet.core.files import canonical, read_json, sha256_bytes, write_bytes
from linnet.core.records import Footprint
from linnet.core.store import Step
from linnet.engines.measure import measure
from linnet.engines.onnx_runtime.onnx_tagger import OnnxTagger
from linnet.engines.planning.hardware import machine
from linnet.metrics.identity import dataset_hash
from linnet.metrics.spans import Span
from linnet.metrics.tagged import write_spans
from linnet.pipeline.candidates import Training, encoder_types
from linnet.pipeline.evaluate import Evaluated
from linnet.pipeline.tag_data import examples_of, spans_of
from linnet.pipeline.text_candidates import JUDGED, Made, Tuned, Work
from linnet.stages.evaluate import Answers, Ruler, evaluate_answers, task_evaluation
from linnet.stages.quantize import quantize_tagger
from linnet.stages.tune import TagJob, tune_tagger
from linnet.text.lexicon import Lexicon

LEXICON = "lexicon"
NO_PROMPT = sha256_bytes(b"")  # an encoder reads the text alone
Answerer = Callable[[list[str]], list[str]]


@dataclass(frozen=True, slots=True)
class Tagger:
    """A candidate, and where it lies."""

    made: Made
    engine: Path
    quantized: Step


def make_taggers(work: Work, trainings: Sequence[Training]) -> list[Tagger]:
    """Tune, quantise and evaluate every one of these."""
    labels, types, made = list(work.prepared.result["labels"]), encoder_types(work.task), []
    train, validation = (examples_of(work.questions(split)) for split in ("train", "validation"))
    texts = [text for _, text, _ in validation]
    for one in trainings:
        job = TagJob(train, validation, labels)
        tuned = tune_tagger(work.store, one.base, job, one.recipe, work.on_event)
        quantized = quantize_tagger(work.store, one.base, tuned, texts, types, work.on_event)
        for kind in types:
            gates = [gate for gate in quantized.result["gates"] if gate["quantization"] in ("fp32", kind)]
            failed = next((gate for gate in gates if not gate["passed"]), None)
            candidate = Made(
                f"{one.label}-{kind}", None, {}, quantization=kind, tuned=Tuned(one.label, one.base, one.method, tuned),
                gates=tuple(gates), base=one.base, method=one.method,
                broken=f"gate failed: {failed['name']}, {failed['measured']}" if failed else "",
            )  # fmt: skip
            engine = quantized.folder / kind
            files = {name: entry.sha256 for name, entry in quantized.run.files.items() if name.startswith(f"{kind}/")}
            found = judged(work, candidate, partial(tagged, engine), files)
            made.append(Tagger(_measured(work, found, engine, files), engine, quantized))
    return made


def tagged(engine: Path, texts: list[str]) -> list[str]:
    """The answers of a tagger in a folder."""
    tagger = OnnxTagger(engine)
    found = tagger.tag(texts)
    tagger.close()
    return [
        write_spans([Span(one.label, one.start, one.end) for one in spans], text)
        for spans, text in zip(found, texts, strict=True)
    ]


def lexicon(work: Work) -> Made:
    """The words that were tagged in training, found again."""
    train = work.questions("train")

    def answer(texts: list[str]) -> list[str]:
        known = Lexicon([(one.asked, spans_of(one)) for one in train])
        return [write_spans([Span(*span) for span in known.spans(text)], text) for text in texts]

    return judged(work, Made(LEXICON, None, {}), answer, {"train": dataset_hash(one.identity() for one in train)})


def judged(work: Work, made: Made, answer: Answerer, source: dict[str, Any]) -> Made:
    """With its answers on both splits. `source` names what answers."""
    questions = {split: work.questions(split) for split in JUDGED}
    inputs = {
        "kind": "tag",
        "source": source,
        "questions": {split: dataset_hash(one.identity() for one in rows) for split, rows in questions.items()},
    }

    def run(folder: Path) -> dict[str, Any]:
        work.on_event(Event("progress", "answer", made.name))
        said = iter(answer([one.asked for rows in questions.values() for one in rows]))
        for split, rows in questions.items():
            write_bytes(folder / f"{split}.json", canonical([next(said) for _ in rows]))
        return {}

    step = work.store.step("answer", inputs, run, work.on_event, label=made.name)
    evaluated, answers = {}, {}
    for split, rows in questions.items():
        answers[split] = read_json(step.folder / f"{split}.json")
        ruler = Ruler(metrics=work.metrics, split=split, prompt=NO_PROMPT, decoding={}, seed=work.task.data.seed)
        given = Answers(step.run.id, answers[split], [""] * len(rows))
        found = evaluate_answers(work.store, made.name, given, rows, ruler, work.on_event)
        evaluated[split] = Evaluated(found, task_evaluation(found))
    return replace(made, evaluated=evaluated, answers=answers)


def _measured(work: Work, made: Made, engine: Path, files: dict[str, str]) -> Made:
    """With what it costs on this machine."""
    here = machine(work.store.root)
    texts = [one.asked for one in work.questions("test")]
    inputs = {
        "kind": "tag",
        "files": files,
        "texts": sha256_bytes(canonical(texts)),
        "machine": [here.processor, here.usable_cores, here.instruction_sets],
    }

    def run(folder: Path) -> dict[str, Any]:
        work.on_event(Event("progress", "measure", f"{made.name}: measuring speed and memory"))
        return measure(engine, texts, folder).to_json()

    step = work.store.step("measure", inputs, run, work.on_event, label=made.name)
    return replace(made, footprint=Footprint.model_validate(step.result))
