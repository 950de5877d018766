"""The data of the examples: their own checks pass, and the training files are made again to the byte."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
MADE = ("smart-home", "extract-tickets")
ROWS = {"smart-home": (3000, 500), "extract-tickets": (1600, 300)}


def script(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(folder / "make_data.py"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", MADE)
def test_data_keeps_its_rules(name: str) -> None:
    script(EXAMPLES / name, "--check")
    task = tomllib.loads((EXAMPLES / name / "task.toml").read_text())["task"]
    json.loads((EXAMPLES / name / task["schema"]).read_text())
    for split, count in zip(("train", "test"), ROWS[name], strict=True):
        rows = [json.loads(line) for line in (EXAMPLES / name / f"{split}.jsonl").read_text().splitlines()]
        assert len(rows) == count
        assert all(isinstance(json.loads(row[task["output"]]), dict) and row[task["input"]].strip() for row in rows)


@pytest.mark.parametrize("name", MADE)
def test_training_file_is_made_again_to_the_byte(name: str, tmp_path: Path) -> None:
    copy = tmp_path / name
    shutil.copytree(EXAMPLES / name, copy)
    (copy / "train.jsonl").unlink()
    script(copy)
    assert (copy / "train.jsonl").read_bytes() == (EXAMPLES / name / "train.jsonl").read_bytes()


def test_spans_of_redact_keep_their_rules_and_are_made_again(tmp_path: Path) -> None:
    script(EXAMPLES / "redact", "--check")
    copy = tmp_path / "redact"
    shutil.copytree(EXAMPLES / "redact", copy)
    for split in ("train", "test"):
        (copy / f"{split}.jsonl").unlink()
    script(copy)
    for split in ("train", "test"):
        assert (copy / f"{split}.jsonl").read_bytes() == (EXAMPLES / "redact" / f"{split}.jsonl").read_bytes()
