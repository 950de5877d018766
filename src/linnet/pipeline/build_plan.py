"""What a build would do, before it does it: stages, candidates, and roughly the minutes and the disk they take.

Reads and splits the data, as the build does; trains, converts and asks nothing.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from linnet.core.events import OnEvent, silent
from linnet.core.records import Model, Record
from linnet.core.store import Store
from linnet.core.task import ENCODED, Task, read_task
from linnet.engines.llama.fit import fit
from linnet.formats.model_report import HyperParameters
from linnet.formats.resolve import resolve_model
from linnet.pipeline.candidates import decision_of, encoder_size, encoder_types, plan_trainings
from linnet.pipeline.candidates_plan import BYTES_PER_TOKEN, PROMPTED, Planned, Way, plan_candidates
from linnet.pipeline.decoder_candidates import labels_asked
from linnet.pipeline.decoder_engines import plan_ways
from linnet.pipeline.tag_candidates import spans_asked
from linnet.pipeline.text_candidates import Work
from linnet.pipeline.text_data import prepare_texts, read_split
from linnet.pipeline.trials import SHARE, worth
from linnet.stages.prepare import prepare

# Bits a weight with its scales; of a type that is not here, those of Q8_0.
BITS = {"F32": 32, "F16": 16, "BF16": 16, "Q8_0": 8.5, "Q6_K": 6.6, "Q5_K_M": 5.7, "Q4_K_M": 4.9, "Q3_K_M": 3.9}
SIDE_BY_SIDE = 3.0  # how much more comes out of the slots than of one request, at least


class PlannedStage(Record):
    """One stage for one candidate. Seconds and bytes are forecasts, to the right order of size."""

    stage: str
    what: str
    seconds: float
    disk_bytes: int


class BuildPlan(Record):
    """Every stage in order, and the sums; which candidates are tried, and which number rules the others out.

    Seconds are the most it takes: who falls behind early is asked less.
    """

    task: str
    kind: str
    counts: dict[str, int]
    stages: list[PlannedStage]
    candidates: list[str] = Field(default=[])
    excluded: dict[str, str] = Field(default={})

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
    if task.task.kind in ENCODED:
        return _labelled(task, store, on_event)
    prepared = prepare_texts(store, task, on_event)
    counts = dict(prepared.result["counts"])
    tokens = sum(len(one.references[0].encode()) for s in ("validation", "test") for one in read_split(prepared, s))
    stages = [PlannedStage(stage="prepare", what=task.data.train, seconds=1.0, disk_bytes=_size(prepared.folder))]
    planned = plan_candidates(store, task, prepared, on_event)
    if task.search.strategy == "halving" and worth(planned.ways):
        stages += [_trial(way) for way in planned.ways if way.job is not None]
    for way in planned.ways:
        stages += _trained(way, tokens / BYTES_PER_TOKEN)
    return BuildPlan(
        task=task.task.name, kind=task.task.kind, counts=counts, stages=[*stages, *_at_the_end(task, planned, tokens)],
        candidates=[way.candidate(kind) for way in planned.ways for kind in way.kinds], excluded=planned.excluded,
    )  # fmt: skip


def _sizes(base: Model) -> tuple[int, int, HyperParameters]:
    """Bytes on the disk, parameters, and the shape of a base."""
    stored = sum(entry.size_bytes for entry in base.files.values())
    shape = HyperParameters.model_validate(base.report.get("hyper_parameters") or {})
    return stored, int(base.report.get("parameters") or stored // 2), shape


def _trial(one: Way) -> PlannedStage:
    """The short training of a way, to see whether the whole one is worth it."""
    stored, what = _sizes(one.base)[0], f"an eighth of {one.method} on {one.name}"
    disk = one.disk_bytes + 2 * stored
    return PlannedStage(stage="tune", what=what, seconds=one.seconds / SHARE + 15 + 3 * stored / 200e6, disk_bytes=disk)


def _trained(one: Way, tokens: float) -> list[PlannedStage]:
    """Training, merge, conversion, and the answers of every type, of so many tokens together."""
    stored, parameters, sizes = _sizes(one.base)
    copies, way = 3 * stored / 200e6, f"{one.method} on {one.name}"  # read, written and compared
    stages = []
    if one.job is not None:
        stages.append(PlannedStage(stage="tune", what=way, seconds=one.seconds, disk_bytes=one.disk_bytes))
        stages.append(PlannedStage(stage="merge", what=way, seconds=10 + copies, disk_bytes=2 * stored))
    for kind in one.kinds:
        weights = int(parameters * BITS.get(kind, BITS["Q8_0"]) / 8)
        if one.base.format != "gguf":
            stages.append(PlannedStage(stage="convert", what=f"{way}, {kind}", seconds=5 + copies, disk_bytes=weights))
        speed = fit(weights, weights, sizes).tokens_per_second * SIDE_BY_SIDE
        asked = PlannedStage(stage="evaluate", what=f"{way}, {kind}", seconds=5 + tokens / speed, disk_bytes=0)
        stages.append(asked)
    return stages


def _at_the_end(task: Task, planned: Planned, tokens: float) -> list[PlannedStage]:
    """The answers of each base that does not compete as it is, and the pack."""
    stages, packed = [], []
    left = [method for method in PROMPTED if method not in task.candidates.methods]
    for base in {way.name: way.base for way in planned.ways}.values():
        _, parameters, sizes = _sizes(base)
        slow = fit(2 * parameters, 2 * parameters, sizes).tokens_per_second * SIDE_BY_SIDE
        seconds = len(left) * (5 + tokens / BYTES_PER_TOKEN / slow)
        if left:
            what = f"{base.name} without tuning"
            stages.append(PlannedStage(stage="evaluate", what=what, seconds=seconds, disk_bytes=0))
        kinds = {kind for way in planned.ways if way.base == base for kind in way.kinds}
        packed.append(min(int(parameters * BITS.get(kind, BITS["Q8_0"]) / 8) for kind in kinds))
    return [*stages, PlannedStage(stage="pack", what="the chosen one", seconds=2, disk_bytes=min(packed))]


def _labelled(task: Task, store: Store, on_event: OnEvent) -> BuildPlan:
    """Of encoders by arithmetic: six operations a weight and token for a step of training, two for an answer. Of
    decoders beside them as for any task that they are trained for."""
    from linnet.training.forecast import matrix_speed

    tags = task.task.kind == "tag"
    prepared = (prepare_texts if tags else prepare)(store, task, on_event)
    counts = {name: int(prepared.result["counts"][name]) for name in ("train", "validation", "test")}
    speed, size = matrix_speed(), _size(prepared.folder)
    tokens = size / BYTES_PER_TOKEN
    stages = [PlannedStage(stage="prepare", what=task.data.train, seconds=1.0, disk_bytes=size)]
    bases = {name: resolve_model(store, name) for name in task.candidates.models}
    decoders = [name for name, base in bases.items() if base.kind == "decoder"]
    encoders = [base for name, base in bases.items() if name not in decoders]
    trainings, excluded = plan_trainings(store, task, encoders, prepared)
    for one in trainings:
        stored, parameters = encoder_size(one.base)
        way = f"{one.method} on {one.base.name}"
        stages.append(PlannedStage(stage="tune", what=way, seconds=one.seconds, disk_bytes=2 * stored))
        for kind in encoder_types(task):
            share = 4 if kind == "int8" else 1
            told = PlannedStage(stage="quantize", what=f"{way}, {kind}", seconds=5, disk_bytes=stored // share)
            judged = 5 + 2 * parameters * tokens / speed
            stages += [told, PlannedStage(stage="evaluate", what=told.what, seconds=judged, disk_bytes=0)]
    names = [f"{one.label}-{kind}" for one in trainings for kind in encoder_types(task)]
    if decoders:
        ask = (
            spans_asked(Work(store, task, prepared, on_event))
            if tags
            else labels_asked(store, task, prepared, decision_of(task, prepared).labels)
        )
        ways, also = plan_ways(store, task, decoders, ask)
        stages += [stage for way in ways for stage in _trained(way, tokens)]
        names, excluded = [*names, *(way.candidate(kind) for way in ways for kind in way.kinds)], excluded | also
    return BuildPlan(
        task=task.task.name, kind=task.task.kind, counts=counts, stages=stages, candidates=names, excluded=excluded
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
