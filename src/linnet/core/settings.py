"""Every environment variable Linnet reads, in one table that `linnet settings` prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
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
    Setting("LINNET_LOADED", "4", "Specialists that `linnet serve` keeps in memory.", is_number=True),
    Setting("LINNET_FAILPOINTS", "", "Faults to inject, for tests only (see core/failpoints.py)."),
)
# How models are trained. The last three are set by torchrun.
TRAIN = (
    Setting("LINNET_CHECKPOINT_S", "20", "Seconds between two training checkpoints.", is_number=True),
    Setting("LINNET_DEVICE", "auto", "Where decoders train: auto (a GPU where there is one), cpu, cuda, cuda:1 ..."),
    Setting("LINNET_PRODUCTS", "auto", "Products of training on a processor: float32, bfloat16, auto (what is fast)."),
    Setting("WORLD_SIZE", "1", "Processes that train together; torchrun sets it, and RANK.", is_number=True),
    Setting("RANK", "0", "Which of them this one is; 0 writes.", is_number=True),
    Setting("LOCAL_RANK", "0", "Which of those on this machine: the GPU that it takes.", is_number=True),
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
# What `linnet evaluate --endpoint` reads.
ENDPOINT = (
    Setting("LINNET_ENDPOINT_HOSTS", "", "Hosts besides this machine that may be asked for answers, with commas."),
    Setting("LINNET_ENDPOINT_KEY", "", "Key that an endpoint is shown.", is_secret=True),
    Setting("LINNET_ENDPOINT_TIMEOUT_S", "120", "Seconds that one try of an endpoint may take.", is_number=True),
)
# What the cost in a report is counted with.
REPORT = (
    Setting("LINNET_WATTS", "0", "Watts of this machine at work, where no counter can be read. 0: unknown.", True),
    Setting("LINNET_GRID_GCO2_PER_KWH", "0", "Grams of CO2e of one kWh of your grid. 0: not told.", True),
)
# How a model that writes text is loaded, where a command does not say.
ENGINE = (
    Setting("LINNET_CONTEXT", "4096", "Tokens of a prompt and its answer together, at most.", is_number=True),
    Setting("LINNET_SLOTS", "2", "Requests that one loaded model answers at once.", is_number=True),
    Setting("LINNET_ENGINE", "auto", "Which llama.cpp: auto, wheel, native, or the path of a llama-server."),
    Setting("LINNET_GPU_LAYERS", "auto", "Layers on a GPU, where the engine can use one: auto, or a number."),
    Setting("LINNET_SPECULATION", "off", "Guess tokens ahead: off, ngram, or a smaller model of the same vocabulary."),
    Setting("LINNET_CACHE_TYPE", "f16", "Type of the attention cache: f32, f16, bf16, q8_0, q5_1, q4_0."),
    Setting("LINNET_KEEP_ALIVE_S", "300", "Seconds that an unused model stays in memory.", is_number=True),
)
# What `linnet serve` reads beside host and port. Lists have commas between.
SERVE = (
    Setting("LINNET_CONFIG", "", "TOML file of `linnet serve`, as --config."),
    Setting("LINNET_MODELS", "", "GGUF files that `linnet serve` serves too, as --model."),
    Setting("LINNET_HOST_NAMES", "", "Names that clients use for the server, as --host-name."),
    Setting("LINNET_REQUIRE_KEY", "", "Any text but 0: the server asks for a key on loopback too."),
    Setting("LINNET_LOG", "text", "Log of `linnet serve`: text (faults only), or json (a line for each request too)."),
    Setting("LINNET_TRACE_ROWS", "100000", "Traces of requests that are kept. 0: none are written.", is_number=True),
    Setting("LINNET_TRACE_DAYS", "30", "Days that a trace is kept. 0: no limit.", is_number=True),
    Setting("LINNET_TRACE_CONTENT", "", "Any text but 0: traces hold texts too, personal data masked."),
    Setting("LINNET_UPLOAD_GB", "100", "Largest blob that a client may send, in GB.", is_number=True),
)
GROUPS = {
    "own": OWN,
    "train": TRAIN,
    "hub": HUB,
    "endpoint": ENDPOINT,
    "report": REPORT,
    "engine": ENGINE,
    "serve": SERVE,
}
SETTINGS = (*OWN, *TRAIN, *HUB, *ENDPOINT, *REPORT, *ENGINE, *SERVE)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


_from_file: dict[str, str] = {}  # of the process's configuration file, where it was started with one


def use_file(values: Mapping[str, str]) -> None:
    """Let these values stand where the environment says nothing; the ones of an earlier file end."""
    global _from_file
    _from_file = dict(values)


def file_values() -> dict[str, str]:
    """What the configuration file says."""
    return dict(_from_file)


def get(name: str) -> str:
    """The value of one setting: the environment's, else the configuration file's, else the default."""
    return os.environ.get(name) or _from_file.get(name) or _BY_NAME[name].default


def is_on(name: str) -> bool:
    """Whether a switch is on: any text but 0, false and no."""
    return get(name).lower() not in ("", "0", "false", "no")


def get_list(name: str) -> list[str]:
    """The items of a setting that has commas between them."""
    return [item.strip() for item in get(name).split(",") if item.strip()]


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
    return any(is_on(name) for name in ("LINNET_OFFLINE", "HF_HUB_OFFLINE"))


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


def processes() -> int:
    """How many processes torchrun started for this command."""
    return max(1, int(get_number("WORLD_SIZE")))


def is_follower() -> bool:
    """Whether this is a process of torchrun that only computes."""
    return processes() > 1 and get_number("RANK") > 0


def local_rank() -> int:
    """Which of this machine's processes of torchrun this one is."""
    return int(get_number("LOCAL_RANK"))


def table() -> list[SettingValue]:
    """Every setting with its value and where that comes from."""
    rows = []
    for setting in SETTINGS:
        written = "file" if _from_file.get(setting.name) else "default"
        source = "environment" if os.environ.get(setting.name) else written
        value = str(home()) if setting.name == "LINNET_HOME" else get(setting.name)
        if setting.is_secret and value:
            value = "(set, not shown)"
        rows.append(SettingValue(setting.name, value, source, setting.meaning))
    return rows
