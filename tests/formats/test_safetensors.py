"""The header of safetensors files, rule 12, and the index of a set."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import ModelFileError, NotFound
from linnet.formats import json_object, safetensors
from linnet.formats.model_check import check_model
from linnet.formats.safetensors import DTYPES, MAX_HEADER, read_safetensors


def tensor(begin: int, end: int, dtype: Any = "F32", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def file(path: Path, header: Any, data: int = 0, length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(data))
    return path


def refused(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        read_safetensors(path)
    assert caught.value.field
    assert caught.value.hint
    assert str(path) in caught.value.message
    return caught.value


def field(tmp_path: Path, header: Any, data: int = 0, length: int | None = None) -> str:
    return refused(file(tmp_path / "bad.safetensors", header, data, length)).field


def test_a_file_of_the_package_is_read_as_the_package_reads_it(tmp_path: Path) -> None:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = tmp_path / "real.safetensors"
    arrays = {"a": np.zeros((3, 4), "float32"), "b": np.zeros(5, "float16"), "c": np.zeros((), "int64")}
    save_file(arrays, path, metadata={"format": "np"})
    header = read_safetensors(path)
    with safe_open(path, "np") as theirs:
        assert {t.name: t.shape for t in header.tensors} == {
            name: tuple(theirs.get_slice(name).get_shape())
            for name in theirs.keys()  # noqa: SIM118
        }
        assert header.metadata == theirs.metadata()
    report = check_model(path)
    assert (report.format, report.kind, report.parameters) == ("safetensors", "model", 18)
    assert {name: share.tensors for name, share in report.quantisation.items()} == {"F32": 1, "F16": 1, "I64": 1}
    assert report.quantisation_name == "F32"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_safetensors(tmp_path / "none.safetensors")


@pytest.mark.parametrize("size", [0, 7, 9])
def test_rule_12_too_short(tmp_path: Path, size: int) -> None:
    path = tmp_path / "s.safetensors"
    path.write_bytes(bytes(size))
    assert refused(path).field == "file size"


@pytest.mark.parametrize("length", [0, 1, 11, 1 << 63, (1 << 64) - 1])
def test_rule_12_the_length_of_the_header(tmp_path: Path, length: int) -> None:
    assert field(tmp_path, b'{"a":    }', length=length) == "header length"


def test_rule_12_a_header_of_more_than_100_mib(tmp_path: Path) -> None:
    path = file(tmp_path / "long.safetensors", b"{}", length=MAX_HEADER + 1)
    with path.open("r+b") as handle:
        handle.truncate(MAX_HEADER + 100)
    assert refused(path).field == "header length"
    file(path, b"{}", length=MAX_HEADER)
    with path.open("r+b") as handle:
        handle.truncate(MAX_HEADER + 100)
    assert refused(path).field == "header"


def test_rule_12_empty_and_padded_headers_pass(tmp_path: Path) -> None:
    assert read_safetensors(file(tmp_path / "a.safetensors", b"{}")).tensors == ()
    padded = json.dumps({"a": tensor(0, 4)}).encode() + b"    "
    assert len(read_safetensors(file(tmp_path / "b.safetensors", padded, 4)).tensors) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b'"a"',
        b"{ ",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"\xff": 1}',
        b'{"a":' + b"[" * 50_000 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
        b" {}",
    ],
)
def test_rule_12_the_header_is_a_json_object(tmp_path: Path, raw: bytes) -> None:
    assert field(tmp_path, raw) in ("header", "a")


def test_rule_12_unique_keys(tmp_path: Path) -> None:
    one = json.dumps(tensor(0, 4))
    error = refused(file(tmp_path / "d.safetensors", f'{{"a": {one}, "a": {one}}}'.encode(), 4))
    assert error.field == "header"
    assert "'a' is there more than once" in error.message


def test_rule_12_too_many_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_object, "MAX_PARTS", 10)
    assert "more than 10 values" in refused(file(tmp_path / "m.safetensors", {"a": [1] * 20})).message


@pytest.mark.parametrize("metadata", [[], {"a": 1}, {"a": None}, {"a": {}}, "x", None])
def test_rule_12_metadata_of_texts(tmp_path: Path, metadata: Any) -> None:
    assert field(tmp_path, {"__metadata__": metadata}) == "__metadata__"


def test_rule_12_metadata_that_passes(tmp_path: Path) -> None:
    assert read_safetensors(file(tmp_path / "m.safetensors", {"__metadata__": {"a": "b"}})).metadata == {"a": "b"}


@pytest.mark.parametrize(
    "value",
    [1, [], {}, {"dtype": "F32", "shape": [1]}, {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "more": 1}],
)
def test_rule_12_a_tensors_three_keys(tmp_path: Path, value: Any) -> None:
    assert field(tmp_path, {"w": value}, 4) == "w"


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 1001])
def test_rule_12_names(tmp_path: Path, name: str) -> None:
    assert field(tmp_path, {name: tensor(0, 4)}, 4) == "tensor name"


@pytest.mark.parametrize("dtype", ["F31", "", 5, None, [], "f32"])
def test_rule_12_types(tmp_path: Path, dtype: Any) -> None:
    assert field(tmp_path, {"w": tensor(0, 4, dtype)}, 4) == "w (dtype)"


@pytest.mark.parametrize("dtype", DTYPES)
def test_rule_12_the_size_is_the_products(tmp_path: Path, dtype: str) -> None:
    size = 8 * DTYPES[dtype] // 8
    good = {"w": tensor(0, size, dtype, [2, 4])}
    assert read_safetensors(file(tmp_path / "g.safetensors", good, size)).tensors[0].size_bytes == size
    assert field(tmp_path, {"w": tensor(0, size + 1, dtype, [2, 4])}, size + 1) == "w"
    assert field(tmp_path, {"w": tensor(0, size - 1, dtype, [2, 4])}, size - 1) == "w"


@pytest.mark.parametrize(
    "shape", [[-1], [1.0], [True], "1", None, {}, [1 << 63], [1 << 40, 1 << 40], [1] * 17, [[1]], ["1"]]
)
def test_rule_12_shapes(tmp_path: Path, shape: Any) -> None:
    bad = {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}
    assert field(tmp_path, {"w": bad}, 4) == "w (shape)"


@pytest.mark.parametrize("shape", [[], [1], [1, 1, 1]])
def test_rule_12_shapes_that_pass(tmp_path: Path, shape: list[int]) -> None:
    path = file(tmp_path / "s.safetensors", {"w": tensor(0, 4, shape=shape), "e": tensor(4, 4, shape=[0, 5])}, 4)
    assert [t.elements for t in read_safetensors(path).tensors] == [1, 0]


@pytest.mark.parametrize("offsets", [[4, 0], [0], [0, 4, 8], [-4, 0], [0.0, 4.0], "04", None, [0, 1 << 64]])
def test_rule_12_offsets(tmp_path: Path, offsets: Any) -> None:
    bad = {"dtype": "F32", "shape": [1], "data_offsets": offsets}
    assert field(tmp_path, {"w": bad}, 4) == "w (data_offsets)"


def test_rule_12_no_overlap_no_hole_nothing_left_over(tmp_path: Path) -> None:
    assert field(tmp_path, {"a": tensor(0, 8), "b": tensor(4, 12)}, 12) == "b (data_offsets)"
    assert field(tmp_path, {"a": tensor(0, 8), "b": tensor(0, 8)}, 8) == "b (data_offsets)"
    assert field(tmp_path, {"a": tensor(0, 8), "b": tensor(12, 16)}, 16) == "b (data_offsets)"
    assert field(tmp_path, {"a": tensor(4, 8)}, 8) == "a (data_offsets)"
    assert field(tmp_path, {"a": tensor(0, 8)}, 7) == "a"
    assert field(tmp_path, {"a": tensor(0, 8)}, 9) == "file size"
    path = file(tmp_path / "any.safetensors", {"b": tensor(8, 12), "a": tensor(0, 8)}, 12)
    assert len(read_safetensors(path).tensors) == 2


# The index of a set.


def index(folder: Path, where: Any, **files: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, header in files.items():
        size = max((value["data_offsets"][1] for value in header.values()), default=0)
        file(folder / f"{name}.safetensors", header, size)
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return path


ONE, TWO = {"a": tensor(0, 4)}, {"b": tensor(0, 8)}


def test_an_index_is_one_model(tmp_path: Path) -> None:
    report = check_model(index(tmp_path / "m", {"a": "x.safetensors", "b": "y.safetensors"}, x=ONE, y=TWO))
    assert report.parts == ("x.safetensors", "y.safetensors")
    assert report.parameters == 3


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ({"a": "x.safetensors"}, None),
        ({"a": "x.safetensors", "b": "z.safetensors"}, "weight_map"),
        ({"a": "x.safetensors", "b": "x.safetensors"}, "b"),
        ({"a": "x.safetensors", "b": "y.safetensors", "c": "y.safetensors"}, "c"),
        ({"a": "../x.safetensors"}, "weight_map"),
        ({"a": "/etc/passwd"}, "weight_map"),
        ({"a": ".x.safetensors"}, "weight_map"),
        ({"a": "x.bin"}, "weight_map"),
        ({"a": 1}, "weight_map"),
        ({}, "weight_map"),
        ([], "weight_map"),
    ],
)
def test_an_index_that_does_not_agree(tmp_path: Path, where: Any, name: str | None) -> None:
    path = index(tmp_path / "m", where, x=ONE, y=TWO)
    if name is None:
        assert check_model(path).parts == ("x.safetensors",)
        return
    with pytest.raises(ModelFileError) as caught:
        check_model(path)
    assert caught.value.field == name


def test_an_index_with_a_tensor_in_two_files(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"in x\.safetensors and in y\.safetensors"):
        check_model(index(tmp_path / "m", {"a": "x.safetensors", "b": "y.safetensors"}, x=ONE, y=ONE | {}))
    assert safetensors.MAX_INDEX > 1 << 20


def test_a_lora_is_told_apart(tmp_path: Path) -> None:
    path = file(tmp_path / "lora.safetensors", {"base.q_proj.lora_A.weight": tensor(0, 4)}, 4)
    assert check_model(path).kind == "adapter"
