"""The llama.cpp C API that the xllamacpp wheel carries: structs, prototypes, the pin. Knows nothing of scoring.

A struct of the wrong shape does not fail, it corrupts. So the binding is written for one version, checks itself
when it is opened (`llama_selftest`), and refuses to work with any other.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Sequence
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_float,
    c_int,
    c_int8,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from functools import cache
from pathlib import Path
from typing import Any

from linnet.core.errors import EngineError

# The version whose header (include/llama.h in the sources of the xllamacpp distribution) the structs below repeat.
EXPECTED = "2026.10.11549"
LLAMA_VERSION = "0.6.0-dev"
STILL_WORKS = "Log-probabilities, perplexity and divergence need it; chat, serving and generation work without."
MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ, compiled into the library
F32, F16 = 0, 1  # ggml_type, for the cache of keys and values
NO_FLASH = 0  # llama_flash_attn_type
INFO, CONTINUED = 2, 5  # ggml_log_level


class ModelParams(Structure):
    """llama_model_params."""

    _fields_ = (
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    )


class ContextParams(Structure):
    """llama_context_params."""

    _fields_ = (
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int32),
        ("rope_scaling_type", c_int32),
        ("pooling_type", c_int32),
        ("attention_type", c_int32),
        ("flash_attn_type", c_int32),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("moe_cache_size", c_size_t),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    )


class Batch(Structure):
    """llama_batch."""

    _fields_ = (
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    )


Floats = POINTER(c_float)
LogCallback = CFUNCTYPE(None, c_int, c_char_p, c_void_p)

# name: (result, arguments). Handles are opaque pointers.
PROTOTYPES: dict[str, tuple[Any, Sequence[Any]]] = {
    "ggml_quantize_chunk": (c_size_t, (c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p)),
    "ggml_quantize_free": (None, ()),
    "ggml_quantize_init": (None, (c_int,)),
    "ggml_quantize_requires_imatrix": (c_bool, (c_int,)),
    "ggml_row_size": (c_size_t, (c_int, c_int64)),
    "llama_adapter_lora_free": (None, (c_void_p,)),
    "llama_adapter_lora_init": (c_void_p, (c_void_p, c_char_p)),
    "llama_backend_init": (None, ()),
    "llama_batch_free": (None, (Batch,)),
    "llama_batch_init": (Batch, (c_int32, c_int32, c_int32)),
    "llama_context_default_params": (ContextParams, ()),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_detokenize": (c_int32, (c_void_p, POINTER(c_int32), c_int32, c_char_p, c_int32, c_bool, c_bool)),
    "llama_free": (None, (c_void_p,)),
    "llama_get_embeddings": (Floats, (c_void_p,)),
    "llama_get_embeddings_ith": (Floats, (c_void_p, c_int32)),
    "llama_get_embeddings_seq": (Floats, (c_void_p, c_int32)),
    "llama_get_logits": (Floats, (c_void_p,)),
    "llama_get_logits_ith": (Floats, (c_void_p, c_int32)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParams)),
    "llama_log_set": (None, (LogCallback, c_void_p)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_memory_seq_cp": (None, (c_void_p, c_int32, c_int32, c_int32, c_int32)),
    "llama_memory_seq_keep": (None, (c_void_p, c_int32)),
    "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "llama_model_default_params": (ModelParams, ()),
    "llama_model_free": (None, (c_void_p,)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_model_has_encoder": (c_bool, (c_void_p,)),
    "llama_model_is_hybrid": (c_bool, (c_void_p,)),
    "llama_model_is_recurrent": (c_bool, (c_void_p,)),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParams)),
    "llama_model_n_ctx_train": (c_int32, (c_void_p,)),
    "llama_model_n_embd_out": (c_int32, (c_void_p,)),
    "llama_model_size": (c_uint64, (c_void_p,)),
    "llama_n_ctx": (c_uint32, (c_void_p,)),
    "llama_set_adapters_lora": (c_int32, (c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float))),
    "llama_token_to_piece": (c_int32, (c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool)),
    "llama_tokenize": (c_int32, (c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool)),
    "llama_version": (c_char_p, ()),
    "llama_vocab_bos": (c_int32, (c_void_p,)),
    "llama_vocab_eos": (c_int32, (c_void_p,)),
    "llama_vocab_get_add_bos": (c_bool, (c_void_p,)),
    "llama_vocab_get_text": (c_char_p, (c_void_p, c_int32)),
    "llama_vocab_is_eog": (c_bool, (c_void_p, c_int32)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
    "llama_vocab_type": (c_int, (c_void_p,)),
}


class Log:
    """The last lines the library wrote, instead of its flood on standard error."""

    def __init__(self, lines: int = 200) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=lines)
        self._level, self._open = INFO, ""
        self.callback = LogCallback(self._take)

    def _take(self, level: int, text: bytes | None, _data: object) -> None:
        self._level = self._level if level == CONTINUED else level
        if self._level < INFO:
            return
        # A line may come in pieces, and a piece of a hostile file's metadata may be megabytes long.
        self._open = (self._open + (text or b"")[:2000].decode("utf-8", "replace"))[-4000:]
        *done, self._open = self._open.split("\n")
        self._lines.extend((self._level, line.strip()) for line in done if line.strip())

    def tail(self, count: int = 3) -> str:
        """The last warnings and errors in one line, else the last lines of any kind."""
        lines = list(self._lines)
        telling = [line for level, line in lines if level > INFO]
        return " | ".join((telling or [line for _, line in lines])[-count:])

    def clear(self) -> None:
        self._lines.clear()


def installed() -> str | None:
    """The installed version of xllamacpp, None where there is none. Does not import it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("xllamacpp")
    except PackageNotFoundError:
        return None


