"""A model that is here already gets a name: checked first, linked where it can be, refused once it changes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linnet.core.blobs import blob_path
from linnet.core.errors import CorruptFile, DiskFull, InputError, LinnetError, ModelFileError, NameInvalid, NotFound
from linnet.core.events import Event
from linnet.core.models import model_names, read_manifest, remove_model
from linnet.core.store import Store
from linnet.formats.resolve import resolve_model, verify_bytes
from linnet.stages.import_ import import_
from tests import gguf_files
from tests.tiny_encoder import tiny_encoder

COMMIT = "c0ffee" + "0" * 34


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return gguf_files.tiny(tmp_path / "Tiny-Model-Q8_0.gguf")


def another_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def everything(store: Store) -> list[str]:
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if "locks" not in p.parts)


def test_a_file_is_linked(store: Store, gguf: Path) -> None:
    events: list[Event] = []
    model = import_(store, gguf, on_event=events.append)
    assert model.name == "tiny-model:q8_0"
    assert (model.kind, model.format) == ("decoder", "gguf")
    assert blob_path(store, sha(gguf)).samefile(gguf)
    assert Path(model.path).samefile(gguf)
    assert "linked, no byte was copied" in events[-1].message
    manifest = read_manifest(store, model.name)
    assert manifest.report["architecture"] == "llama"
    assert manifest.files[manifest.entry].place == "linked"
    assert manifest.provenance.source == str(gguf)
    gguf.unlink()
    assert resolve_model(store, "tiny-model").name == "tiny-model:q8_0"
    verify_bytes(store, manifest)


def test_a_copy_is_private(store: Store, gguf: Path) -> None:
    model = import_(store, gguf, "mine:v1", copy=True)
    assert model.name == "mine:v1"
    blob = blob_path(store, sha(gguf))
    assert not blob.samefile(gguf)
    assert blob.stat().st_mode & 0o777 == 0o600
    assert blob.read_bytes() == gguf.read_bytes()


def test_on_another_disk_it_stays_where_it_is(store: Store, gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    another_disk(monkeypatch)
    model = import_(store, gguf, on_event=events.append)
    assert "it must stay there unchanged" in events[-1].message
    assert model.path == str(gguf)
    assert read_manifest(store, model.name).files[gguf.name].place == "reference"
    os.utime(gguf, (1, 1))  # touched, not changed
    assert resolve_model(store, model.name).path == str(gguf)
    gguf.rename(gguf.with_name("moved.gguf"))
    with pytest.raises(CorruptFile, match=r"is missing.\nMake it again: linnet rm tiny-model:q8_0 && linnet import"):
        resolve_model(store, model.name)
    assert remove_model(store, model.name) == [model.name]
    assert gguf.with_name("moved.gguf").exists()


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("keep_time", [False, True])
def test_a_changed_file_is_refused(
    store: Store, gguf: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool, keep_time: bool
) -> None:
    if elsewhere:
        another_disk(monkeypatch)
    model = import_(store, gguf)
    before = gguf.stat()
    data = bytearray(gguf.read_bytes())
    where = data.index(b"<s>")
    data[where : where + 3] = b"<z>"
    with gguf.open("r+b") as handle:
        handle.write(data)
    if keep_time:
        os.utime(gguf, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(CorruptFile, match="changed: its sha256 is not the recorded one"):
        resolve_model(store, model.name)
    with gguf.open("ab") as handle:
        handle.write(b"more")
    with pytest.raises(CorruptFile, match="changed: it has"):
        resolve_model(store, model.name)


def test_abuse_30_split_files(store: Store, tmp_path: Path) -> None:
    first, second = gguf_files.split(tmp_path / "parts")
    model = import_(store, first)
    assert set(model.files) == {first.name, second.name}
    assert Path(model.path).name == first.name
    assert Path(model.path).with_name(second.name).exists()
    with pytest.raises(InputError, match=r"not the first part.\nGive the first: .*00001-of-00002"):
        import_(store, second)
    second.unlink()
    with pytest.raises(ModelFileError, match=r"00002-of-00002\.gguf is missing"):
        import_(store, first, "other")


def test_a_folder(store: Store, tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "My Encoder")
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    (folder / "modeling_x.py").write_text("raise SystemExit")
    model = import_(store, folder)
    assert (model.name, model.kind, model.format) == ("my-encoder:latest", "encoder", "safetensors")
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(model.files)
    assert not {p.name for p in Path(model.path).iterdir()} & {"pytorch_model.bin", "modeling_x.py"}
    assert (model.licence, model.max_tokens, model.pooling) == ("apache-2.0", 62, "mean")


def test_a_folder_on_another_disk(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another_disk(monkeypatch)
    folder = tiny_encoder(tmp_path / "encoder")
    assert import_(store, folder).path == str(folder)
    assert resolve_model(store, "encoder").path == str(folder)


def hugging_face(root: Path, files: dict[str, Path], repo: str = "models--org--tiny") -> Path:
    """A repository as huggingface_hub caches it: snapshots of links to blobs named by their hash."""
    home = root / repo
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name, path in files.items():
        blob = home / "blobs" / sha(path)
        shutil.copy(path, blob)
        (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
    return home


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_hugging_face_cache(
    store: Store, tmp_path: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    if elsewhere:
        another_disk(monkeypatch)
    home = hugging_face(tmp_path / "hub", {"m-Q8_0.gguf": gguf})
    model = import_(store, home)
    provenance = read_manifest(store, model.name).provenance
    assert (provenance.repo, provenance.commit, provenance.quant) == ("org/tiny", COMMIT, "Q8_0")
    for name in ("hf:org/tiny", "hf:org/tiny:Q8_0", f"hf:org/tiny@{COMMIT}"):
        assert resolve_model(store, name).name == model.name
    assert import_(store, home / "snapshots" / COMMIT / "m-Q8_0.gguf").name == model.name
    assert import_(store, tmp_path / "hub").name == model.name


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_folder_of_a_hugging_face_cache(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    if elsewhere:
        another_disk(monkeypatch)
    folder = tiny_encoder(tmp_path / "encoder")
    home = hugging_face(tmp_path / "hub", {p.name: p for p in folder.iterdir()})
    model = import_(store, home)
    assert (model.name, model.kind, model.source) == ("tiny:latest", "encoder", f"hf:org/tiny@{COMMIT}")


def test_a_blob_that_is_not_what_its_name_says(store: Store, tmp_path: Path, gguf: Path) -> None:
    home = hugging_face(tmp_path / "hub", {"m-Q8_0.gguf": gguf})
    blob = next((home / "blobs").iterdir())
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    with pytest.raises(CorruptFile, match="the cache it lies in says"):
        import_(store, home)
    assert model_names(store) == []


def test_abuse_32_a_link_that_leaves_the_folder(store: Store, tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    secret = tmp_path / "id_rsa"
    secret.write_text("secret")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(secret)
    with pytest.raises(ModelFileError, match="a link that leaves the folder"):
        import_(store, folder)
    assert model_names(store) == []


def ollama(root: Path, gguf: Path, name: str = "tiny", **model: Any) -> Path:
    """A store as Ollama has it; the manifest's path."""
    blobs = root / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    shutil.copy(gguf, blobs / f"sha256-{sha(gguf)}")
    licence = blobs / f"sha256-{hashlib.sha256(b'MIT').hexdigest()}"
    licence.write_text("\nMIT License\n\nCopyright")
    layers: list[dict[str, Any]] = [
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{sha(gguf)}", "size": 1, **model},
        {"mediaType": "application/vnd.ollama.image.license", "digest": licence.name.replace("-", ":"), "size": 3},
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "0" * 64, "size": 3},
    ]
    manifest = root / "manifests" / "registry.ollama.ai" / "library" / name / "1b"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "config": {}, "layers": layers}))
    return manifest


