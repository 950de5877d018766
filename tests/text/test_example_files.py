"""Examples written are examples read, whatever the text holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linnet.core.errors import CorruptFile, NotFound
from linnet.core.records import Example
from linnet.text.example_files import read_examples, write_examples

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(Example, text=TEXT, label=TEXT, row=st.integers(1, 10**6), group=TEXT), max_size=5))
def test_round_trip(tmp_path: Path, examples: list[Example]) -> None:
    path = tmp_path / "a.jsonl"
    write_examples(path, examples)
    assert read_examples(path) == examples
    assert len(path.read_text().splitlines()) == len(examples)


def test_line_separators_in_a_text_do_not_cut_its_line(tmp_path: Path) -> None:
    example = Example(text="a\u2028b\u2029c\x85d\ne\x1cf", label="x", row=2)
    write_examples(tmp_path / "a.jsonl", [example])
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 1
    assert read_examples(tmp_path / "a.jsonl") == [example]


def test_a_damaged_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "b", "row": 1}\n{"text": "a"\n')
    with pytest.raises(CorruptFile, match="line 2"):
        read_examples(tmp_path / "a.jsonl")
    with pytest.raises(NotFound):
        read_examples(tmp_path / "none.jsonl")
