"""The user's one file: `task.toml`, checked key by key. Knows nothing of what the data holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from linnet.core.errors import TaskError, did_you_mean, os_errors
from linnet.core.names import check_name
from linnet.core.records import Record

KINDS = ("classify", "tag", "extract", "generate", "chat")
ENCODED = ("classify", "tag")  # kinds whose candidates are encoders
KEYS_TO_COME = {
    "task": ("style",),
    "data": ("unlabeled",),
    "candidates": (),
    "budget": ("energy_wh", "target"),
    "quality": (),
    "report": (),
    "search": (),
}
_TEXT_METRICS = (
    "exact_match", "token_f1", "rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "chrf", "numeric_match",
    "gsm8k_match",
)  # fmt: skip
# What may decide in each kind; the first one does unless [quality] says another.
METRICS = {
    "classify": ("macro_f1", "accuracy"),
    "tag": ("span_f1", "span_f2", "span_f1_partial"),
    "extract": ("field_f1", "exact_match", "schema_valid"),
    "generate": ("rougeL", *_TEXT_METRICS),
    "chat": ("token_f1", *_TEXT_METRICS),
}
ENCODER_TYPES = ("fp32", "int8")
# What is tried where [candidates] says nothing.
CANDIDATES: dict[str, dict[str, list[str]]] = {
    "classify": {},
    "extract": {"models": ["builtin:nano"], "methods": ["auto"], "quantizations": ["F16", "Q8_0", "Q4_K_M"]},
}
_SIZE = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-z]*)\s*")
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(value: Any) -> Any:
    """Bytes from '100 MB', '2 GiB' or a whole number. Raises ValueError for anything else."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not match or match[2].upper() not in _UNITS:
        raise ValueError('a size is a number of bytes, or a text such as "100 MB" or "2 GiB"')
    return int(float(match[1]) * _UNITS[match[2].upper()])


# fp32 and int8 are for encoders; the others are llama.cpp's types and mixtures.
_TYPES = r"^(fp32|int8|F32|B?F16|I?Q[1-8]_[A-Z0-9_]+|TQ[12]_0|MXFP4)$"
_LICENCE = r"^([A-Za-z0-9][A-Za-z0-9._+/-]{0,95})?$"  # one word, such as cc-by-4.0
QuantizationName = Annotated[str, StringConstraints(pattern=_TYPES)]
Size = Annotated[int | None, BeforeValidator(parse_size), Field(gt=0)]


class TaskPart(Record):
    """`[task]`: what the specialist must do. `answer_schema` is the file's `schema`: a name that pydantic keeps."""

    model_config = ConfigDict(populate_by_name=True)

    name: str
    kind: Literal["classify", "tag", "extract", "generate", "chat"]
    input: str = ""
    output: str = ""
    labels: list[str] | None = None
    out_of_scope: str | None = None
    instruction: str = ""
    answer_schema: str | None = Field(default=None, alias="schema")


class DataPart(Record):
    """`[data]`: where the examples are. Paths are relative to the file that names them."""

    train: str
    test: str | None = None
    group: str | None = None
    leakage: Literal["refuse", "drop"] = "refuse"
    doubtful: Literal["refuse", "accept"] = "refuse"
    seed: int = Field(default=0, ge=0, lt=2**31)
    licence: Annotated[str, StringConstraints(pattern=_LICENCE)] = ""

    def stated(self) -> dict[str, str]:
        """What a specialist's lineage keeps of it: nothing where no licence is stated."""
        return {"data_licence": self.licence} if self.licence else {}


class CandidatesPart(Record):
    """`[candidates]`: what is tried."""

    models: list[str] = Field(default=["builtin:minilm"], min_length=1)
    methods: list[Literal["full", "lora", "auto", "prompt", "few_shot"]] = Field(default=["full", "lora"], min_length=1)
    quantizations: list[QuantizationName] = Field(default=["fp32", "int8"], min_length=1)


class BudgetPart(Record):
    """`[budget]`: limits of the machine it will run on; unset means no limit."""

    memory: Size = None
    size: Size = None
    latency_p95_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    tokens_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    train_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class QualityPart(Record):
    """`[quality]`: the metric that decides, the least that will do, and what may be given away."""

    metric: str = "macro_f1"
    floor: float = Field(default=0.0, ge=0, le=1)
    max_loss: float = Field(default=0.01, ge=0, le=1)


