"""A finished tagger judged on a file by the ruler of its build."""

from __future__ import annotations

from pathlib import Path

from linnet.core.errors import InputError
from linnet.core.events import OnEvent, silent
from linnet.core.files import canonical, sha256_bytes
from linnet.core.store import Store, verify_files
from linnet.core.task import METRICS
from linnet.engines.onnx_runtime.onnx import ENGINE_FOLDER
from linnet.pipeline.evaluate import Evaluated
from linnet.pipeline.tag_candidates import NO_PROMPT, tagged
from linnet.pipeline.tag_data import LabelScore, label_scores, read_tag_questions
from linnet.stages.evaluate import Answers, Ruler, evaluate_answers, task_evaluation

TEXT, SPANS = "text", "spans"


def evaluate_tagger(
    store: Store, name: str, file: Path, columns: tuple[str, str] = ("", ""), on_event: OnEvent = silent
) -> tuple[Evaluated, list[LabelScore]]:
    """Judge a specialist on a file of texts and spans; `columns` name them, "text" and "spans" by default.

    Raises NotFound, CorruptFile, or InputError for a specialist of another kind, DataError for the rows.
    """
    specialist, folder = store.find(name)
    if specialist.kind != "tag":
        raise InputError(f"{specialist.full_name} is of kind {specialist.kind}: it tags no spans.")
    verify_files(folder, specialist.files)
    questions, _ = read_tag_questions(file, columns[0] or TEXT, columns[1] or SPANS)
    answers = tagged(folder / ENGINE_FOLDER, [one.asked for one in questions])
    metrics = (specialist.metric["name"], *METRICS["tag"])
    ruler = Ruler(metrics=tuple(dict.fromkeys(metrics)), split="test", prompt=NO_PROMPT, decoding={})
    source = sha256_bytes(canonical([specialist.full_name, specialist.lineage.get("key", ""), answers]))
    given = Answers(source, answers, [""] * len(answers))
    step = evaluate_answers(store, specialist.full_name, given, questions, ruler, on_event)
    return Evaluated(step, task_evaluation(step)), label_scores(questions, answers)