def refuse(why: str) -> EngineError:
    """The error of a binding that does not fit, with what is installed, what is expected and what still works."""
    found = installed()
    have = f"xllamacpp {found} is installed" if found else "xllamacpp is not installed"
    return EngineError(
        f"Scoring is off: {why} (needs xllamacpp {EXPECTED}; {have}).",
        f"Install it with: pip install xllamacpp=={EXPECTED}. {STILL_WORKS}",
    )


def _shared_object() -> Path:
    """The wheel's one shared library, found without importing the package: importing runs its code."""
    from importlib.util import find_spec

    spec = find_spec("xllamacpp")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    found = sorted(p for folder in folders for p in folder.glob("xllamacpp*") if p.suffix in (".so", ".pyd", ".dylib"))
    if len(found) != 1:
        raise refuse(f"the package holds {len(found)} shared libraries where one is expected")
    return found[0]


class Library:
    """The opened library: `c` has its functions, typed; `log` its last lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # RTLD_LOCAL: its thousand symbols (a whole OpenSSL among them) must not meet those of other libraries.
            # When Python has imported the extension too, the loader gives the same copy.
            self.c = ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)
        except OSError as error:
            raise refuse(f"the library {path.name} cannot be opened: {error}") from error
        absent = [name for name in PROTOTYPES if not hasattr(self.c, name)]
        if absent:
            raise refuse(f"the library does not export {', '.join(absent[:5])}")
        for name, (result, arguments) in PROTOTYPES.items():
            function = getattr(self.c, name)
            function.restype, function.argtypes = result, tuple(arguments)
        self.version = self.c.llama_version().decode()
        if self.version != LLAMA_VERSION:
            raise refuse(f"the library says llama.cpp {self.version}, {LLAMA_VERSION} is expected")
        self.log = Log()
        self.c.llama_log_set(self.log.callback, None)
        self.c.llama_backend_init()


@cache
def library() -> Library:
    """The library, pinned and tested once in a process: a native build's where it passes, else the wheel's.

    Raises EngineError, naming the installed and the expected version and what still works without it.
    """
    from linnet.engines.scoring.llama_selftest import check

    if (native := _native()) is not None:
        return native
    if installed() != EXPECTED:
        raise refuse("its binding is written for one version")
    found = Library(_shared_object())
    check(found)
    return found


def _native() -> Library | None:
    """The library of the native engine that is in use, None where there is none that passes the test."""
    from linnet.engines.native.choice import scoring_library
    from linnet.engines.scoring.llama_selftest import check

    path = scoring_library()
    if path is None:
        return None
    try:
        found = Library(path)
        check(found)
    except EngineError:
        return None
    return found
