"""The worker's process: what it inherits, how it ends, and what is said of it. With a fake that misbehaves."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from linnet.core.errors import EngineError, LinnetError, ResourceMissing
from linnet.engines.worker import spawn
from linnet.engines.worker.process import Worker, WorkerSpec
from tests.engines.made_llama import STORIES, needs_stories
from tests.engines.workers import fake_spec, stories_plan

pytestmark = needs_stories


def loaded(mode: str = "ok", **more: float) -> Worker:
    worker = Worker(fake_spec(mode, **more))
    worker.load()
    return worker


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("garbage", "broke the protocol (a message is not JSON"),
        ("huge-message", "broke the protocol (a message of 2147483647 bytes"),
        ("old-protocol", "speaks protocol 99, need 1"),
        ("crash-in-load", "signal 11 (SIGSEGV)"),
        ("no-hello", "gave no 'hello' within 0 s"),
        ("hang-in-load", "gave no 'ready' within 0 s"),
    ],
)
def test_a_worker_that_fails_to_load_is_named_and_gone(mode: str, what: str) -> None:
    worker = Worker(fake_spec(mode, hello_s=0.4 if mode == "no-hello" else 10, load_s=0.4 if "hang" in mode else 10))
    with pytest.raises(EngineError) as caught:
        worker.load()
    assert what in caught.value.message
    assert worker.ended.is_set()
    assert not worker.folder.exists()
    assert not psutil.pid_exists(worker.pid)


def test_the_last_lines_of_its_log_are_the_hint() -> None:
    with pytest.raises(EngineError) as caught:
        loaded("crash-in-load")
    assert "about to crash" in caught.value.hint


def test_out_of_memory_at_load_is_a_missing_resource() -> None:
    with pytest.raises(ResourceMissing, match="ran out of memory") as caught:
        loaded("no-memory")
    assert "smaller context" in caught.value.hint


def test_a_worker_without_heartbeat_is_killed() -> None:
    worker = loaded("silent", silence_s=0.6)
    assert worker.ended.wait(10)
    assert "no heartbeat" in worker.exit_reason


def test_a_worker_that_ignores_stop_is_killed() -> None:
    worker = loaded("ignores-stop")
    worker.close()
    assert not psutil.pid_exists(worker.pid)
    assert not worker.folder.exists()


def test_its_folder_is_private_and_its_socket_inside() -> None:
    worker = loaded()
    assert stat.S_IMODE(worker.folder.stat().st_mode) == 0o700
    assert worker.socket.parent == worker.folder
    assert list((worker.folder / "empty").iterdir()) == []
    worker.close()


def test_secrets_do_not_reach_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "HF_TOKEN": "s3cret-hf",
        "AWS_SECRET_ACCESS_KEY": "s3cret-aws",
        "LINNET_HOME": "/s3cret",
        "FOO": "s3cret",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    worker = loaded()
    process = psutil.Process(worker.pid)
    said = " ".join([*process.cmdline(), *(f"{k}={v}" for k, v in process.environ().items())])
    assert "s3cret" not in said
    assert worker.key not in said
    assert set(process.environ()) <= {*spawn.ENVIRONMENT, *spawn.OF_ITS_OWN, "HOME", "LC_CTYPE"}
    assert Path(process.cwd()) == worker.folder / "empty"
    worker.close()


def test_a_killed_worker_says_by_which_signal() -> None:
    worker = loaded()
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.ended.wait(5)
    assert "signal 9 (SIGKILL): the system may have run out of memory" in worker.error("stopped").message


REAL = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from linnet.engines.llama.engine import LlamaEngine
from tests.engines.workers import stories_plan
engine = LlamaEngine(stories_plan())
engine.start()
print(engine.keeper.running.pid, flush=True)
time.sleep(60)
"""


