"""The models of the store: manifests, found by name or by where they came from, leased, copied and removed.

models/<name>/<tag>.json is written when every file it names is whole. Knows nothing of formats or hubs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import ValidationError

from linnet.core.blobs import collecting_blobs, digest_of, lease_path, make_view, view_path
from linnet.core.errors import CorruptFile, InputError, NotFound, StoreBusy, did_you_mean, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import read_json, write_json
from linnet.core.locks import alone, hold
from linnet.core.names import HubName, is_name, split_tag
from linnet.core.records import Manifest, Model
from linnet.core.store import Store

PARTIAL_DAYS = 7


def manifest_path(store: Store, name: str, tag: str) -> Path:
    """Where a manifest lies. Raises NameInvalid."""
    store.path("models", name, tag)
    return store.path("models", name) / f"{tag}.json"


def model_names(store: Store) -> list[str]:
    """Every model as `name:tag`, sorted."""
    room = store.path("models")
    folders = [p for p in room.iterdir() if is_name(p.name)] if room.is_dir() else []
    found = [(p.name, f.name.removesuffix(".json")) for p in folders if p.is_dir() for f in p.glob("*.json")]
    return sorted(f"{name}:{tag}" for name, tag in found if is_name(tag))


def read_manifest(store: Store, full_name: str) -> Manifest:
    """A model's manifest, by `name:tag`, or by `name` when there is one tag or one called latest.

    Raises NameInvalid, NotFound with the nearest name, InputError for a name with several tags, or CorruptFile.
    """
    name, tag = split_tag(full_name)
    known = model_names(store)
    tags = [other.partition(":")[2] for other in known if other.partition(":")[0] == name]
    if not tags:
        near = did_you_mean(full_name, [*known, *sorted({other.partition(":")[0] for other in known})])
        raise NotFound(f"No model is called {full_name!r}.{near}", "`linnet list` shows what is there.")
    if tag is None:
        if len(tags) > 1 and "latest" not in tags:
            raise InputError(f"{name} has several tags.", "Say which: " + ", ".join(f"{name}:{t}" for t in tags) + ".")
        tag = "latest" if "latest" in tags else tags[0]
    if tag not in tags:
        raise NotFound(f"{name} has no tag {tag!r}.", f"It has: {', '.join(tags)}.")
    path = manifest_path(store, name, tag)
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError as error:
        raise CorruptFile(f"{path} is damaged.", f"Remove {name}:{tag} and import or pull it again.") from error


def scan_models(store: Store) -> tuple[list[Manifest], list[str]]:
    """Every model of the store, and the names of those whose manifest is damaged."""
    found, damaged = [], []
    for full_name in model_names(store):
        try:
            found.append(read_manifest(store, full_name))
        except CorruptFile:
            damaged.append(full_name)
    return found, damaged


def write_manifest(store: Store, manifest: Manifest) -> None:
    """Make a model known under its name: first its files under their own names, then the manifest."""
    make_view(store, manifest.files)
    write_json(manifest_path(store, manifest.name, manifest.tag), manifest.to_json())


def from_hub(store: Store, name: HubName) -> Manifest | None:
    """The newest model of the store that this hub name means, or None.

    A name without a quant or revision means any of them; a revision may be the commit itself.
    """
    fitting = [
        found
        for found in scan_models(store)[0]
        if found.provenance.repo.lower() == name.repo_id.lower()
        and name.quant.lower() in ("", found.provenance.quant.lower(), found.entry.lower())
        and name.revision in ("", found.provenance.revision, found.provenance.commit)
    ]
    return max(fitting, key=lambda found: found.created, default=None)


def check_free(store: Store, manifest: Manifest) -> None:
    """Raise InputError when this name means something else already: another source, other bytes, a specialist."""
    if store.versions(manifest.name):
        raise InputError(f"{manifest.name} is the name of a specialist.", "Choose another with --name.")
    if manifest.full_name not in model_names(store):
        return
    there = read_manifest(store, manifest.full_name)
    same_repo = there.provenance.repo and there.provenance.repo == manifest.provenance.repo
    other = _hashes(there) != _hashes(manifest) or there.preset != manifest.preset
    if other and (not same_repo or there.preset is not None):
        raise InputError(
            f"{manifest.full_name} is in the store already, from {there.provenance.source}.",
            f"Choose another name with --name, or remove it first: linnet rm {manifest.full_name}",
        )


def _hashes(manifest: Manifest) -> dict[str, str]:
    return {name: file.sha256 for name, file in manifest.files.items()}


@contextmanager
def lease(store: Store, model: Model) -> Iterator[None]:
    """Keep a model of the store from being removed while it is in use. Does nothing for one outside of it.

    Raises NotFound when it was removed before, StoreBusy while it is being removed.
    """
    if not model.digest:
        yield
        return
    with hold(lease_path(store, model.digest), model.name):
        if not view_path(store, model.digest).is_dir():
            raise NotFound(f"{model.name} was removed from the store.", "`linnet list` shows what is there.")
        yield


def copy_model(store: Store, source: str, target: str) -> Manifest:
    """A second name for a model; no byte is copied. The tag is `latest` unless given.

    Raises NotFound, NameInvalid, or InputError when the name is taken.
    """
    name, tag = split_tag(target)
    made = read_manifest(store, source).model_copy(update={"name": name, "tag": tag or "latest"})
    with store.locked(f"models/{name}", target):
        check_free(store, made)
        write_manifest(store, made)
    return made


def remove_model(store: Store, full_name: str, on_event: OnEvent = silent) -> list[str]:
    """Remove one tag, or every tag of a bare name, and the bytes that nothing else needs. Returns what was removed.

    Raises StoreBusy, and removes nothing, when a specialist was built on it or a running engine holds it.
    """
    name, tag = split_tag(full_name)
    tags = [n for n in model_names(store) if n.startswith(f"{name}:")] if tag is None else [f"{name}:{tag}"]
    if not tags or (tag is not None and full_name not in model_names(store)):
        read_manifest(store, full_name)  # says what is there instead
    with store.locked(f"models/{name}", name, on_event), ExitStack() as held:
        known = scan_models(store)[0]
        doomed = [manifest for manifest in known if manifest.full_name in tags]
        for manifest in doomed:
            if users := _specialists_on(store, manifest):
                message = f"{manifest.full_name} is in use: {users[0]} was built on it."
                raise StoreBusy(message, f"Remove that first: linnet rm {users[0]}")
        others = {digest_of(m.files) for m in known if m.full_name not in tags}
        last = {digest_of(manifest.files): manifest.full_name for manifest in doomed}
        for digest in sorted(last.keys() - others):
            held.enter_context(alone(lease_path(store, digest), last[digest]))
        for each in tags:
            with os_errors(store.root, "Removing"):
                manifest_path(store, name, each.partition(":")[2]).unlink(missing_ok=True)
    collect_garbage(store, on_event)
    return tags


def _specialists_on(store: Store, manifest: Manifest) -> list[str]:
    hashes = set(_hashes(manifest).values())
    found = [store.find(f"{name}:{number}")[0] for name in store.names() for number in store.versions(name)]
    return [s.full_name for s in found if s.lineage.get("base", {}).get("sha256") in hashes]


def collect_garbage(store: Store, on_event: OnEvent = silent) -> int:
    """Remove blobs and views that no manifest names, and downloads left for a week. Returns the bytes set free.

    Does nothing while somebody pulls or imports, nor when a manifest cannot be read: its blobs are unknown.
    """
    freed = 0
    with collecting_blobs(store) as free_to, os_errors(store.root, "Removing"):
        if not free_to:
            on_event(Event("note", "rm", "a pull or import is running: unused files are removed with the next rm"))
            return 0
        kept, damaged = scan_models(store)
        if damaged:
            message = (
                f"the manifest of {damaged[0]} is damaged: no file is removed before it is; linnet rm {damaged[0]}"
            )
            on_event(Event("warning", "rm", message))
            return 0
        views = {digest_of(manifest.files) for manifest in kept}
        for view in _children(store.path("views")):
            if view.name not in views and _unused(store, view.name):
                shutil.rmtree(view, ignore_errors=True)
        blobs = {file.sha256 for manifest in kept for file in manifest.files.values() if file.place != "reference"}
        for blob in _children(store.path("blobs", "sha256")):
            if blob.name not in blobs:
                freed += blob.stat().st_size if blob.stat().st_nlink == 1 else 0
                blob.unlink()
        for partial in _children(store.path("blobs", "partial")):
            if time.time() - partial.stat().st_mtime > PARTIAL_DAYS * 86400:
                freed += partial.stat().st_size
                partial.unlink()
    return freed


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _unused(store: Store, digest: str) -> bool:
    if not is_name(digest):
        return True
    try:
        with alone(lease_path(store, digest), digest):
            return True
    except StoreBusy:
        return False


def stamp() -> str:
    """Now, as a manifest writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
