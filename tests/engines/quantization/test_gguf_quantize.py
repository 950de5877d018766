"""GGUF to GGUF: byte for byte what llama-quantize writes; parts, metadata and damaged sources."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import InputError, ModelFileError
from linnet.engines.quantization.gguf_quantize import Quantized, Recipe, gguf_source, plan, write
from linnet.formats.gguf import read_gguf
from linnet.formats.gguf_split import read_parts
from linnet.formats.imatrix import read_imatrix
from tests.engines.mixture_models import Shape, filled, importance, peer, write_importance
from tests.gguf_files import split, stories, tiny

# Each has its own trouble: a tied table, rows that 256 does not divide, experts.
SMALL = {
    "grouped": Shape(layers=2, heads_kv=2, tied=True),
    "narrow": Shape(width=576, forward=768, heads=9, heads_kv=3, layers=1),
    "experts": Shape(experts=4, layers=1),
}
MIXTURES = ("Q4_K_M", "Q2_K", "Q3_K_L", "Q5_0", "IQ4_XS", "MXFP4_MOE", "TQ2_0", "BF16")
# sha256 of what llama-quantize of the pinned sources wrote for stories260K, without a comparison here at hand.
STORIES = {
    "Q4_K_M": "b7d4e7028aeb783a1e78265b4772fe4ee30baf0b0147e1ced52668741cb2e925",
    "Q8_0": "e0fc172808499a4ab8ee95947af996eb4ae7767cd4e4006c9bcf82264b36104b",
    "Q5_1": "b4b6d88bd29c47c8e39d9ba78c137f2cc1f2ba3da7910fe188caa62f3f2cf798",
    "F16": "93dba272dae6cf50ebf459a48b35551cb3cbd9a53cc54384a3db68ada17180db",
}


def made(source: Path, target: Path, recipe: Recipe) -> Quantized:
    with gguf_source(source) as opened:
        planned = plan(opened, recipe)
        with target.open("wb") as handle:
            write(planned, handle, lambda done, total, name: None)
    assert target.stat().st_size == planned.size_bytes
    return planned.summary()


def weights(path: Path) -> bytes:
    return path.read_bytes()[read_gguf(path).data_offset :]


@pytest.mark.parametrize("mixture", STORIES)
def test_the_file_is_the_one_that_llama_quantize_wrote(tmp_path: Path, mixture: str) -> None:
    made(stories(), tmp_path / "out.gguf", Recipe(mixture, threads=2))
    assert hashlib.sha256((tmp_path / "out.gguf").read_bytes()).hexdigest() == STORIES[mixture]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("guided", [False, True])
def test_weights_are_byte_for_byte_those_of_llama_quantize(tmp_path: Path, name: str, guided: bool) -> None:
    binary = peer()
    if not binary:
        pytest.skip("no llama-quantize at $LINNET_PEERS/bin")
    source = filled(SMALL[name], tmp_path / "in.gguf")
    matrix = write_importance(importance(SMALL[name]), tmp_path / "in.imatrix")
    for mixture in MIXTURES:
        extra = ["--imatrix", str(matrix)] if guided else []
        command = [str(binary), *extra, str(source), str(tmp_path / "theirs.gguf"), mixture, "2"]
        subprocess.run(command, capture_output=True, timeout=900, check=True)
        recipe = Recipe(mixture, importance=read_imatrix(matrix) if guided else None, threads=2)
        made(source, tmp_path / "ours.gguf", recipe)
        ours, theirs = read_gguf(tmp_path / "ours.gguf"), read_gguf(tmp_path / "theirs.gguf")
        assert ours.tensors == theirs.tensors, mixture
        assert weights(tmp_path / "ours.gguf") == weights(tmp_path / "theirs.gguf"), mixture


def test_importance_changes_the_weights_and_is_written_down(tmp_path: Path) -> None:
    source = filled(SMALL["grouped"], tmp_path / "in.gguf")
    matrix = read_imatrix(write_importance(importance(SMALL["grouped"]), tmp_path / "i"))
    made(source, tmp_path / "plain.gguf", Recipe("Q4_K_M"))
    found = made(source, tmp_path / "guided.gguf", Recipe("Q4_K_M", importance=matrix, importance_file="i"))
    assert weights(tmp_path / "plain.gguf") != weights(tmp_path / "guided.gguf")
    metadata = read_gguf(tmp_path / "guided.gguf").metadata
    assert (metadata["quantize.imatrix.file"], metadata["quantize.imatrix.chunks_count"]) == ("i", 1)
    assert found.unguided == ()


def test_metadata_travels_and_says_the_new_type(tmp_path: Path) -> None:
    found = made(stories(), tmp_path / "out.gguf", Recipe("Q8_0"))
    before, after = read_gguf(stories()), read_gguf(tmp_path / "out.gguf")
    new = {"general.file_type", "general.quantization_version"}
    assert (after.metadata["general.file_type"], after.metadata["general.quantization_version"]) == (7, 2)
    assert {k: before.raw[slice(*v)] for k, v in before.spans.items() if k not in new} == {
        k: after.raw[slice(*v)] for k, v in after.spans.items() if k not in new
    }
    assert {t.name for t in before.tensors} == {t.name for t in after.tensors}
    assert sum(share.tensors for share in found.types.values()) == len(after.tensors)
    assert found.fallbacks  # rows of 172 fit no block of 32
    assert "F16 instead of Q8_0" in found.fallbacks[0]


def test_parts_become_one_file(tmp_path: Path) -> None:
    first = split(tmp_path / "parts")[0]
    made(tiny(tmp_path / "tiny.gguf"), tmp_path / "one.gguf", Recipe("Q8_0"))
    made(first, tmp_path / "joined.gguf", Recipe("Q8_0"))
    assert len(read_parts(tmp_path / "joined.gguf")) == 1
    assert (tmp_path / "joined.gguf").read_bytes() == (tmp_path / "one.gguf").read_bytes()


def test_pure_gives_every_matrix_the_type(tmp_path: Path) -> None:
    source = filled(SMALL["grouped"], tmp_path / "in.gguf")
    made(source, tmp_path / "out.gguf", Recipe("Q4_K", pure=True))
    types = {t.name: t.type for t in read_gguf(tmp_path / "out.gguf").tensors}
    assert {types[name] for name in types if not name.endswith("norm.weight")} == {"Q4_K"}


def test_a_quantised_source_is_refused_unless_asked_for(tmp_path: Path) -> None:
    source = filled(SMALL["grouped"], tmp_path / "in.gguf")
    made(source, tmp_path / "q8.gguf", Recipe("Q8_0"))
    with pytest.raises(InputError, match=r"is quantised already: .* is Q8_0"):
        made(tmp_path / "q8.gguf", tmp_path / "q4.gguf", Recipe("Q4_K_M"))
    made(tmp_path / "q8.gguf", tmp_path / "q4.gguf", Recipe("Q4_K_M", requantize=True))
    made(source, tmp_path / "direct.gguf", Recipe("Q4_K_M"))
    assert read_gguf(tmp_path / "q4.gguf").tensors == read_gguf(tmp_path / "direct.gguf").tensors


def test_an_importance_matrix_of_another_model_is_refused(tmp_path: Path) -> None:
    source = filled(SMALL["grouped"], tmp_path / "in.gguf")
    other = read_imatrix(write_importance(importance(SMALL["narrow"]), tmp_path / "i"))
    with pytest.raises(InputError, match="of another model: it has 576 columns"):
        made(source, tmp_path / "out.gguf", Recipe("Q4_K_M", importance=other))
    with pytest.raises(InputError, match=r"IQ2_XS makes .* worthless without an importance matrix"):
        made(source, tmp_path / "out.gguf", Recipe("IQ2_XS"))


def test_a_weight_that_is_no_number_is_named(tmp_path: Path) -> None:
    source = filled(SMALL["grouped"], tmp_path / "in.gguf")
    header = read_gguf(source)
    bad = next(t for t in header.tensors if t.name == "blk.1.ffn_up.weight")
    with source.open("rb+") as handle:
        handle.seek(header.data_offset + bad.offset + 4 * 777)
        handle.write(np.float32(np.nan).tobytes())
    with pytest.raises(ModelFileError, match=r"blk\.1\.ffn_up\.weight: a weight of it is NaN"):
        made(source, tmp_path / "out.gguf", Recipe("Q4_0"))


def test_a_file_that_is_cut_while_it_is_read_is_said(tmp_path: Path) -> None:
    source = filled(SMALL["grouped"], tmp_path / "in.gguf")
    with gguf_source(source) as opened:
        planned = plan(opened, Recipe("Q8_0"))
        with source.open("rb+") as handle:
            handle.truncate(read_gguf(source).data_offset + 1000)
        with (tmp_path / "out.gguf").open("wb") as handle, pytest.raises(ModelFileError, match="cut while it was read"):
            write(planned, handle, lambda done, total, name: None)
