"""Decoders to GGUF through the front door: proven before they get their name, and whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import GateFailed, InputError, ModelFileError, NameInvalid, StoreBusy
from linnet.core.events import Event
from linnet.core.store import Store
from linnet.engines.conversion.convert import hf_to_gguf
from linnet.engines.quantization import quantize_gate
from linnet.engines.quantization.quantize_file import Wish, from_gguf
from linnet.engines.quantization.quantize_guided import read_types
from linnet.formats.gguf import read_gguf
from linnet.formats.resolve import resolve_model
from linnet.stages.convert import Options, check_convert, convert
from tests.gguf_files import stories, tiny


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("auto_round")
    from tests.tiny_decoder import tiny_decoder

    return tiny_decoder(tmp_path_factory.mktemp("hf"), dtype="bfloat16")


def script(store: Store, out: Path) -> str:
    """The same conversion in a process of its own."""
    return (
        "from pathlib import Path; from linnet.core.store import Store; from linnet.stages.convert import *;"
        f"convert(Store(Path({str(store.root)!r})), {str(stories())!r}, 'Q8_0', Options(out={str(out)!r}))"
    )


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "store")


def test_a_file_is_written_and_compared(store: Store, tmp_path: Path) -> None:
    events: list[Event] = []
    found = convert(store, str(stories()), "q8_0", Options(out=str(tmp_path / "s.gguf")), events.append)
    assert (found.path, found.name) == (str(tmp_path / "s.gguf"), "")
    assert found.gate.divergence is not None
    assert 0 < found.gate.divergence.mean < 0.02
    assert found.gate.divergence.same_top_share > 0.9
    assert left(tmp_path) == ["s.gguf"]
    assert found.quantized.size_bytes == (tmp_path / "s.gguf").stat().st_size
    assert any("5 tensors got a larger type" in event.message for event in events if event.kind == "warning")


def test_a_name_makes_a_model_of_the_store(store: Store) -> None:
    found = convert(store, str(stories()), "Q8_0", Options(out="stories"))
    assert found.name == "stories:q8_0"
    model = resolve_model(store, "stories:q8_0")
    assert (model.format, model.kind, model.licence) == (
        "gguf",
        "decoder",
        resolve_model(store, str(stories())).licence,
    )
    assert not list((store.root / "scratch").iterdir())
    again = convert(store, "stories:q8_0", "F16", Options(requantize=True))  # a tag of the source's name
    assert again.name == "stories:f16"


def test_what_exists_is_not_replaced(store: Store, tmp_path: Path) -> None:
    (tmp_path / "s.gguf").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"s\.gguf exists"):
        convert(store, str(stories()), "Q8_0", Options(out=str(tmp_path / "s.gguf")))
    assert (tmp_path / "s.gguf").read_bytes() == b"mine"


def test_bad_wishes_are_refused_before_any_work(store: Store, tmp_path: Path) -> None:
    for kind, out, error, text in (
        ("Q4_K_N", "", InputError, "Did you mean"),
        ("Q8_0", str(tmp_path / "s.bin"), InputError, r"ends in \.gguf"),
        ("Q8_0", str(tmp_path / "none" / "s.gguf"), InputError, "is no folder"),
        ("Q8_0", "Bad Name", NameInvalid, "valid"),
    ):
        with pytest.raises(error, match=text):
            convert(store, str(stories()), kind, Options(out=out))
    with pytest.raises(InputError, match="is quantised already"):
        convert(store, "builtin:nano:Q8_0", "Q4_K_M")
    assert left(tmp_path) == []


def test_a_weight_that_is_no_number_leaves_nothing(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "nan.gguf"
    source.write_bytes(stories().read_bytes())
    header = read_gguf(source)
    bad = next(t for t in header.tensors if t.name == "blk.2.attn_q.weight")
    with source.open("rb+") as handle:
        handle.seek(header.data_offset + bad.offset)
        handle.write(np.float32(np.inf).tobytes())
    with pytest.raises(ModelFileError, match=r"blk\.2\.attn_q\.weight"):
        convert(store, str(source), "Q8_0", Options(out=str(tmp_path / "out.gguf")))
    assert left(tmp_path) == ["nan.gguf"]


def test_a_file_that_predicts_otherwise_gets_no_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(quantize_gate.BOUNDS, "Q8_0", 1e-9)
    with pytest.raises(GateFailed, match="as Q8_0 it predicts otherwise than its source"):
        convert(store, str(stories()), "Q8_0", Options(out=str(tmp_path / "s.gguf")))
    assert left(tmp_path) == []


def test_a_killed_run_leaves_no_file_and_the_next_one_works(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "s.gguf"
    code = script(store, out)
    for place in ("convert.tensor:7", "convert.publish:1"):
        environment = {**os.environ, "LINNET_FAILPOINTS": f"{place}=kill"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, timeout=900, check=False
        )
        assert done.returncode == -9, done.stderr
        assert not out.exists()
    convert(store, str(stories()), "Q8_0", Options(out=str(out)))
    assert left(tmp_path) == ["s.gguf"]


def test_a_full_disk_is_said(store: Store, tmp_path: Path) -> None:
    code = script(store, tmp_path / "s.gguf")
    environment = {**os.environ, "LINNET_FAILPOINTS": "convert.tensor:3=enospc"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert "DiskFull" in done.stderr
    assert left(tmp_path) == []


def test_the_second_writer_of_a_file_is_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_LOCK_WAIT_S", "0")
    out = tmp_path / "s.gguf"
    refused: list[str] = []

    def second(event: Event) -> None:
        if event.kind == "progress" and not refused:
            with pytest.raises(StoreBusy) as caught:
                convert(store, str(stories()), "Q8_0", Options(out=str(out)))
            refused.append(caught.value.message)

    convert(store, str(stories()), "Q8_0", Options(out=str(out)), second)
    assert refused
    assert "is being written by process" in refused[0]


@pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="converts twice: LINNET_NIGHTLY=1 runs it")
def test_one_pass_gives_the_file_of_two(folder: Path, store: Store, tmp_path: Path) -> None:
    """From a folder at once, or through a GGUF in the checkpoint's own precision: the same bytes."""
    hf_to_gguf(folder, tmp_path / "bf16.gguf", "BF16")
    from_gguf(tmp_path / "bf16.gguf", tmp_path / "two.gguf", Wish("Q4_K_M"))
    found = convert(store, str(folder), "Q4_K_M", Options(out=str(tmp_path / "one.gguf")))
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "two.gguf").read_bytes()
    assert found.gate.tokens_compared > 10
    assert found.gate.divergence is not None
    assert found.gate.divergence.mean < 0.01


