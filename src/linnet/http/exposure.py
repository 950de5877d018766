"""What a server would be open to, and to whom, before there is a socket. Refuses what must not be served."""

from __future__ import annotations

import re
from collections.abc import Sequence

from linnet.core.errors import InputError
from linnet.core.keys import Key, Keys
from linnet.core.records import Record
from linnet.http.access import OPEN
from linnet.http.server import address_of, is_public, loopback

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
HERE, NETWORK = "this machine only", "every machine that reaches the address"
_HOST_NAME = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")


class Exposure(Record):
    """What a server would be open to, as `linnet serve --check` tells it."""

    host: str
    port: int
    reachable_by: str
    host_names: tuple[str, ...]
    key_required: bool
    open_without_key: tuple[str, ...]
    keys: tuple[Key, ...]
    specialists: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    encrypted: bool = False


def exposure(host: str, port: int, keys: Keys, *, names: Sequence[str] = (), require_key: bool = False) -> Exposure:
    """What serving there would mean. Raises InputError for an address that others reach, or `require_key`, without a
    key; before any socket exists."""
    active, public = keys.active(), is_public(host)
    if public and not active:
        loopback(host)  # says how to make one
    if require_key and not active:
        raise InputError("There is no key to ask for.", "Make one with: linnet keys create NAME")
    if wrong := [name for name in names if not _HOST_NAME.fullmatch(name.lower())]:
        raise InputError(f"{wrong[0][:80]!r} is not the name of a host.", "Say it without a scheme and a port.")
    required = public or require_key
    address = address_of(host)
    return Exposure(
        host=address,
        port=port,
        reachable_by=NETWORK if public else HERE,
        host_names=tuple(dict.fromkeys((*LOOPBACK_NAMES, address, *names))),
        key_required=required,
        open_without_key=tuple(sorted(OPEN)) if required else ("every route",),
        keys=tuple(active),
    )
