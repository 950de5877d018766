"""The binding is pinned, tests itself, refuses with both versions, and has no side effects."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.core.errors import EngineError
from linnet.engines.scoring import llama_c, llama_selftest
from linnet.engines.scoring.llama_context import Model


@pytest.fixture
def fresh() -> Iterator[None]:
    """`library()` opens and tests anew, in this test and after it."""
    llama_c.library.cache_clear()
    yield
    llama_c.library.cache_clear()


def refusal() -> str:
    with pytest.raises(EngineError) as caught:
        llama_c.library()
    assert llama_c.EXPECTED in caught.value.message or "is expected" in caught.value.message
    assert "serving and generation work without" in caught.value.hint
    return caught.value.message


def test_the_installed_library_passes() -> None:
    assert llama_c.library().version == llama_c.LLAMA_VERSION
    assert llama_c.library() is llama_c.library()


@pytest.mark.usefixtures("fresh")
def test_another_version_is_refused_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_c, "installed", lambda: "2027.1.1")
    assert "needs xllamacpp 2026.10.11549; xllamacpp 2027.1.1 is installed" in refusal()


@pytest.mark.usefixtures("fresh")
def test_an_absent_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_c, "installed", lambda: None)
    assert "xllamacpp is not installed" in refusal()


@pytest.mark.usefixtures("fresh")
def test_another_llama_cpp_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_c, "LLAMA_VERSION", "0.7.0")
    assert "says llama.cpp 0.6.0-dev, 0.7.0 is expected" in refusal()


@pytest.mark.usefixtures("fresh")
def test_an_absent_function_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(llama_c.PROTOTYPES, "llama_fly", (None, ()))
    assert "does not export llama_fly" in refusal()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("table", "field"),
    [("MODEL_DEFAULTS", "n_gpu_layers"), ("CONTEXT_DEFAULTS", "type_v"), ("CONTEXT_DEFAULTS", "swa_full")],
)
def test_another_default_is_named(monkeypatch: pytest.MonkeyPatch, table: str, field: str) -> None:
    monkeypatch.setitem(getattr(llama_selftest, table), field, 77)
    assert f"gives {field} = " in refusal()


@pytest.mark.usefixtures("fresh")
def test_a_default_that_should_be_zero_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(llama_selftest.CONTEXT_DEFAULTS, "n_ubatch")
    assert "gives n_ubatch = 512, 0 is expected" in refusal()


@pytest.mark.usefixtures("fresh")
def test_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(llama_selftest.SIZES, llama_c.Batch, 64)
    assert "Batch takes 56 bytes on this platform, 64 are expected" in refusal()


@pytest.mark.usefixtures("fresh")
def test_a_struct_that_grew_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_selftest, "_written", lambda library, name: 200)
    assert "writes 200 bytes, 80 are expected" in refusal()


@pytest.mark.usefixtures("fresh")
def test_a_wrong_decode_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = llama_selftest._expected()
    monkeypatch.setattr(llama_selftest, "_expected", lambda: right + 0.01)
    assert "worked out by hand came back 0.01 away" in refusal()


def test_the_hidden_pointer_shows_the_size() -> None:
    if llama_selftest._written(llama_c.library(), "llama_context_default_params") is None:
        pytest.skip("only x86-64 returns structs through a pointer that we can give")
    assert llama_selftest._written(llama_c.library(), "llama_context_default_params") == 168


@pytest.mark.parametrize("before", ["", "import xllamacpp; "])
def test_opening_imports_nothing_and_prints_nothing(before: str) -> None:
    opening = "import sys; from linnet.engines.scoring.llama_c import library; library()"
    code = f"{before}{opening}; print('xllamacpp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{bool(before)}\n"
    assert done.stderr == ""


def test_a_file_that_does_not_load_says_why_and_only_in_the_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(llama_selftest.tiny_model().replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_xx.weight"))
    with pytest.raises(EngineError, match=r"broken\.gguf.*ffn_up"):
        Model(path)
    assert capfd.readouterr() == ("", "")


def test_the_log_keeps_the_last_lines_whole() -> None:
    log = llama_c.Log(lines=3)
    for level, text in [(2, b"one\n"), (1, b"noise\n"), (5, b"more noise\n"), (2, b"tw"), (5, b"o\n\n"), (4, b"bad\n")]:
        log.callback(level, text, None)
    assert log.tail() == "bad"
    for number in range(5):
        log.callback(2, f"line {number}\n".encode(), None)
    assert log.tail(5) == "line 2 | line 3 | line 4"
    log.callback(4, b"x" * 10**6 + b"\n", None)
    log.callback(4, b"\n", None)
    assert len(log.tail()) == 2000
