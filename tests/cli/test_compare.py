"""`linnet evaluate` and `linnet compare` as a person types them, for decoders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.core.records import Asked
from linnet.core.store import Store
from tests.cli.test_app import Linnet, home, linnet
from tests.http.test_tasks import SCHEMA, packed

__all__ = ["home", "linnet"]


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    content = [{"said": f"Light {i} in the hall", "room": json.dumps({"room": "hall"})} for i in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


def test_a_packed_specialist_is_asked_as_it_was_built(linnet: Linnet, home: Path, rows: Path, tmp_path: Path) -> None:
    packed(
        Store(home),
        tmp_path / "m",
        "lamp",
        "extract",
        Asked(input="said", answer_schema=json.dumps(SCHEMA), max_tokens=24),
    )
    found = linnet.json("evaluate", "lamp", "--data", str(rows), "--output", "room")
    assert found["metrics"]["schema_valid"]["value"] == 1
    assert found["identities"]["field_f1"]["decoding"]["max_tokens"] == 24
    other = linnet.json("evaluate", "lamp", "--data", str(rows), "--output", "room", "--instruction", "Which room?")
    code, out, err = linnet("compare", found["run"], other["run"])
    assert (code, out) == (2, "")
    assert "the prompt template differs" in err


def test_two_models_on_the_same_rows(linnet: Linnet, home: Path, rows: Path) -> None:
    given = ("--data", str(rows), "--input", "said", "--output", "room", "--metric", "exact_match", "--max-tokens", "2")
    code, out, err = linnet("compare", "builtin:nano", "builtin:nano:Q8_0", *given, "--quiet")
    assert (code, err) == (0, "")
    assert "No difference is shown between builtin:nano and builtin:nano:Q8_0" in out
    (one,) = linnet.json("compare", "builtin:nano", "builtin:nano:Q8_0", *given)["comparisons"]
    assert one["difference"]["value"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate", "builtin:nano"), "The examples are needed"),
        (("evaluate", "builtin:nano", "--data", "x.jsonl", "--metric", "nope"), "No metric is called"),
        (("evaluate", "builtin:nano", "--data", "absent.jsonl", "--metric", "bleu"), "no such file"),
        (("evaluate", "m", "--endpoint", "http://192.0.2.1/v1", "--data", "R", "--metric", "bleu", "--input", "said",
          "--output", "room"), "is not this machine"),
        (("compare", "one"), "2 to 20"),
    ],
)  # fmt: skip
def test_what_is_refused(linnet: Linnet, home: Path, rows: Path, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = linnet(*(str(rows) if one == "R" else one for one in arguments))
    assert (code, out) == (2, "")
    assert words in err
