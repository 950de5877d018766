"""How memory is handed out while a decoder trains: a large block comes from the system and goes back when it is freed.

A batch makes and frees blocks of every size; taken from one heap they leave gaps, a quarter of all memory here. In
blocks of their own they leave none, and in pages of 2 MiB (`THP_MEM_ALLOC_ENABLE`, which torch reads at its first
block) they are as fast to get as before: docs/log.md. oneDNN keeps the code it makes for a shape of products, for 1,024
shapes by itself: parts of batches have so many that this is a tenth of all memory, and few of them come again.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

TRIM, MMAP = -1, -3  # names of glibc's mallopt
LARGE, KEPT = 2 << 20, 256 << 20
USUAL = 32 << 20  # what glibc comes to by itself when large blocks are freed
SETTINGS = {"THP_MEM_ALLOC_ENABLE": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}


def prepare() -> None:
    """To be called before torch is used for the first time; a choice of the user's stays."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


@contextmanager
def large_blocks() -> Iterator[None]:
    """While open, blocks of 2 MiB and more are of their own. Nothing happens without glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        yield
        return
    mallopt(TRIM, KEPT)
    mallopt(MMAP, LARGE)
    try:
        yield
    finally:
        mallopt(MMAP, USUAL)
