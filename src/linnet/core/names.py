"""The grammar of names, in one place: what may become part of a path or an address."""

from __future__ import annotations

import re
from dataclasses import dataclass

from linnet.core.errors import NameInvalid

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}
ENGINES = "engines"  # the store's room of native builds
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


_ORG = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_HUB_NAME = re.compile(
    rf"hf:(?P<org>{_ORG})/(?P<repo>{_ORG})(?::(?P<quant>[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}))?"
    r"(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{0,127}))?"
)
HUB_GRAMMAR = (
    "A hub name is hf:org/repo, hf:org/repo:QUANT or either with @revision, e.g. hf:Qwen/Qwen3-0.6B-GGUF:Q8_0."
)
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubName:
    """`hf:org/repo[:QUANT][@revision]`, taken apart. What was not given is empty."""

    org: str
    repo: str
    quant: str = ""
    revision: str = ""

    @property
    def repo_id(self) -> str:
        return f"{self.org}/{self.repo}"

    def __str__(self) -> str:
        quant = f":{self.quant}" if self.quant else ""
        return f"hf:{self.repo_id}{quant}" + (f"@{self.revision}" if self.revision else "")


def parse_hub_name(name: str) -> HubName:
    """Take a hub name apart. Raises NameInvalid with its grammar."""
    found = _HUB_NAME.fullmatch(name)
    if not found or ".." in name:
        raise NameInvalid(f"{name[:80]!r} is not a valid hub name.", HUB_GRAMMAR)
    return HubName(found["org"], found["repo"], found["quant"] or "", found["revision"] or "")


def split_tag(full_name: str) -> tuple[str, str | None]:
    """('qwen3', 'q8_0') from 'qwen3:q8_0', ('qwen3', None) from 'qwen3'. Raises NameInvalid."""
    name, colon, tag = full_name.partition(":")
    check_name(name, "model name")
    return name, check_name(tag, "model tag") if colon else None


def to_name(text: str) -> str:
    """The nearest name that the grammar allows: 'Qwen3-0.6B (new)' becomes 'qwen3-0.6b-new'."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("._-")
    plain = re.sub(r"\.{2,}", ".", plain)[:64].rstrip("._-")
    return plain if is_name(plain) else f"model-{plain}"[:64].rstrip("._-")


def check_file_name(name: str) -> str:
    """A file of a model, in its folder or one below: 'config.json', '1_Pooling/config.json'. Raises NameInvalid."""
    parts = name.split("/")
    if len(parts) > 2 or any(not _FILE.fullmatch(part) or ".." in part for part in parts):
        raise NameInvalid(f"{name[:80]!r} is not a valid name for a model's file.", "Letters, digits and . _ - + only.")
    return name


def check_digest(text: str) -> str:
    """The 64 lower-case hex digits of a sha256. Raises NameInvalid: nothing else may become a blob's path."""
    if not _DIGEST.fullmatch(text):
        raise NameInvalid(f"{text[:80]!r} is not a sha256.", "A digest is 64 of 0-9 and a-f.")
    return text
