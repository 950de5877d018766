"""What a worker and its parent say to each other over pipes: length-prefixed JSON, checked on both sides.

Four bytes of length, big endian, then one JSON object of at most 8 MiB whose "type" is in MESSAGES. The child
imports this before anything heavy, so it is standard library only.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

PROTOCOL = 1
MAX_MESSAGE = 8 << 20
HEARTBEAT_S = 2.0
WARM = "warm"  # on the child's command line, after the parent's number: import the wheel at once
_LENGTH = struct.Struct(">I")

# type -> field -> JSON type. Every field is needed, no other is allowed.
MESSAGES: dict[str, dict[str, type]] = {
    # parent to child
    "load": {
        "engine": str,  # "xllamacpp", or the path of a llama-server binary
        "model": str,
        "socket": str,
        "key": str,
        "address_space_bytes": int,  # 0: no limit
        "options": dict,  # OPTIONS below
    },
    "stop": {},
    # child to parent
    "hello": {"protocol": int, "pid": int, "network": str},
    "ready": {"build": str, "rss_bytes": int},
    "failed": {"message": str},
    "heartbeat": {"rss_bytes": int},
}

OPTIONS: dict[str, type] = {
    "context": int,  # tokens, all slots together
    "slots": int,
    "batch": int,
    "map_weights": bool,
    "threads": int,
    "cache_type_k": str,
    "cache_type_v": str,
    "gpu_layers": int,
    "prompt_cache_mib": int,
    "checkpoints": int,
    "speculation": str,  # "", "ngram" or "draft"
    "draft_model": str,
    "draft_tokens": int,
    "adapters": list,  # paths
    "template": str,
    "embedding": bool,
    "pooling": str,
    "attention": str,  # "auto", "flash" or "plain"
}


class ProtocolError(Exception):
    """The other side sent something that is not a message."""


def check_message(message: Any) -> dict[str, Any]:
    """The message itself. Raises ProtocolError, which names the field."""
    if not isinstance(message, dict):
        raise ProtocolError("a message is not an object")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in MESSAGES:
        raise ProtocolError(f"unknown message type {str(kind)[:40]!r}")
    _check_fields(kind, {key: value for key, value in message.items() if key != "type"}, MESSAGES[kind])
    if kind == "load":
        _check_fields("options", message["options"], OPTIONS)
        if not all(isinstance(path, str) for path in message["options"]["adapters"]):
            raise ProtocolError("options.adapters is not a list of paths")
    return message


def _check_fields(where: str, found: dict[str, Any], wanted: dict[str, type]) -> None:
    for name, kind in wanted.items():
        if type(found.get(name)) is not kind:
            raise ProtocolError(f"{where}.{name} is not {kind.__name__}")
        if kind is int and not 0 <= found[name] < 1 << 62:
            raise ProtocolError(f"{where}.{name} is out of range")
    if extra := sorted(set(found) - set(wanted)):
        raise ProtocolError(f"{where} has the unknown field {str(extra[0])[:40]!r}")


def write_message(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Send one message. Raises ProtocolError, or OSError when the other side is gone."""
    data = json.dumps(check_message(message)).encode()
    if len(data) > MAX_MESSAGE:
        raise ProtocolError(f"a message of {len(data)} bytes; at most {MAX_MESSAGE} are allowed")
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_message(stream: BinaryIO) -> dict[str, Any] | None:
    """The next message; None when the other side closed. Raises ProtocolError."""
    head = _exactly(stream, _LENGTH.size)
    if not head:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MESSAGE:
        raise ProtocolError(f"a message of {length} bytes; at most {MAX_MESSAGE} are allowed")
    data = _exactly(stream, length)
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message is not JSON: {type(error).__name__}") from error
    return check_message(message)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    """`count` bytes; nothing at a clean end. Raises ProtocolError at an end inside a message."""
    parts, left = [], count
    while left:
        part = stream.read(left)
        if not part:
            if left == count and count == _LENGTH.size:
                return b""
            raise ProtocolError("the stream ended inside a message")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
