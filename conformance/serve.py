"""The server that the checks talk to: builtin:nano under the names that they use, and one small specialist.

    python -m conformance.serve PORT HOME [NAME ...]

Requests of openai-python's tests for /v1/responses say neither a model nor an input. These two fields are filled in
here where a body to that route lacks them, before the application sees it; everything else passes as it comes. That is
done only where NAMEs are given, which are the models of those tests.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from linnet.core.store import Store
from linnet.formats.builtin import our_model
from linnet.http import server
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from linnet.stages.import_ import import_
from linnet.stages.serve import Specialists
from tests.tiny import tiny_specialist

ROUTES = ("/v1/responses", "/v1/responses/input_tokens")
FILLED = {"model": "nano", "input": "string"}


class Fill:
    """ASGI: adds the fields that a body of those routes lacks."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] not in ROUTES or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        with suppress(ValueError, TypeError):  # what is not JSON is ours to refuse
            body = json.dumps(FILLED | json.loads(body)).encode()
        headers = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Any:
            return messages.pop() if messages else await receive()

        await self.app({**scope, "headers": headers}, replay, send)


def main() -> None:
    port, home, *names = sys.argv[1:]
    store = Store(Path(home))
    tiny_specialist(store, "support", ["refund", "delivery", "other"], out_of_scope="other")
    path = our_model("builtin:nano:Q8_0").path
    for name in ("nano", *names):
        import_(store, path, name)
    decoders = Decoders(store)
    bound = server.bind("127.0.0.1", int(port))
    try:
        app: Any = create_app(Specialists(store), decoders=decoders)
        server.run(Fill(app) if names else app, bound, lambda: print(server.url(bound), flush=True))
    finally:
        decoders.close()


if __name__ == "__main__":
    main()
