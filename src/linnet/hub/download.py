"""Download one file: parts side by side, each resumed where it stopped, hashed in order before it gets its name.

The hash is taken of what was written, read back in order while later parts still come. What breaks off stays for the
next try; what is wrong is removed.
"""

from __future__ import annotations

import hashlib
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import httpx

from linnet.core.blobs import blob_path, partial_path, publish_blob
from linnet.core.errors import CorruptFile, DiskFull, HubError, os_errors
from linnet.core.files import sha256_bytes, sha256_file
from linnet.core.names import HubName
from linnet.core.store import Store
from linnet.hub.client import LATER, Hub, Interruption, Pace, bounded
from linnet.hub.listing import HubFile
from linnet.hub.partial import Closed, Partial

MIB, PIECE = 1 << 20, 64 << 10
_ETAG = re.compile(r'(?:W/)?"?([0-9A-Za-z_.:-]*)"?')


class NoRanges(Exception):
    """The hub answers a Range request with the whole file. Never leaves this room."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file of a repository at one commit."""

    repo: HubName
    commit: str
    file: HubFile

    @property
    def label(self) -> str:
        return f"{self.repo}: {self.file.name}"

    @property
    def key(self) -> str:
        """Under which name it grows: its sha256, or a hash of what the hub says of a small file."""
        return self.file.sha256 or sha256_bytes(f"git:{self.file.git_oid}:{self.file.size_bytes}".encode())


