"""Asks the installed engine what it is, in a process that limits itself as a worker does: prints one JSON line.

Run as a file with `python -I`. A crash in native code ends this process and nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any


def scoring() -> str:
    """What keeps the scoring binding from working; empty when its self-test passes."""
    from linnet.core.errors import LinnetError
    from linnet.engines.llama_c import library

    try:
        library()
    except LinnetError as error:
        return error.message
    return ""


def facts() -> dict[str, Any]:
    """Everything that only this process can see."""
    from linnet.engines.worker_main import leave_the_network, limit

    limit(0)
    network = leave_the_network()
    import xllamacpp as native

    devices = [{"name": str(d["name"]), "type": d["type"].name} for d in native.get_device_info()]
    return {
        "version": native.__version__,
        "system_info": str(native.get_system_info()),
        "devices": devices,
        "scoring": scoring(),
        "network": network,
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "core_bytes": resource.getrlimit(resource.RLIMIT_CORE)[0],
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # native code prints to stdout
    out.write(json.dumps(facts()))
    out.flush()
    os._exit(0)
