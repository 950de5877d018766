"""`linnet serve` as a real process on a real port."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from linnet.core.store import Store
from tests.tiny import tiny_specialist

LAUNCH = Path(__file__).with_name("launch.py")
HEAVY = {"torch", "sklearn", "scipy", "polars", "transformers", "onnx", "peft", "datasketch", "huggingface_hub"}


@dataclass
class Served:
    process: subprocess.Popen[str]
    announced: dict[str, Any]
    log: Path

    @property
    def url(self) -> str:
        return str(self.announced["url"])

    def events(self) -> list[tuple[str, Any]]:
        return [tuple(json.loads(line)) for line in self.log.read_text().splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(40)


def start(home: Path, log: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(LAUNCH), str(log), "serve", *arguments],
        env={**os.environ, "LINNET_HOME": str(home), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def served(home: Path, log: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    process = start(home, log, "--port", "0", "--json", *arguments, **environment)
    try:
        assert process.stdout is not None
        yield Served(process, json.loads(process.stdout.readline()), log)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "home"
    tiny_specialist(Store(folder), "support", ["refund", "delivery"])
    return folder


@pytest.fixture(scope="module")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    # FastAPI can export traces where the environment says so: ours must not, even then.
    telemetry = {"FASTAPI_OTEL_AUTO_CONFIGURE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with served(home, tmp_path_factory.mktemp("log") / "events", **telemetry) as running:
        yield running


def classify(server: Served, **headers: str) -> httpx.Response:
    body = {"model": "support", "input": "my refund"}
    return httpx.post(f"{server.url}/v1/classify", json=body, headers=headers)


def test_answers(server: Served, home: Path) -> None:
    assert server.announced["specialists"] == 1
    assert classify(server).json()["data"][0]["label"] == "refund"
    tiny_specialist(Store(home), "billing", ["yes", "no"])
    assert [model["id"] for model in httpx.get(f"{server.url}/v1/models").json()["data"]] == ["billing:1", "support:1"]


def test_abuse_01_foreign_host_on_a_real_port(server: Served) -> None:
    assert classify(server, host="evil.example").status_code == 403


def test_abuse_03_foreign_origin_on_a_real_port(server: Served) -> None:
    response = classify(server, origin="http://evil.example")
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


def test_abuse_04_media_type_on_a_real_port(server: Served) -> None:
    response = httpx.post(f"{server.url}/v1/classify", content='{"model": "support", "input": "a"}')
    assert response.status_code == 415
    assert httpx.post(f"{server.url}/v1/classify", files={"file": b"x"}).status_code == 415


def test_abuse_06_one_listening_socket(server: Served) -> None:
    classify(server)
    process = psutil.Process(server.process.pid)
    tree = [process, *process.children(recursive=True)]
    listening = [c.laddr for p in tree for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", server.announced["port"])]
    assert len(tree) == 1
    assert [event for event, _ in server.events() if event == "socket.bind"] == ["socket.bind"]


def test_abuse_10_large_requests_on_a_real_port(server: Served) -> None:
    assert httpx.get(f"{server.url}/healthz", headers={"x": "a" * 20 * 1024}).status_code == 431
    headers = {"content-type": "application/json"}
    assert httpx.post(f"{server.url}/v1/classify", content=b" " * (9 << 20), headers=headers).status_code == 413
    chunks = (b" " * (1 << 20) for _ in range(9))
    assert httpx.post(f"{server.url}/v1/classify", content=chunks, headers=headers).status_code == 413
    assert classify(server).status_code == 200


def test_stays_small_and_reaches_for_nothing(server: Served) -> None:
    for _ in range(20):
        classify(server)
    httpx.get(f"{server.url}/docs")
    assert psutil.Process(server.process.pid).memory_info().rss < 200 << 20
    assert server.stop() == 0
    events = server.events()
    assert {event for event, _ in events} == {"socket.__new__", "socket.bind", "modules"}
    assert not HEAVY & set(events[-1][1])
    assert server.process.stderr is not None
    assert server.process.stderr.read() == ""


def test_sigterm_lets_a_running_request_end(home: Path, tmp_path: Path) -> None:
    body = json.dumps({"model": "support", "input": "refund"}).encode()
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with served(home, tmp_path / "log") as server:
        with socket.create_connection(("127.0.0.1", server.announced["port"])) as connection:
            connection.sendall(head + f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")  # the request is inside
            server.process.send_signal(signal.SIGTERM)
            while _accepts(server.announced["port"]):
                pass
            connection.sendall(body)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"label":"refund"' in answer
        assert server.process.wait(40) == 0


STUCK = """
import time
import sys
from linnet.cli import main
from linnet.http import server
from linnet.stages.serve import Specialists

def stuck(*_, **__):
    print("inside", flush=True)
    time.sleep(300)

server.DRAIN_S = 1
Specialists.classify = stuck
sys.argv = ["linnet", "serve", "--port", "0", "--json"]
main()
"""


def test_sigterm_does_not_wait_for_a_request_that_never_ends(home: Path) -> None:
    environment = {**os.environ, "LINNET_HOME": str(home)}
    process = subprocess.Popen([sys.executable, "-c", STUCK], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        server = Served(process, json.loads(process.stdout.readline()), home)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(
                httpx.post, f"{server.url}/v1/classify", json={"model": "support", "input": "a"}, timeout=60
            )
            assert process.stdout.readline() == "inside\n"
            assert server.stop() == 0
            assert answer.result().status_code == 503
            assert answer.result().json()["error"]["code"] == "server_overloaded"
    finally:
        process.kill()
        process.communicate()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "0.0.0.0"], 2, "linnet keys create"),
        (["--host", "example.org"], 2, "is not an address"),
        (["--port", "70000"], 2, "is not a port"),
        (["--port", "TAKEN"], 1, "it is in use"),
    ],
)
def test_abuse_05_what_cannot_be_served(
    home: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = [str(taken.getsockname()[1]) if word == "TAKEN" else word for word in arguments]
        process = start(home, tmp_path / "log", *arguments)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    if code == 2:
        assert "socket." not in (tmp_path / "log").read_text()


def test_plain_line(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "linnet", "serve", "--port", "0"],
        env={**os.environ, "LINNET_HOME": str(home), "LINNET_HOST": "localhost"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=40)
    assert re.fullmatch(r"serving on http://127\.0\.0\.1:\d+ \(\d+ specialists?, 0 models\)\n", line)
    assert process.returncode == 130
