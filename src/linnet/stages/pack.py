"""Pack: what was chosen becomes a specialist, a folder that runs without the rest of the store."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from linnet.core.errors import LinnetError, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, check_space, make_folder, publish_folder, sha256_bytes, write_bytes, write_json
from linnet.core.records import Specialist
from linnet.core.store import RECORD, Store, decision_digest, scan_files, verify_files
from linnet.engines.onnx_runtime.onnx import ENGINE_FOLDER
from linnet.version import code_version

Documents = Callable[[str], dict[str, bytes]]


def pack(
    store: Store,
    draft: Specialist,
    engine: Path,
    documents: Documents,
    on_event: OnEvent = silent,
) -> tuple[Specialist, Path, bool]:
    """Write `specialists/<name>/<version>/`, or reuse the newest version when nothing in it would change.

    `draft` has version 0 and no files; `documents(full_name)` gives the report and the card for that name.
    Returns the specialist, its folder, and whether it was there already. Raises DiskFull or StoreError; the version
    may then be there in whole, when only the last sync of the folder above it failed.
    """
    key = sha256_bytes(canonical([draft.lineage, draft.decision.to_json(), code_version("pipeline")]))
    with store.locked(f"specialists/{draft.name}", draft.name, on_event):
        versions = store.versions(draft.name)
        if versions and (kept := _same(store, f"{draft.name}:{versions[-1]}", key, on_event)):
            return (*kept, True)
        number = versions[-1] + 1 if versions else 1
        full_name = f"{draft.name}:{number}"
        final = store.path("specialists", draft.name, str(number))
        partial = final.with_name(f".{number}.partial")
        need = sum(path.stat().st_size for path in engine.iterdir())
        check_space(store.root, need, f"Packing {full_name}")
        with os_errors(partial, "Writing"):
            shutil.rmtree(partial, ignore_errors=True)
            make_folder(partial)
            shutil.copytree(engine, partial / ENGINE_FOLDER, ignore=shutil.ignore_patterns(RECORD, ".*"))
        for name, content in documents(full_name).items():
            write_bytes(partial / name, content)
        specialist = draft.model_copy(
            update={
                "version": number,
                "files": scan_files(partial),
                "lineage": {**draft.lineage, "key": key, "decision": decision_digest(draft)},
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
        write_json(partial / RECORD, specialist.to_json())
        publish_folder(partial, final)
    on_event(Event("done", "pack", full_name))
    return specialist, final, False


def _same(store: Store, full_name: str, key: str, on_event: OnEvent) -> tuple[Specialist, Path] | None:
    try:
        specialist, folder = store.find(full_name)
        if specialist.lineage.get("key") != key:
            return None
        verify_files(folder, specialist.files)
    except LinnetError as error:
        on_event(Event("warning", "pack", f"{error.message} A new version is packed."))
        return None
    on_event(Event("reused", "pack", full_name))
    return specialist, folder