class Download:
    """One file on its way. `on_bytes(count)` hears of every piece. Use it inside `opened`."""

    def __init__(self, hub: Hub, store: Store, wanted: Wanted, on_bytes: Callable[[int], None]) -> None:
        self.hub, self.store, self.wanted, self.on_bytes = hub, store, wanted, on_bytes
        self.url = hub.file_url(wanted.repo.repo_id, wanted.commit, wanted.file.name)
        self._stop = threading.Event()
        with os_errors(store.root, "Opening a download in"):
            path = partial_path(store, wanted.key)
            self.partial = Partial(path, wanted.file.size_bytes, hub.limits.part_bytes)

    @property
    def left_bytes(self) -> int:
        return self.wanted.file.size_bytes - sum(self.partial.done)

    def reach(self, count: int) -> None:
        """Fetch the file's first `count` bytes and no more. They are kept for `finish`."""
        with self._disk():
            try:
                for part in range(len(self.partial.done)):
                    limit = min(self.partial.length(part), count - part * self.partial.part_bytes)
                    if limit > self.partial.done[part]:
                        self._part(part, limit)
            except NoRanges:
                self._one_answer(count)

    def finish(self) -> str:
        """Fetch the rest, check it, and give it its name: its sha256, which is returned.

        Raises HubError after the retries, CorruptFile for wrong bytes, DiskFull; all but CorruptFile keep what is here.
        """
        with self._disk():
            try:
                sha256, git_oid = self._side_by_side()
            except NoRanges:
                sha256, git_oid = self._in_one_go()
            if not self._is_right(sha256, git_oid) and self.partial.resumed_bytes:
                # What an earlier run left may be damaged by a power cut: once more, from the start.
                self.partial.restart()
                self.partial.resumed_bytes = 0
                return self.finish()
        if not self._is_right(sha256, git_oid):
            self.partial.remove()
            stated = self.wanted.file.sha256 or f"git {self.wanted.file.git_oid}"
            raise CorruptFile(
                f"{self.wanted.label} came with sha256 {sha256}; the hub states {stated}.",
                "It was removed. Run the same command again; if it happens again, the hub or the way to it is damaged.",
            )
        self.partial.close()
        publish_blob(self.store, self.partial.path, sha256)
        self.partial.forget_note()
        return sha256

    def _is_right(self, sha256: str, git_oid: str) -> bool:
        file = self.wanted.file
        return sha256 == file.sha256 if file.sha256 else git_oid == file.git_oid

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            with os_errors(self.partial.path, "Downloading to"):
                yield
        except DiskFull as error:
            raise DiskFull(
                f"{self.wanted.label}: the disk of {self.store.root} is full; {self.left_bytes} bytes are missing.",
                "Free that much and run the same command again: what is here is kept.",
            ) from error

    def _side_by_side(self) -> tuple[str, str]:
        """Every missing part by a few threads, hashed in order by this one."""
        parts = range(len(self.partial.done))
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        open_parts = [part for part in parts if not self.partial.is_whole(part)]
        for part in open_parts:
            waiting.put(part)
        ready: dict[int, threading.Event] = {part: threading.Event() for part in open_parts}
        failures: list[BaseException] = []

        def work() -> None:
            while not failures:
                try:
                    part = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._part(part, self.partial.length(part))
                except BaseException as error:
                    failures.append(error)
                    for event in ready.values():
                        event.set()
                    return
                ready[part].set()

        # Daemons: a thread that waits for a silent hub must not keep an interrupted program alive.
        count = min(self.hub.limits.parallel, len(open_parts))
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            return self._hash(ready, failures)
        except NoRanges:
            for thread in threads:
                thread.join()  # none may write into what now begins again
            self._stop.clear()
            raise
        except Exception:
            for thread in threads:
                thread.join(timeout=1)
            raise

    def _hash(self, ready: dict[int, threading.Event], failures: list[BaseException]) -> tuple[str, str]:
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % self.wanted.file.size_bytes, usedforsecurity=False)
        try:
            for part in range(len(self.partial.done)):
                if part in ready:
                    ready[part].wait()
                if failures:
                    raise failures[0]
                for offset in range(0, self.partial.length(part), MIB):
                    piece = self.partial.read(part, offset, min(MIB, self.partial.length(part) - offset))
                    sha256.update(piece)
                    if not self.wanted.file.sha256:
                        git.update(piece)
        except BaseException as error:
            failures.append(error)  # the threads stop at their next request or piece
            self._stop.set()
            raise
        return sha256.hexdigest(), git.hexdigest()

    def _in_one_go(self) -> tuple[str, str]:
        """The whole file in one answer, from a hub that knows no ranges."""

        self._one_answer(self.wanted.file.size_bytes)
        return self._hash({}, [])

    def _one_answer(self, count: int) -> None:
        """The first `count` bytes from answers without ranges, each of which begins at the first byte."""

        def ask() -> None:
            self.partial.restart()
            with self.hub.open(self.url, self.wanted.label) as (response, said):
                self._check_said(said)
                self._take(response, count)

        self.hub.again(ask, self.wanted.label)

    def _take(self, response: httpx.Response, count: int) -> None:
        part = 0
        for piece in bounded(response, self.wanted.file.size_bytes, self.wanted.label, Pace(self.hub.limits)):
            left = piece
            while left:
                room = self.partial.length(part) - self.partial.done[part]
                self._write(part, left[:room])
                left = left[room:]
                part += self.partial.is_whole(part)
            if sum(self.partial.done) >= count:
                return
        if sum(self.partial.done) < count:
            raise Interruption(f"the answer ended after {sum(self.partial.done)} of {count} bytes")

    def _part(self, part: int, limit: int) -> None:
        """One part up to its first `limit` bytes, with as many retries as bring it forward."""
        failed, before = 0, self.partial.done[part]
        while self.partial.done[part] < limit:
            if self._stop.is_set():
                raise Closed
            try:
                self._ask_part(part, limit)
            except Interruption as error:
                if self.partial.done[part] - before >= MIB:
                    failed, before = 0, self.partial.done[part]
                if failed == self.hub.limits.retries:
                    raise HubError(f"{self.wanted.label}: {error}, also after {failed} retries.", LATER) from error
                self.hub.pause(failed, error.wait_s)
                failed += 1

    def _ask_part(self, part: int, limit: int) -> None:
        first, _ = self.partial.missing(part)
        last = part * self.partial.part_bytes + limit - 1
        need, size = last - first + 1, self.wanted.file.size_bytes
        with self.hub.open(self.url, self.wanted.label, (first, last)) as (response, said):
            self._check_said(said)
            if response.status_code == 200:
                if (first, need) != (0, size):
                    raise NoRanges
            elif response.headers.get("content-range") != f"bytes {first}-{last}/{size}":
                got = response.headers.get("content-range", "nothing")[:80]
                asked = f"asked for bytes {first}-{last} of {size}"
                raise HubError(f"{self.wanted.label}: {asked}, the hub sends {got}.", "Check LINNET_HUB.")
            for piece in bounded(response, need, self.wanted.label, Pace(self.hub.limits)):
                self._write(part, piece)
        if self.partial.done[part] < limit:
            raise Interruption(f"the answer ended {limit - self.partial.done[part]} bytes early")

    def _write(self, part: int, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self.partial.write(part, piece)
            self.on_bytes(len(piece))

    def _check_said(self, said: dict[str, str]) -> None:
        """The hub's own headers must agree with its listing."""
        commit, etag = said.get("x-repo-commit", ""), said.get("x-linked-etag", "")
        need = self.wanted.file.sha256
        if commit and commit != self.wanted.commit:
            self._disagree(commit, f"commit {self.wanted.commit}")
        found = _ETAG.fullmatch(etag)
        if etag and need and (found is None or found[1] != need):
            self._disagree(etag, f"sha256 {need}")

    def _disagree(self, got: str, need: str) -> NoReturn:
        raise HubError(f"{self.wanted.label}: the hub listed {need}, and now sends {got[:80]!r}.", LATER)


@contextmanager
def opened(hub: Hub, store: Store, wanted: Wanted, on_bytes: Callable[[int], None]) -> Iterator[Download]:
    """A download that nobody else runs at the same time; closed at the end, whatever happened."""
    with store.locked(f"blobs/{wanted.key}", wanted.label):
        download = Download(hub, store, wanted, on_bytes)
        try:
            yield download
        except Closed as error:
            raise HubError(f"{wanted.label}: the download was given up.", LATER) from error
        finally:
            download.partial.close()


def is_here(store: Store, file: HubFile) -> bool:
    """Whether a file's blob is in the store and is what its name says; a damaged one is removed."""
    if not file.sha256:
        return False
    blob = blob_path(store, file.sha256)
    if not blob.is_file():
        return False
    if blob.stat().st_size == file.size_bytes and sha256_file(blob) == file.sha256:
        return True
    blob.unlink(missing_ok=True)
    return False