@pytest.mark.parametrize("place", ["", "models", "manifests/registry.ollama.ai/library/tiny/1b"])
def test_a_store_of_ollama(store: Store, tmp_path: Path, gguf: Path, place: str) -> None:
    ollama(tmp_path / ".ollama" / "models", gguf)
    root = tmp_path / ".ollama" if place in ("", "models") else tmp_path / ".ollama" / "models"
    model = import_(store, root / place)
    assert (model.name, model.licence, model.kind) == ("tiny:1b", "MIT License", "decoder")
    assert model.source == "ollama:registry.ollama.ai/library/tiny:1b"


def test_several_models_of_ollama(store: Store, tmp_path: Path, gguf: Path) -> None:
    for name in ("one", "two"):
        ollama(tmp_path / "models", gguf, name)
    with pytest.raises(InputError, match=r"holds 2 models.\nSay which:\n +linnet import .*/one/1b"):
        import_(store, tmp_path / "models")


@pytest.mark.parametrize(
    "digest", ["sha256:../../etc/passwd", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:" + "a" * 32, 3, None, ""]
)
def test_abuse_14_a_digest_of_ollama(store: Store, tmp_path: Path, gguf: Path, digest: Any) -> None:
    manifest = ollama(tmp_path / "models", gguf, digest=digest)
    before = everything(store)
    with pytest.raises(ModelFileError, match="is no sha256 digest"):
        import_(store, manifest)
    assert everything(store) == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"layers": 3}', '{"layers": [3]}', '{"layers": []}', "[" * 100_000]
)
def test_a_senseless_manifest_of_ollama(store: Store, tmp_path: Path, gguf: Path, content: str) -> None:
    manifest = ollama(tmp_path / "models", gguf)
    manifest.write_text(content)
    with pytest.raises(LinnetError):
        import_(store, manifest)


