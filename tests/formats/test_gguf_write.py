"""The head of a GGUF as written is the head as read, by our reader and by the package `gguf`."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from linnet.core.errors import InputError
from linnet.formats.gguf import read_gguf
from linnet.formats.gguf_write import copied, head, padded, place, size_of, text, texts, uint32
from tests.gguf_files import split, stories, tiny

TENSORS = [("a.weight", "Q4_K", (512, 3)), ("b", "F32", (5,)), ("c.weight", "F16", (4, 3, 2))]


@pytest.mark.parametrize("alignment", [32, 64])
def test_what_is_written_is_read(tmp_path: Path, alignment: int) -> None:
    placed = place(TENSORS, alignment)
    metadata = {"general.architecture": text("llama"), "general.file_type": uint32(15), "x.names": texts(["é", ""])}
    metadata |= {"general.alignment": uint32(alignment)}
    path = tmp_path / "made.gguf"
    start = head(metadata, placed, alignment)
    path.write_bytes(start + bytes(sum(padded(p.size_bytes, alignment) for p in placed)))
    found = read_gguf(path)
    assert [(t.name, t.type, t.shape, t.offset) for t in found.tensors] == [
        (p.name, p.type, p.shape, p.offset) for p in placed
    ]
    assert (found.data_offset, found.suspicious) == (len(start), ())
    assert found.metadata["general.file_type"] == 15
    assert found.strings("x.names") == ["é".encode(), b""]
    assert [t.name for t in gguf.GGUFReader(path).tensors] == ["a.weight", "b", "c.weight"]


def test_copied_metadata_is_the_same_bytes(tmp_path: Path) -> None:
    before = read_gguf(stories())
    path = tmp_path / "keys.gguf"
    path.write_bytes(head(copied(before), []))
    after = read_gguf(path)
    assert list(after.metadata) == list(before.metadata)
    assert copied(after) == copied(before)


def test_keys_that_tie_a_part_to_its_set_are_left_out(tmp_path: Path) -> None:
    keys = copied(read_gguf(split(tmp_path)[0]))
    assert keys.keys() == copied(read_gguf(tiny(tmp_path / "tiny.gguf"))).keys()


def test_what_the_format_cannot_hold_is_refused() -> None:
    with pytest.raises(InputError, match="a row of 100 does not divide"):
        size_of("Q8_0", (100, 2))
    with pytest.raises(InputError, match="1 to 63 bytes"):
        place([("x" * 64, "F32", (1,))])
