"""A tiny CMake project with the targets of llama.cpp, as an archive: what tests build instead of the real one.

Its llama-server is a compiled program that becomes the wheel's server, so that its answers are real ones.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from linnet.engines.native.build_sources import Source

SERVER = Path(__file__).with_name("made_server.py")
LISTS = """cmake_minimum_required(VERSION 3.14)
project(made C CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT GGML_NATIVE OR NOT BUILD_SHARED_LIBS)
  message(FATAL_ERROR "the flags did not arrive")
endif()
add_library(llama SHARED llama.c)
set_target_properties(llama PROPERTIES VERSION 1.2 SOVERSION 1)
foreach(name llama-quantize llama-bench llama-perplexity)
  add_executable(${name} tool.c)
  target_link_libraries(${name} llama)
endforeach()
add_executable(llama-server server.c)
target_link_libraries(llama-server llama)
"""
LIBRARY = """const char * llama_version(void) { return "made"; }
const char * llama_print_system_info(void) { return "CPU : AVX2 = 1 | AVX512 = 0 | "; }
"""
TOOL = """const char * llama_version(void);
int main(void) { return llama_version()[0] != 'm'; }
"""
RUNS = """#include <unistd.h>
int main(int argc, char ** argv) {
    const char * command[200] = {PYTHON, "-I", SCRIPT};
    for (int i = 1; i < argc && i < 190; i++) command[i + 2] = argv[i];
    %s
    execv(PYTHON, (char **) command);
    return 1;
}
"""
SLOW = """add_custom_target(slow COMMAND ${CMAKE_COMMAND} -E sleep 120)
add_dependencies(llama-bench slow)
"""


def project(*, more: str = "", server: str = "") -> dict[str, str]:
    """The files of the project. `more` is appended to CMakeLists.txt, `server` runs in the server's main."""
    defined = f'#define PYTHON "{sys.executable}"\n#define SCRIPT "{SERVER}"\n'
    return {
        "made-1.0/vendor/llama.cpp/CMakeLists.txt": LISTS + more,
        "made-1.0/vendor/llama.cpp/llama.c": LIBRARY,
        "made-1.0/vendor/llama.cpp/tool.c": TOOL,
        "made-1.0/vendor/llama.cpp/server.c": defined + RUNS % server,
        "made-1.0/vendor/llama.cpp/LICENSE": "made for a test\n",
    }


def pack(path: Path, files: dict[str, str], members: tuple[tuple[tarfile.TarInfo, bytes], ...] = ()) -> Path:
    """Write a .tar.gz of these files, and of `members` as they are."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(text.encode()), 1_700_000_000, 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def made_archive(folder: Path, *, more: str = "", server: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return pack(folder / "made-1.0.tar.gz", project(more=more, server=server))


def no_fetch(source: Source, folder: Path) -> Path:
    raise AssertionError(f"a test would download {source.file_name}")
