"""What `linnet tune` takes from a task.toml: the rows, how they are asked, and the base. Opens no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from linnet.core.errors import TaskError, did_you_mean
from linnet.core.records import Record
from linnet.core.task import KEYS_TO_COME, PARTS, keys_of, read_toml

KINDS = ("classify", "extract", "generate", "chat")
# Keys that change what is learned, and that tuning cannot heed yet: passing over them would be silent.
REFUSED = {"data": ("group", "unlabeled")}
NOTES = {
    ("task", "schema"): "answers are not checked against [task] schema while tuning",
    ("task", "style"): "answers are not checked against [task] style while tuning",
    ("data", "test"): "[data] test is left for evaluation",
}


class TuneTask(Record):
    """A task as tuning needs it. `train` and `validation` are absolute paths; `notes` say what was left unread."""

    name: str
    kind: Literal["classify", "extract", "generate", "chat"]
    input: str
    output: str
    instruction: str = ""
    train: str
    validation: str = ""
    seed: int = 0
    model: str = ""
    notes: tuple[str, ...] = ()


def read_tune_task(path: Path) -> TuneTask:
    """Read `task.toml`, or the one in a folder. Raises NotFound, or TaskError with the key that is wrong."""
    path, content = read_toml(path)
    _check_keys(str(path), content)
    return _task(path, content)


def _check_keys(where: str, content: dict[str, Any]) -> None:
    for part, values in content.items():
        if part not in PARTS or not isinstance(values, dict):
            raise TaskError(f"{where}: unknown section [{part}].{did_you_mean(part, list(PARTS))}")
        known = [*keys_of(part), *KEYS_TO_COME[part], *(["validation"] if part == "data" else [])]
        for key in values:
            if key not in known:
                hint = f"Known keys of [{part}]: {', '.join(known)}."
                raise TaskError(f'{where}: unknown key "{key}" in [{part}].{did_you_mean(key, known)}', hint)
            if key in REFUSED.get(part, ()):
                raise TaskError(f"{where}: [{part}] {key} is not heeded by tune yet.", "Remove it.")


def _task(path: Path, content: dict[str, Any]) -> TuneTask:
    task, data = content.get("task", {}), content.get("data", {})
    if task.get("kind") not in KINDS:
        raise TaskError(f"{path}: [task] kind {task.get('kind')!r} cannot be tuned.", f"Known: {', '.join(KINDS)}.")
    models = content.get("candidates", {}).get("models", [])
    if len(models) > 1:
        raise TaskError(f"{path}: [candidates] models names {len(models)} models.", "Say which with --model.")
    paths = {
        key: str((path.parent / Path(data[key]).expanduser()).absolute())
        for key in ("train", "validation")
        if isinstance(data.get(key), str)
    }
    values = {key: task[key] for key in ("name", "kind", "input", "output", "instruction") if key in task}
    notes = tuple(note for (part, key), note in NOTES.items() if key in content.get(part, {}))
    try:
        return TuneTask(**values, **paths, seed=data.get("seed", 0), model=models[0] if models else "", notes=notes)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        part = "data" if key in ("train", "validation", "seed") else "task"
        what = "is missing" if first["type"] == "missing" else f"is wrong: {first['msg']}"
        raise TaskError(f"{path}: [{part}] {key} {what}.", "See docs/guide/tune.md for what tune reads.") from error
