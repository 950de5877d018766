"""A decoder that knows nothing still answers under the schema, as it is served."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from recipes.nano import constrained
from tests.tiny_decoder import chats, tiny_decoder


def test_random_weights_answer_under_the_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"command": c.turns[0].content, "call": c.turns[1].content} for c in chats(4)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    properties = {"colour": {"enum": ["red", "green", "blue", "white"]}, "room": {"enum": ["kitchen", "hall", "attic"]}}
    schema = {"type": "object", "properties": properties, "required": ["colour"], "additionalProperties": False}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    given = ["--model", tiny_decoder(tmp_path / "model"), "--test", tmp_path / "test.jsonl", "--input", "command"]
    given += ["--output", "call", "--schema", tmp_path / "schema.json", "--json", tmp_path / "out.json"]
    monkeypatch.setattr(sys, "argv", ["constrained", *map(str, given)])
    constrained.main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["valid_json"], found["test_rows"], found["not_ended"]) == (1.0, 4, 0)
    for wrong in found["first_wrong"]:
        assert json.loads(wrong["said"])["colour"] in properties["colour"]["enum"]