def test_a_cache_of_llama_cpp(store: Store, tmp_path: Path, gguf: Path) -> None:
    cache = tmp_path / "llama.cpp"
    cache.mkdir()
    file = cache / "org_tiny_m-Q8_0.gguf"
    shutil.copy(gguf, file)
    file.with_name(f"{file.name}.json").write_text('{"url": "https://hub.example/org/tiny/resolve/main/m-Q8_0.gguf"}')
    model = import_(store, cache)
    assert (model.name, model.source) == ("org_tiny_m:q8_0", "https://hub.example/org/tiny/resolve/main/m-Q8_0.gguf")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda p: p / "absent", NotFound),
        (lambda p: p, NotFound),
        (lambda p: _written(p / "x.gguf", b"GGUF" + bytes(8)), ModelFileError),
        (lambda p: _written(p / "x.safetensors", b"\x80\x02cos"), InputError),
        (lambda p: _written(p / "x.gguf", b""), InputError),
        (lambda p: _written(p / "x.gguf", b"\x80\x02cposix\nsystem\n"), InputError),
    ],
)
def test_what_is_no_model(store: Store, tmp_path: Path, make: Callable[[Path], Path], kind: type[LinnetError]) -> None:
    place = tmp_path / "place"
    place.mkdir()
    before = everything(store)
    with pytest.raises(kind):
        import_(store, make(place))
    assert everything(store) == before


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["../x", "a:b:c", "CON", "-rf", "x\n", "A"])
def test_abuse_13_a_name_outside_the_grammar(store: Store, gguf: Path, name: str) -> None:
    before = everything(store)
    with pytest.raises(NameInvalid):
        import_(store, gguf, name)
    assert everything(store) == before


def test_a_name_that_is_taken(store: Store, tmp_path: Path, gguf: Path) -> None:
    import_(store, gguf, "a")
    import_(store, gguf, "a")
    other = gguf_files.tiny(tmp_path / "other.gguf", **{"general.name": (8, "other")})
    with pytest.raises(InputError, match=r"a:\w+ is in the store already, from .*\nChoose another name with --name"):
        import_(store, other, read_manifest(store, "a").full_name)


@pytest.mark.parametrize("point", ["import.copy", "blob.fsync", "blob.rename", "view.publish", "files.rename"])
def test_a_full_disk_leaves_no_model(store: Store, gguf: Path, arm: Callable[[str], None], point: str) -> None:
    arm(f"{point}=enospc")
    with pytest.raises(DiskFull, match="the disk is full"):
        import_(store, gguf, copy=True)
    assert model_names(store) == []
    arm("")
    assert import_(store, gguf, copy=True).name == "tiny-model:q8_0"