def test_no_orphan_survives_its_parent() -> None:
    """The parent is killed without a chance to clean up; the kernel ends the child."""
    root = str(Path(__file__).parents[3])
    parent = subprocess.Popen(
        [sys.executable, "-c", REAL.format(root=root)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running()
    parent.stdout.close()


def test_a_thread_that_ends_does_not_take_its_worker_along() -> None:
    """PR_SET_PDEATHSIG is about the thread that forks, and servers run requests in threads that come and go."""
    import threading

    worker = Worker(real_spec())
    thread = threading.Thread(target=worker.load)
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert worker.alive
    worker.close()


def test_a_worker_that_was_closed_does_not_start() -> None:
    worker = Worker(fake_spec("ok"))
    worker.close()
    with pytest.raises(EngineError, match="was stopped"):
        worker.load()
    assert worker.pid == 0


def test_a_process_that_cannot_be_started_is_a_missing_resource(tmp_path: Path) -> None:
    from dataclasses import replace

    worker = Worker(replace(fake_spec("ok"), command=(str(tmp_path / "nothing"),)))
    with pytest.raises(ResourceMissing, match="could not be started"):
        worker.load()
    assert not worker.folder.exists()


def test_messages_out_of_turn_end_a_worker() -> None:
    with pytest.raises(EngineError, match="broke the protocol \\('hello' out of turn"):
        loaded("hello-twice")


def real_spec() -> WorkerSpec:
    from linnet.engines.llama.load_plan import worker_options

    plan = stories_plan()
    return WorkerSpec("stories", STORIES, worker_options(plan), address_space_bytes=plan.address_space_bytes)


def test_the_real_worker_limits_itself() -> None:
    worker = Worker(real_spec())
    worker.load()
    process = psutil.Process(worker.pid)
    assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert process.rlimit(psutil.RLIMIT_NOFILE)[1] <= 256
    assert process.rlimit(psutil.RLIMIT_AS)[1] == stories_plan().address_space_bytes
    assert os.getpgid(worker.pid) == worker.pid
    assert worker.facts.network in ("isolated", "shared")
    worker.close()


def test_06_no_socket_listens_on_tcp() -> None:
    worker = Worker(real_spec())
    worker.load()
    tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [c for one in tree for c in one.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening == []
    worker.close()


def test_too_little_address_space_is_a_clear_error() -> None:
    from dataclasses import replace

    worker = Worker(replace(real_spec(), address_space_bytes=150 << 20))
    with pytest.raises(LinnetError) as caught:
        worker.load()
    # What native code says when it is stopped depends on where: nothing at all, in the worst case.
    assert isinstance(caught.value, ResourceMissing) or "limit of 150 MiB" in caught.value.hint, caught.value


NATIVE = """#!{python}
import socket, sys, time
arguments = sys.argv[1:]
assert "--api-key" not in arguments
path = arguments[arguments.index("--host") + 1]
key = open(arguments[arguments.index("--api-key-file") + 1]).read().strip()
assert len(key) == 48
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
while True:
    link, _ = server.accept()
    link.recv(1000)
    link.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
    link.close()
"""


def test_a_llama_server_binary_runs_behind_the_same_socket(tmp_path: Path) -> None:
    from dataclasses import replace

    binary = tmp_path / "llama-server"
    binary.write_text(NATIVE.format(python=sys.executable))
    binary.chmod(0o700)
    worker = Worker(replace(real_spec(), engine=str(binary), address_space_bytes=0))
    worker.load()
    assert worker.facts.build == "llama-server"
    assert not (worker.folder / "key").exists()
    (server,) = psutil.Process(worker.pid).children()
    server.kill()
    assert worker.ended.wait(5)
    assert "exit code 1" in worker.exit_reason


def test_the_binary_dies_with_its_worker(tmp_path: Path) -> None:
    from dataclasses import replace

    binary = tmp_path / "llama-server"
    binary.write_text(NATIVE.format(python=sys.executable))
    binary.chmod(0o700)
    worker = Worker(replace(real_spec(), engine=str(binary), address_space_bytes=0))
    worker.load()
    (server,) = psutil.Process(worker.pid).children()
    worker.close()
    psutil.wait_procs([server], timeout=60)
    assert not server.is_running()
