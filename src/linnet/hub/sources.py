"""Fetch a source distribution from the package index, with pip: its settings say which index, proxy and certificate.

The archive must have the sha256 that is asked for; pip refuses every other one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from linnet.core import settings
from linnet.core.errors import HubError, ResourceMissing, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import make_folder

DEADLINE_S = 1800.0
SECRETS = tuple(one.name for one in settings.SETTINGS if one.is_secret)


def fetch_sdist(name: str, version: str, sha256: str, folder: Path, on_event: OnEvent = silent) -> Path:
    """Download `name-version.tar.gz` into `folder` and return its path.

    pip asks a source distribution for its metadata, which runs its set-up script. Raises HubError in offline mode and
    when pip fails, with pip's reason; ResourceMissing where there is no pip.
    """
    file_name = f"{name}-{version}.tar.gz"
    other_way = f"Download {file_name} from the package index yourself, and give its path with --source."
    if settings.offline():
        raise HubError("Offline mode is on: nothing is downloaded.", other_way)
    if find_spec("pip") is None:
        raise ResourceMissing("Downloading the sources needs pip, which this Python does not have.", other_way)
    on_event(Event("note", "engine", f"downloading {file_name} with pip"))
    with os_errors(folder, "Downloading to"):
        make_folder(folder)
        with tempfile.TemporaryDirectory(prefix=".pip-", dir=folder) as scratch:
            wanted = Path(scratch) / "requirements.txt"
            wanted.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
            # Not `--no-binary :all:`: that would compile the tools of its set-up script too.
            _pip(["download", "--no-binary", name, "--no-deps", "--require-hashes", "--quiet"], scratch, other_way)
            found = list(Path(scratch).glob("*.tar.gz"))
            if len(found) != 1:
                raise HubError(f"pip brought no {file_name}.", other_way)
            target = folder / file_name
            shutil.move(found[0], target)
    return target


def _pip(arguments: list[str], scratch: str, other_way: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    command = [sys.executable, "-m", "pip", *arguments, "-r", "requirements.txt", "-d", "."]
    try:
        done = subprocess.run(
            [*command, "--no-input", "--disable-pip-version-check"],
            capture_output=True, text=True, errors="replace", cwd=scratch, env=environment,
            stdin=subprocess.DEVNULL, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise HubError(f"pip took more than {DEADLINE_S:.0f} s and was stopped.", other_way) from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        telling = [line for line in lines if line.lower().startswith("error") or "Error:" in line]
        said = telling[-1:] or lines[-1:] or ["it gave no reason"]
        raise HubError(f"pip could not download the sources: {said[0][:400]}", other_way)
