"""Models of the store: named, found, leased, copied, removed; bytes live as long as something names them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.core import models
from linnet.core.blobs import blob_file, blob_path, link_blob, make_view, writing_blobs
from linnet.core.errors import CorruptFile, DiskFull, InputError, NameInvalid, NotFound, StoreBusy
from linnet.core.files import make_folder, sha256_bytes, write_json
from linnet.core.names import HubName, check_file_name, parse_hub_name, split_tag, to_name
from linnet.core.records import Manifest, Model, Provenance
from linnet.core.store import RECORD, Store
from tests.core.test_store import BAD_NAMES
from tests.tiny import tiny_specialist


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def put(
    store: Store, name: str, data: bytes = b"weights", repo: str = "", quant: str = "", commit: str = ""
) -> Manifest:
    sha256 = sha256_bytes(data)
    make_folder(store.path("blobs", "sha256"))
    blob_path(store, sha256).write_bytes(data)
    bare, _, tag = name.partition(":")
    manifest = Manifest(
        name=bare, tag=tag or "latest", kind="decoder", format="gguf", entry="m.gguf",
        files={"m.gguf": blob_file(store, sha256)}, licence="mit", report={}, max_tokens=0, created=models.stamp(),
        provenance=Provenance(source="test", repo=repo, quant=quant, commit=commit, revision="main" if repo else ""),
    )  # fmt: skip
    models.write_manifest(store, manifest)
    return manifest


def leased(store: Store, manifest: Manifest) -> Model:
    from linnet.core.blobs import digest_of

    return Model(
        name=manifest.full_name, kind="decoder", format="gguf", path="", files={}, licence="", source="", max_tokens=0,
        digest=digest_of(manifest.files),
    )  # fmt: skip


def everything(store: Store) -> list[str]:
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if "locks" not in p.parts)


@pytest.mark.parametrize("name", [n for n in BAD_NAMES if n != "a:b:c"] + ["a:b:c", "a:../x", "a:", "a:CON"])
def test_abuse_13_names_outside_the_grammar(store: Store, name: str) -> None:
    put(store, "there")
    before = everything(store)
    for call in (
        lambda: models.read_manifest(store, name),
        lambda: models.remove_model(store, name),
        lambda: models.copy_model(store, "there", name),
        lambda: models.manifest_path(store, name, "latest"),
        lambda: models.manifest_path(store, "a", name),
    ):
        with pytest.raises(NameInvalid):
            call()
    assert everything(store) == before


@pytest.mark.parametrize("digest", ["../../etc/passwd", "A" * 64, "a" * 63, "md5:" + "a" * 32, "", "a" * 64 + "\n"])
def test_abuse_14_a_digest_is_no_path(store: Store, digest: str) -> None:
    manifest = put(store, "there")
    with pytest.raises(NameInvalid, match="is not a sha256"):
        blob_path(store, digest)
    path = models.manifest_path(store, "there", "latest")
    content = json.loads(path.read_text())
    content["files"]["m.gguf"]["sha256"] = digest
    write_json(path, content)
    before = everything(store)
    with pytest.raises(CorruptFile, match="is damaged"):
        models.read_manifest(store, manifest.full_name)
    assert everything(store) == before


@pytest.mark.parametrize("name", ["../x", "/x", "a/b/c", "a//b", "a\\b", "..", ".hidden", "a/../b", "x\n", "", "a\0"])
def test_abuse_13_file_names(name: str) -> None:
    with pytest.raises(NameInvalid):
        check_file_name(name)


def test_names() -> None:
    assert split_tag("a") == ("a", None)
    assert split_tag("a:q8_0") == ("a", "q8_0")
    assert [to_name(t) for t in ("Qwen3-0.6B (new)", "..", "CON", "é", "a..b", "X" * 80)] == [
        "qwen3-0.6b-new", "model", "model-con", "model", "a.b", "x" * 64,
    ]  # fmt: skip
    assert parse_hub_name("hf:Org/Re.po:Q4_K_M@refs/pr/1") == HubName("Org", "Re.po", "Q4_K_M", "refs/pr/1")
    assert str(parse_hub_name("hf:o/r@v1")) == "hf:o/r@v1"


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:a",
        "hf:a/b/c",
        "hf:../b",
        "hf:a/..",
        "hf:a/b:",
        "hf:a/b@",
        "hf:a/b:x y",
        "hf:a/b@../x",
        "hf:a/b\n",
        "a/b",
    ],
)
def test_abuse_13_hub_names(name: str) -> None:
    with pytest.raises(NameInvalid, match="is not a valid hub name"):
        parse_hub_name(name)


def test_find(store: Store) -> None:
    put(store, "a:q4")
    assert models.read_manifest(store, "a").tag == "q4"
    put(store, "a:q8", b"other")
    with pytest.raises(InputError, match=r"a has several tags.\nSay which: a:q4, a:q8."):
        models.read_manifest(store, "a")
    put(store, "a")
    assert models.read_manifest(store, "a").tag == "latest"
    with pytest.raises(NotFound, match=r"a has no tag 'q5'.\nIt has: latest, q4, q8."):
        models.read_manifest(store, "a:q5")
    with pytest.raises(NotFound, match='Did you mean "a:q4"'):
        models.read_manifest(store, "b:q4")
    assert models.model_names(store) == ["a:latest", "a:q4", "a:q8"]


def test_by_source(store: Store) -> None:
    put(store, "a:q4", repo="Org/Tiny", quant="Q4_K_M", commit="c" * 40)
    for name, there in (
        ("hf:org/tiny", True), ("hf:Org/Tiny:q4_k_m", True), ("hf:org/tiny@main", True), ("hf:org/tiny:m.gguf", True),
        (f"hf:org/tiny@{'c' * 40}", True), ("hf:org/tiny:Q8_0", False), ("hf:org/tiny@v2", False), ("hf:org/x", False),
    ):  # fmt: skip
        assert (models.from_hub(store, parse_hub_name(name)) is not None) is there, name


def test_the_view_shows_blobs_by_name_without_copies(store: Store) -> None:
    manifest = put(store, "a")
    view = make_view(store, manifest.files)
    assert (view / "m.gguf").samefile(blob_path(store, manifest.files["m.gguf"].sha256))
    assert view.stat().st_mode & 0o777 == 0o700


def test_a_view_is_whole_or_absent(store: Store, arm: Callable[[str], None]) -> None:
    arm("view.publish=enospc")
    with pytest.raises(DiskFull):
        put(store, "a")
    assert models.model_names(store) == []
    arm("")
    put(store, "a")
    assert models.read_manifest(store, "a").full_name == "a:latest"


def test_copy_and_remove(store: Store) -> None:
    manifest = put(store, "a")
    blob = blob_path(store, manifest.files["m.gguf"].sha256)
    assert models.copy_model(store, "a", "b:x").full_name == "b:x"
    assert models.remove_model(store, "a") == ["a:latest"]
    assert blob.exists()
    assert models.remove_model(store, "b") == ["b:x"]
    assert not blob.exists()
    assert list(store.path("views").iterdir()) == []
    with pytest.raises(NotFound):
        models.remove_model(store, "b")


def test_a_name_is_not_taken_twice(store: Store) -> None:
    put(store, "a", b"one")
    put(store, "b", b"two")
    tiny_specialist(store, "support", ["refund", "delivery"])
    with pytest.raises(InputError, match="b:latest is in the store already, from test"):
        models.copy_model(store, "a", "b")
    with pytest.raises(InputError, match="support is the name of a specialist"):
        models.copy_model(store, "a", "support")
    models.copy_model(store, "a", "a:latest")


def test_what_a_specialist_was_built_on_stays(store: Store) -> None:
    manifest = put(store, "base")
    specialist = tiny_specialist(store, "support", ["refund", "delivery"])
    lineage = {"base": {"name": "base", "sha256": manifest.files["m.gguf"].sha256}}
    write_json(
        store.path("specialists", "support", "1") / RECORD, specialist.model_copy(update={"lineage": lineage}).to_json()
    )
    with pytest.raises(StoreBusy, match=r"support:1 was built on it.\nRemove that first: linnet rm support:1"):
        models.remove_model(store, "base")
    store.remove("support")
    assert models.remove_model(store, "base") == ["base:latest"]


def test_delete_while_in_use(store: Store) -> None:
    manifest = put(store, "a")
    model = leased(store, manifest)
    with models.lease(store, model), models.lease(store, model):
        with pytest.raises(StoreBusy, match="a:latest is in use"):
            models.remove_model(store, "a")
        assert models.model_names(store) == ["a:latest"]
        models.copy_model(store, "a", "b")
        assert models.remove_model(store, "b") == ["b:latest"]  # another name of what is in use
    models.remove_model(store, "a")
    with pytest.raises(NotFound, match="was removed"), models.lease(store, model):
        pass
    with models.lease(store, model.model_copy(update={"digest": ""})):
        pass


HOLDER = """
import sys, time
from pathlib import Path
from linnet.core.models import lease
from linnet.core.records import Model
from linnet.core.store import Store
model = Model.model_validate_json(sys.argv[2])
with lease(Store(Path(sys.argv[1])), model):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lease_ends_with_its_process(store: Store) -> None:
    manifest = put(store, "a")
    command = [sys.executable, "-c", HOLDER, str(store.root), leased(store, manifest).model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreBusy):
            models.remove_model(store, "a")
        holder.kill()
        holder.wait()
    assert models.remove_model(store, "a") == ["a:latest"]


def test_nothing_is_collected_while_somebody_writes(store: Store) -> None:
    put(store, "a")
    with writing_blobs(store):
        models.remove_model(store, "a")
        assert len(list(store.path("blobs", "sha256").iterdir())) == 1
    assert models.collect_garbage(store) == len(b"weights")
    assert list(store.path("blobs", "sha256").iterdir()) == []


def test_nothing_is_collected_while_a_manifest_is_damaged(store: Store) -> None:
    put(store, "a", b"one")
    put(store, "b", b"two")
    models.manifest_path(store, "b", "latest").write_text("{")
    assert models.scan_models(store)[1] == ["b:latest"]
    models.remove_model(store, "a")
    assert len(list(store.path("blobs", "sha256").iterdir())) == 2
    models.remove_model(store, "b")  # the way out
    assert list(store.path("blobs", "sha256").iterdir()) == []


def test_old_downloads_are_collected(store: Store) -> None:
    folder = store.path("blobs", "partial")
    make_folder(folder)
    for name, days in (("a" * 64, 8), ("b" * 64, 6)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - days * 86400,) * 2)
    models.collect_garbage(store)
    assert [p.name for p in folder.iterdir()] == ["b" * 64]


def test_a_link_and_a_failing_link(store: Store, tmp_path: Path, arm: Callable[[str], None]) -> None:
    source = tmp_path / "m.gguf"
    source.write_bytes(b"weights")
    arm("blob.link=enospc")
    with pytest.raises(DiskFull):
        link_blob(store, source, sha256_bytes(b"weights"))
    arm("")
    assert link_blob(store, source, sha256_bytes(b"weights"))
    assert link_blob(store, source, sha256_bytes(b"weights"))
    assert blob_path(store, sha256_bytes(b"weights")).samefile(source)


def test_a_disk_without_hard_links(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "m.gguf"
    source.write_bytes(b"weights")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert not link_blob(store, source, sha256_bytes(b"weights"))
    manifest = put(store, "a")
    assert (make_view(store, manifest.files) / "m.gguf").read_bytes() == b"weights"
