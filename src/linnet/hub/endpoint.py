"""Which hub, which other hosts, and the limits of a pull: frozen values, read once from the settings."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from linnet.core import settings
from linnet.core.errors import HubError, InputError

PUBLIC_HUB = "https://huggingface.co"
# Where the public hub's downloads are sent: every host below these two.
PUBLIC_HOSTS = (".huggingface.co", ".hf.co")
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pull may take. Seconds and bytes.

    `stall_s`: so long without `stall_bytes` of progress is a stall. `retries` are in a row without a mebibyte of
    progress; the pause before them doubles from `backoff_s`. `wanted_bytes` of one part are asked for at a time.
    """

    listing_bytes: int = 4 << 20
    header_bytes: int = 64 << 20
    redirects: int = 5
    connect_s: float = 15
    stall_s: float = 30
    stall_bytes: int = 1 << 10
    retries: int = 6
    backoff_s: float = 0.5
    parallel: int = 4
    part_bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what a token belongs to."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")


def parse_origin(url: str) -> Origin:
    """The origin of an address. Raises HubError for anything but a plain http or https address."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        scheme, host, port = "", "", None
    if scheme not in PORTS or not host or "@" in parts.netloc:
        raise HubError(
            f"{url[:80]!r} is no address of a hub.", "An address begins with https:// or http://, then a host."
        )
    return Origin(scheme, host.lower(), port or PORTS[scheme])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The hub that was chosen: its origin, the path before `/api`, hosts it may redirect to, and the token for it."""

    origin: Origin
    prefix: str
    hosts: tuple[str, ...]
    token: str = ""

    @property
    def url(self) -> str:
        return f"{self.origin}{self.prefix}"

    def allows(self, origin: Origin) -> bool:
        """Whether a request may go there: the hub itself, or over https to a host of its list."""
        if origin == self.origin:
            return True
        inside = any(origin.host == h or (h.startswith(".") and origin.host.endswith(h)) for h in self.hosts)
        return origin.scheme == "https" and inside

    def may_be_private(self, origin: Origin) -> bool:
        """Whether an address inside this network is what the user asked for: only as the hub itself."""
        return origin == self.origin and self.url != PUBLIC_HUB


def endpoint() -> Endpoint:
    """The hub of the settings. Raises InputError for an address that is none, HubError in offline mode."""
    if settings.offline():
        raise HubError(
            "Offline mode is on: no command goes to a hub.",
            "Unset LINNET_OFFLINE and HF_HUB_OFFLINE, or import a model from a file: linnet import PATH",
        )
    chosen = settings.get("LINNET_HUB") or PUBLIC_HUB
    try:
        origin, path = parse_origin(chosen), urlsplit(chosen)
    except HubError as error:
        raise InputError(f"LINNET_HUB={chosen[:80]!r} is no address of a hub.", error.hint) from error
    if path.query or path.fragment:
        raise InputError(f"LINNET_HUB={chosen[:80]!r} has a query.", "An address is scheme, host and path.")
    more = tuple(host.strip().lower() for host in settings.get("LINNET_HUB_HOSTS").split(",") if host.strip())
    hosts = (*more, *PUBLIC_HOSTS) if str(origin) == PUBLIC_HUB else more
    return Endpoint(origin, path.path.rstrip("/"), hosts, settings.get("HF_TOKEN"))


def refuse_address(address: str, *, inside: bool, plain: bool) -> str:
    """Why a connection to this IP address is refused, or an empty string.

    inside: the user configured this very host, so that an address of this network is what they mean.
    plain: the connection is http, which must not leave this network.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    private = not _is_public(found)
    if private and not inside:
        return f"{address} is an address inside this network"
    if found.is_multicast or found.is_unspecified:
        return f"{address} is no address of a host"
    if plain and not private:
        return f"{address} is on the internet and http is not encrypted: use https"
    return ""


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of the internet, also where it wraps an IPv4 address that is not."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in ipaddress.ip_network("64:ff9b::/96"):
            wrapped.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(inner is not None and not _is_public(inner) for inner in wrapped):
            return False
        if address.is_site_local or address in ipaddress.ip_network("64:ff9b:1::/48"):
            return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast
