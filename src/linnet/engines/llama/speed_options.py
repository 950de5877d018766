"""What a person may choose about speed when a model is loaded: guessing ahead, and the type of the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.core.errors import InputError
from linnet.core.settings import get
from linnet.core.store import Store
from linnet.engines.llama.load_plan import BYTES

GUESSES = ("off", "ngram")


def speed_options(store: Store, speculate: str = "", cache_type: str = "") -> dict[str, Any]:
    """Fields of LoadOptions. `speculate` is off, ngram, or a smaller model of the same vocabulary, by file or name;
    "" means LINNET_SPECULATION and LINNET_CACHE_TYPE.

    Raises InputError for another type or what is no GGUF, NotFound for a model that is not there.
    """
    guess, kind = speculate or get("LINNET_SPECULATION"), cache_type or get("LINNET_CACHE_TYPE")
    if kind not in BYTES:
        raise InputError(f"The cache type is {kind[:40]!r}: it must be one of {', '.join(BYTES)}.")
    found: dict[str, Any] = {"cache_type": kind}
    if guess in GUESSES:
        return found | ({"speculation": guess} if guess != "off" else {})
    from linnet.formats.resolve import resolve_model

    draft = resolve_model(store, guess)
    if draft.format != "gguf":
        raise InputError(f"{guess} is {draft.format}: only a GGUF can guess ahead.", "Use ngram, or convert it.")
    return found | {"speculation": "draft", "draft_model": Path(draft.path)}
