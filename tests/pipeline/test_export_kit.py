"""A kit arrives whole and answers on the other side, or nothing of it gets a name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linnet.core.errors import CorruptFile, DiskFull, InputError, LinnetError, ModelFileError
from linnet.core.files import canonical, sha256_bytes, sha256_file
from linnet.core.records import FileEntry
from linnet.core.store import RECORD, Store, scan_files, verify_files
from linnet.pipeline.export import export
from linnet.pipeline.export_kit import BLOCK, MANIFEST, Kit, import_kit, is_kit
from linnet.stages.import_ import import_
from linnet.stages.serve import Specialists
from tests.gguf_files import honest
from tests.tiny import tiny_specialist

LABELS = ("billing", "shipping")
# What a base install does not have.
TRAINING = ("torch", "transformers", "peft", "accelerate", "sklearn", "polars", "onnx", "safetensors", "datasets")


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kit")
    store = Store(place / "store")
    tiny_specialist(store, "mail", LABELS)
    export("mail", "kit", place / "mail.kit", store=store)
    return place / "mail.kit"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def left(store: Store) -> list[str]:
    """Every file of the store that is no lock."""
    found = [p.relative_to(store.root) for p in store.root.rglob("*") if p.is_file()]
    return sorted(p.as_posix() for p in found if p.parts[0] != "locks")


def test_a_specialist_arrives_and_answers(kit: Path, store: Store) -> None:
    taken = import_kit(store, kit)
    assert (taken.name, taken.reused, taken.sha256) == ("mail:1", False, sha256_file(kit))
    specialist, folder = store.find("mail")
    verify_files(folder, specialist.files)
    answers = Specialists(store).classify("mail", ["where is my shipping", "billing please"]).answers
    assert [answer.label for answer in answers] == ["shipping", "billing"]
    assert left(store) == sorted(f"specialists/mail/1/{name}" for name in (*specialist.files, RECORD))


def test_the_same_specialist_gives_the_same_bytes(kit: Path, store: Store, tmp_path: Path) -> None:
    import_kit(store, kit)
    again = export("mail", "kit", tmp_path / "again.kit", store=store)
    assert (tmp_path / "again.kit").read_bytes() == kit.read_bytes()
    assert again.sha256 == sha256_file(kit)


def test_other_tools_can_look_inside(kit: Path) -> None:
    with tarfile.open(kit, "r:") as archive:
        names = archive.getnames()
        assert names[0] == MANIFEST
        assert names[1:] == sorted(names[1:])
        assert {(m.mtime, m.uid, m.uname) for m in archive.getmembers()} == {(0, 0, "")}


def test_a_machine_without_training_libraries_takes_it_in_and_serves(kit: Path, tmp_path: Path) -> None:
    blocked = f"import sys; sys.modules.update(dict.fromkeys({TRAINING!r}))\n"
    run = "from linnet.cli import main; sys.argv = ['linnet', *{!r}]; main()"
    env = {**os.environ, "LINNET_HOME": str(tmp_path / "home"), "LINNET_THREADS": "1"}
    for words in (["import", str(kit)], ["classify", "mail"]):
        code = [sys.executable, "-c", blocked + run.format(words)]
        done = subprocess.run(code, env=env, capture_output=True, text=True, timeout=120, input="shipping please\n")
        assert done.returncode == 0, done.stderr
    assert "shipping" in done.stdout


def test_a_second_import_changes_nothing_and_another_content_is_refused(kit: Path, store: Store) -> None:
    import_kit(store, kit)
    before = {name: (store.root / name).stat().st_mtime_ns for name in left(store)}
    assert import_kit(store, kit).reused
    assert {name: (store.root / name).stat().st_mtime_ns for name in left(store)} == before
    store.remove("mail")
    tiny_specialist(store, "mail", ("one", "two"))
    with pytest.raises(InputError, match="another"):
        import_kit(store, kit)
    assert import_kit(store, kit, "post:4").name == "post:4"
    assert store.find("post")[0].full_name == "post:4"
    assert store.find("mail")[0].decision.labels == ["one", "two"]


def test_the_hash_that_was_told_is_asked_for(kit: Path, store: Store) -> None:
    with pytest.raises(CorruptFile, match="was asked for"):
        import_kit(store, kit, sha256="0" * 64)
    assert left(store) == []
    assert import_kit(store, kit, sha256=sha256_file(kit)).name == "mail:1"


def test_a_model_arrives(store: Store, tmp_path: Path) -> None:
    there = Store(tmp_path / "there")
    made = import_(there, honest(tmp_path / "small.gguf"), "small:v1")
    export("small", "kit", tmp_path / "small.kit", store=there)
    assert import_kit(store, tmp_path / "small.kit").name == "small:v1"
    assert import_kit(store, tmp_path / "small.kit").reused
    assert import_kit(store, tmp_path / "small.kit", "mine").name == "mine:latest"
    from linnet.formats.resolve import resolve_model

    found = resolve_model(store, "small")
    assert found.files == made.files
    assert str(tmp_path) not in found.source


def test_a_hostile_model_gets_no_name(store: Store, tmp_path: Path) -> None:
    bad = b"GGUF" + b"\xff" * 4000
    write(tmp_path / "bad.kit", Kit(kind="model", name="small:v1", entry="m.gguf", files=listed({"m.gguf": bad})),
          {"m.gguf": bad})  # fmt: skip
    with pytest.raises(ModelFileError):
        import_kit(store, tmp_path / "bad.kit")
    assert left(store) == []


# Hostile kits, made member by member.


def listed(files: dict[str, bytes]) -> dict[str, FileEntry]:
    return {name: FileEntry(sha256=sha256_bytes(data), size_bytes=len(data)) for name, data in files.items()}


def member(name: str, data: bytes, /, **changes: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    for field, value in changes.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % BLOCK)


def write(path: Path, kit: Kit, files: dict[str, bytes], members: list[bytes] | None = None) -> Path:
    parts = members if members is not None else [member(name, files[name]) for name in sorted(files)]
    path.write_bytes(b"".join([member(MANIFEST, canonical(kit.to_json())), *parts, bytes(2 * BLOCK)]))
    return path


def opened(kit: Path) -> tuple[Kit, dict[str, bytes]]:
    with tarfile.open(kit, "r:") as archive:
        found = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]
    return Kit.model_validate_json(found.pop(MANIFEST)), found


def renamed(kit: Kit, files: dict[str, bytes], old: str, new: str) -> tuple[Kit, dict[str, bytes]]:
    files = {new if name == old else name: data for name, data in files.items()}
    return kit.model_copy(update={"files": listed(files)}), files


def test_the_makers_kit_is_what_export_writes(kit: Path, tmp_path: Path) -> None:
    """The hostile ones below differ from a good one in one thing only."""
    assert write(tmp_path / "same.kit", *opened(kit)).read_bytes() == kit.read_bytes()


TARGET = "engine/tokenizer.json"
NAMES = (
    "../escaped.json", "/tmp/escaped.json", "engine/../../escaped.json", "a/b/c.json", ".hidden.json", "engine/.x.json",
    "x" * 120 + ".json", "engine\\x.json", "nul\0.json", "run.py", "model.pkl", "libx.so", "RECORD.JSON", MANIFEST,
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_is_refused(kit: Path, store: Store, tmp_path: Path, name: str) -> None:
    made = renamed(*opened(kit), TARGET, name)
    path = tmp_path / "bad.kit"
    write(path, made[0], made[1], [member(n.replace("\0", "0")[:99], d) for n, d in sorted(made[1].items())])
    before = sorted(tmp_path.parent.rglob("escaped*"))
    with pytest.raises(LinnetError):
        import_kit(store, path)
    assert left(store) == []
    assert sorted(tmp_path.parent.rglob("escaped*")) == before == []


CHANGES: dict[str, dict[str, object]] = {
    "a symbolic link": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "a hard link": {"type": tarfile.LNKTYPE, "linkname": RECORD},
    "a device": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5},
    "a pipe": {"type": tarfile.FIFOTYPE},
    "a folder": {"type": tarfile.DIRTYPE},
    "a long name": {"type": tarfile.GNUTYPE_LONGNAME},
    "a header of pax": {"type": tarfile.XHDTYPE},
    "a sparse file": {"type": tarfile.GNUTYPE_SPARSE},
    "another name": {"name": "../../escaped.json"},
    "a lying size": {"size": 1},
    "a huge size": {"size": 1 << 40},
    "rights": {"mode": 0o4755},
    "an owner": {"uname": "root"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_member_that_is_not_a_plain_file_is_refused(kit: Path, store: Store, tmp_path: Path, what: str) -> None:
    good, files = opened(kit)
    members = [member(n, files[n], **(CHANGES[what] if n == TARGET else {})) for n in sorted(files)]
    with pytest.raises(CorruptFile, match=TARGET):
        import_kit(store, write(tmp_path / "bad.kit", good, files, members))
    assert left(store) == []


def shifted(kit: Path) -> Iterator[tuple[str, Kit, dict[str, bytes], list[bytes] | None]]:
    """Kits whose members do not fit their manifest, or whose record does not fit its files."""
    good, files = opened(kit)
    plain = [member(name, files[name]) for name in sorted(files)]
    yield "a member more", good, files, [*plain, member("more.json", b"{}")]
    yield "a member less", good, files, plain[:-1]
    yield "another order", good, files, plain[::-1]
    yield "a member twice", good, files, [plain[0], *plain]
    record = json.loads(files[RECORD])
    for what, change in {
        "another name": {"name": "post"},
        "another version": {"version": 7},
        "other files": {"files": {}},
        "another kind": {"kind": "poem"},
        "a field more": {"more": 1},
        "no metric": {"metric": {}},
        "other labels": {"lineage": {"decision": "0" * 64}},
    }.items():
        other = {**files, RECORD: canonical({**record, **change})}
        yield f"a record with {what}", good.model_copy(update={"files": listed(other)}), other, None
    without = {name: data for name, data in files.items() if name != RECORD}
    yield "no record", good.model_copy(update={"files": listed(without)}), without, None
    sizes = {**good.files, TARGET: FileEntry(sha256=good.files[TARGET].sha256, size_bytes=-512)}
    yield "a negative size", good.model_copy(update={"files": sizes}), files, None
    upper = {**good.files, TARGET: FileEntry(sha256="A" * 64, size_bytes=good.files[TARGET].size_bytes)}
    yield "no sha256", good.model_copy(update={"files": upper}), files, None
    yield "a name of a path", good.model_copy(update={"name": "../mail:1"}), files, None


def is_refused(store: Store, path: Path) -> bool:
    try:
        import_kit(store, path)
    except LinnetError:
        return True
    return False


def test_members_and_record_must_fit(kit: Path, store: Store, tmp_path: Path) -> None:
    for what, bad, files, members in shifted(kit):
        write(tmp_path / "bad.kit", bad, files, members)
        assert is_refused(store, tmp_path / "bad.kit"), what
        assert left(store) == [], what


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{", b'{"schema_version": 2}', b"[" * 100_000, b'{"a":1,"a":2}'])
def test_a_manifest_that_is_none_is_refused(store: Store, tmp_path: Path, manifest: bytes) -> None:
    (tmp_path / "bad.kit").write_bytes(member(MANIFEST, manifest) + bytes(2 * BLOCK))
    with pytest.raises(LinnetError):
        import_kit(store, tmp_path / "bad.kit")
    assert left(store) == []


def test_every_flipped_bit_and_every_cut_is_found(kit: Path, store: Store, tmp_path: Path) -> None:
    data, bad = kit.read_bytes(), tmp_path / "bad.kit"
    for place in range(0, len(data), 397):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        bad.write_bytes(changed)
        with pytest.raises(LinnetError):
            import_kit(store, bad)
    for size in [0, 1, BLOCK, len(data) - 1, len(data) - BLOCK, *range(7, len(data), 2900)]:
        bad.write_bytes(data[:size])
        with pytest.raises(LinnetError):
            import_kit(store, bad)
    for more in (b"\0", bytes(BLOCK), b"x"):
        bad.write_bytes(data + more)
        with pytest.raises(CorruptFile, match="added"):
            import_kit(store, bad)
    assert left(store) == []
    assert store.names() == []


@pytest.mark.parametrize(
    "point", ["files.write:2", "files.write", "files.fsync:2", "files.rename:2", "files.dirsync:3"]
)
def test_a_full_disk_leaves_no_name(kit: Path, store: Store, arm: Callable[[str], None], point: str) -> None:
    arm(f"{point}=enospc")
    with pytest.raises(DiskFull):
        import_kit(store, kit)
    assert store.names() == []
    assert left(store) == []
    assert import_kit(store, kit).name == "mail:1"


def test_a_full_disk_leaves_no_kit(kit: Path, store: Store, tmp_path: Path, arm: Callable[[str], None]) -> None:
    import_kit(store, kit)
    arm("files.fsync=enospc")
    with pytest.raises(DiskFull):
        export("mail", "kit", tmp_path / "x.kit", store=store)
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


IMPORT = "import sys; from linnet.cli import main; sys.argv = ['linnet', 'import', sys.argv[1]]; main()"


def start(kit: Path, home: Path, points: str = "") -> subprocess.Popen[str]:
    env = {**os.environ, "LINNET_HOME": str(home), "LINNET_FAILPOINTS": points}
    return subprocess.Popen([sys.executable, "-c", IMPORT, str(kit)], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def test_a_kill_in_the_middle_leaves_no_name_and_nothing_in_the_way(kit: Path, tmp_path: Path) -> None:
    for point in ("files.fsync:3", "files.rename:2", "files.dirsync:4"):
        killed = start(kit, tmp_path / "home", f"{point}=kill")
        killed.communicate(timeout=120)
        assert killed.returncode == -signal.SIGKILL
        assert Store(tmp_path / "home").names() == []
    store = Store(tmp_path / "home")
    assert import_kit(store, kit).name == "mail:1"
    assert all(name.startswith("specialists/mail/1/") for name in left(store))


def test_two_imports_at_once_make_one_specialist(kit: Path, tmp_path: Path) -> None:
    running = [start(kit, tmp_path / "home") for _ in range(2)]
    said = [one.communicate(timeout=120) for one in running]
    assert [one.returncode for one in running] == [0, 0], said
    store = Store(tmp_path / "home")
    specialist, folder = store.find("mail")
    assert store.versions("mail") == [1]
    assert scan_files(folder) == specialist.files
    assert "(reused)" in said[0][1] + said[1][1]


def test_a_kit_is_known_by_its_name_or_its_beginning(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").write_bytes(kit.read_bytes())
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert is_kit(kit)
    assert is_kit(tmp_path / "bare")
    assert not is_kit(tmp_path / "model.gguf")
    assert not is_kit(tmp_path / "missing")


def test_a_pipe_is_not_waited_for(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.kit")
    with pytest.raises(LinnetError, match="not a regular file"):
        import_kit(store, tmp_path / "pipe.kit")


def test_the_name_of_a_model_is_not_taken(kit: Path, store: Store, tmp_path: Path) -> None:
    import_(store, honest(tmp_path / "m.gguf"), "mail:v1")
    with pytest.raises(InputError, match="name of a model"):
        import_kit(store, kit)


def test_a_record_that_was_changed_in_the_store_is_not_exported(kit: Path, store: Store, tmp_path: Path) -> None:
    import_kit(store, kit)
    path = store.path("specialists", "mail", "1") / "engine" / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(CorruptFile):
        export("mail", "kit", tmp_path / "x.kit", store=store)
    assert not (tmp_path / "x.kit").exists()