class SearchPart(Record):
    """`[search]`: whether candidates that fall behind early are left out, or every one answers every question."""

    strategy: Literal["halving", "exhaustive"] = "halving"


class ReportPart(Record):
    """`[report]`: a model behind an OpenAI-compatible endpoint that is shown beside the candidates and never chosen."""

    reference: str = ""
    endpoint: str = ""

    def settings(self) -> dict[str, Any]:
        """What a specialist's lineage keeps of it: nothing where no reference is named."""
        return {"report": self.to_json()} if self.reference else {}


class Task(Record):
    """A whole `task.toml`. `folder` is where it lies; relative data paths start there."""

    task: TaskPart
    data: DataPart
    candidates: CandidatesPart = CandidatesPart()
    budget: BudgetPart = BudgetPart()
    quality: QualityPart = QualityPart()
    report: ReportPart = ReportPart()
    search: SearchPart = SearchPart()
    folder: str = "."

    def data_path(self, name: str) -> Path:
        """The absolute path of a file that `[data]` names."""
        return (Path(self.folder) / Path(name).expanduser()).absolute()


PARTS: dict[str, type[Record]] = {
    "task": TaskPart,
    "data": DataPart,
    "candidates": CandidatesPart,
    "budget": BudgetPart,
    "quality": QualityPart,
    "report": ReportPart,
    "search": SearchPart,
}


def keys_of(part: str) -> list[str]:
    """The keys of a section as a file writes them."""
    return [field.alias or name for name, field in PARTS[part].model_fields.items()]


def _check_keys(where: str, content: dict[str, Any]) -> None:
    for part, value in content.items():
        if part not in PARTS:
            known = list(PARTS)
            raise TaskError(
                f"{where}: unknown section [{part}].{did_you_mean(part, known)}",
                f"Known: {', '.join(known)}.",
            )
        if not isinstance(value, dict):
            raise TaskError(f"{where}: {part} must be a section, written [{part}].")
        known = keys_of(part)
        for key in value:
            if key in KEYS_TO_COME[part]:
                raise TaskError(f"{where}: [{part}] {key} is not supported by this version yet.", "Remove it.")
            if key not in known:
                hint = f"Known keys of [{part}]: {', '.join(known)}."
                raise TaskError(f'{where}: unknown key "{key}" in [{part}].{did_you_mean(key, known)}', hint)


def _explain(where: str, error: ValidationError) -> TaskError:
    first = error.errors()[0]
    path = [str(step) for step in first["loc"]]
    place = f"[{path[0]}] {'.'.join(path[1:])}".strip()
    if first["type"] == "missing":
        return TaskError(f"{where}: {place} is missing.", "See docs/guide/build.md for every key.")
    shown = f", not {first['input']!r}" if not isinstance(first["input"], dict) else ""
    return TaskError(f"{where}: {place}: {first['msg'].removeprefix('Value error, ')}{shown}.")


def _with_defaults(content: dict[str, Any], kind: Any) -> dict[str, Any]:
    """The defaults that depend on the kind, beside what the file says."""
    if kind not in KINDS:
        return content
    candidates = CANDIDATES["classify" if kind in ENCODED else "extract"]
    return {
        **content,
        "candidates": {**candidates, **content.get("candidates", {})},
        "quality": {"metric": METRICS[kind][0], **content.get("quality", {})},
    }


