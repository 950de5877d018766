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


@dataclass(frozen=True, slots=True)
class SettingValue:
    name: str
    value: str
    source: str
    meaning: str


SETTINGS = (
    Setting("LINNET_HOME", "", "Folder of the store. Empty: the platform's data folder."),
    Setting("LINNET_HOST", "127.0.0.1", "Address that `linnet serve` binds."),
    Setting("LINNET_PORT", "11500", "Port that `linnet serve` binds.", is_number=True),
    Setting("LINNET_THREADS", "0", "Threads for training and inference. 0: every core.", is_number=True),
    Setting("LINNET_LOCK_WAIT_S", "3600", "Seconds to wait for another build of the same thing.", is_number=True),
    Setting("LINNET_CHECKPOINT_S", "20", "Seconds between two training checkpoints.", is_number=True),
    Setting("LINNET_LOADED", "4", "Specialists that `linnet serve` keeps in memory.", is_number=True),
    Setting("LINNET_FAILPOINTS", "", "Faults to inject, for tests only (see core/failpoints.py)."),
)
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
        rows.append(SettingValue(setting.name, value, source, setting.meaning))
    return rows
