"""The process that holds one model. Started as a file with `python -I`; talks over stdin and stdout, listens on a
unix socket only. It limits itself before native code runs, and dies with its parent.

Knows no request: those reach the engine's own HTTP server on the socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
OPEN_FILES = 256
KEY_FILE, TEMPLATE_FILE = "key", "template"
HTTP_SPARE_THREADS = 4  # beyond one for each slot: to tokenise while every slot streams


def die_with(parent: int) -> None:
    """Ask the kernel for SIGKILL when the thread that started us ends; leave if it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def limit(address_space: int) -> None:
    """No core file (it would hold prompts), few open files, and at most `address_space` bytes (0: no limit)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if address_space:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def leave_the_network() -> str:
    """Move into a network namespace without interfaces. Sockets with a path still work.

    Returns "isolated", or "shared" where the system does not allow it.
    """
    if sys.platform != "linux":
        return "shared"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) == 0:
        return "isolated"
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return "shared"
    # Without a map this account could not create files, not even the socket.
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return "isolated, unmapped"
    return "isolated"


def rss_bytes() -> int:
    """Memory held now, weights that are mapped included."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Channel:
    """The pipes to the parent. Writing is safe from every thread; a parent that is gone ends the process."""

    def __init__(self) -> None:
        from linnet.engines.worker import worker_protocol

        self._protocol = worker_protocol
        # Native code prints to stdout: give it stderr, and keep the real one for messages.
        self._out: BinaryIO = os.fdopen(os.dup(1), "wb")
        self._in: BinaryIO = os.fdopen(os.dup(0), "rb")
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        try:
            with self._lock:
                self._protocol.write_message(self._out, message)
        except OSError:
            os._exit(0)

    def receive(self) -> dict[str, Any] | None:
        return self._protocol.read_message(self._in)

    def beat(self, memory: Any) -> None:
        while True:
            time.sleep(self._protocol.HEARTBEAT_S)
            self.send({"type": "heartbeat", "rss_bytes": memory()})


