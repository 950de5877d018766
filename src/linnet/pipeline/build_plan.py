"""What a build would do, before it does it: stages, candidates, and roughly the minutes and the disk they take.

Reads and splits the data, as the build does; trains, converts and asks nothing.
"""

from __future__ import annotations

from pathlib import Path

from linnet.core.events import OnEvent, silent
from linnet.core.records import Model, Record
from linnet.core.store import Store
from linnet.core.task import ENCODER_TYPES, Task, read_task
from linnet.engines.llama.fit import fit
from linnet.formats.model_report import HyperParameters
from linnet.formats.resolve import resolve_model
from linnet.pipeline.text_data import prepare_texts, read_split
from linnet.pipeline.tune import TuneOptions, prepare_tuning
from linnet.stages import rehearse
from linnet.stages.prepare import prepare
from linnet.stages.tune import decoder_inputs, need_bytes

# Bits a weight with its scales; of a type that is not here, those of Q8_0.
BITS = {"F32": 32, "F16": 16, "BF16": 16, "Q8_0": 8.5, "Q6_K": 6.6, "Q5_K_M": 5.7, "Q4_K_M": 4.9, "Q3_K_M": 3.9}
SIDE_BY_SIDE = 3.0  # how much more comes out of the slots than of one request, at least
BYTES_PER_TOKEN = 3.0
BASELINES = 2


class PlannedStage(Record):
    """One stage for one candidate. Seconds and bytes are forecasts, to the right order of size."""

    stage: str
    what: str
    seconds: float
    disk_bytes: int


class BuildPlan(Record):
    """Every stage in order, and the sums."""

    task: str
    kind: str
    counts: dict[str, int]
    stages: list[PlannedStage]

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.stages)

    @property
    def disk_bytes(self) -> int:
        return sum(one.disk_bytes for one in self.stages)


def plan_build(task: Task | str | Path, store: Store | None = None, on_event: OnEvent = silent) -> BuildPlan:
    """The plan of a build. Raises what reading the task, its data and its bases raises: a build would too."""
    task = task if isinstance(task, Task) else read_task(Path(task))
    store = store or Store()
    if task.task.kind == "classify":
        return _classifier(task, store, on_event)
    prepared = prepare_texts(store, task, on_event)
    counts = dict(prepared.result["counts"])
    tokens = sum(len(one.references[0].encode()) for s in ("validation", "test") for one in read_split(prepared, s))
    stages = [PlannedStage(stage="prepare", what=task.data.train, seconds=1.0, disk_bytes=_size(prepared.folder))]
    for name in task.candidates.models:
        for method in task.candidates.methods:
            options = TuneOptions(
                method="" if method == "auto" else method, format="messages", seed=task.data.seed,
                validation=str(prepared.folder / "validation.jsonl"),
            )  # fmt: skip
            base, job = prepare_tuning(name, prepared.folder / "train.jsonl", options, store=store)
            wanted = rehearse.Rehearsal(
                job.data, job.recipe, decoder_inputs(base, job)[1], need_bytes(base, job.recipe)
            )
            found = rehearse.forecast_of(base, wanted)
            seconds = rehearse.likely_seconds(store, found)
            way = f"{job.recipe.method} on {name}"
            stages.append(PlannedStage(stage="tune", what=way, seconds=seconds, disk_bytes=found.disk_bytes))
            stages += _after_training(base, way, task.candidates.quantizations, tokens / BYTES_PER_TOKEN)
    return BuildPlan(task=task.task.name, kind=task.task.kind, counts=counts, stages=stages)


def _after_training(base: Model, way: str, kinds: list[str], tokens: float) -> list[PlannedStage]:
    """Merge, conversion, and the answers of every type and of the baselines."""
    stored = sum(entry.size_bytes for entry in base.files.values())
    parameters = int(base.report.get("parameters") or stored // 2)
    copies = 3 * stored / 200e6  # read, written and compared
    stages = [PlannedStage(stage="merge", what=way, seconds=10 + copies, disk_bytes=2 * stored)]
    sizes = HyperParameters.model_validate(base.report.get("hyper_parameters") or {})
    for kind in kinds:
        weights = int(parameters * BITS.get(kind, BITS["Q8_0"]) / 8)
        stages.append(PlannedStage(stage="convert", what=f"{way}, {kind}", seconds=5 + copies, disk_bytes=weights))
        speed = fit(weights, weights, sizes).tokens_per_second * SIDE_BY_SIDE
        asked = PlannedStage(stage="evaluate", what=f"{way}, {kind}", seconds=5 + tokens / speed, disk_bytes=0)
        stages.append(asked)
    slow = fit(2 * parameters, 2 * parameters, sizes).tokens_per_second * SIDE_BY_SIDE
    seconds = BASELINES * (5 + tokens / slow)
    stages.append(PlannedStage(stage="evaluate", what="the base without tuning", seconds=seconds, disk_bytes=0))
    smallest = min(BITS.get(kind, BITS["Q8_0"]) for kind in kinds)
    packed = int(parameters * smallest / 8)
    return [*stages, PlannedStage(stage="pack", what="the chosen one", seconds=2, disk_bytes=packed)]


def _classifier(task: Task, store: Store, on_event: OnEvent) -> BuildPlan:
    """Arithmetic alone: six operations a weight and token for a step of training, two for an answer."""
    from linnet.training.forecast import matrix_speed
    from linnet.training.recipe import default_recipe

    prepared = prepare(store, task, on_event)
    counts = {name: int(prepared.result["counts"][name]) for name in ("train", "validation", "test")}
    speed, size = matrix_speed(), _size(prepared.folder)
    tokens = size / BYTES_PER_TOKEN
    stages = [PlannedStage(stage="prepare", what=task.data.train, seconds=1.0, disk_bytes=size)]
    types = [kind for kind in task.candidates.quantizations if kind in ENCODER_TYPES]
    for name in task.candidates.models:
        base = resolve_model(store, name)
        stored = sum(entry.size_bytes for entry in base.files.values())
        parameters = int(base.report.get("parameters") or stored // 4)
        for method in task.candidates.methods:
            recipe = default_recipe(method, counts["train"], task.data.seed, base.max_tokens)
            seconds = 6 * parameters * tokens * recipe.epochs / speed
            way = f"{method} on {name}"
            stages.append(PlannedStage(stage="tune", what=way, seconds=seconds, disk_bytes=2 * stored))
            for kind in types:
                share = 4 if kind == "int8" else 1
                told = PlannedStage(stage="quantize", what=f"{way}, {kind}", seconds=5, disk_bytes=stored // share)
                judged = 5 + 2 * parameters * tokens / speed
                stages += [told, PlannedStage(stage="evaluate", what=told.what, seconds=judged, disk_bytes=0)]
    return BuildPlan(task=task.task.name, kind="classify", counts=counts, stages=stages)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
