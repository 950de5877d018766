"""Importance matrices: written as llama.cpp reads them, read as it writes them, refused by name otherwise."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from linnet.core.errors import ModelFileError
from linnet.formats.imatrix import Imatrix, read_imatrix, write_imatrix
from tests.gguf_files import tiny


def made(rows: int = 2) -> Imatrix:
    sums = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    counts = np.array([2.0, 0.0][:rows], dtype=np.float32)
    return Imatrix({"blk.0.ffn_up.weight": sums}, {"blk.0.ffn_up.weight": counts}, ("train.csv",), 3, 64)


def test_it_comes_back(tmp_path: Path) -> None:
    write_imatrix(made(), tmp_path / "i.gguf")
    found = read_imatrix(tmp_path / "i.gguf")
    assert (found.datasets, found.chunks, found.chunk_size) == (("train.csv",), 3, 64)
    importance = found.importance("blk.0.ffn_up.weight")
    assert importance is not None
    assert importance.tolist() == [[0.0, 0.5, 1.0, 1.5], [1.0, 1.0, 1.0, 1.0]]  # an expert that no token reached
    assert found.importance("blk.1.ffn_up.weight") is None


def test_the_package_of_llama_cpp_reads_it(tmp_path: Path) -> None:
    write_imatrix(made(), tmp_path / "i.gguf")
    tensors = {t.name: t for t in gguf.GGUFReader(tmp_path / "i.gguf").tensors}
    assert tensors.keys() == {"blk.0.ffn_up.weight.in_sum2", "blk.0.ffn_up.weight.counts"}
    assert list(tensors["blk.0.ffn_up.weight.counts"].shape) == [1, 2]


def test_the_older_form_is_named(tmp_path: Path) -> None:
    name = b"blk.0.ffn_up.weight"
    old = struct.pack("<ii", 1, len(name)) + name + struct.pack("<ii4f", 1, 4, 1, 2, 3, 4)
    (tmp_path / "old.dat").write_bytes(old)
    with pytest.raises(ModelFileError, match=r"no importance matrix in GGUF") as caught:
        read_imatrix(tmp_path / "old.dat")
    assert "older .dat form" in caught.value.hint


def test_a_model_is_no_importance_matrix(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no importance matrix"):
        read_imatrix(tiny(tmp_path / "tiny.gguf"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_values_that_cannot_be_are_refused(tmp_path: Path, bad: float) -> None:
    broken = made()
    broken.sums["blk.0.ffn_up.weight"][0, 1] = bad
    write_imatrix(broken, tmp_path / "i.gguf")
    with pytest.raises(ModelFileError, match=r"blk\.0\.ffn_up\.weight\.in_sum2"):
        read_imatrix(tmp_path / "i.gguf")
