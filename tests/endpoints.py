"""OpenAI-compatible endpoints on loopback, as small true fakes: what they answer is the test's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]  # the request's handler and its body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # eight come at once: with fewer the kernel lets some wait a second


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def said(text: str, **more: Any) -> bytes:
    """The body of an answer with this text."""
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}], **more}).encode()


def refused(text: str) -> bytes:
    """The body of an error with these words."""
    return json.dumps({"error": {"message": text}}).encode()


@contextmanager
def listening(answer: Answer) -> Iterator[str]:
    """An address that answers each POST so, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer(self, json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def log_message(self, format: str, *args: Any) -> None: ...

    server = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
