"""Connections that go only where they were checked to go.

A host is resolved once per client, its addresses are checked, and the connection is made to the checked address:
a name that resolves to something else later changes nothing. TLS still asks for the host's own certificate.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable

import httpx

from linnet.core.errors import HubError
from linnet.hub.endpoint import Endpoint, Limits, Origin, parse_origin, refuse_address

Resolve = Callable[[str, int], list[str]]
Connect = Callable[[Origin], httpx.BaseTransport]


def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard(httpx.BaseTransport):
    """Refuses every request that leaves the rules of `endpoint`; hands on the rest, one inner transport per origin.

    Raises HubError for a refusal, httpx's errors for what a retry may mend. `resolve` and `connect` are the seams
    where tests stand in for a network.
    """

    def __init__(
        self, endpoint: Endpoint, limits: Limits, resolve: Resolve = resolve_host, connect: Connect | None = None
    ) -> None:
        self.endpoint = endpoint
        self._resolve = resolve
        self._connect = connect or _connector(limits)
        self._lock = threading.Lock()
        self._inner: dict[Origin, tuple[list[str], httpx.BaseTransport]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        origin = parse_origin(str(request.url))
        if not self.endpoint.allows(origin):
            raise HubError(
                f"{self.endpoint.url} sends the download to {origin}, which is not allowed.",
                "If that host belongs to your hub, name it: LINNET_HUB_HOSTS=host (https only).",
            )
        if origin != self.endpoint.origin and "authorization" in request.headers:
            raise HubError(f"A token was about to go to {origin}: this is a fault of Linnet.", "Please report it.")
        addresses, inner = self._checked(origin)
        request.extensions = {**request.extensions, "sni_hostname": origin.host}
        for number, address in enumerate(addresses):
            request.url = request.url.copy_with(host=address)
            try:
                return inner.handle_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses) - 1:
                    raise
        raise HubError(f"{origin.host} has no address.")

    def _checked(self, origin: Origin) -> tuple[list[str], httpx.BaseTransport]:
        with self._lock:
            if origin not in self._inner:
                self._inner[origin] = (self._addresses(origin), self._connect(origin))
            return self._inner[origin]

    def _addresses(self, origin: Origin) -> list[str]:
        try:
            addresses = self._resolve(origin.host, origin.port)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"the name {origin.host} cannot be resolved") from error
        inside = self.endpoint.may_be_private(origin)
        for address in addresses:
            # One bad address is enough: a name that mixes them is no host of a hub.
            if why := refuse_address(address, inside=inside, plain=origin.scheme == "http"):
                raise HubError(f"No connection to {origin}: {why}.", "Set LINNET_HUB to the hub that you mean.")
        return addresses

    def close(self) -> None:
        with self._lock:
            for _, inner in self._inner.values():
                inner.close()
            self._inner.clear()


def _connector(limits: Limits) -> Connect:
    """Makes real transports, all with one set of certificates."""
    context: list[ssl.SSLContext] = []

    def connect(origin: Origin) -> httpx.BaseTransport:
        if origin.scheme == "http":
            return httpx.HTTPTransport(verify=False, trust_env=False, limits=pool)
        if not context:
            context.append(httpx.create_ssl_context())
        return httpx.HTTPTransport(verify=context[0], trust_env=False, limits=pool)

    pool = httpx.Limits(max_connections=limits.parallel + 1, max_keepalive_connections=limits.parallel)
    return connect
