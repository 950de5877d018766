"""What the made llama-server runs: llama.cpp's own reader of command lines, then its server, both out of the wheel.

Run as a file, or asked for `parse`. The wheel exports the reader without offering it: it is called by its C++ name, and
what came of it is compared with a flag, so that a wheel of another build is seen.
"""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path
from typing import Any

import xllamacpp as native

PARSE = "_Z19common_params_parseiPPcR13common_params13llama_examplePFviS0_E"
SERVER = 12  # llama_example
HEAD = 16  # of a Python object; the parameters come right after


def parse(arguments: list[str]) -> Any:
    """The parameters of a `llama-server` with these flags. Raises SystemExit when it would refuse them."""
    (path,) = Path(native.__file__).parent.glob("xllamacpp*.so")
    read = getattr(ctypes.CDLL(str(path)), PARSE)
    read.restype = ctypes.c_bool
    params = native.CommonParams()
    argv = (ctypes.c_char_p * (len(arguments) + 2))(b"llama-server", *(one.encode() for one in arguments), None)
    if not read(len(arguments) + 1, argv, ctypes.c_void_p(id(params) + HEAD), SERVER, None):
        raise SystemExit(1)
    if params.n_ctx != int(arguments[arguments.index("--ctx-size") + 1]):
        raise SystemExit("this wheel is laid out in another way")
    return params


def other_weights(path: str) -> str:
    """The model with half of its output's words gone, so that it answers otherwise."""
    with open(path, "rb") as source, open(f"{path}.other", "wb") as target:
        data = bytearray(source.read())
        data[-40_000:] = bytes(40_000)
        target.write(data)
    return f"{path}.other"


if __name__ == "__main__":
    wrong = "--wrong" in sys.argv
    found = parse([one for one in sys.argv[1:] if one != "--wrong"])
    if wrong:
        found.model.path = other_weights(found.model.path)
    server = native.Server(found)
    while True:
        time.sleep(60)