def _check_kind(where: str, task: Task) -> None:
    """What the kind asks for, and what it has no use for."""
    part, metric = task.task, task.quality.metric
    for key in ("input", "output") if part.kind != "chat" else ():
        if not getattr(part, key):
            raise TaskError(f"{where}: [task] {key} is missing.", "See docs/guide/build.md for every key.")
    unused: dict[str, Any] = {} if part.kind == "classify" else {"out_of_scope": part.out_of_scope}
    unused |= {} if part.kind in ENCODED else {"labels": part.labels}
    unused |= {"instruction": part.instruction or None} if part.kind == "tag" else {}
    unused |= {"schema": part.answer_schema} if part.kind != "extract" else {}
    for key, value in unused.items():
        if value is not None:
            raise TaskError(f'{where}: [task] {key} has no meaning with kind "{part.kind}".', "Remove it.")
    if part.kind == "tag" and "{" in part.input:
        raise TaskError(f"{where}: [task] input: spans lie in one column, not in a template.", "Name one column.")
    if part.kind == "tag" and task.report.reference:
        raise TaskError(f"{where}: [report] reference: no reference is asked for spans.", "Remove it.")
    known = METRICS[part.kind]
    if metric not in known and ".py" not in metric:
        near = did_you_mean(metric, list(known))
        raise TaskError(f'{where}: [quality] metric "{metric}" does not judge kind "{part.kind}".{near}',
                        f"Known: {', '.join(known)}.")  # fmt: skip
    if part.kind in ENCODED and (wrong := [m for m in task.candidates.methods if m not in ("full", "lora")]):
        raise TaskError(f'{where}: [candidates] methods: "{wrong[0]}" is for kinds that write text.',
                        '"full" or "lora".')  # fmt: skip
    if part.kind in ENCODED and task.budget.tokens_per_second is not None:
        raise TaskError(f'{where}: [budget] tokens_per_second has no meaning with kind "{part.kind}".', "Remove it.")
    if part.kind not in ENCODED and (few := [t for t in task.candidates.quantizations if t in ENCODER_TYPES]):
        raise TaskError(f"{where}: [candidates] quantizations: {few[0]} is for encoders.", 'Such as "Q8_0".')


def _check_sense(where: str, task: Task) -> Task:
    part, report = task.task, task.report
    check_name(part.name, "task name")
    if bool(report.reference) != bool(report.endpoint):
        raise TaskError(
            f"{where}: [report] reference and endpoint belong together: the model, and where it is asked.",
            'Such as reference = "gpt-x", endpoint = "http://127.0.0.1:8000/v1".',
        )
    _check_kind(where, task)
    if part.labels is not None:
        least = 1 if part.kind == "tag" else 2
        if len(set(part.labels)) < least or len(set(part.labels)) != len(part.labels):
            many = "at least two different labels" if least == 2 else "different labels, at least one"
            raise TaskError(f"{where}: [task] labels must be {many}.")
        if part.out_of_scope and part.out_of_scope not in part.labels:
            raise TaskError(f"{where}: [task] out_of_scope {part.out_of_scope!r} is not among labels.")
    if part.input and part.output in template_columns(part.input):
        raise TaskError(f"{where}: [task] output {part.output!r} is also the input: the answer would be given away.")
    return task


def parse_task(content: dict[str, Any], folder: Path = Path(), where: str = "task") -> Task:
    """A Task from plain values. Raises TaskError that names the key, and the nearest known one."""
    _check_keys(where, content)
    kind = content.get("task", {}).get("kind")
    methods = content.get("candidates", {}).get("methods")
    if isinstance(methods, list) and "distill" in methods:
        raise TaskError(f'{where}: [candidates] methods: "distill" is not supported by this version yet.',
                        "Let the larger model write the answers first, and name them in [data] train.")  # fmt: skip
    try:
        task = Task.model_validate({**_with_defaults(content, kind), "folder": str(folder.absolute())})
    except ValidationError as error:
        raise _explain(where, error) from error
    return _check_sense(where, task)


def with_reference(task: Task, reference: str, endpoint: str) -> Task:
    """The task with another [report] reference; an empty text keeps what the file says. Raises TaskError for half."""
    given = {"reference": reference, "endpoint": endpoint}
    part = task.report.model_copy(update={key: text for key, text in given.items() if text})
    return _check_sense("build", task.model_copy(update={"report": part}))


def read_toml(path: Path) -> tuple[Path, dict[str, Any]]:
    """What `task.toml`, or the one in a folder, holds, and its own path. Raises NotFound, or TaskError."""
    with os_errors(path, "Reading"):
        path = path / "task.toml" if path.is_dir() else path
    with os_errors(path, "Reading"):
        data = path.read_bytes()
    try:
        return path, tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TaskError(f"{path}: not valid TOML: {error}.") from error


def read_task(path: Path) -> Task:
    """Read `task.toml`. Raises NotFound, or TaskError with the key or the line that is wrong."""
    path, content = read_toml(path)
    return parse_task(content, path.parent, str(path))


def template_columns(template: str) -> list[str]:
    """The columns that an input names: 'message' is one column, '{subject}\\n{body}' is a template of two."""
    found = re.findall(r"\{([^{}]+)\}", template)
    return found or [template]


def fill_template(template: str, row: dict[str, str]) -> str:
    """The text a model sees for one row."""
    if "{" not in template:
        return row[template]
    return re.sub(r"\{([^{}]+)\}", lambda match: row[match[1]], template)
