"""Requests that nobody should send, from a seed: the bytes of each, and a client that reads what comes back.

Case `n` of a seed is always the same request. Knows no engine; sends to a socket and says what came back.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 60.0  # beyond it a request hangs
Body = dict[str, Any]

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "hello"}]},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "content": "1", "tool_call_id": "a"},
    {"role": "user", "content": "and then?"},
]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", 1]}}, "required": ["a"]}
TOOLS = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}]
SAMPLING = {"temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["zq"]}
PENALTIES = {"presence_penalty": 0.1, "frequency_penalty": -0.1, "logit_bias": {"5": 1}}
OPTIONS = {"num_predict": 2, "temperature": 0, "top_k": 5, "num_ctx": 64, "seed": 1, "stop": ["x"], "min_p": 0.1}
BLOCKS = [
    {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "2", "is_error": False}]},
]
ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
FUNCTIONS = [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}]
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'}
CALLED = [ITEM, CALL, {"type": "function_call_output", "call_id": "c", "output": "1"}]
SHAPED = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
OPENAI: Body = {"max_tokens": 2, "stream": True, "stream_options": {"include_usage": True}, "n": 1}
CHATTED: Body = {"model": "chatty", "messages": CHAT, "user": "u", "metadata": {"k": "v"}, **OPENAI}
# Bodies that are right, or nearly: every mutation begins with one of them.
BODIES: dict[str, list[Body]] = {
    "/v1/chat/completions": [
        {**CHATTED, **SAMPLING, **PENALTIES, "logprobs": True, "top_logprobs": 2},
        {**CHATTED, "tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": True},
        {**CHATTED, "messages": CHAT[-1:], "response_format": SHAPED},
        {"model": "support", "messages": CHAT[-1:]},
    ],
    "/v1/completions": [
        {"model": "stories", "prompt": "Once", **OPENAI, **SAMPLING, **PENALTIES, "logprobs": 1},
        {"model": "stories", "prompt": [[1, 5], [7]], "max_tokens": 1, "n": 2, "best_of": 2},
        {"model": "stories", "prompt": ["a", "b"], "max_tokens": 1, "echo": True},
    ],
    "/v1/responses": [
        {"model": "chatty", "input": [ITEM], "instructions": "x", "max_output_tokens": 2, "stream": True},
        {"model": "chatty", "input": "hi", "text": {"format": {"type": "json_object"}}, "max_output_tokens": 2},
        {"model": "chatty", "input": CALLED, "tools": FUNCTIONS, "tool_choice": "required", "max_output_tokens": 2},
    ],
    "/v1/responses/input_tokens": [{"model": "chatty", "input": [ITEM], "instructions": "x"}],
    "/v1/embeddings": [{"model": "stories", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 3}],
    "/v1/messages": [
        {"model": "chatty", "max_tokens": 2, "messages": BLOCKS, "system": "s", "stream": True, "top_k": 3},
        {
            "model": "chatty",
            "max_tokens": 2,
            "messages": BLOCKS[:1],
            "tools": [{"name": "f", "input_schema": SCHEMA}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "stop_sequences": ["x"],
            "metadata": {"user_id": "u"},
        },
        {
            "model": "chatty",
            "max_tokens": 2,
            "messages": BLOCKS[:1],
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        },
    ],
    "/v1/messages/count_tokens": [{"model": "chatty", "messages": BLOCKS, "system": [{"type": "text", "text": "s"}]}],
    "/v1/classify": [{"model": "support", "input": ["refund", "x"], "truncate": True, "top": 2}],
    "/v1/tag": [{"model": "support", "input": ["refund", "x"], "redact": True}],
    "/v1/stop": [{"model": "stories", "force": False}],
    "/api/generate": [
        {"model": "stories", "prompt": "Once", "options": OPTIONS, "keep_alive": "5m", "format": SCHEMA},
        {"model": "stories", "prompt": "a", "raw": True, "stream": False, "options": {"num_predict": 1}},
    ],
    "/api/chat": [
        {"model": "chatty", "messages": CHAT[-1:], "tools": TOOLS, "options": OPTIONS, "logprobs": True},
        {"model": "chatty", "messages": CHAT[-1:], "format": "json", "options": {"num_predict": 2}, "think": False},
    ],
    "/api/embed": [{"model": "stories", "input": ["a", "b"], "options": {"num_ctx": 64}, "keep_alive": 5}],
    "/api/embeddings": [{"model": "stories", "prompt": "a"}],
    "/api/show": [{"model": "stories", "verbose": True}],
}
ELSEWHERE = [{"model": "nothing-here", "name": "nothing-here", "stream": False}]  # for routes that are not above
TEXTS = (
    "",
    " ",
    "\0",
    "a" * 9000,
    "../../etc/passwd",
    "<|im_start|>system",
    "\ud800",
    "\U0001f600",
    "\x1b[2J",
    "\u202e",
)
NUMBERS = (0, -1, 1, 2, 1.5, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, -1e308, 1e-320, float("nan"), float("inf"))
SHAPES: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {"type": "text"},
    {"type": {}},
    [0] * 2000,
)
NEW_FIELDS = ("id_slot", "grammar", "chat_template", "lora", "__proto__", "", "a" * 300, "n_discard", "\ud800", "a\nb")


@dataclass(frozen=True, slots=True)
class Case:
    """The bytes to send. `whole` says that they are a request that ends: it must be answered."""

    kind: str
    raw: bytes
    whole: bool = True


def case(seed: int, number: int, paths: list[tuple[str, str]]) -> Case:
    """One request; `paths` are the server's routes, as methods and paths."""
    chance = random.Random(f"{seed}:{number}")
    method, path = chance.choice(paths)
    posts = [one for one in paths if one[0] == "POST"]
    kinds: list[tuple[int, Callable[..., Case]]] = [(56, _fields), (12, _bytes), (6, _types), (6, _headers)]
    kinds += [(6, _chunks), (5, _cut), (3, _many_headers)]
    make = chance.choices([kind for _, kind in kinds] + [_line], [weight for weight, _ in kinds] + [6])[0]
    if make is _line:
        return _line(chance, method, path)
    return make(chance, *chance.choice(posts))


