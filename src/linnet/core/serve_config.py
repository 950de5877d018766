"""The configuration file of `linnet serve`: TOML, its keys the settings' names in lower case without LINNET_."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from linnet.core.errors import InputError, did_you_mean, os_errors
from linnet.core.settings import ENGINE, SERVE, SETTINGS

MAX_BYTES = 1 << 20
_OTHERS = ("LINNET_HOST", "LINNET_PORT", "LINNET_THREADS", "LINNET_LOADED", "LINNET_OFFLINE", "LINNET_HUB")
_KNOWN = {
    setting.name.removeprefix("LINNET_").lower(): setting
    for setting in SETTINGS
    if setting in (*ENGINE, *SERVE) or setting.name in _OTHERS
}
LISTS = ("models", "host_names")
SWITCHES = ("require_key", "trace_content", "offline")
# What a running server cannot change.
FIXED = ("LINNET_HOST", "LINNET_PORT", "LINNET_LOADED")


def read_config(path: Path) -> dict[str, str]:
    """The settings of a file, as the environment would hold them.

    Raises NotFound, and InputError, naming the key, for what is no TOML, unknown, or of the wrong type.
    """
    with os_errors(path, "Reading"), path.open("rb") as handle:
        data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES} bytes.")
    try:
        found = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from error
    known = [name for name in _KNOWN if name != "config"]
    for key in found:
        if key not in known:
            raise InputError(
                f"{path}: unknown key {key[:80]!r}.{did_you_mean(key, known)}", f"Known: {', '.join(known)}."
            )
    return {_KNOWN[key].name: _text(f"{path}: {key}", key, value) for key, value in found.items()}


def _text(where: str, key: str, value: Any) -> str:
    if key in LISTS:
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise InputError(f"{where} must be a list of texts.")
        if any("," in item for item in value):
            raise InputError(f"{where} has an item with a comma in it.")
        return ",".join(value)
    if key in SWITCHES:
        if not isinstance(value, bool):
            raise InputError(f"{where} must be true or false.")
        return "1" if value else "0"
    if _KNOWN[key].is_number:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise InputError(f"{where} must be a number of 0 or more.")
        return str(value)
    if not isinstance(value, str):
        raise InputError(f"{where} must be a text.")
    return value
