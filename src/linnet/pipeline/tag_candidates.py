"""The candidates of a task that tags spans: each base by each method by each type, and the lexicon beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from linnet.core.events import Event
from linnet.core.files import canonical, read_json, sha256_bytes, write_bytes
from linnet.core.records import Footprint
from linnet.core.spans import Span
from linnet.core.store import Step
from linnet.engines.classifiers import open_tagger
from linnet.engines.llama.llama_tagger import TAGGER
from linnet.engines.measure import measure
from linnet.engines.planning.hardware import machine
from linnet.metrics.identity import dataset_hash
from linnet.metrics.tagged import write_spans
from linnet.pipeline.candidates import Training, encoder_types
from linnet.pipeline.decoder_engines import TRAINED, Ask, DecoderEngine, chats_of, make_engines
from linnet.pipeline.evaluate import Evaluated
from linnet.pipeline.tag_data import examples_of, spans_of
from linnet.pipeline.text_candidates import JUDGED, Made, Tuned, Work
from linnet.stages.evaluate import Answers, Ruler, evaluate_answers, task_evaluation
from linnet.stages.quantize import quantize_tagger
from linnet.stages.tune import TagJob, tune_tagger
from linnet.text.lexicon import Lexicon
from linnet.text.span_answers import span_instruction, write_span_answer

LEXICON = "lexicon"
ANSWER_MOST = 512  # tokens of an answer of a decoder
PART_LEAST, PART_MOST = 400, 1200  # characters of a text that it reads at once: as long as what it was trained on
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


def make_decoder_taggers(work: Work, names: Sequence[str]) -> tuple[list[Tagger], dict[str, str], dict[str, str]]:
    """Decoders that write the spans. Beside them what was left out, as `make_engines` tells it."""
    if not names:
        return [], {}, {}
    engines, excluded, failed = make_engines(work.store, work.task, names, spans_asked(work), work.on_event)
    return [_as_tagger(work, one) for one in engines], excluded, failed


def spans_asked(work: Work) -> Ask:
    """What decoders are trained on: each text, and its spans as the answer."""
    labels: list[str] = list(work.prepared.result["labels"])
    instruction = span_instruction(labels, work.task.task.instruction.strip())
    rows = {split: examples_of(work.questions(split)) for split in TRAINED}

    def pairs(split: str) -> list[tuple[str, str]]:
        return [(text, write_span_answer(text, spans)) for _, text, spans in rows[split]]

    longest = max(len(answer.encode()) for split in TRAINED for _, answer in pairs(split))
    told = {
        "labels": labels,
        "instruction": instruction,
        "max_tokens": min(ANSWER_MOST, 2 * longest),  # a token has a byte or more
        "part": min(PART_MOST, max(PART_LEAST, *(len(text) for _, text, _ in rows["train"]))),
    }
    return Ask(chats_of(work.store, work.prepared, instruction, pairs), TAGGER, told)


def _as_tagger(work: Work, one: DecoderEngine) -> Tagger:
    gates = tuple({**gate, "quantization": one.quantization} for gate in one.gates)
    way = Tuned(f"{one.base.name}-{one.method}", one.base, one.method, one.tuned, one.merged)
    candidate = Made(
        one.name, None, {}, quantization=one.quantization, tuned=way, gates=gates, base=one.base, method=one.method
    )
    found = judged(work, candidate, partial(tagged, one.packed.folder), one.files)
    return Tagger(_measured(work, found, one.packed.folder, one.files), one.packed.folder, one.packed)


def tagged(engine: Path, texts: list[str]) -> list[str]:
    """The answers of a tagger in a folder."""
    tagger = open_tagger(engine)
    try:
        found = tagger.tag(texts)
    finally:
        tagger.close()
    return [
        write_spans([Span(one.label, one.start, one.end) for one in said.spans], text)
        for said, text in zip(found, texts, strict=True)
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
