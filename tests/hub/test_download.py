"""A file gets its name when its hash is right: resumed where it broke off, refused when one bit is wrong."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.core.blobs import blob_path, partial_path
from linnet.core.errors import CorruptFile, DiskFull, HubError, LinnetError
from linnet.core.names import parse_hub_name
from linnet.core.store import Store
from linnet.hub.client import Hub
from linnet.hub.download import Wanted, is_here, opened
from linnet.hub.endpoint import Limits
from linnet.hub.listing import list_repo
from tests.hub_imitation import FakeHub

NAME = parse_hub_name("hf:org/tiny")
MIB = 1 << 20
# 20 positions of a flipped bit in a test run, 1,000 in a nightly one.
FLIPS = 1000 if int(os.environ.get("LINNET_KILLS", "20")) >= 200 else 20


def wanted(hub: Hub, name: str = "blob.gguf") -> Wanted:
    listing = list_repo(hub, NAME)
    return Wanted(NAME, listing.commit, next(file for file in listing.files if file.name == name))


def fetch(hub: Hub, store: Store, what: Wanted) -> str:
    with opened(hub, store, what, lambda _: None) as download:
        return download.finish()


def blobs(store: Store) -> list[Path]:
    folder = store.path("blobs", "sha256")
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("name", ["blob.gguf", "README.md", "empty.gguf"])
def test_a_file_comes_whole_and_private(hub: Hub, store: Store, fake: FakeHub, name: str) -> None:
    what = wanted(hub, name)
    sha256 = fetch(hub, store, what)
    assert sha256 == hashlib.sha256(fake.files[name]).hexdigest()
    blob = blob_path(store, sha256)
    assert blob.read_bytes() == fake.files[name]
    assert blob.stat().st_mode & 0o777 == 0o600
    assert list(store.path("blobs", "partial").iterdir()) == []
    assert is_here(store, what.file) is (name != "README.md")  # of a small file the hub states no sha256


def test_parts_come_side_by_side_and_each_byte_once(hub: Hub, store: Store, fake: FakeHub, blob: bytes) -> None:
    fetch(hub, store, wanted(hub))
    assert len(fake.bodies()) == -(-len(blob) // hub.limits.part_bytes)
    assert fake.asked_bytes() == len(blob)


def test_one_flipped_bit_is_found(hub: Hub, store: Store, fake: FakeHub, blob: bytes) -> None:
    what, dice = wanted(hub), random.Random(int(os.environ.get("LINNET_SEED", "1")))
    fake.lie = "flip"
    for _ in range(FLIPS):
        fake.flip_bit = dice.randrange(8 * len(blob))
        with pytest.raises(CorruptFile, match="the hub states") as caught:
            fetch(hub, store, what)
        assert what.file.sha256 in caught.value.message
        assert blobs(store) == []
        assert list(store.path("blobs", "partial").iterdir()) == []
    fake.lie = ""
    fetch(hub, store, what)


def test_a_flipped_bit_in_a_small_file_is_found(hub: Hub, store: Store, fake: FakeHub) -> None:
    what, fake.lie = wanted(hub, "README.md"), "flip"
    with pytest.raises(CorruptFile, match="the hub states git"):
        fetch(hub, store, what)
    assert blobs(store) == []


def test_truncation_is_mended_without_asking_twice(hub: Hub, store: Store, fake: FakeHub, blob: bytes) -> None:
    fake.lie, fake.lies_left, fake.cut_at = "truncate", 3, 100_000
    what = wanted(hub)
    fetch(hub, store, what)
    assert fake.sent_bytes == len(blob)


def test_a_broken_download_is_kept_and_resumed(hub: Hub, store: Store, fake: FakeHub, blob: bytes) -> None:
    what = wanted(hub)
    fake.lie, fake.cut_at = "truncate", 50_000
    with pytest.raises(HubError, match=r"also after 3 retries.\nRun the same command again: what is here is kept"):
        fetch(hub, store, what)
    assert blobs(store) == []
    here = sum_of_parts(store, what, hub.limits)
    assert here >= 4 * 50_000
    fake.lie = ""
    fake.asked.clear()
    fetch(hub, store, what)
    assert fake.asked_bytes() == len(blob) - here


def sum_of_parts(store: Store, what: Wanted, limits: Limits) -> int:
    from linnet.hub.partial import Partial

    partial = Partial(partial_path(store, what.key), what.file.size_bytes, limits.part_bytes)
    partial.close()
    return partial.resumed_bytes


@pytest.mark.parametrize("lie", ["stall", "trickle"])
def test_a_stall_is_given_up_and_resumed(hub: Hub, store: Store, fake: FakeHub, lie: str) -> None:
    fake.lie, fake.lies_left = lie, 2
    fetch(hub, store, wanted(hub))


@pytest.mark.parametrize("reached", [0, 100_000])
def test_200_instead_of_206(hub: Hub, store: Store, fake: FakeHub, blob: bytes, reached: int) -> None:
    what = wanted(hub)
    with opened(hub, store, what, lambda _: None) as download:
        download.reach(reached)
        fake.lie = "no ranges"
        assert blob_path(store, download.finish()).read_bytes() == blob
    fake.asked.clear()


def test_a_head_from_a_hub_without_ranges(hub: Hub, store: Store, fake: FakeHub, blob: bytes) -> None:
    what, fake.lie = wanted(hub), "no ranges"
    with opened(hub, store, what, lambda _: None) as download:
        download.reach(1000)
        assert download.partial.read(0, 0, 1000) == blob[:1000]
        assert blob_path(store, download.finish()).read_bytes() == blob


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ("other total", "the hub sends bytes"),
        ("longer", "at most"),
        ("other commit", "the hub listed commit"),
        ("other etag", "the hub listed sha256"),
        ("gzip bomb", "compressed"),
    ],
)
def test_abuse_14_15_a_lying_hub(hub: Hub, store: Store, fake: FakeHub, lie: str, message: str) -> None:
    what, fake.lie = wanted(hub), lie
    with pytest.raises(HubError, match=message):
        fetch(hub, store, what)
    assert blobs(store) == []


def test_damage_from_a_power_cut_is_found_and_fetched_anew(hub: Hub, store: Store, fake: FakeHub, blob: bytes) -> None:
    what = wanted(hub)
    with opened(hub, store, what, lambda _: None) as download:
        download.reach(500_000)
    with partial_path(store, what.key).open("r+b") as handle:  # the note says 500,000 bytes; the disk lost some
        handle.seek(1000)
        handle.write(bytes(5000))
    assert blob_path(store, fetch(hub, store, what)).read_bytes() == blob


@pytest.mark.parametrize("content", [b"", b"x" * 7, b"\xff" * 4000])
def test_a_senseless_note_is_no_crash(hub: Hub, store: Store, fake: FakeHub, content: bytes) -> None:
    what = wanted(hub)
    with opened(hub, store, what, lambda _: None) as download:
        download.reach(1000)
    partial_path(store, what.key).with_name(f"{what.key}.parts").write_bytes(content)
    fetch(hub, store, what)


@pytest.mark.parametrize("point", ["blob.write", "blob.write:9", "blob.fsync", "blob.rename", "files.dirsync"])
def test_a_full_disk_keeps_what_is_here(
    hub: Hub, store: Store, fake: FakeHub, arm: Callable[[str], None], point: str, blob: bytes
) -> None:
    what = wanted(hub)
    arm(f"{point}=enospc")
    with pytest.raises(DiskFull, match="the disk") as caught:
        fetch(hub, store, what)
    if point.startswith("blob.write"):
        assert "bytes are missing" in caught.value.message
    if point != "files.dirsync":
        assert blobs(store) == []
    arm("")
    fake.asked.clear()
    if not is_here(store, what.file):
        fetch(hub, store, what)
    assert blob_path(store, what.file.sha256).read_bytes() == blob
    assert fake.asked_bytes() <= (0 if point[5:] in ("fsync", "rename", "dirsync") else len(blob))


def test_an_error_of_the_network_is_one_of_the_tree(hub: Hub, store: Store, arm: Callable[[str], None]) -> None:
    what = wanted(hub)
    arm("hub.receive=error")
    with pytest.raises(LinnetError):
        fetch(hub, store, what)
    arm("")
    fetch(hub, store, what)


KILLED = """
import sys
from pathlib import Path
from linnet.core.names import parse_hub_name
from linnet.core.store import Store
from linnet.hub.client import Hub
from linnet.hub.download import Wanted, opened
from linnet.hub.endpoint import Endpoint, Limits, parse_origin
from linnet.hub.listing import list_repo

