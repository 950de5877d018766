"""What a repository of a hub holds at one commit: names, sizes, hashes, licence. Believes no field before looking."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from linnet.core.errors import HubError, NameInvalid
from linnet.core.names import HubName, check_digest, check_file_name
from linnet.core.records import Record
from linnet.hub.client import Hub

_COMMIT = re.compile(r"[0-9a-f]{40}")
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,79}")
MAX_FILE = 1 << 43
NO_HUB = "Check LINNET_HUB: is it the address of a hub?"


class HubFile(Record):
    """One file. `sha256` is empty for a small file that the hub keeps in git; then `git_oid` is its git hash."""

    name: str
    size_bytes: int
    sha256: str = ""
    git_oid: str = ""


class Listing(Record):
    """A repository at one commit. `licence` is the model card's tag, or 'unknown'."""

    repo: str
    commit: str
    licence: str
    files: tuple[HubFile, ...]


def list_repo(hub: Hub, name: HubName) -> Listing:
    """Ask what `name` holds at its revision (main unless given).

    Raises NotFound for no such repository or revision, HubError for an answer that breaks the rules.
    """
    path = f"/api/models/{name.repo_id}/revision/{quote(name.revision or 'main', safe='')}?blobs=true"
    found = hub.get_json(path, str(name))
    commit = found.get("sha") if isinstance(found, dict) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise HubError(f"{name}: the hub names no commit.", NO_HUB)
    if _COMMIT.fullmatch(name.revision) and commit != name.revision:
        raise HubError(f"{name}: the hub answers with commit {commit}.", NO_HUB)
    siblings = found.get("siblings")
    if not isinstance(siblings, list):
        raise HubError(f"{name}: the hub lists no files.", NO_HUB)
    files = tuple(file for file in (_file(entry, name) for entry in siblings) if file)
    return Listing(repo=name.repo_id, commit=commit, licence=_licence(found), files=files)


def _file(entry: Any, name: HubName) -> HubFile | None:
    """One file of the answer, or None for a name that no model's file has."""
    if not isinstance(entry, dict) or not isinstance(entry.get("rfilename"), str):
        raise HubError(f"{name}: the hub lists a file without a name.")
    try:
        path = check_file_name(entry["rfilename"])
    except NameInvalid:
        return None
    large = entry.get("lfs")
    size = large.get("size") if isinstance(large, dict) else entry.get("size")
    if type(size) is not int or not 0 <= size <= MAX_FILE:
        raise HubError(f"{name}: the hub states no size for {path}.")
    if isinstance(large, dict):
        return HubFile(name=path, size_bytes=size, sha256=_digest(large.get("sha256"), name, path))
    oid = entry.get("blobId")
    if not isinstance(oid, str) or not _COMMIT.fullmatch(oid):
        raise HubError(f"{name}: the hub states no hash for {path}: {str(oid)[:80]!r}.")
    return HubFile(name=path, size_bytes=size, git_oid=oid)


def _digest(value: Any, name: HubName, path: str) -> str:
    try:
        return check_digest(value if isinstance(value, str) else "")
    except NameInvalid as error:
        raise HubError(f"{name}: the hub states {str(value)[:80]!r} as the sha256 of {path}.", error.hint) from error


def _licence(found: dict[str, Any]) -> str:
    card = found.get("cardData")
    stated = [card.get("license"), card.get("license_name")] if isinstance(card, dict) else []
    tags = found.get("tags")
    stated += (
        [t.removeprefix("license:") for t in tags if isinstance(t, str) and t.startswith("license:")]
        if isinstance(tags, list)
        else []
    )
    names = [text for text in stated if isinstance(text, str) and _LICENCE.fullmatch(text)]
    return next((text for text in names if text != "other"), names[0] if names else "unknown")
