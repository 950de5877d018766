"""What counts as a JSON object."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import InputError
from linnet.http.strict_json import MAX_DEPTH, parse_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5), st.booleans())
@settings(max_examples=100, deadline=None)
def test_every_object_is_read_as_it_is(value: dict[str, object], ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert parse_object(raw) == value


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_bytes_of_any_kind_are_read_or_refused(raw: bytes) -> None:
    with suppress(InputError):
        assert isinstance(parse_object(raw), dict)


@pytest.mark.parametrize(("opening", "closing"), [(b'{"a":', b"}"), (b"[", b"]")])
def test_depth_at_the_limit_and_beyond(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        return b'{"x":' + opening * (depth - 2) + b"[]" + closing * (depth - 2) + b"}"

    parse_object(nested(MAX_DEPTH))
    with pytest.raises(InputError, match="deeper than 64"):
        parse_object(nested(MAX_DEPTH + 1))


def test_messages_repeat_no_value() -> None:
    for raw in (b'{"a": "secret", "a": "secret"}', b'{"a": "secret" "secret"}', b'{"a": "secret", "b": NaN}'):
        with pytest.raises(InputError) as caught:
            parse_object(raw)
        assert "secret" not in str(caught.value)


def test_pairs_of_escapes_are_characters() -> None:
    assert parse_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
