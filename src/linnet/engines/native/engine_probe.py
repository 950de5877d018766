"""Asks the installed engine what it is, in a process that limits itself as a worker does: prints one JSON line.

Run as a file with `python -I`; with a path as its argument, it asks that native libllama. A crash in native code ends
this process and nothing else.
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
    from linnet.engines.scoring.llama_c import library

    try:
        library()
    except LinnetError as error:
        return error.message
    return ""


def facts() -> dict[str, Any]:
    """Everything that only this process can see."""
    from linnet.engines.worker.worker_main import leave_the_network, limit

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


def native_facts(path: Path) -> dict[str, Any]:
    """What a native libllama says of itself, and what keeps scoring from using it."""
    import ctypes

    from linnet.core.errors import LinnetError
    from linnet.engines.scoring.llama_c import Library
    from linnet.engines.scoring.llama_selftest import check
    from linnet.engines.worker.worker_main import leave_the_network, limit

    limit(0)
    leave_the_network()
    plain, said = ctypes.CDLL(str(path)), {}
    for name, symbol in {"version": "llama_version", "system_info": "llama_print_system_info"}.items():
        function = getattr(plain, symbol, None)
        if function is not None:
            function.restype, function.argtypes = ctypes.c_char_p, ()
            said[name] = (function() or b"").decode(errors="replace")
    scoring = ""
    try:
        check(Library(path))
    except LinnetError as error:
        scoring = error.message
    return {"version": "", "system_info": "", **said, "scoring": scoring}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # native code prints to stdout
    out.write(json.dumps(native_facts(Path(sys.argv[1])) if len(sys.argv) > 1 else facts()))
    out.flush()
    os._exit(0)