def xllamacpp_params(load: dict[str, Any]) -> Any:
    """The wheel's parameters: a unix socket, a key, no pages, no slots route, nothing fetched."""
    import xllamacpp as native

    options, params = load["options"], native.CommonParams()
    params.hostnames, params.api_keys = [load["socket"]], [load["key"]]
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.cors_origins, params.offline, params.verbosity = "localhost", True, 1
    params.n_threads_http = options["slots"] + HTTP_SPARE_THREADS
    params.model.path = load["model"]
    params.n_ctx, params.n_parallel = options["context"], options["slots"]
    modes = native.llama_load_mode
    params.load_mode = modes.LLAMA_LOAD_MODE_MMAP if options["map_weights"] else modes.LLAMA_LOAD_MODE_NONE
    params.n_batch = params.n_ubatch = options["batch"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options["threads"]
    kinds = {"f16": "F16", "bf16": "BF16", "f32": "F32", "q8_0": "Q8_0", "q5_1": "Q5_1", "q4_0": "Q4_0"}
    params.cache_type_k = getattr(native.ggml_type, f"GGML_TYPE_{kinds[options['cache_type_k']]}")
    params.cache_type_v = getattr(native.ggml_type, f"GGML_TYPE_{kinds[options['cache_type_v']]}")
    attention = {"auto": "AUTO", "flash": "ENABLED", "plain": "DISABLED"}[options["attention"]]
    params.flash_attn_type = getattr(native.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{attention}")
    # The plan decides what fits; the engine must not shrink the context by itself.
    params.fit_params, params.ctx_shift, params.kv_unified = False, False, False
    params.n_gpu_layers, params.cache_ram_mib = options["gpu_layers"], options["prompt_cache_mib"]
    params.n_ctx_checkpoints = options["checkpoints"]
    params.warmup, params.use_jinja, params.chat_template = False, True, options["template"]
    if options["adapters"]:
        params.lora_adapters = [native.CommonAdapterLoraInfo(path, 1.0) for path in options["adapters"]]
        params.lora_init_without_apply = True
    if options["embedding"]:
        params.embedding = True
        params.pooling_type = getattr(native.llama_pooling_type, f"LLAMA_POOLING_TYPE_{options['pooling'].upper()}")
    _speculate(native, params, options)
    return params


def _speculate(native: Any, params: Any, options: dict[str, Any]) -> None:
    kinds, guess = native.common_speculative_type, params.speculative
    if options["speculation"] == "ngram":
        guess.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_MAP_K]
        guess.ngram_map_k.size_n, guess.ngram_map_k.size_m = 6, options["draft_tokens"]
    elif options["speculation"] == "draft":
        guess.types = [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        guess.draft.mparams.path, guess.draft.n_max = options["draft_model"], options["draft_tokens"]


def binary_arguments(load: dict[str, Any], folder: Path) -> list[str]:
    """The same settings as flags of a `llama-server` of the version that the wheel has.

    The key and the template are files in `folder`: everybody may read a command line, and its length has a limit.
    """
    options = load["options"]
    flags = [
        *("--host", load["socket"], "--api-key-file", str(folder / KEY_FILE), "--model", load["model"]),
        *("--ctx-size", str(options["context"]), "--parallel", str(options["slots"]), "--no-kv-unified"),
        *("--batch-size", str(options["batch"]), "--ubatch-size", str(options["batch"])),
        *("--threads", str(options["threads"]), "--threads-http", str(options["slots"] + HTTP_SPARE_THREADS)),
        *("--cache-type-k", options["cache_type_k"], "--cache-type-v", options["cache_type_v"]),
        *("--flash-attn", {"auto": "auto", "flash": "on", "plain": "off"}[options["attention"]]),
        *("--n-gpu-layers", str(options["gpu_layers"]), "--cache-ram", str(options["prompt_cache_mib"])),
        *("--ctx-checkpoints", str(options["checkpoints"]), "--log-verbosity", "1", "--fit", "off"),
        *("--load-mode", "mmap" if options["map_weights"] else "none", "--cors-origins", "localhost"),
        *("--no-ui", "--no-slots", "--no-context-shift", "--no-warmup", "--jinja", "--offline"),
    ]
    if options["template"]:
        flags += _template(options["template"], folder)
    for path in options["adapters"]:
        flags += ["--lora", path]
    if options["adapters"]:
        flags += ["--lora-init-without-apply"]
    if options["embedding"]:
        flags += ["--embedding", "--pooling", options["pooling"]]
    if options["speculation"] == "ngram":
        size = ("--spec-ngram-map-k-size-n", "6", "--spec-ngram-map-k-size-m", str(options["draft_tokens"]))
        flags += ["--spec-type", "ngram-map-k", *size]
    elif options["speculation"] == "draft":
        flags += ["--spec-type", "draft-simple", "--spec-draft-model", options["draft_model"]]
        flags += ["--spec-draft-n-max", str(options["draft_tokens"])]
    return flags


def _template(template: str, folder: Path) -> list[str]:
    """A name of the engine's own templates as it is, a text as a file."""
    if "{" not in template:
        return ["--chat-template", template]
    write_private(folder / TEMPLATE_FILE, template)
    return ["--chat-template-file", str(folder / TEMPLATE_FILE)]


def write_private(path: Path, text: str) -> None:
    """Write a new file that only this account can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)


def start_binary(load: dict[str, Any], channel: Channel) -> Any:
    """Start a `llama-server` binary, wait until its socket answers, and end when it does. Returns the process."""
    folder = Path(load["socket"]).parent
    write_private(folder / KEY_FILE, load["key"] + "\n")
    # Its own libraries lie beside it, and another llama.cpp's must not come before them.
    beside = [str(Path(load["engine"]).parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    me = os.getpid()
    child = subprocess.Popen(
        [load["engine"], *binary_arguments(load, folder)],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(beside)},
        stdout=sys.stderr.fileno(),
        preexec_fn=lambda: die_with(me),  # safe: this process has no other thread yet
    )

    def reap() -> None:
        code = child.wait()
        print(f"llama-server ended with {code}", file=sys.stderr, flush=True)
        os._exit(1)

    # The kernel's promise is bound to the thread that forks: that is this one, the main thread.
    threading.Thread(target=reap, daemon=True).start()
    _wait_for_health(load["socket"])
    for name in (KEY_FILE, TEMPLATE_FILE):
        (folder / name).unlink(missing_ok=True)
    page = resource.getpagesize()

    def memory() -> int:
        with contextlib.suppress(OSError):
            return int(Path(f"/proc/{child.pid}/statm").read_text().split()[1]) * page
        return 0

    channel.send({"type": "ready", "build": Path(load["engine"]).name, "rss_bytes": memory()})
    threading.Thread(target=channel.beat, args=(memory,), daemon=True).start()
    return child


def _wait_for_health(socket_path: str) -> None:
    """Return when `GET /health` says 200. The parent's load deadline bounds this."""
    import socket

    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            link.connect(socket_path)
            link.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            if b" 200 " in link.recv(64):
                return
        time.sleep(0.02)


def start_wheel(load: dict[str, Any], channel: Channel) -> Any:
    """Load the model with xllamacpp, in this process. Returns the server, which must be kept."""
    threading.Thread(target=channel.beat, args=(rss_bytes,), daemon=True).start()
    import xllamacpp as native

    server = native.Server(xllamacpp_params(load))
    build = f"xllamacpp {native.__version__}"
    channel.send({"type": "ready", "build": build, "rss_bytes": rss_bytes()})
    return server


def main(parent: int, *, warm: bool = False) -> None:
    """Say hello, load what is asked, stay until told to stop or until the pipe closes. `warm` imports the wheel at
    once: the parent is not ready yet."""
    die_with(parent)
    limit(0)
    channel = Channel()
    network = leave_the_network()
    die_with(parent)  # again: new credentials can clear it
    channel.send({"type": "hello", "protocol": 1, "pid": os.getpid(), "network": network})
    if warm:
        with contextlib.suppress(Exception):  # what is wrong with it shows when it is needed
            import xllamacpp  # noqa: F401
    kept = None
    while message := channel.receive():
        if message["type"] == "stop":
            break
        if message["type"] != "load" or kept is not None:
            continue
        limit(message["address_space_bytes"])
        try:
            kept = (start_wheel if message["engine"] == "xllamacpp" else start_binary)(message, channel)
        except Exception as error:  # whatever it is, the parent must hear of it before this process ends
            channel.send({"type": "failed", "message": f"{type(error).__name__}: {error}"[:2000]})
            break
    # Not sys.exit: native threads may hang in their destructors.
    os._exit(0)


if __name__ == "__main__":
    # -I leaves out PYTHONPATH, so that Linnet must be found from where this file lies.
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from linnet.engines.worker.worker_protocol import WARM

    main(int(sys.argv[1]), warm=sys.argv[2:] == [WARM])
