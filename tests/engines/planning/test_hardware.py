"""What the machine is, as a value, and what fits on it, in sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.engines.planning import hardware
from linnet.engines.planning.hardware import (
    GIB,
    Machine,
    has_int8_dot_product,
    installed,
    machine,
    read_energy_uj,
    what_fits,
)

LARGE = Machine(
    processor="a processor",
    architecture="x86_64",
    system="Linux 6",
    python="3.11.0",
    cores=8,
    usable_cores=4,
    instruction_sets=["avx2", "avx512_vnni"],
    memory_bytes=16 * GIB,
    memory_free_bytes=8 * GIB,
    disk_free_bytes=100 * GIB,
    gpus=["a GPU, 8 GiB"],
    energy_meter=False,
)


def test_this_machine_round_trips(tmp_path: Path) -> None:
    here = machine(tmp_path)
    assert Machine.model_validate(json.loads(json.dumps(here.to_json()))) == here
    assert here.usable_cores >= 1
    assert 0 < here.memory_free_bytes <= here.memory_bytes
    assert here.instruction_sets == sorted(set(here.instruction_sets))


def test_a_folder_that_is_not_there_yet_has_the_disk_of_its_parent(tmp_path: Path) -> None:
    assert machine(tmp_path / "not" / "yet").disk_free_bytes > 0


def test_usable_cores_follow_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "3")
    assert machine(tmp_path).usable_cores == 3


def test_energy_is_none_without_a_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = tmp_path / "energy_uj"
    monkeypatch.setattr(hardware, "RAPL", counter)
    assert read_energy_uj() is None
    assert not machine(tmp_path).energy_meter
    counter.write_text("nonsense\n")
    assert read_energy_uj() is None
    counter.write_text("123456\n")
    assert read_energy_uj() == 123456
    assert machine(tmp_path).energy_meter


@pytest.mark.parametrize(("flags", "found"), [(["avx2", "fma"], False), (["avx512_vnni"], True), (["asimddp"], True)])
def test_int8_dot_product_is_read_from_the_flags(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], found: bool
) -> None:
    monkeypatch.setattr(hardware, "_cpu", lambda: ("a processor", flags))
    assert has_int8_dot_product() is found


def test_what_fits_says_yes_with_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_cpu", lambda: ("a processor", ["avx512_vnni"]))
    assert what_fits(LARGE) == [
        "fine-tune builtin:minilm: fits (needs about 2 GiB of memory)",
        "serve a specialist made from it: fits (needs about 0.25 GiB of memory)",
        "a build's files: fits (need about 1 GiB of disk)",
    ]


def test_what_fits_says_no_and_what_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_cpu", lambda: ("a processor", ["avx2"]))
    small = LARGE.model_copy(update={"memory_free_bytes": GIB, "disk_free_bytes": GIB - 1, "gpus": []})
    train, serve, disk, int8, gpu = what_fits(small)
    assert train.startswith("fine-tune builtin:minilm: does not fit")
    assert "fits" in serve
    assert "does not fit" in disk
    assert "no int8 dot product" in int8
    assert gpu.startswith("no GPU")


def test_installed_parts_have_versions_and_absent_ones_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed()["onnxruntime"]
    monkeypatch.setattr(hardware, "PARTS", ("linnet", "no-such-part"))
    assert installed()["no-such-part"] is None
