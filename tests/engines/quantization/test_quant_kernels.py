"""The quantisers: the bytes of gguf-py where it has them, the same from any number of threads, off when they differ."""

from __future__ import annotations

import os
from collections.abc import Iterator

import gguf
import numpy as np
import pytest

from linnet.core.errors import EngineError, InputError, ModelFileError
from linnet.engines.quantization import quant_kernels as kernels
from linnet.engines.quantization import quant_selftest
from linnet.engines.quantization.quant_kernels import TARGETS, convert, dequantize_rows, from_bytes, quantize_rows

WRITTEN_BY_GGUF = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "TQ1_0", "TQ2_0", "MXFP4")
SLOW = ("IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_S", "IQ1_M", "IQ3_S", "IQ3_XXS")  # seconds to a minute for their tables
QUICK = tuple(kind for kind in TARGETS if kind not in SLOW)
nightly = pytest.mark.skipif(
    os.environ.get("LINNET_NIGHTLY") != "1", reason="the tables of this type take up to a minute: LINNET_NIGHTLY=1"
)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(3).normal(scale=0.1, size=(6, 512)).astype(np.float32)


@pytest.fixture
def fresh() -> Iterator[None]:
    kernels.ready.cache_clear()
    yield
    kernels.ready.cache_clear()


@pytest.mark.parametrize("kind", WRITTEN_BY_GGUF)
def test_bytes_are_those_of_gguf(kind: str, rows: np.ndarray) -> None:
    expected = gguf.quants.quantize(rows, gguf.GGMLQuantizationType[kind])
    assert quantize_rows(rows, kind).tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("kind", QUICK)
def test_values_come_back_as_gguf_reads_them(kind: str, rows: np.ndarray) -> None:
    data = quantize_rows(rows, kind)
    typed = data.view({"F32": np.float32, "F16": np.float16}.get(kind, np.uint8))
    expected = gguf.quants.dequantize(typed, gguf.GGMLQuantizationType[kind])
    found = dequantize_rows(data, kind, 512)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert np.abs(found - rows).max() < np.abs(rows).max()


@pytest.mark.parametrize("kind", QUICK)
def test_the_installed_kernels_pass(kind: str) -> None:
    kernels.ready(kind)


@nightly
@pytest.mark.parametrize("kind", SLOW)
def test_the_installed_kernels_of_the_smallest_types_pass(kind: str) -> None:
    kernels.ready(kind)


@pytest.mark.usefixtures("fresh")
def test_other_bytes_switch_a_type_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(quant_selftest.EXPECTED, "Q4_K", ("0" * 16, 0.0))
    with pytest.raises(EngineError, match=r"Quantising is off: the kernel of Q4_K .*needs xllamacpp"):
        kernels.ready("Q4_K")
    kernels.ready("Q8_0")


def test_a_type_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(InputError, match="Q8_K is not a type that can be written"):
        kernels.ready("Q8_K")
    with pytest.raises(InputError, match="a row of 96 does not divide"):
        quantize_rows(np.zeros((1, 96), dtype=np.float32), "Q4_K")
    with pytest.raises(InputError, match="needs an importance matrix"):
        quantize_rows(np.zeros((1, 256), dtype=np.float32), "IQ2_XXS")


def all_of(kind: str, data: np.ndarray, shape: tuple[int, ...], threads: int, **more: np.ndarray) -> bytes:
    matrix = from_bytes("w", "F32", shape, data.reshape(-1).view(np.uint8))
    return b"".join(piece.tobytes() for piece in convert(matrix, kind, threads=threads, **more))


def test_threads_and_pieces_change_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(4).normal(size=(37, 512)).astype(np.float32)
    whole = quantize_rows(data, "Q4_K").tobytes()
    monkeypatch.setattr(kernels, "CHUNK", 5 * 512)
    assert [all_of("Q4_K", data, (512, 37), threads) for threads in (1, 3)] == [whole, whole]


def test_each_expert_has_its_own_importance(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(5)
    data = noise.normal(size=(3, 4, 256)).astype(np.float32)
    weights = (noise.random((3, 256)) ** 4).astype(np.float32)
    monkeypatch.setattr(kernels, "CHUNK", 3 * 256)  # pieces of three rows would cross from one expert to the next
    expected = b"".join(quantize_rows(data[i], "Q4_0", weights[i]).tobytes() for i in range(3))
    assert all_of("Q4_0", data, (256, 4, 3), 2, importance=weights) == expected
    assert expected != quantize_rows(data.reshape(12, 256), "Q4_0").tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0"])
def test_a_weight_that_is_no_number_names_its_tensor(bad: float, kind: str) -> None:
    data = np.ones((4, 256), dtype=np.float32)
    data[3, 200] = bad
    with pytest.raises(ModelFileError, match=r"^w: .*NaN or infinite"):
        all_of(kind, data, (256, 4), 1)


def test_an_overflow_is_said() -> None:
    with pytest.raises(ModelFileError, match="does not fit into F16"):
        all_of("F16", np.full((1, 32), 1e6, dtype=np.float32), (32, 1), 1)
