"""Pulling through the front door: looked at before it comes, whole before it has a name, resumed after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linnet.core.blobs import blob_path
from linnet.core.errors import (
    CorruptFile,
    DiskFull,
    HubError,
    InputError,
    LinnetError,
    ModelFileError,
    NotFound,
    ResourceMissing,
)
from linnet.core.events import Event
from linnet.core.models import model_names, read_manifest, remove_model
from linnet.core.store import Store
from linnet.formats.model_check import check_model
from linnet.formats.resolve import resolve_model
from linnet.stages.pull import Offer, PullOptions, in_words, pull, pull_offer
from tests import gguf_files
from tests.hub_imitation import COMMIT, FakeHub
from tests.stages.hub_fixtures import QUICK, fake, gguf
from tests.tiny_encoder import tiny_encoder

__all__ = ["fake", "gguf"]
OPTIONS = PullOptions(limits=QUICK, refresh=True)
NAME = "hf:org/tiny"
MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def everything(store: Store) -> list[str]:
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if "locks" not in p.parts)


def test_a_gguf_is_pulled(store: Store, fake: FakeHub, gguf: bytes) -> None:
    events: list[Event] = []
    model, step = pull(store, NAME, events.append, OPTIONS)
    assert (model.name, model.kind, model.format, model.licence) == ("tiny:q8_0", "decoder", "gguf", "apache-2.0")
    assert Path(model.path).read_bytes() == gguf
    assert step.result["name"] == model.name
    manifest = read_manifest(store, "tiny")
    provenance = manifest.provenance
    assert (provenance.commit, provenance.revision, provenance.url) == (COMMIT, "main", f"{fake.url}/org/tiny")
    assert manifest.report == check_model(Path(model.path)).to_json()
    assert (store.root / "models" / "tiny" / "q8_0.json").stat().st_mode & 0o777 == 0o600
    assert blob_path(store, model.files["m-Q8_0.gguf"].sha256).stat().st_mode & 0o777 == 0o600
    assert [event.kind for event in events if event.stage == "pull" and event.kind != "progress"][-4:-2] == [
        "start",
        "done",
    ]
    assert fake.asked_bytes() == len(gguf)  # the head is a part of the body, and nothing comes twice


def test_what_is_here_is_not_fetched_again(store: Store, fake: FakeHub) -> None:
    pull(store, NAME, options=OPTIONS)
    fake.asked.clear()
    assert pull(store, NAME, options=PullOptions(limits=QUICK))[0].name == "tiny:q8_0"
    assert fake.asked == []
    pull(store, NAME, options=OPTIONS)
    assert fake.bodies() == []
    assert resolve_model(store, "hf:org/tiny:Q8_0").name == "tiny:q8_0"
    with pytest.raises(NotFound, match=r"is not in the store.\nFetch it with: linnet pull hf:org/tiny:F16"):
        resolve_model(store, "hf:org/tiny:F16")


def test_a_newer_commit_replaces_the_older(store: Store, fake: FakeHub, tmp_path: Path) -> None:
    old = pull(store, NAME, options=OPTIONS)[0]
    newer = gguf_files.tiny(tmp_path / "newer.gguf", **{"general.name": (8, "newer")}).read_bytes()
    fake.files["m-Q8_0.gguf"], fake.commit = newer, "b" * 40
    new = pull(store, NAME, options=OPTIONS)[0]
    assert (new.name, read_manifest(store, "tiny").provenance.commit) == (old.name, "b" * 40)
    assert Path(new.path).read_bytes() == newer
    assert Path(old.path).exists()  # a running engine may have it open; the next rm takes it


def test_the_offer_fetches_the_head_only(store: Store, fake: FakeHub, tmp_path: Path) -> None:
    whole = gguf_files.written(gguf_files.tiny_keys(), gguf_files.tiny_tensors()) + bytes(3 * MIB)
    fake.files["m-Q8_0.gguf"] = whole
    offer = pull_offer(store, NAME, OPTIONS)
    assert (offer.architecture, offer.stored_as, offer.licence, offer.commit) == (
        "llama",
        "tiny:q8_0",
        "apache-2.0",
        COMMIT,
    )
    assert (offer.size_bytes, offer.problems) == (len(whole), ())
    assert offer.fit.memory_bytes > len(whole)
    assert offer.fit.tokens_per_second > 0
    assert fake.asked_bytes() == MIB
    assert model_names(store) == []
    assert f"{len(whole) / 1e6:.1f} MB in 1 file" in in_words(offer)
    assert Offer.model_validate(offer.to_json()) == offer


def test_split_files(store: Store, fake: FakeHub, tmp_path: Path) -> None:
    fake.files = {p.name: p.read_bytes() for p in gguf_files.split(tmp_path / "parts", "m-Q4_K_M")}
    model = pull(store, NAME, options=OPTIONS)[0]
    assert model.name == "tiny:q4_k_m"
    assert set(model.files) == set(fake.files)
    assert Path(model.path).name == "m-Q4_K_M-00001-of-00002.gguf"


def test_an_encoder_folder(store: Store, fake: FakeHub, tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    fake.files = {p.name: p.read_bytes() for p in folder.iterdir()} | {"pytorch_model.bin": b"x", "run.py": b"x"}
    model = pull(store, NAME, options=replace(OPTIONS, kind="encoder"))[0]
    assert (model.name, model.kind, model.format, model.max_tokens) == ("tiny:latest", "encoder", "safetensors", 62)
    assert {p.name for p in Path(model.path).iterdir()} == {p.name for p in folder.iterdir()}


def test_another_kind_is_refused_before_its_body(store: Store, fake: FakeHub) -> None:
    with pytest.raises(InputError, match="'llama' is not an encoder this version trains"):
        pull(store, NAME, options=replace(OPTIONS, kind="encoder"))
    assert fake.asked_bytes() <= MIB
    assert model_names(store) == []


def test_an_encoder_without_its_tokenizer(store: Store, fake: FakeHub, tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    fake.files = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "tokenizer.json"}
    with pytest.raises(NotFound, match=r"has no tokenizer\.json"):
        pull(store, NAME, options=replace(OPTIONS, kind="encoder"))
    assert len(fake.bodies()) == 1  # config.json


def test_an_architecture_that_the_engine_cannot_run(store: Store, fake: FakeHub) -> None:
    options = replace(OPTIONS, architectures=("gpt2",))
    with pytest.raises(ResourceMissing, match=r"cannot run its architecture 'llama'.\n.*--anyway"):
        pull(store, NAME, options=options)
    assert model_names(store) == []
    assert pull(store, NAME, options=replace(options, anyway=True))[0].name == "tiny:q8_0"


@pytest.mark.parametrize(("total", "free", "kind"), [(1 << 20, 1 << 19, "refused"), (1 << 40, 1 << 19, "warned")])
def test_what_does_not_fit_in_memory(
    store: Store, fake: FakeHub, monkeypatch: pytest.MonkeyPatch, total: int, free: int, kind: str
) -> None:
    class Memory:
        pass

    memory = Memory()
    memory.total, memory.available = total, free  # type: ignore[attr-defined]
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    offer = pull_offer(store, NAME, OPTIONS)
    told = offer.problems if kind == "refused" else offer.warnings
    assert any("of memory" in sentence for sentence in told)


def test_what_does_not_fit_on_the_disk(
    store: Store, fake: FakeHub, gguf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = len(gguf)  # exactly the file, without the 5 %

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(DiskFull, match="Pulling hf:org/tiny needs"):
        pull(store, NAME, options=OPTIONS)
    Usage.free = len(gguf) + len(gguf) // 20
    pull(store, NAME, options=OPTIONS)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"\x80\x02cposix\nsystem\n" + bytes(100), "magic"),
        (b"GGUF" + bytes(200), "version"),
        (b"GGUF\3\0\0\0" + b"\xff" * 200, "tensor_count"),
    ],
)
def test_a_hostile_head_ends_it_before_the_body(store: Store, fake: FakeHub, body: bytes, field: str) -> None:
    fake.files["m-Q8_0.gguf"] = body
    with pytest.raises(ModelFileError, match=r"hf:org/tiny: m-Q8_0\.gguf") as caught:
        pull(store, NAME, options=OPTIONS)
    assert caught.value.field == field
    assert "partial" not in caught.value.message
    assert not [p for p in everything(store) if "blobs/" in p and not p.endswith("partial")]


@pytest.mark.parametrize(("limit", "works"), [(0, True), (-1, False)])
def test_the_bound_of_a_head_is_exact(store: Store, fake: FakeHub, limit: int, works: bool) -> None:
    keys = gguf_files.tiny_keys() | {f"general.filler_{n}": (8, "x" * (1 << 20)) for n in range(3)}
    head = gguf_files.written(keys, [])
    fake.files["m-Q8_0.gguf"] = gguf_files.written(keys, gguf_files.tiny_tensors())
    from linnet.formats.gguf import read_gguf

    path = store.root / "x.gguf"
    path.write_bytes(fake.files["m-Q8_0.gguf"])
    need = read_gguf(path).data_offset
    path.unlink()
    assert need > len(head) > 3 * MIB
    options = replace(OPTIONS, limits=replace(QUICK, header_bytes=need + limit))
    if works:
        assert pull_offer(store, NAME, options).architecture == "llama"
    else:
        with pytest.raises(ModelFileError):
            pull_offer(store, NAME, options)
    assert fake.asked_bytes() <= need


@pytest.mark.parametrize("digest", ["../../etc/passwd", "A" * 64, "a" * 63, "md5:" + "a" * 32])
def test_abuse_14_a_bad_digest_changes_nothing(store: Store, fake: FakeHub, digest: str) -> None:
    before = everything(store)
    fake.file_changes = {"sha256": digest}
    with pytest.raises(HubError, match="as the sha256 of"):
        pull(store, NAME, options=OPTIONS)
    assert everything(store) == before


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]:1/",
        "https://evil.example/x",
        "http://127.0.0.1:1/",
    ],
)
def test_abuse_15_a_redirect_that_leads_away(
    store: Store, fake: FakeHub, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    fake.redirect_to = url
    with pytest.raises(HubError, match="which is not allowed") as caught:
        pull(store, NAME, options=OPTIONS)
    assert "hf_very_secret" not in str(caught.value)
    assert model_names(store) == []


@pytest.mark.parametrize(
    "name", ["hf:../x", "hf:a/../../b", "hf:CON", "hf:a/b:c:d", "hf:" + "a" * 300, "hf:a/b\0", "hf:a/b\n"]
)
def test_abuse_13_a_name_outside_the_grammar(store: Store, fake: FakeHub, name: str) -> None:
    before = everything(store)
    with pytest.raises(InputError, match="A hub name is"):
        pull(store, name, options=OPTIONS)
    assert everything(store) == before
    assert fake.asked == []


def test_a_flipped_bit_leaves_nothing(store: Store, fake: FakeHub, gguf: bytes) -> None:
    fake.lie, fake.flip_bit = "flip", 8 * (len(gguf) - 10)
    with pytest.raises(CorruptFile, match="It was removed"):
        pull(store, NAME, options=OPTIONS)
    assert not [p for p in everything(store) if "blobs/sha256/" in p or "models/" in p or "partial/" in p]
    fake.lie = ""
    pull(store, NAME, options=OPTIONS)


@pytest.mark.parametrize("setting", ["LINNET_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(store: Store, fake: FakeHub, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    pull(store, NAME, options=OPTIONS)
    monkeypatch.setenv(setting, "1")
    fake.asked.clear()
    assert pull(store, NAME)[0].name == "tiny:q8_0"
    for call in (
        lambda: pull(store, "hf:org/other"),
        lambda: pull_offer(store, NAME),
        lambda: pull(store, NAME, options=OPTIONS),
    ):
        with pytest.raises(HubError, match="Offline mode is on"):
            call()
    assert fake.asked == []


def test_names_in_the_store(store: Store, fake: FakeHub) -> None:
    assert pull(store, NAME, options=replace(OPTIONS, store_name="mine:v1"))[0].name == "mine:v1"
    assert pull(store, NAME, options=replace(OPTIONS, store_name="mine:v2"))[0].name == "mine:v2"
    remove_model(store, "mine:v1")
    assert Path(resolve_model(store, "mine").path).exists()
    with pytest.raises(InputError, match="not a valid model name"):
        pull(store, NAME, options=replace(OPTIONS, store_name="../x"))


@pytest.mark.parametrize(
    "point",
    ["blob.write:2", "blob.fsync", "blob.rename", "view.publish", "files.write", "files.rename", "record.write"],
)
def test_a_full_disk_is_resumed(
    store: Store, fake: FakeHub, gguf: bytes, arm: Callable[[str], None], point: str
) -> None:
    arm(f"{point}=enospc")
    with pytest.raises(DiskFull, match="the disk"):
        pull(store, NAME, options=OPTIONS)
    if point not in ("record.write",):
        assert model_names(store) == []
    arm("")
    fake.asked.clear()
    model = pull(store, NAME, options=OPTIONS)[0]
    assert Path(model.path).read_bytes() == gguf
    assert fake.asked_bytes() <= (len(gguf) if point == "blob.write:2" else 0)


@pytest.mark.parametrize(
    "point",
    ["blob.write:2", "hub.receive:2", "blob.fsync", "blob.rename", "view.publish", "files.rename", "files.dirsync:2"],
)
def test_killed_and_pulled_again(store: Store, fake: FakeHub, gguf: bytes, point: str) -> None:
    def run(points: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LINNET_FAILPOINTS": points, "LINNET_HOME": str(store.root)}
        command = [sys.executable, "-m", "linnet", "pull", NAME, "--json"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    first = run(f"{point}=kill")
    assert first.returncode == -signal.SIGKILL, first.stderr
    for name in model_names(store):  # what has a name is whole
        assert Path(resolve_model(store, name).path).read_bytes() == gguf
    again = run("")
    assert again.returncode == 0, again.stderr
    assert Path(resolve_model(store, "tiny").path).read_bytes() == gguf
    assert not list(store.path("blobs", "partial").iterdir())


@pytest.mark.parametrize(
    "lie", ["no json", "long listing", "other commit", "other etag", "other total", "gzip bomb", "longer"]
)
def test_a_lying_hub_is_an_error_of_the_tree(store: Store, fake: FakeHub, lie: str) -> None:
    fake.lie = lie
    with pytest.raises(LinnetError):
        pull(store, NAME, options=OPTIONS)
    assert model_names(store) == []


def test_no_library_of_the_hub_is_loaded(store: Store, fake: FakeHub) -> None:
    code = "import sys; from linnet.cli import main; sys.argv = ['linnet', 'pull', sys.argv[1], '-q']\ntry: main()\n"
    code += "finally: print(*{m.split('.')[0] for m in sys.modules})"
    environment = {**os.environ, "LINNET_HOME": str(store.root)}
    done = subprocess.run(
        [sys.executable, "-c", code, NAME], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("tiny:q8_0\n"), done.stderr
    found: set[Any] = set(done.stdout.split())
    assert not found & {"huggingface_hub", "hf_xet", "torch", "transformers", "onnxruntime", "xllamacpp"}
