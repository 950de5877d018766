"""What compiles a native engine: cmake, ninja or make, a C and C++ compiler. Finds them; installs nothing.

The system's come first, then those that PyPI packages put into the running Python.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from linnet.core.errors import ResourceMissing

CMAKE_AT_LEAST = (3, 14)  # what llama.cpp asks for
PAIRS = (("cc", "c++"), ("gcc", "g++"), ("clang", "clang++"))
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Tools:
    """Paths of what was found. `compiler` is its first line about itself; with `zig` a module is the compiler."""

    cmake: str
    cmake_version: str
    generator: str
    make: str
    c: str
    cxx: str
    compiler: str
    zig: bool = False


def find_tools() -> Tools:
    """The tools of this machine. Raises ResourceMissing, which names every one that is missing and how to get it."""
    cmake, make, ninja = _cmake(), _program("make"), _program("ninja")
    compiler = _system_compiler() or _zig()
    missing = [
        name
        for name, found in (("cmake", cmake), ("ninja or make", ninja or make), ("a C and C++ compiler", compiler))
        if not found
    ]
    if cmake is None or compiler is None or not (ninja or make):
        raise ResourceMissing(
            f"Building the engine needs {', '.join(missing)}: not found here.",
            f"Install from PyPI: {sys.executable} -m pip install cmake ninja ziglang; or the system's own: "
            "cmake, ninja-build, gcc and g++.",
        )
    generator, program = ("Ninja", ninja) if ninja else ("Unix Makefiles", make)
    c, cxx, says, zig = compiler
    return Tools(*cmake, generator, str(program), c, cxx, says, zig)


def _first_line(command: list[str]) -> str:
    """What a program says of itself; empty when it does not run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=ANSWER_S, check=False, env=None
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0].strip()[:200] if done.returncode == 0 else ""


def _program(name: str) -> str | None:
    """A program that runs: of the system, else of the running Python's packages."""
    for found in (shutil.which(name), shutil.which(name, path=sysconfig.get_path("scripts"))):
        if found and _first_line([found, "--version"]):
            return found
    return None


def _cmake() -> tuple[str, str] | None:
    for place in (None, sysconfig.get_path("scripts")):
        found = shutil.which("cmake", path=place)
        version = re.search(r"(\d+)\.(\d+)[\d.]*", _first_line([found, "--version"]) if found else "")
        if found and version and (int(version[1]), int(version[2])) >= CMAKE_AT_LEAST:
            return found, version[0]
    return None


def _system_compiler() -> tuple[str, str, str, bool] | None:
    for pair in PAIRS:
        c, cxx = (shutil.which(name) for name in pair)
        if c and cxx and _first_line([c, "--version"]) and (says := _first_line([cxx, "--version"])):
            return c, cxx, says, False
    return None


def _zig() -> tuple[str, str, str, bool] | None:
    from importlib.util import find_spec

    if find_spec("ziglang") is None:
        return None
    version = _first_line([sys.executable, "-m", "ziglang", "version"])
    return ("cc", "c++", f"zig {version}", True) if version else None


def wrap_zig(folder: Path) -> dict[str, str]:
    """Write programs that call the module, and return their paths: cmake wants one file for a compiler."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = {}
    for verb in ("cc", "c++", "ar", "ranlib"):
        path = folder / f"zig-{verb}"
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang {verb} "$@"\n')
        path.chmod(0o700)
        paths[verb] = str(path)
    return paths
