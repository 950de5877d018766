"""What this machine is: cores, instruction sets, memory, GPU, disk, energy meter. Decides nothing."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import psutil

from linnet.core.records import Record
from linnet.core.settings import threads

INTERESTING = (
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
)
RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


class Machine(Record):
    """Facts about this machine. Sizes are in bytes; `usable_cores` is what this process may use."""

    processor: str
    architecture: str
    system: str
    python: str
    cores: int
    usable_cores: int
    instruction_sets: list[str]
    memory_bytes: int
    memory_free_bytes: int
    disk_free_bytes: int
    gpus: list[str]
    energy_meter: bool


def _cpu() -> tuple[str, list[str]]:
    name, flags = platform.processor() or platform.machine(), []
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = [
                    flag for flag in value.split() if flag in (*INTERESTING, "asimd", "asimddp", "i8mm", "bf16", "sve")
                ]
                break
    return name, sorted(set(flags))


def processor() -> tuple[str, list[str]]:
    """The processor's name, and the instruction sets that matter here, sorted."""
    return _cpu()


def _gpus() -> list[str]:
    return _nvidia("name,memory.total", "csv,noheader")


def _nvidia(query: str, form: str) -> list[str]:
    """The lines of nvidia-smi, one for each GPU; none where it is missing or fails."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    command = [tool, f"--query-gpu={query}", f"--format={form}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


class GpuMemory(Record):
    """One GPU. `unified`: its memory is the machine's own, so nothing is added by it."""

    name: str
    total_bytes: int
    free_bytes: int
    unified: bool = False


def gpu_memory() -> list[GpuMemory]:
    """The memory of each GPU: what nvidia-smi says; on Apple's processors, three quarters of the machine's."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        memory = psutil.virtual_memory()
        total, free = memory.total * 3 // 4, min(memory.available, memory.total * 3 // 4)
        return [GpuMemory(name=platform.processor() or "Apple GPU", total_bytes=total, free_bytes=free, unified=True)]
    found = []
    for line in _nvidia("name,memory.total,memory.free", "csv,noheader,nounits"):
        name, total, free = line.rsplit(",", 2)
        if total.strip().isdigit() and free.strip().isdigit():  # "[N/A]" where the memory is shared with the machine
            found.append(GpuMemory(name=name.strip(), total_bytes=int(total) << 20, free_bytes=int(free) << 20))
    return found


def read_energy_uj() -> int | None:
    """The processor's energy counter in microjoules, or None where it is absent or unreadable."""
    try:
        return int(RAPL.read_text())
    except (OSError, ValueError):
        return None


def machine(folder: Path) -> Machine:
    """Measure this machine; `folder` says which disk counts."""
    place = folder
    while not place.exists():
        place = place.parent
    name, flags = _cpu()
    memory = psutil.virtual_memory()
    return Machine(
        processor=name,
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        cores=psutil.cpu_count(logical=True) or 1,
        usable_cores=threads(),
        instruction_sets=flags,
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
        disk_free_bytes=shutil.disk_usage(place).free,
        gpus=_gpus(),
        energy_meter=read_energy_uj() is not None,
    )


def has_int8_dot_product() -> bool:
    """Whether int8 products are summed in 32 bits at once (VNNI, AMX, Arm dot product)."""
    return bool({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"} & set(_cpu()[1]))


PARTS = ("linnet", "onnxruntime", "tokenizers", "torch", "transformers", "peft", "scikit-learn")
GIB = 2**30


def installed() -> dict[str, str | None]:
    """The version of each part that matters, None where it is missing. Imports none of them."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for name in PARTS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def what_fits(here: Machine) -> list[str]:
    """What this machine can do with the models of this version, in sentences with their numbers."""
    rows = []
    # Peak memory seen on builtin:minilm: 1.6 GiB to train whole, 0.2 GiB to serve (docs/benchmarks.md).
    for what, need in (("fine-tune builtin:minilm", 2 * GIB), ("serve a specialist made from it", GIB // 4)):
        enough = here.memory_free_bytes >= need
        verdict = "fits" if enough else "does not fit"
        rows.append(f"{what}: {verdict} (needs about {need / GIB:.2g} GiB of memory)")
    disk = "fits" if here.disk_free_bytes >= GIB else "does not fit"
    rows.append(f"a build's files: {disk} (need about 1 GiB of disk)")
    if not has_int8_dot_product():
        rows.append("int8 models run, but this processor has no int8 dot product (VNNI): the gain is smaller")
    if not here.gpus:
        rows.append("no GPU: everything runs on the processor")
    return rows
