"""Messages between a worker and its parent: both sides refuse what is not one."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import pytest

from linnet.engines.worker.worker_protocol import MAX_MESSAGE, ProtocolError, check_message, read_message, write_message

HELLO: dict[str, Any] = {"type": "hello", "protocol": 1, "pid": 7, "network": "shared"}


def framed(data: bytes) -> io.BytesIO:
    return io.BytesIO(struct.pack(">I", len(data)) + data)


def test_a_message_arrives_as_it_was_sent() -> None:
    stream = io.BytesIO()
    write_message(stream, HELLO)
    write_message(stream, {"type": "stop"})
    stream.seek(0)
    assert [read_message(stream), read_message(stream), read_message(stream)] == [HELLO, {"type": "stop"}, None]


@pytest.mark.parametrize(
    "message",
    [
        [],
        {},
        {"type": "eval"},
        {"type": ["hello"]},
        {**HELLO, "pid": "7"},
        {**HELLO, "pid": True},
        {**HELLO, "pid": -1},
        {**HELLO, "more": 1},
        {"type": "hello"},
    ],
)
def test_what_is_no_message_is_refused(message: Any) -> None:
    with pytest.raises(ProtocolError):
        check_message(message)
    with pytest.raises(ProtocolError):
        read_message(framed(json.dumps(message).encode()))


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 100_000, b"1"])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_message(framed(data))


def test_an_end_inside_a_message_is_refused() -> None:
    for cut in range(1, 20):
        stream = io.BytesIO()
        write_message(stream, HELLO)
        with pytest.raises(ProtocolError):
            read_message(io.BytesIO(stream.getvalue()[:cut]))


def test_a_message_has_a_limit() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        read_message(io.BytesIO(struct.pack(">I", MAX_MESSAGE + 1)))
    with pytest.raises(ProtocolError, match="at most"):
        write_message(io.BytesIO(), {"type": "failed", "message": "x" * MAX_MESSAGE})
