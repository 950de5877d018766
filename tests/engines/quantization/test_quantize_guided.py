"""Importance matrices gathered and types chosen for a target, through the stage that a command calls."""

from __future__ import annotations

import json
from math import log1p
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import InputError
from linnet.core.store import Store
from linnet.engines.quantization import importance as importances
from linnet.engines.quantization import mixture_search, quantize_guided, sensitivity
from linnet.engines.quantization.quantize_guided import Target
from linnet.formats.gguf import read_gguf
from linnet.formats.imatrix import read_imatrix
from linnet.stages.convert import Converted, Options, convert
from tests.engines.mixture_models import Shape, filled, importance, write_importance

SHAPE = Shape(layers=1, heads_kv=2, vocabulary=96)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less text and fewer measurements than a person gets."""
    monkeypatch.setattr(importances, "OWN", 400)
    monkeypatch.setattr(importances, "LEAST", 400)
    monkeypatch.setattr(quantize_guided, "SEARCHED", 64)
    monkeypatch.setattr(mixture_search, "MOST", 40)
    without = tuple(kind for kind in sensitivity.CANDIDATES if not kind.startswith("IQ"))  # whose tables take seconds
    monkeypatch.setattr(sensitivity, "CANDIDATES", without)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(SHAPE, tmp_path_factory.mktemp("source") / "in.gguf")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def made(store: Store, source: Path, name: str, options: Options, kind: str = "") -> tuple[Path, Converted]:
    path = store.root.parent / name
    return path, convert(store, str(source), kind, Options(**{**vars_of(options), "out": str(path), "threads": 1}))


def vars_of(options: Options) -> dict[str, object]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


def test_a_size_is_kept_to_and_its_list_makes_the_file_again(store: Store, source: Path) -> None:
    size = 400_000
    target = Target(size_bytes=size, label="size 400kB")
    path, found = made(store, source, "a.gguf", Options(gather=True, target=target))
    assert 0.9 * size < path.stat().st_size == found.quantized.size_bytes <= size
    assert found.search is not None
    assert found.search.measured.mean > 0
    assert read_gguf(path).metadata["linnet.mixture.target"] == "size 400kB"
    types = {t.name: t.type for t in read_gguf(path).tensors}
    assert {name: types[name] for name in found.quantized.tensor_types} == found.quantized.tensor_types
    (matrix,) = store.path("importance").glob("*.gguf")
    record = store.root / "record.json"
    record.write_text(json.dumps(found.to_json()))
    for like in (path, record):
        again, _ = made(store, source, f"{like.stem}-again.gguf", Options(imatrix=matrix, types=like))
        assert data(again) == data(path)


def data(path: Path) -> bytes:
    return path.read_bytes()[read_gguf(path).data_offset :]


def test_what_was_gathered_and_measured_is_used_again(
    store: Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(gather=True, target=Target(bits=5.0, label="5 bits"))
    first, one = made(store, source, "a.gguf", options)
    assert one.quantized.bits_per_weight <= 5.0
    monkeypatch.setattr(quantize_guided.Watched, "gather", None)
    monkeypatch.setattr(quantize_guided.sensitivity.Bench, "_measured", None)
    second, two = made(store, source, "b.gguf", options)
    assert first.read_bytes() == second.read_bytes()
    assert one.search == two.search


def test_a_loss_is_kept_to(store: Store, source: Path) -> None:
    _, found = made(store, source, "a.gguf", Options(gather=True, target=Target(max_loss=0.02, label="loss 2%")))
    assert found.search is not None
    assert found.search.measured.mean <= log1p(0.02)
    assert found.quantized.bits_per_weight < 16


def test_the_gathered_matrix_guides_a_named_mixture(store: Store, source: Path) -> None:
    path, _ = made(store, source, "a.gguf", Options(gather=True), "Q2_K_S")
    assert read_gguf(path).metadata["quantize.imatrix.dataset"] == importances.OWN_TEXT
    (kept,) = store.path("importance").glob("*.gguf")
    found = read_imatrix(kept)
    assert found.importance("blk.0.ffn_down.weight").shape == (1, 512)  # type: ignore[union-attr]
    assert all(np.all(count == next(iter(found.counts.values()))) for count in found.counts.values())


def test_a_matrix_of_another_model_is_refused(store: Store, source: Path, tmp_path: Path) -> None:
    target = Target(bits=5.0, label="5 bits")
    other = write_importance(importance(Shape(layers=1, width=288, heads=9, heads_kv=3)), tmp_path / "other")
    with pytest.raises(InputError, match="of another model: 288 columns"):
        made(store, source, "a.gguf", Options(imatrix=other, target=target))
    names = {name.replace("blk.0", "blk.7"): value for name, value in importance(SHAPE).items()}
    with pytest.raises(InputError, match="names less than half"):
        made(store, source, "a.gguf", Options(imatrix=write_importance(names, tmp_path / "names"), target=target))


def test_what_cannot_be(store: Store, source: Path) -> None:
    with pytest.raises(InputError, match="in the smallest types that fit"):
        made(store, source, "a.gguf", Options(target=Target(size_bytes=20_000, label="size 20kB")))
    with pytest.raises(InputError, match="one of a type, a size"):
        made(store, source, "a.gguf", Options(target=Target(bits=4, label="4 bits")), "Q8_0")
    bad = store.root / "types.json"
    bad.write_text('{"blk.9.ffn_up.weight": "Q8_0"}')
    with pytest.raises(InputError, match=r"names blk\.9\.ffn_up\.weight, which this model does not have"):
        made(store, source, "a.gguf", Options(types=bad))
    bad.write_text('{"a": 1}')
    with pytest.raises(InputError, match="holds no list of types"):
        made(store, source, "a.gguf", Options(types=bad))
    assert not (store.root.parent / "a.gguf").exists()
