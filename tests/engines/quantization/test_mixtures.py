"""Every mixture gives every tensor the type that llama-quantize gives it; a fallback is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.core.errors import InputError
from linnet.engines.quantization.mixtures import MIXTURES, choose, facts, fitting, in_order, parse
from linnet.formats.gguf import read_gguf
from tests.engines.mixture_models import EXPECTED, SHAPES, Shape, asked, by_role, peer, runs, write_hole


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, str]]:
    """What llama-quantize of the pinned version chose (mixture_models makes it)."""
    found: dict[str, dict[str, str]] = json.loads(EXPECTED.read_text())
    return found


def chosen(shape: Shape, path: Path, mixture: str, guided: bool) -> dict[str, str]:
    header = read_gguf(write_hole(shape, path))
    tensors = {tensor.name: (tensor.type, tensor.shape) for tensor in header.tensors}
    return {c.name: c.type for c in choose(tensors, facts(header), mixture, has_importance=guided)}


@pytest.mark.parametrize("name", SHAPES)
def test_types_are_those_of_llama_quantize(name: str, tmp_path: Path, table: dict[str, dict[str, str]]) -> None:
    shape, rows = SHAPES[name], table[name]
    assert {row.split()[0] for row in rows} == set(MIXTURES)
    for mixture in MIXTURES:
        for guided in (False, True):
            types = chosen(shape, tmp_path / "model.gguf", mixture, guided)
            expected = rows.get(f"{mixture} guided", rows[mixture]) if guided else rows[mixture]
            assert runs([types[tensor] for tensor in by_role(shape)]) == expected, (mixture, guided)


@pytest.mark.parametrize("name", ["plain", "odd", "experts8", "falcon"])
def test_the_table_is_what_the_program_says_here(name: str, tmp_path: Path) -> None:
    binary = peer()
    if not binary:
        pytest.skip("no llama-quantize at $LINNET_PEERS/bin")
    path = write_hole(SHAPES[name], tmp_path / "model.gguf")
    for mixture in ("Q4_K_M", "IQ2_M", "Q3_K_L", "MXFP4_MOE"):
        assert asked(binary, path, mixture, []) == chosen(SHAPES[name], path, mixture, False)


def test_a_fallback_is_named_and_never_smaller(tmp_path: Path) -> None:
    header = read_gguf(write_hole(SHAPES["narrow"], tmp_path / "model.gguf"))
    tensors = {tensor.name: (tensor.type, tensor.shape) for tensor in header.tensors}
    found = choose(tensors, facts(header), "Q4_K_M")
    fallen = {c.name: (c.type, c.wanted) for c in found if c.wanted}
    assert fallen["blk.0.attn_q.weight"] == ("Q5_0", "Q4_K")
    assert all(tensors[name][1][0] % 256 for name in fallen)
    assert "blk.1.ffn_down.weight" not in fallen  # 1536 is a multiple of 256


@pytest.mark.parametrize(
    ("kind", "width", "fits"),
    [("Q4_K", 512, "Q4_K"), ("Q4_K", 96, "Q5_0"), ("IQ1_S", 96, "IQ4_NL"), ("Q6_K", 40, "F16"), ("Q8_0", 40, "F16")],
)
def test_what_stands_in_for_a_type(kind: str, width: int, fits: str) -> None:
    assert fitting(kind, width) == fits


def test_order_is_by_block_then_name() -> None:
    names = ["blk.10.a", "blk.2.b", "blk.2.a", "token_embd.weight", "output.weight"]
    assert in_order(names) == ["output.weight", "token_embd.weight", "blk.2.a", "blk.2.b", "blk.10.a"]


def test_names_people_write() -> None:
    assert (parse("q4_k_m"), parse("Q4_K"), parse("iq4-xs")) == ("Q4_K_M", "Q4_K_M", "IQ4_XS")
    assert parse("q4_k", pure=True) == "Q4_K"
    with pytest.raises(InputError, match='Did you mean "Q4_K_'):
        parse("Q4_K_N")
    with pytest.raises(InputError, match="is no type"):
        parse("NVFP4")