def _body(chance: random.Random, path: str) -> Body:
    return deepcopy(chance.choice(BODIES.get(path, ELSEWHERE)))


def _encoded(chance: random.Random, value: Any) -> bytes:
    if chance.random() < 0.5:
        return json.dumps(value).encode()
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


def http(method: str, path: str, body: bytes = b"", *lines: bytes, host: bytes = b"localhost") -> bytes:
    """A request that closes its connection."""
    head = [f"{method} {path} HTTP/1.1".encode(), b"Host: " + host, b"Connection: close", *lines]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


JSON_TYPE = b"Content-Type: application/json"


def _value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if kind < 0.3:
        return chance.choice(TEXTS)
    if kind < 0.6:
        return chance.choice(NUMBERS)
    if kind < 0.85 or depth > 2:
        return deepcopy(chance.choice(SHAPES))
    if kind < 0.9:
        nested: Any = 1
        for _ in range(chance.choice((5, 40, 70))):
            nested = [nested] if chance.random() < 0.5 else {"a": nested}
        return nested
    return {chance.choice(NEW_FIELDS): _value(chance, depth + 1) for _ in range(2)}


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key below a value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def _fields(chance: random.Random, method: str, path: str) -> Case:
    """A body with one to three of its values exchanged, wrapped, dropped or added."""
    body = _body(chance, path)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        where, key = chance.choice(_places(body) or [(body, "model")])
        how = chance.random()
        if how < 0.55:
            where[key] = _value(chance)
        elif how < 0.65 and isinstance(where, dict):
            where.pop(key, None)
        elif how < 0.75:
            where[key] = [where.get(key)] if isinstance(where, dict) else {"a": where[key]}
        elif how < 0.85:
            other, name = chance.choice(_places(body) or [(body, "model")])
            where[key] = deepcopy(other.get(name) if isinstance(other, dict) else other[name])
        else:
            target = where if isinstance(where, dict) else body
            target[chance.choice(NEW_FIELDS)] = _value(chance)
    return Case("fields", http(method, path, _encoded(chance, body), JSON_TYPE))


def _bytes(chance: random.Random, method: str, path: str) -> Case:
    """A body that is hardly JSON."""
    raw = bytearray(_encoded(chance, _body(chance, path)))
    how = chance.randrange(8)
    at = chance.randrange(len(raw))
    if how == 0:
        raw = raw[:at]
    elif how == 1:
        raw[at:at] = chance.choice(
            (b"\xff", b"\x00", b"\xc0\x80", b"\xed\xa0\x80", b"\\ud800", b"\x1b", b"\xef\xbb\xbf")
        )
    elif how == 2:
        raw[at] = chance.randrange(256)
    elif how == 3:
        raw = bytearray(chance.choice((b"[", b'{"a":', b"-", b'"', b"1e")) * chance.choice((1, 65, 50_000)))
    elif how == 4:
        raw = bytearray(b'{"model": "stories", ' + bytes(raw[1:]))  # a key twice
    elif how == 5:
        raw = bytearray(b"[" + bytes(raw) + b"]")
    elif how == 6:
        raw += chance.choice((b"}", b"{}", b"\0", b" " * 5000, b"//x"))
    else:
        raw = bytearray(chance.randbytes(chance.randrange(200)))
    return Case("bytes", http(method, path, bytes(raw), JSON_TYPE))


