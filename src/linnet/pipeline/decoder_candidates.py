"""Decoders among the candidates of a classifier: tuned to write the label, judged by the probability of each label."""

from __future__ import annotations

from typing import Any

from linnet.core.events import OnEvent, silent
from linnet.core.records import Decision
from linnet.core.store import Step, Store
from linnet.core.task import Task
from linnet.engines.scoring.label_scoring import CLASSIFIER
from linnet.pipeline.candidates import Candidate, candidate
from linnet.pipeline.decoder_engines import Ask, DecoderEngine, chats_of, make_engines
from linnet.stages.evaluate import Entrant, evaluate
from linnet.text.example_files import read_examples


def instruction_of(task: Task, labels: list[str]) -> str:
    """What a decoder is told before each text: the task's own words, and the labels."""
    said = task.task.instruction.strip() or "Which label fits the text? Answer with the label alone."
    return f"{said}\nLabels: {', '.join(labels)}"


def labels_asked(store: Store, task: Task, prepared: Step, labels: list[str]) -> Ask:
    """What decoders are trained on: each text, and its label as the answer."""
    told = instruction_of(task, labels)

    def pairs(split: str) -> list[tuple[str, str]]:
        return [(one.text, one.label) for one in read_examples(prepared.folder / f"{split}.jsonl")]

    return Ask(chats_of(store, prepared, told, pairs), CLASSIFIER, {"instruction": told, "labels": labels})


def make_decoders(
    store: Store, task: Task, names: list[str], prepared: Step, decision: Decision, on_event: OnEvent = silent
) -> tuple[list[Candidate], dict[str, str], dict[str, str]]:
    """Tune, merge, convert and evaluate decoders. Beside them what was left out, as `make_engines` tells it."""
    if not names:
        return [], {}, {}
    ask = labels_asked(store, task, prepared, decision.labels)
    engines, excluded, failed = make_engines(store, task, names, ask, on_event)
    made = []
    for one in engines:
        entrant = Entrant(one.name, one.packed.folder, one.files)
        judged = evaluate(store, entrant, prepared, decision, on_event)
        steps = (_as_tuned(one), _with_gates(one), judged)
        made.append(candidate(entrant, one.quantization, one.base, one.method, steps))
    return made, excluded, failed


def _as_tuned(one: DecoderEngine) -> Step:
    """The run with the fields that the report of a classifier reads."""
    step, result = one.tuned, one.tuned.result
    rate = round(one.examples * len(result["epochs"]) / max(result["seconds"], 1e-9), 1)
    more: dict[str, Any] = {"examples_per_second": rate, "recipe": step.run.inputs.get("recipe", {})}
    changed = step.run.model_copy(update={"result": {"cut_examples": 0, **result, **more}})
    return Step(changed, step.folder, step.reused)


def _with_gates(one: DecoderEngine) -> Step:
    listed = [{**gate, "quantization": one.quantization} for gate in one.gates]
    step = one.merged
    return Step(step.run.model_copy(update={"result": {"gates": listed}}), step.folder, step.reused)
