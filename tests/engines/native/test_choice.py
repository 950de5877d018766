"""Which engine runs: what LINNET_ENGINE asks for, what the self-test says, and what is kept of it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.core.errors import EngineError, InputError, NotFound, ResourceMissing
from linnet.core.files import write_json
from linnet.core.store import RECORD, Store, scan_files
from linnet.engines.llama.engine import open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.native import native_selftest
from linnet.engines.native.build_sources import PINNED
from linnet.engines.native.choice import NativeEngine, choose_engine, native_engines, remove_old
from linnet.engines.native.native_selftest import SelfTest
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Piece
from linnet.engines.scoring import llama_c
from tests.engines.made_llama import STORIES, needs_stories
from tests.engines.native_project import SERVER

RUNS = f'#!/bin/sh\nexec "{sys.executable}" -I "{SERVER}" "$@"\n'


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LINNET_ENGINE", raising=False)
    llama_c.library.cache_clear()
    yield Store()
    llama_c.library.cache_clear()


def program(path: Path, text: str = RUNS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o700)
    return path


def add_build(store: Store, name: str = "one", text: str = RUNS, *, created: str = "2026-01-01") -> Path:
    """A native build of the pinned sources; its library is the wheel's own file."""
    folder = store.path("engines", name)
    program(folder / "bin" / "llama-server", text)
    (folder / "bin" / "libllama.so").symlink_to(llama_c._shared_object())
    record = NativeEngine(
        id=name, key=name, source=PINNED.name, source_version=PINNED.version, source_sha256=PINNED.sha256,
        llama_version="", flags=[], compiler="none", cmake="", system_info="", files=scan_files(folder), seconds=1,
        created=created,
    )  # fmt: skip
    write_json(folder / RECORD, record.to_json())
    return folder


def test_without_a_build_it_is_the_wheel(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (choose_engine().kind, choose_engine().engine) == ("wheel", "xllamacpp")
    assert "linnet engine build" in choose_engine().why
    monkeypatch.setenv("LINNET_ENGINE", "native")
    with pytest.raises(ResourceMissing, match="no native engine was built"):
        choose_engine()


def test_choosing_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "none"))
    assert choose_engine().kind == "wheel"
    assert not (tmp_path / "none").exists()


def test_a_good_build_is_used_for_answers_and_scores(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = add_build(store)
    chosen = choose_engine()
    assert (chosen.kind, chosen.engine) == ("native", str(folder / "bin" / "llama-server")), chosen.why
    assert chosen.library == folder / "bin" / "libllama.so"
    assert llama_c.library().path == chosen.library
    # Asked again, the kept result answers: the test would fail now.
    monkeypatch.setattr(native_selftest, "run_selftest", lambda *_: SelfTest(server="tested again", scoring=""))
    assert choose_engine(again=True).kind == "native"
    assert choose_engine(gpu=True).kind == "wheel"
    monkeypatch.setenv("LINNET_ENGINE", "wheel")
    assert choose_engine().kind == "wheel"
    monkeypatch.delenv("LINNET_ENGINE")
    # Another time of the file is another file.
    os.utime(folder / "bin" / "llama-server", (1, 1))
    assert "tested again" in choose_engine().why


@needs_stories
def test_the_model_runs_behind_the_chosen_binary(store: Store) -> None:
    add_build(store)
    request = GenerateRequest(prompt="Once upon a time", sampling=GREEDY, max_tokens=20)

    def answer(options: LoadOptions) -> tuple[str, str, tuple[str, ...]]:
        engine = open_llama(STORIES, options)
        try:
            text = "".join(piece.text for piece in engine.generate(request) if isinstance(piece, Piece))
            return text, engine.build, engine.plan.reasons
        finally:
            engine.close()

    text, build, reasons = answer(LoadOptions(context=256, slots=1, threads=1))
    assert build == f"native {native_engines(store)[0][0].id}"
    assert any("passed its self-test" in reason for reason in reasons)
    wheel, build, _ = answer(LoadOptions(context=256, slots=1, threads=1, engine="xllamacpp"))
    assert build.startswith("xllamacpp")
    assert text == wheel


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (RUNS.replace('"$@"', '"$@" --wrong'), "differs from the wheel's at token"),
        ("#!/bin/sh\necho no such flag >&2\nexit 1\n", "no such flag"),
    ],
)
def test_a_bad_build_is_not_used_and_that_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    add_build(store, text=text)
    chosen = choose_engine()
    assert (chosen.kind, chosen.engine, chosen.library) == ("wheel", "xllamacpp", None)
    assert "failed its self-test" in chosen.why
    assert says in chosen.why
    assert llama_c.library().path == llama_c._shared_object()
    monkeypatch.setenv("LINNET_ENGINE", "native")
    with pytest.raises(EngineError, match="failed its self-test"):
        choose_engine()


def test_a_changed_file_is_not_run(store: Store) -> None:
    folder = add_build(store)
    program(folder / "bin" / "llama-server", f"#!/bin/sh\ntouch {store.root}/ran\n")
    chosen = choose_engine()
    assert chosen.kind == "wheel"
    assert "its sha256 differs from the record" in chosen.why
    assert not (store.root / "ran").exists()


def test_the_newest_build_counts_and_damaged_ones_do_not(store: Store) -> None:
    for number in (1, 3, 2):
        add_build(store, f"b{number}", created=f"2026-01-0{number}")
    (store.path("engines", "b3") / RECORD).write_text("{")
    assert [record.id for record, _ in native_engines(store)] == ["b2", "b1"]
    shutil.copytree(store.path("engines", "b1"), store.path("engines", "renamed"))
    assert [record.id for record, _ in native_engines(store)] == ["b2", "b1"]
    remove_old(store, keep=1)
    assert [record.id for record, _ in native_engines(store)] == ["b2"]
    assert not store.path("engines", "b1").exists()


def test_a_named_binary(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = program(tmp_path / "llama-server")
    monkeypatch.setenv("LINNET_ENGINE", str(binary))
    chosen = choose_engine()
    assert (chosen.kind, chosen.engine, chosen.library) == ("named", str(binary), None)
    program(binary, "#!/bin/sh\necho broken >&2\nexit 1\n")
    with pytest.raises(EngineError, match=r"failed its self-test.*broken"):
        choose_engine()
    binary.chmod(0o600)
    with pytest.raises(NotFound, match="is no program"):
        choose_engine()
    monkeypatch.setenv("LINNET_ENGINE", "nativ")
    with pytest.raises(InputError, match="must be auto, wheel, native"):
        choose_engine()
