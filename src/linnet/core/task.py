"""The user's one file: `task.toml`, checked key by key. Knows nothing of what the data holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from linnet.core.errors import TaskError, did_you_mean, os_errors
from linnet.core.names import check_name
from linnet.core.records import Record

KINDS_TO_COME = ("tag", "extract", "generate", "chat")
KEYS_TO_COME = {
    "task": ("instruction", "schema", "style"),
    "data": ("unlabeled",),
    "candidates": (),
    "budget": ("train_minutes", "energy_wh", "target"),
    "quality": (),
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


Size = Annotated[int | None, BeforeValidator(parse_size), Field(gt=0)]


class TaskPart(Record):
    """`[task]`: what the specialist must do."""

    name: str
    kind: Literal["classify"]
    input: str
    output: str
    labels: list[str] | None = None
    out_of_scope: str | None = None


class DataPart(Record):
    """`[data]`: where the examples are. Paths are relative to the file that names them."""

    train: str
    test: str | None = None
    group: str | None = None
    leakage: Literal["refuse", "drop"] = "refuse"
    seed: int = Field(default=0, ge=0, lt=2**31)


class CandidatesPart(Record):
    """`[candidates]`: what is tried."""

    models: list[str] = Field(default=["builtin:minilm"], min_length=1)
    methods: list[Literal["full", "lora"]] = Field(default=["full", "lora"], min_length=1)
    quantizations: list[Literal["fp32", "int8"]] = Field(default=["fp32", "int8"], min_length=1)


class BudgetPart(Record):
    """`[budget]`: limits of the machine it will run on; unset means no limit."""

    memory: Size = None
    size: Size = None
    latency_p95_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class QualityPart(Record):
    """`[quality]`: the metric that decides, the least that will do, and what may be given away."""

    metric: Literal["macro_f1", "accuracy"] = "macro_f1"
    floor: float = Field(default=0.0, ge=0, le=1)
    max_loss: float = Field(default=0.01, ge=0, le=1)


class Task(Record):
    """A whole `task.toml`. `folder` is where it lies; relative data paths start there."""

    task: TaskPart
    data: DataPart
    candidates: CandidatesPart = CandidatesPart()
    budget: BudgetPart = BudgetPart()
    quality: QualityPart = QualityPart()
    folder: str = "."

    def data_path(self, name: str) -> Path:
        """The absolute path of a file that `[data]` names."""
        return (Path(self.folder) / Path(name).expanduser()).absolute()


_PARTS: dict[str, type[Record]] = {
    "task": TaskPart,
    "data": DataPart,
    "candidates": CandidatesPart,
    "budget": BudgetPart,
    "quality": QualityPart,
}


def _check_keys(where: str, content: dict[str, Any]) -> None:
    for part, value in content.items():
        if part not in _PARTS:
            known = list(_PARTS)
            raise TaskError(
                f"{where}: unknown section [{part}].{did_you_mean(part, known)}",
                f"Known: {', '.join(known)}.",
            )
        if not isinstance(value, dict):
            raise TaskError(f"{where}: {part} must be a section, written [{part}].")
        known = list(_PARTS[part].model_fields)
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


def _check_sense(where: str, task: Task) -> Task:
    part = task.task
    check_name(part.name, "task name")
    if part.labels is not None:
        if len(set(part.labels)) < 2 or len(set(part.labels)) != len(part.labels):
            raise TaskError(f"{where}: [task] labels must be at least two different labels.")
        if part.out_of_scope and part.out_of_scope not in part.labels:
            raise TaskError(f"{where}: [task] out_of_scope {part.out_of_scope!r} is not among labels.")
    if part.output in template_columns(part.input):
        raise TaskError(f"{where}: [task] output {part.output!r} is also the input: the answer would be given away.")
    return task


def parse_task(content: dict[str, Any], folder: Path = Path(), where: str = "task") -> Task:
    """A Task from plain values. Raises TaskError that names the key, and the nearest known one."""
    _check_keys(where, content)
    kind = content.get("task", {}).get("kind")
    if kind in KINDS_TO_COME:
        raise TaskError(f'{where}: kind "{kind}" is not supported by this version yet.', 'Supported: "classify".')
    try:
        task = Task.model_validate({**content, "folder": str(folder.absolute())})
    except ValidationError as error:
        raise _explain(where, error) from error
    return _check_sense(where, task)


def read_task(path: Path) -> Task:
    """Read `task.toml`. Raises NotFound, or TaskError with the key or the line that is wrong."""
    with os_errors(path, "Reading"):
        path = path / "task.toml" if path.is_dir() else path
    with os_errors(path, "Reading"):
        data = path.read_bytes()
    try:
        content = tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TaskError(f"{path}: not valid TOML: {error}.") from error
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
