"""What tune takes from a task.toml, and every key that it would otherwise pass over."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.core.errors import TaskError
from linnet.core.tune_task import read_tune_task

TASK = '[task]\nname = "a"\nkind = "extract"\ninput = "q"\noutput = "a"\nschema = "s.json"\n[data]\ntrain = "t.jsonl"\n'


def write(folder: Path, text: str) -> Path:
    (folder / "task.toml").write_text(text)
    return folder


def test_paths_start_at_the_file_and_what_is_unread_is_noted(tmp_path: Path) -> None:
    found = read_tune_task(write(tmp_path, TASK + 'test = "x"\nseed = 4\n[candidates]\nmodels = ["builtin:nano"]\n'))
    assert found.train == str(tmp_path / "t.jsonl")
    assert (found.seed, found.model, found.input) == (4, "builtin:nano", "q")
    assert len(found.notes) == 2


@pytest.mark.parametrize("example", ["smart-home", "extract-tickets", "support"])
def test_the_examples_can_be_read(example: str) -> None:
    found = read_tune_task(Path(__file__).parents[2] / "examples" / example)
    assert Path(found.train).suffix in (".jsonl", ".csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TASK.replace("extract", "tag"), "kind 'tag' cannot be tuned"),
        (TASK.replace('kind = "extract"\n', ""), "kind None"),
        (TASK.replace("input", "inputs"), 'unknown key "inputs".*Did you mean "input"'),
        (TASK.replace('output = "a"\n', ""), r"\[task\] output is missing"),
        (TASK.replace("[data]", "[date]"), r"unknown section \[date\]"),
        (TASK + 'group = "g"\n', "group is not heeded"),
        (TASK + '[candidates]\nmodels = ["a", "b"]\n', "names 2 models"),
        (TASK + "seed = 'x'\n", r"\[data\] seed is wrong"),
        ("[task", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        read_tune_task(write(tmp_path, text))
