"""The header of GGUF files, rule by rule: what passes, and what is refused with the name of its field."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import ModelFileError, NotFound
from linnet.formats.ggml_types import FILE_TYPES, REMOVED_TYPES, TYPES
from linnet.formats.gguf import MAX_STRING, read_gguf
from tests.gguf_files import (
    BOOL,
    CHATML,
    F32,
    STRING,
    TOKENS,
    U32,
    array,
    honest,
    stories,
    text,
    tiny,
    tiny_keys,
    tiny_tensors,
    tokens,
    written,
)


def refused(tmp_path: Path, data: bytes) -> ModelFileError:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        read_gguf(path)
    assert str(path) in caught.value.message
    assert caught.value.field
    assert caught.value.hint
    assert caught.value.exit_code == 1
    return caught.value


def with_tensors(*tensors: Any, **options: Any) -> bytes:
    return written({"general.architecture": (STRING, "llama")}, list(tensors), **options)


def test_an_honest_file_is_read_as_the_package_gguf_reads_it(tmp_path: Path) -> None:
    from gguf import GGUFReader

    for path in (honest(tmp_path / "honest.gguf"), tiny(tmp_path / "tiny.gguf"), stories()):
        header, reader = read_gguf(path), GGUFReader(path)
        assert header.suspicious == ()
        assert header.data_offset == reader.data_offset
        assert list(header.metadata) == [key for key in reader.fields if not key.startswith("GGUF.")]
        assert header.metadata["general.name"] == reader.fields["general.name"].contents()
        theirs = [
            (t.name, t.tensor_type.name, tuple(t.shape), t.n_bytes, t.data_offset - reader.data_offset)
            for t in reader.tensors
        ]
        ours = [(t.name, t.type, t.shape, t.size_bytes, t.offset) for t in header.tensors]
        assert ours == theirs
        listed = reader.fields["tokenizer.ggml.tokens"].contents()
        assert [token.decode() for token in header.strings("tokenizer.ggml.tokens")] == listed
        assert (
            list(header.numbers("tokenizer.ggml.token_type")) == reader.fields["tokenizer.ggml.token_type"].contents()
        )


def test_the_table_of_types_is_the_packages() -> None:
    from gguf.constants import GGML_QUANT_SIZES, LlamaFileType

    assert {kind.value: (kind.name, *sizes) for kind, sizes in GGML_QUANT_SIZES.items()} == TYPES
    assert not set(REMOVED_TYPES) & set(TYPES)
    known = {kind.value for kind in LlamaFileType if kind.name != "GUESSED"}
    assert set(FILE_TYPES) == known
    assert {base for _, base in FILE_TYPES.values()} <= {name for name, _, _ in TYPES.values()}


def test_arrays_stay_undecoded_until_they_are_asked_for(tmp_path: Path) -> None:
    header = read_gguf(tiny(tmp_path / "tiny.gguf"))
    found = header.metadata["tokenizer.ggml.tokens"]
    assert (found.kind, found.count) == (STRING, TOKENS)
    assert [token.decode() for token in header.strings("tokenizer.ggml.tokens")] == tokens()
    assert header.strings("tokenizer.ggml.scores") == []
    assert header.numbers("tokenizer.ggml.tokens") == ()
    assert header.numbers("nothing") == ()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.gguf: no such file"):
        read_gguf(tmp_path / "none.gguf")


# Rule 1: size, magic, version, byte order.


@pytest.mark.parametrize("size", [0, 1, 4, 23])
def test_rule_1_too_short(tmp_path: Path, size: int) -> None:
    assert refused(tmp_path, (b"GGUF" + bytes(20))[:size]).field == "file size"


def test_rule_1_the_shortest_file_there_is(tmp_path: Path) -> None:
    path = tmp_path / "empty.gguf"
    path.write_bytes(written({}, []))
    assert path.stat().st_size >= 24
    assert read_gguf(path).tensors == ()


def test_rule_1_magic(tmp_path: Path) -> None:
    assert refused(tmp_path, written({}, [], magic=b"GGML")).field == "magic"


@pytest.mark.parametrize("version", [0, 1, 4, 1 << 31])
def test_rule_1_version(tmp_path: Path, version: int) -> None:
    error = refused(tmp_path, written({}, [], version=version))
    assert error.field == "version"


@pytest.mark.parametrize("version", [2, 3])
def test_rule_1_both_versions_pass(tmp_path: Path, version: int) -> None:
    path = tmp_path / "v.gguf"
    path.write_bytes(written(tiny_keys(), tiny_tensors(), version=version))
    assert read_gguf(path).version == version


def test_rule_1_big_endian_is_named(tmp_path: Path) -> None:
    data = b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(64)
    error = refused(tmp_path, data)
    assert error.field == "version"
    assert "big endian" in error.message


# Rule 2: counts against the size of the file.


@pytest.mark.parametrize(("counts", "field"), [((1 << 40, None), "tensor_count"), ((None, 1 << 63), "kv_count")])
def test_rule_2_counts_are_bounded_by_the_file(
    tmp_path: Path, counts: tuple[int | None, int | None], field: str
) -> None:
    error = refused(tmp_path, written(tiny_keys(), tiny_tensors(), counts=counts))
    assert error.field == field
    assert "possible" in error.message


def test_rule_2_at_the_limit_and_one_above(tmp_path: Path) -> None:
    data = bytearray(written({}, []) + bytes(1600 - len(written({}, []))))
    data[16:24] = struct.pack("<Q", 100)
    assert refused(tmp_path, bytes(data)).field != "kv_count"
    data[16:24] = struct.pack("<Q", 101)
    assert refused(tmp_path, bytes(data)).field == "kv_count"


# Rule 3: texts and keys.


@pytest.mark.parametrize(
    "name", ["", "Upper", "with space", "a/b", "é", "x" * 256, b"\xff\xfe", "general.\n", "tokenizer.chat_template.a/b"]
)
def test_rule_3_the_grammar_of_keys(tmp_path: Path, name: str | bytes) -> None:
    assert refused(tmp_path, written([(name, (U32, 1))], [])).field == "key 1 of 1"


@pytest.mark.parametrize("name", ["x" * 255, "a_b-c.9", "tokenizer.chat_template.Tool_Use"])
def test_rule_3_keys_that_pass(tmp_path: Path, name: str) -> None:
    path = tmp_path / "k.gguf"
    path.write_bytes(written([(name, (U32, 1))], []))
    assert read_gguf(path).metadata == {name: 1}


def test_rule_3_a_key_twice(tmp_path: Path) -> None:
    error = refused(tmp_path, written([("a.b", (U32, 1)), ("a.b", (U32, 2))], []))
    assert error.field == "a.b"
    assert "more than once" in error.message


@pytest.mark.parametrize("length", [1 << 62, 1 << 20, MAX_STRING + 1, (1 << 64) - 1])
def test_rule_3_a_text_longer_than_the_file(tmp_path: Path, length: int) -> None:
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a.b") + struct.pack("<IQ", STRING, length) + bytes(64)
    assert refused(tmp_path, data).field == "a.b"


def test_rule_3_a_text_of_16_mib_passes_and_one_byte_more_does_not(tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    path.write_bytes(written({"a.b": (STRING, "x" * MAX_STRING)}, []))
    assert len(read_gguf(path).metadata["a.b"]) == MAX_STRING
    assert refused(tmp_path, written({"a.b": (STRING, "x" * (MAX_STRING + 1))}, [])).field == "a.b"


def test_rule_3_text_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "latin.gguf"
    path.write_bytes(written({"general.name": (STRING, b"caf\xe9")}, []))
    header = read_gguf(path)
    assert header.suspicious == ("The value of general.name is not UTF-8.",)
    assert header.metadata["general.name"] == "caf\ufffd"


# Rule 4: types of values, arrays.


@pytest.mark.parametrize("kind", [13, 255, 1 << 31])
def test_rule_4_value_types(tmp_path: Path, kind: int) -> None:
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a.b") + struct.pack("<I", kind) + bytes(64)
    assert refused(tmp_path, data).field == "a.b (type)"


@pytest.mark.parametrize("kind", [k for k in range(13) if k not in (STRING, 9)])
def test_rule_4_every_number_passes(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "n.gguf"
    path.write_bytes(written({"a.b": (kind, 1), "a.c": array(kind, [1, 0, 1])}, []))
    header = read_gguf(path)
    assert header.metadata["a.b"] == 1
    assert header.numbers("a.c") == (1, 0, 1)


def test_rule_4_a_boolean_is_0_or_1(tmp_path: Path) -> None:
    assert refused(tmp_path, written({"a.b": (BOOL, 2)}, [])).field == "a.b"
    assert refused(tmp_path, written({"a.b": array(BOOL, [1, 7])}, [])).field == "a.b"


@pytest.mark.parametrize(("kind", "count"), [(U32, 1 << 61), (STRING, 1 << 61), (U32, 40), (STRING, 20)])
def test_rule_4_an_array_longer_than_the_file(tmp_path: Path, kind: int, count: int) -> None:
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a.b") + struct.pack("<IIQ", 9, kind, count) + bytes(64)
    assert refused(tmp_path, data).field == "a.b (count)"


def test_rule_4_an_element_longer_than_the_file(tmp_path: Path) -> None:
    elements = text("x") + struct.pack("<Q", 1000) + bytes(64)
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a.b") + struct.pack("<IIQ", 9, STRING, 3) + elements
    assert refused(tmp_path, data).field == "a.b[1]"


def test_rule_4_an_element_of_more_than_16_mib(tmp_path: Path) -> None:
    elements = text("x") + struct.pack("<Q", MAX_STRING + 1) + bytes(64)
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a.b") + struct.pack("<IIQ", 9, STRING, 3) + elements
    error = refused(tmp_path, data)
    assert error.field == "a.b[1]"
    assert "allowed" in error.message


def test_rule_4_more_texts_than_any_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.formats.gguf.MAX_TEXTS", 3)
    path = tmp_path / "three.gguf"
    path.write_bytes(written({"a.b": array(STRING, ["x"] * 3)}, []))
    assert read_gguf(path).metadata["a.b"].count == 3
    assert refused(tmp_path, written({"a.b": array(STRING, ["x"] * 4)}, [])).field == "a.b (count)"


def test_rule_4_arrays_of_arrays(tmp_path: Path) -> None:
    error = refused(tmp_path, written({"a.b": array(9, [(U32, [1])])}, []))
    assert error.field == "a.b (element type)"


def test_rule_4_empty_arrays_pass(tmp_path: Path) -> None:
    path = tmp_path / "e.gguf"
    path.write_bytes(written({"a.b": array(STRING, []), "a.c": array(F32, [])}, []))
    assert read_gguf(path).metadata["a.b"].count == 0


def test_a_header_longer_than_the_first_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.formats.gguf.FIRST_READ", 100)
    for path in (tiny(tmp_path / "tiny.gguf"), stories()):
        assert len(read_gguf(path).strings("tokenizer.ggml.tokens")) in (TOKENS, 512)


def test_a_header_longer_than_any_model_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.formats.gguf.FIRST_READ", 100)
    monkeypatch.setattr("linnet.formats.gguf.MAX_HEADER", 2000)
    error = refused(tmp_path, tiny(tmp_path / "tiny.gguf").read_bytes())
    assert "longer than 2000 bytes" in error.message


# Rule 5: alignment.


@pytest.mark.parametrize("value", [0, 1, 4, 24, 8192, (1 << 32) - 1])
def test_rule_5_alignment(tmp_path: Path, value: int) -> None:
    assert refused(tmp_path, written({"general.alignment": (U32, value)}, [])).field == "general.alignment"


def test_rule_5_alignment_is_a_number(tmp_path: Path) -> None:
    for wrong in ((STRING, "32"), (F32, 32.0), (BOOL, 1), array(U32, [32])):
        assert refused(tmp_path, written({"general.alignment": wrong}, [])).field == "general.alignment"


@pytest.mark.parametrize("value", [8, 64, 4096])
def test_rule_5_alignments_that_pass(tmp_path: Path, value: int) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(written(tiny_keys(general__alignment=(U32, value)), tiny_tensors(), alignment=value))
    header = read_gguf(path)
    assert header.alignment == value
    assert header.data_offset % value == 0
    assert header.suspicious == ()


# Rule 6: a tensor's name, shape and type.


@pytest.mark.parametrize("name", ["", "x" * 64, "a\nb", "é", b"\xff"])
def test_rule_6_names(tmp_path: Path, name: str | bytes) -> None:
    assert refused(tmp_path, with_tensors((name, (8,), 0))).field == "tensor 1 (name)"


def test_rule_6_a_name_twice(tmp_path: Path) -> None:
    error = refused(tmp_path, with_tensors(("w", (8,), 0), ("w", (8,), 0)))
    assert error.field == "w"
    assert "more than once" in error.message


@pytest.mark.parametrize("shape", [(), (1, 1, 1, 1, 1)])
def test_rule_6_dimensions(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert refused(tmp_path, with_tensors(("w", shape, 0))).field == "w (dimensions)"


@pytest.mark.parametrize(
    "shape", [(0,), (8, 0), (1 << 63,), (1 << 32, 1 << 32), (1 << 24, 1 << 24, 2), (1 << 63, 2), (0, 1 << 62)]
)
def test_rule_6_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert refused(tmp_path, with_tensors(("w", shape, 0))).field == "w (shape)"


def test_rule_6_what_passes(tmp_path: Path) -> None:
    path = tmp_path / "t.gguf"
    path.write_bytes(with_tensors(("x" * 63, (8,), 0), ("w", (2, 2, 2, 2), 0), ("h", (8,), 1)))
    assert [(t.shape, t.elements, t.size_bytes) for t in read_gguf(path).tensors] == [
        ((8,), 8, 32),
        ((2, 2, 2, 2), 16, 64),
        ((8,), 8, 16),
    ]


@pytest.mark.parametrize(("kind", "word"), [(4, "removed type Q4_2"), (31, "removed type Q4_0_4_4"), (99, "no tensor")])
def test_rule_6_types(tmp_path: Path, kind: int, word: str) -> None:
    error = refused(tmp_path, with_tensors(("w", (256,), kind)))
    assert error.field == "w (type)"
    assert word in error.message


@pytest.mark.parametrize(("kind", "length"), [(2, 33), (12, 128), (40, 32)])
def test_rule_6_blocks_divide_the_first_dimension(tmp_path: Path, kind: int, length: int) -> None:
    assert refused(tmp_path, with_tensors(("w", (length, 256), kind))).field == "w (shape)"


# Rule 7: where the tensors lie.


def test_rule_7_an_offset_that_is_not_aligned(tmp_path: Path) -> None:
    assert refused(tmp_path, with_tensors(("w", (8,), 0, 8), ("v", (64,), 0, 64))).field == "w (offset)"


def test_rule_7_a_tensor_beyond_the_end(tmp_path: Path) -> None:
    data = with_tensors(("w", (64,), 0))
    error = refused(tmp_path, data[:-1])
    assert error.field == "w"
    assert "needs 256 bytes at offset 0, the file has 255" in error.message


@pytest.mark.parametrize("offset", [1 << 40, (1 << 64) - 32])
def test_rule_7_an_offset_beyond_the_end(tmp_path: Path, offset: int) -> None:
    assert refused(tmp_path, with_tensors(("w", (64,), 0, offset))).field == "w"


def test_rule_7_a_span_that_is_too_short(tmp_path: Path) -> None:
    error = refused(tmp_path, with_tensors(("u", (8,), 0, 0), ("w", (64,), 0, 32), ("v", (64,), 0, 160)))
    assert error.field == "w"
    assert "needs 256 bytes, v begins after 128" in error.message


def test_rule_7_two_tensors_in_one_place(tmp_path: Path) -> None:
    assert refused(tmp_path, with_tensors(("w", (64,), 0, 0), ("v", (64,), 0, 0))).field in ("w", "v")


def test_rule_7_any_order_passes_and_gaps_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "g.gguf"
    path.write_bytes(with_tensors(("w", (64,), 0, 256), ("v", (64,), 0, 0)))
    assert read_gguf(path).suspicious == ()
    path.write_bytes(with_tensors(("w", (64,), 0, 320), ("v", (64,), 0, 32)) + bytes(64))
    assert read_gguf(path).suspicious == ("64 bytes of the file belong to no tensor.",)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.gguf")
    for path in (tmp_path / "pipe.gguf", tmp_path):
        with pytest.raises(ModelFileError, match="not a regular file"):
            read_gguf(path)


def test_the_file_may_be_named_anything(tmp_path: Path) -> None:
    assert read_gguf(tiny(tmp_path / "model.txt")).metadata["tokenizer.chat_template"] == CHATML
