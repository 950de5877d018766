"""Every environment variable Linnet reads, in one table that `linnet settings` prints."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from linnet.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    default: str
    meaning: str
    is_number: bool = False
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class SettingValue:
    name: str
    value: str
    source: str
    meaning: str


OWN = (
    Setting("LINNET_HOME", "", "Folder of the store. Empty: the platform's data folder."),
    Setting("LINNET_HOST", "127.0.0.1", "Address that `linnet serve` binds."),
    Setting("LINNET_PORT", "11500", "Port that `linnet serve` binds.", is_number=True),
    Setting(
        "LINNET_KEY", "", "Key that `linnet ps` and `linnet stop` show to a server that asks for one.", is_secret=True
    ),
    Setting("LINNET_THREADS", "0", "Threads for training and inference. 0: every core.", is_number=True),
    Setting("LINNET_LOCK_WAIT_S", "3600", "Seconds to wait for another build of the same thing.", is_number=True),
    Setting("LINNET_CHECKPOINT_S", "20", "Seconds between two training checkpoints.", is_number=True),
    Setting("LINNET_LOADED", "4", "Specialists that `linnet serve` keeps in memory.", is_number=True),
    Setting("LINNET_FAILPOINTS", "", "Faults to inject, for tests only (see core/failpoints.py)."),
)
# What `linnet pull` reads. The last two are the hub's own names, honoured because people have them set.
HUB = (
    Setting("LINNET_HUB", "", "Address of the hub or of an internal mirror. Empty: the public hub."),
    Setting("LINNET_HUB_HOSTS", "", "More hosts that this hub may send a download to, with commas between."),
    Setting("LINNET_OFFLINE", "", "Any text but 0: no command goes to a hub."),
    Setting("HF_HUB_OFFLINE", "", "The same as LINNET_OFFLINE."),
    Setting(
        "HF_TOKEN", "", "Token for gated repositories; sent to the hub itself and to no other host.", is_secret=True
    ),
)
# How a model that writes text is loaded, where a command does not say.
ENGINE = (
    Setting("LINNET_CONTEXT", "4096", "Tokens of a prompt and its answer together, at most.", is_number=True),
    Setting("LINNET_SLOTS", "2", "Requests that one loaded model answers at once.", is_number=True),
    Setting("LINNET_ENGINE", "auto", "Which llama.cpp: auto, wheel, native, or the path of a llama-server."),
    Setting("LINNET_KEEP_ALIVE_S", "300", "Seconds that an unused model stays in memory.", is_number=True),
)
GROUPS = {"own": OWN, "hub": HUB, "engine": ENGINE}
SETTINGS = (*OWN, *HUB, *ENGINE)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


def get(name: str) -> str:
    """The value of one setting: the environment's, else the default."""
    return os.environ.get(name) or _BY_NAME[name].default


def get_number(name: str) -> float:
    """A numeric setting. Raises InputError when the environment holds something else."""
    text = get(name)
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise InputError(
            f"{name}={text!r} is not a number of 0 or more.",
            f"Unset it, or set it to e.g. {_BY_NAME[name].default}.",
        )
    return number


def offline() -> bool:
    """Whether the environment forbids going to a hub."""
    return any(get(name).lower() not in ("", "0", "false", "no") for name in ("LINNET_OFFLINE", "HF_HUB_OFFLINE"))


def home() -> Path:
    """The store's folder: LINNET_HOME, else the platform's data folder."""
    if chosen := get("LINNET_HOME"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "linnet"
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "linnet"


def threads() -> int:
    """How many threads to use: LINNET_THREADS, else the cores this process may run on."""
    chosen = int(get_number("LINNET_THREADS"))
    if chosen:
        return chosen
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def table() -> list[SettingValue]:
    """Every setting with its value and where that comes from."""
    rows = []
    for setting in SETTINGS:
        source = "environment" if os.environ.get(setting.name) else "default"
        value = str(home()) if setting.name == "LINNET_HOME" else get(setting.name)
        if setting.is_secret and value:
            value = "(set, not shown)"
        rows.append(SettingValue(setting.name, value, source, setting.meaning))
    return rows
