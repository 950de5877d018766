"""The grammar of names, in one place: what may become part of a path or an address."""

from __future__ import annotations

import re

from linnet.core.errors import NameInvalid

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}
GRAMMAR = "A name is 1 to 64 of a-z, 0-9, dot, dash and underscore, starting with a letter or digit."


def is_name(name: str) -> bool:
    """Whether a name follows the grammar."""
    plain = _NAME.fullmatch(name) and not name.endswith(".") and ".." not in name
    return bool(plain) and name.split(".")[0] not in _RESERVED


def check_name(name: str, what: str = "name") -> str:
    """Return the name, or raise NameInvalid with the grammar."""
    if not is_name(name):
        raise NameInvalid(f"{name[:80]!r} is not a valid {what}.", GRAMMAR)
    return name


def split_version(full_name: str) -> tuple[str, int | None]:
    """('support', 2) from 'support:2', ('support', None) from 'support' or 'support:latest'."""
    name, colon, version = full_name.partition(":")
    check_name(name, "specialist name")
    if not colon or version == "latest":
        return name, None
    if not re.fullmatch(r"[1-9][0-9]{0,5}", version):
        raise NameInvalid(f"{full_name[:80]!r}: the version after the colon is a whole number or 'latest'.", GRAMMAR)
    return name, int(version)
