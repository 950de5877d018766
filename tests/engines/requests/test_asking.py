"""What of a schema is held while an answer is written, and what is left for the check afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.core.errors import InputError
from linnet.core.files import sha256_file
from linnet.engines.requests.asking import Decoding, Prompting, Source, enforceable, open_engine
from linnet.engines.scoring.measure_decoder import measure_decoder
from linnet.formats.builtin import our_model
from linnet.text.conversations import Turn
from linnet.text.questions import Question

ROOT = Path(__file__).parents[3]


def test_bounds_that_are_no_whole_numbers_are_left_to_the_check() -> None:
    schema = {
        "type": "object",
        "properties": {
            "minimum": {"type": "number", "minimum": 0.5, "maximum": 3, "multipleOf": 0.1},
            "n": {"type": "integer", "minimum": 0},
        },
        "required": ["minimum"],
    }
    found, dropped = enforceable(schema)
    assert dropped == ["#/properties/minimum/minimum", "#/properties/minimum/multipleOf"]
    held = {"minimum": {"type": "number", "maximum": 3}, "n": {"type": "integer", "minimum": 0}}
    assert found["properties"] == held
    assert schema["properties"]["minimum"]["minimum"] == 0.5  # the given one is as it was


def test_anything_else_that_cannot_be_enforced_is_refused() -> None:
    with pytest.raises(InputError, match="uniqueItems"):
        enforceable({"type": "array", "uniqueItems": True})


@pytest.mark.parametrize("name", ["extract-tickets/ticket", "smart-home/tool"])
def test_the_examples_can_be_enforced(name: str) -> None:
    enforceable(json.loads((ROOT / "examples" / f"{name}.schema.json").read_text()))


def test_an_engine_has_room_for_the_longest_question_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")
    path = Path(our_model("builtin:nano:Q8_0").path)
    source = Source("nano", path, sha256_file(path))
    asked = [Question(row=i, turns=(Turn(role="user", content="hi " * i),), references=()) for i in (1, 20)]
    decoding = Decoding(max_tokens=8)
    engine = open_engine(source, asked, Prompting("Be brief."), decoding)
    assert engine.slots == 2
    assert 60 + 8 <= engine.context <= 768
    engine.close()
    found = measure_decoder(source, asked, Prompting("Be brief."), decoding)
    assert found.size_bytes == path.stat().st_size
    assert 0 < found.latency_ms_p50 <= found.latency_ms_p95
    assert found.peak_memory_bytes >= found.size_bytes
