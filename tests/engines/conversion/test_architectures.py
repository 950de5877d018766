"""Families of models through the whole conversion: a pass or a refusal that was foretold. The table is nightly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.architectures import FAMILIES, name_of

pytest.importorskip("torch")
pytest.importorskip("auto_round")
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "architectures.md"
NIGHTLY = os.environ.get("LINNET_NIGHTLY") == "1"


def judged(*names: str) -> dict[str, dict[str, Any]]:
    """Rows by family, judged in a process of their own: it patches the conversion code, and forks."""
    command = [sys.executable, "-m", "benchmarks.architectures", "--json", *names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=7200, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {row["name"]: row for row in rows}


def test_three_families() -> None:
    rows = judged("Llama 2", "Falcon", "OPT")
    for name in ("Llama 2", "Falcon"):  # pieces of tokenizer.json; settings under other names
        assert rows[name]["predicted"], rows[name]
        assert rows[name]["passed"], rows[name]
    assert not rows["OPT"]["predicted"]
    assert "OPTForCausalLM" in rows["OPT"]["problem"]


@pytest.mark.skipif(not NIGHTLY, reason="converts every family, many minutes: LINNET_NIGHTLY=1")
def test_every_family_is_as_the_page_says() -> None:
    rows = judged()
    assert {name: row for name, row in rows.items() if row["predicted"] != row["passed"]} == {}
    passed = {name for name, row in rows.items() if row["passed"]}
    assert {name for name in rows if f"| {name} |" in PAGE.read_text()} == {name_of(family) for family in FAMILIES}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 5 and cells[1] in rows:
            assert cells[5].startswith("pass") == (cells[1] in passed), line


def test_the_page_names_every_family() -> None:
    assert [name_of(family) for family in FAMILIES if f"| {name_of(family)} |" not in PAGE.read_text()] == []
    assert len(FAMILIES) >= 20
