"""A worker that misbehaves as told: `python fake_worker.py MODE PARENT`. Speaks the real protocol, runs no model."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, BinaryIO

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from linnet.engines.worker.worker_protocol import HEARTBEAT_S, read_message, write_message

MODE = sys.argv[1]
CALLS = (
    "Let me ",
    "look. <tool",
    "_call>",
    '\n{"name": "weather", ',
    '"arguments": {"city": "Par',
    'is"}}\n</tool_call>\n',
    '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}',
    "</tool_call>",
    "\n",
    '<tool_call>{"name": "nobody"}</tool_call>',
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def address_string(self) -> str:
        return "parent"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def event(self, **event: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.flush()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/tokenize":
            return self.answer(json.dumps({"tokens": [1, *map(ord, body["content"])]}).encode())
        if self.path == "/apply-template":  # enough to see what came
            return self.answer(json.dumps({"prompt": json.dumps(body)}).encode())
        if MODE == "stall":
            time.sleep(60)
        if MODE == "not-json":
            return self.answer(b"data: {nonsense\n\n")
        if MODE == "error-500":
            return self.answer(b'{"error": {"code": 500, "message": "no"}}', 500)
        self.send_response(200)
        self.end_headers()
        if MODE == "calls":
            for part in CALLS:
                self.event(content=part, tokens=[65], stop=False)
            return self.event(content="", tokens=[], stop=True, stop_type="eos", tokens_predicted=len(CALLS))
        if MODE == "bad-tokens":
            return self.event(content="a", tokens=["x"], stop=False)
        for number in range(body["n_predict"] if MODE == "endless" else 3):
            self.event(content="a", tokens=[65 + number % 50], stop=False)
            if MODE == "endless":
                time.sleep(0.01)
        if MODE == "die-in-answer":
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)  # the signal takes its time
        if MODE == "cut-off":
            return None
        if MODE == "flood":  # as fast as the reader takes it
            for _ in range(200):
                self.event(content="a" * 100_000, tokens=[65], stop=False)
        if MODE == "too-much":
            while True:
                self.event(content="a", tokens=[65], stop=False)
        if MODE == "nested":
            self.wfile.write(b'data: {"a": ' + b"[" * 200_000 + b"\n\n")
            return None
        if MODE == "infinite":
            return self.answer(
                b'data: {"stop": true, "timings": {"prompt_ms": Infinity, "predicted_ms": 1' + b"0" * 400 + b"}}\n\n"
            )
        told = 999 if MODE == "lies" else 3
        timings = {"cache_n": 10**6 if MODE == "lies" else 0}
        return self.event(content="", tokens=[], stop=True, stop_type="eos", tokens_predicted=told, timings=timings)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def beat(out: BinaryIO) -> None:
    while True:
        time.sleep(HEARTBEAT_S / 4)
        write_message(out, {"type": "heartbeat", "rss_bytes": 12345678})


def main() -> None:
    out, inside = sys.stdout.buffer, sys.stdin.buffer
    if MODE == "no-hello":
        time.sleep(60)
    if MODE == "garbage":
        out.write(b"\x00\x00\x00\x09{nonsense")
        out.flush()
        time.sleep(60)
    if MODE == "huge-message":
        out.write(b"\x7f\xff\xff\xff")
        out.flush()
        time.sleep(60)
    if MODE == "old-protocol":
        write_message(out, {"type": "hello", "protocol": 99, "pid": 1, "network": "shared"})
        time.sleep(60)
    write_message(out, {"type": "hello", "protocol": 1, "pid": os.getpid(), "network": "shared"})
    for _ in range(100_000 if MODE == "hello-twice" else 0):
        write_message(out, {"type": "hello", "protocol": 1, "pid": os.getpid(), "network": "shared"})
    load = read_message(inside)
    assert load is not None
    if MODE == "hang-in-load":
        time.sleep(60)
    if MODE == "crash-in-load":
        print("about to crash", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if MODE == "no-memory":
        print("E llama_model_load: error loading model: std::bad_alloc", file=sys.stderr, flush=True)
        os._exit(1)
    server = Server(load["socket"], Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    write_message(out, {"type": "ready", "build": "fake", "rss_bytes": 12345678})
    if MODE != "silent":
        threading.Thread(target=beat, args=(out,), daemon=True).start()
    if MODE == "ignores-stop":
        time.sleep(60)
    read_message(inside)
    os._exit(0)


main()
