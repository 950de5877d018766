"""The tools of a build: the system's first, then those of PyPI packages; all that is missing is named at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from linnet.core.errors import ResourceMissing
from linnet.engines.native import build_tools as module
from linnet.engines.native.build_tools import find_tools, wrap_zig


def tool(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """An empty PATH, and an empty folder for the programs of packages."""
    system, packages = tmp_path / "system", tmp_path / "packages"
    system.mkdir()
    packages.mkdir()
    monkeypatch.setenv("PATH", str(system))
    monkeypatch.setattr(module.sysconfig, "get_path", lambda name: str(packages))
    monkeypatch.setattr(module, "_zig", lambda: None)
    return system, packages


def test_the_systems_come_first(folders: tuple[Path, Path]) -> None:
    system, packages = folders
    for folder in folders:
        tool(folder, "cmake", "cmake version 3.25.1")
        tool(folder, "ninja", "1.11")
    for name in ("gcc", "g++", "clang", "clang++"):
        tool(system, name, f"{name} 12.2")
    found = find_tools()
    assert (found.cmake, found.cmake_version, found.make) == (str(system / "cmake"), "3.25.1", str(system / "ninja"))
    assert (found.c, found.cxx, found.compiler) == (str(system / "gcc"), str(system / "g++"), "g++ 12.2")
    assert found.generator == "Ninja"
    # One that is too old, or does not run, is none.
    tool(system, "cmake", "cmake version 3.5.1")
    (system / "ninja").write_text("#!/bin/sh\nexit 1\n")
    assert (find_tools().cmake, find_tools().make) == (str(packages / "cmake"), str(packages / "ninja"))


def test_make_stands_in_for_ninja(folders: tuple[Path, Path]) -> None:
    system, _ = folders
    for name in ("cc", "c++", "make"):
        tool(system, name, name)
    tool(system, "cmake", "cmake version 4.1")
    assert (find_tools().generator, find_tools().make) == ("Unix Makefiles", str(system / "make"))


def test_zig_stands_in_for_a_compiler(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    system, packages = folders
    tool(packages, "cmake", "cmake version 4.1")
    tool(packages, "ninja", "1.11")
    tool(system, "cc", "cc without its c++")
    monkeypatch.setattr(module, "_zig", lambda: ("cc", "c++", "zig 0.15", True))
    assert (find_tools().compiler, find_tools().zig) == ("zig 0.15", True)


def test_everything_that_is_missing_is_named(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ResourceMissing, match="needs cmake, ninja or make, a C and C\\+\\+ compiler") as caught:
        find_tools()
    assert caught.value.exit_code == 4
    tool(folders[0], "cmake", "cmake version 3.25.1")
    with pytest.raises(ResourceMissing, match="needs ninja or make, a C and C\\+\\+ compiler"):
        find_tools()


def test_the_wrappers_call_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ziglang").mkdir()
    (tmp_path / "ziglang" / "__main__.py").write_text("import sys; print(sys.argv[1:])\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    paths = wrap_zig(tmp_path / "zig")
    for verb in ("cc", "c++", "ar", "ranlib"):
        done = subprocess.run([paths[verb], "-c", "a b.c"], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str([verb, "-c", "a b.c"])
    assert sys.executable in Path(paths["cc"]).read_text()