def test_a_folder_that_cannot_be_converted_says_why(folder: Path, store: Store, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    for file in folder.iterdir():
        (strange / file.name).write_bytes(file.read_bytes())
    config = (strange / "config.json").read_text()
    (strange / "config.json").write_text(config.replace("LlamaForCausalLM", "NobodyForCausalLM"))
    found = check_convert(store, str(strange))
    assert not found.possible
    assert "NobodyForCausalLM" in found.problem
    assert left(tmp_path) == ["strange"]


def test_check_tells_what_would_be_written(store: Store, tmp_path: Path) -> None:
    found = check_convert(store, str(stories()), "Q4_K_M")
    assert (found.possible, found.architecture, found.passed[-1]) == (True, "llama", "kernels")
    assert found.quantized is not None
    made = convert(store, str(stories()), "Q4_K_M", Options(out=str(tmp_path / "s.gguf")))
    assert found.quantized == made.quantized
    refused = check_convert(store, str(tiny(tmp_path / "t.gguf")), "IQ2_XS")
    assert refused.possible == (not refused.problem)


def test_a_list_of_types_is_not_held_to_the_bound_of_the_most_frequent_one(store: Store, tmp_path: Path) -> None:
    """What is mostly Q8_0 may hold smaller types, and then differs more than Q8_0 does."""
    convert(store, str(stories()), "Q8_0", Options(out=str(tmp_path / "plain.gguf")))
    types = read_types(tmp_path / "plain.gguf")
    coarse = sorted(name for name, kind in types.items() if kind == "Q8_0" and "ffn_" in name)
    listed = tmp_path / "types.json"
    listed.write_text(json.dumps({"tensor_types": types | dict.fromkeys(coarse, "Q4_0")}))
    found = convert(store, str(stories()), "", Options(out=str(tmp_path / "listed.gguf"), types=listed))
    kinds = list(read_types(tmp_path / "listed.gguf").values())
    assert kinds.count("Q8_0") > kinds.count("Q4_0") == len(coarse) > 3
    assert found.gate.divergence is not None
    assert found.gate.divergence.mean > quantize_gate.BOUNDS["Q8_0"]