def _types(chance: random.Random, method: str, path: str) -> Case:
    """A body under another type, or with a length or a coding that it has not."""
    body = _encoded(chance, _body(chance, path))
    wrong = (b"Content-Type: text/plain", b"Content-Type: application/json; charset=utf-7", b"Content-Type:", b"X: 1")
    more = (b"Content-Encoding: gzip", b"Transfer-Encoding: identity", b"Content-Type: multipart/form-data; boundary=")
    lines = [chance.choice((*wrong, *more, JSON_TYPE)) for _ in range(chance.choice((1, 2)))]
    return Case("types", http(method, path, body, *lines))


def _headers(chance: random.Random, method: str, path: str) -> Case:
    """Headers that lie, repeat or break the grammar."""
    evil = (
        b"Host: evil.example",
        b"Host: localhost",
        b"Origin: http://evil.example",
        b"Origin: null",
        b"Authorization: Bearer lnt_00000000_" + b"x" * 43,
        b"Authorization: Bearer \xff\xfe",
        b"X-Api-Key: lnt_\x01",
        b"Cookie: linnet_key=lnt_" + b"a" * 3000,
        b"Expect: 100-continue",
        b"Upgrade: websocket",
        b"Range: bytes=" + b"0-," * 500,
        b"X-Forwarded-For: 10.0.0.1",
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b"Bad Name: x",
        b": x",
        b" folded",
        b"X: a\x00b",
        b"X: a\rb",
        b"anthropic-version: " + b"9" * 200,
    )
    lines = [chance.choice(evil) for _ in range(chance.choice((1, 1, 2)))]
    host = chance.choice(
        (b"localhost", b"localhost", b"127.0.0.1:1", b"", b"a b", b"evil.example", b"[::1]", b"x" * 300)
    )
    body = _encoded(chance, _body(chance, path))
    return Case("headers", http(method, path, body, JSON_TYPE, *lines, host=host))


def _many_headers(chance: random.Random, method: str, path: str) -> Case:
    lines = [b"X-%d: %s" % (n, b"v" * chance.choice((1, 30))) for n in range(chance.choice((50, 400, 900)))]
    return Case("many headers", http(method, path, _encoded(chance, _body(chance, path)), JSON_TYPE, *lines))


def _chunks(chance: random.Random, method: str, path: str) -> Case:
    """A chunked body, right or nonsense."""
    body = _encoded(chance, _body(chance, path))
    half = len(body) // 2
    good = b"%x\r\n%b\r\n%x;a=b\r\n%b\r\n0\r\n\r\n" % (half, body[:half], len(body) - half, body[half:])
    bad = (
        b"zz\r\n" + body + b"\r\n0\r\n\r\n",
        b"-5\r\n" + body + b"\r\n0\r\n\r\n",
        b"%x\r\n%b0\r\n\r\n" % (len(body) + 10, body),
        b"f" * 30 + b"\r\n",
        b"5\r\nabc\r\n0\r\n\r\n",
        b"0\r\nX: y\r\nContent-Length: 3\r\n\r\n",
        b"\r\n\r\n",
        b"1;" + b"x" * 9000 + b"\r\n{\r\n0\r\n\r\n",
        b"",
    )
    coding = chance.choice((b"chunked",) * 5 + (b"gzip, chunked", b"chunked, chunked", b"xchunked", b"identity"))
    sent = chance.choice((good, good, *bad))
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", JSON_TYPE, b"Transfer-Encoding: " + coding]
    return Case("chunks", b"\r\n".join([*lines, b"Connection: close", b"", sent]), whole=False)


def _cut(chance: random.Random, method: str, path: str) -> Case:
    """A request whose sender leaves in the middle of it."""
    raw = http(method, path, _encoded(chance, _body(chance, path)), JSON_TYPE)
    return Case("cut", raw[: chance.randrange(1, len(raw))], whole=False)


def _line(chance: random.Random, method: str, path: str) -> Case:
    """Another method, path or version than there is."""
    method = chance.choice((method, "GET", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "HEAD"))
    more = ("", "", "/", "//", "/..", "/%00", "?key=lnt_1&key=2", "?" + "a=b&" * 300, "#x", "%", "\\", "/" + "x" * 3000)
    path = path.replace("{model}", chance.choice(("stories", "../x", "%ff", "a" * 400))) + chance.choice(more)
    raw = http(method, path, b"")
    if chance.random() < 0.2:
        raw = raw.replace(
            b"HTTP/1.1", chance.choice((b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"FTP/1.1", b"", b"\xff")), 1
        )
        return Case("line", raw, whole=False)
    return Case("line", raw)


def send(port: int, found: Case) -> tuple[int, bytes]:
    """Status and body of the answer; 0 where the connection closed without one. Raises TimeoutError for none."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as line:
        try:
            line.sendall(found.raw)
            if not found.whole:
                line.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was read; the answer is there all the same
        answer = bytearray()
        try:
            while part := line.recv(1 << 16):
                answer += part
        except ConnectionResetError:
            pass
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    return (int(head.split(b" ", 2)[1]) if head else 0), body
