"""What a running server takes anew when it is told to: its configuration file, the files it serves, host names, keys.

Requests that run end as they began. A file with a mistake changes nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from linnet.core import settings
from linnet.core.errors import InputError, LinnetError
from linnet.core.keys import Keys
from linnet.core.serve_config import FIXED, read_config
from linnet.http.access import Access
from linnet.http.decoders import Decoders, named_files
from linnet.http.exposure import Exposure, exposure
from linnet.http.guard import HostNames
from linnet.http.tracing import REQUESTS, JsonLines

LOGS = ("text", "json")
logger = logging.getLogger("linnet.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line says; it goes before the environment, and that before the file. None: nothing said."""

    config: Path | None = None
    host: str | None = None
    port: int | None = None
    models: Sequence[str] | None = None
    host_names: Sequence[str] | None = None
    require_key: bool = False
    log: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to serve, and how, by flags, environment and file together."""

    exposure: Exposure
    models: tuple[str, ...]
    log: str


def read_settings(flags: Flags) -> None:
    """Take the configuration file's values, if there is one. Raises NotFound, InputError; then nothing has changed."""
    path = flags.config or (Path(named) if (named := settings.get("LINNET_CONFIG")) else None)
    settings.use_file(read_config(path.expanduser()) if path is not None else {})


def wanted(flags: Flags, keys: Keys, port: int) -> Wanted:
    """Raises InputError for what must not or cannot be served."""
    log = flags.log or settings.get("LINNET_LOG")
    if log not in LOGS:
        raise InputError(f"The log is {log[:40]!r}: it must be {' or '.join(LOGS)}.")
    for name in ("LINNET_CONTEXT", "LINNET_SLOTS", "LINNET_KEEP_ALIVE_S", "LINNET_TRACE_ROWS", "LINNET_TRACE_DAYS"):
        settings.get_number(name)
    found = exposure(
        flags.host or settings.get("LINNET_HOST"),
        port,
        keys,
        names=flags.host_names or settings.get_list("LINNET_HOST_NAMES"),
        require_key=flags.require_key or settings.is_on("LINNET_REQUIRE_KEY"),
    )
    return Wanted(found, tuple(flags.models or settings.get_list("LINNET_MODELS")), log)


def set_log(kind: str) -> None:
    """Log to standard error: faults as text, or everything and each request as a line of JSON. No text of a request."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonLines() if kind == "json" else plain)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logger.setLevel(logging.INFO)
    REQUESTS.setLevel(logging.INFO if kind == "json" else logging.WARNING)


class Reloader:
    """Reads everything again, on the parts of a server that runs. `host` is the address that it has bound."""

    def __init__(
        self, flags: Flags, host: str, keys: Keys, *, access: Access, hosts: HostNames, decoders: Decoders
    ) -> None:
        # The address stays, whatever the file says now: whether a key is needed hangs on it.
        self._flags, self._keys = replace(flags, host=host), keys
        self._access, self._hosts, self._decoders = access, hosts, decoders

    def __call__(self) -> bool:
        """Whether all of it was taken; where not, the log says why and everything is as before."""
        before = settings.file_values()
        fixed = [settings.get(name) for name in FIXED]
        try:
            read_settings(self._flags)
            self._keys.forget()
            found = wanted(self._flags, self._keys, port=0)
            named = named_files(found.models)
        except LinnetError as error:
            settings.use_file(before)
            logger.error("not reloaded, everything is as before: %s", str(error).replace("\n", " "))
            return False
        changed = [name for name, old in zip(FIXED, fixed, strict=True) if settings.get(name) != old]
        self._decoders.rename(named)
        self._hosts.set(found.exposure.host_names)
        self._access.required = found.exposure.key_required
        set_log(found.log)
        logger.info("reloaded")
        for name in changed:
            logger.warning("%s changes only with a restart", name)
        return True