name = parse_hub_name("hf:org/tiny")
with Hub(Endpoint(parse_origin(sys.argv[2]), "", ()), Limits(part_bytes=256 << 10, backoff_s=0.001)) as hub:
    listing = list_repo(hub, name)
    with opened(hub, Store(Path(sys.argv[1])), Wanted(name, listing.commit, listing.files[0]), lambda _: None) as one:
        print(one.partial.resumed_bytes, one.finish())
"""


@pytest.mark.parametrize("point", ["blob.write:3", "blob.write:12", "hub.receive:4", "blob.fsync", "blob.rename"])
def test_killed_and_resumed_for_at_most_a_mebibyte(store: Store, fake: FakeHub, blob: bytes, point: str) -> None:
    fake.files = {"blob.gguf": blob * 4}

    def run(points: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LINNET_FAILPOINTS": points}
        command = [sys.executable, "-c", KILLED, str(store.root), fake.url]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert run(f"{point}=kill").returncode == -signal.SIGKILL
    assert blobs(store) == []
    fake.asked.clear()
    again = run("")
    assert again.returncode == 0, again.stderr
    resumed, sha256 = again.stdout.split()
    assert fake.asked_bytes() == len(blob) * 4 - int(resumed)
    assert sha256 == hashlib.sha256(blob * 4).hexdigest()
    assert blob_path(store, sha256).stat().st_size == len(blob) * 4
