"""Redirects and names, with a network that a test makes up: who is asked, at which address, with which token."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from linnet.core.errors import HubError
from linnet.hub.client import Hub, Interruption
from linnet.hub.endpoint import Endpoint, Limits, Origin, parse_origin
from linnet.hub.transport import Guard

QUICK = Limits(backoff_s=0.001, retries=1)
PUBLIC = {"hub.example": ["93.184.216.34"], "cdn.example": ["93.184.216.35"], "other.example": ["93.184.216.36"]}


class Network:
    """Hosts with addresses, and what they answer. Keeps every request as (address, host header, token)."""

    def __init__(self, answers: dict[str, Callable[[httpx.Request], httpx.Response]]) -> None:
        self.answers = answers
        self.hosts = dict(PUBLIC)
        self.looked_up: list[str] = []
        self.asked: list[tuple[str, str, str]] = []

    def resolve(self, host: str, port: int) -> list[str]:
        self.looked_up.append(host)
        if host not in self.hosts:
            raise OSError("no such name")
        return self.hosts[host]

    def connect(self, origin: Origin) -> httpx.BaseTransport:
        def handle(request: httpx.Request) -> httpx.Response:
            token = request.headers.get("authorization", "")
            self.asked.append((request.url.host, request.headers["host"], token))
            assert request.extensions["sni_hostname"] == origin.host
            return self.answers[origin.host](request)

        return httpx.MockTransport(handle)

    def hub(self, token: str = "") -> Hub:
        here = Endpoint(parse_origin("https://hub.example"), "", (".example",), token)
        return Hub(here, QUICK, Guard(here, QUICK, self.resolve, self.connect))


def to(url: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(302, headers={"location": url})


def body(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(b"{}"))


def test_abuse_15_the_token_stays_with_the_hub() -> None:
    network = Network({"hub.example": to("https://cdn.example/x?signature=s"), "cdn.example": body})
    with network.hub("hf_secret") as hub:
        assert hub.get_json("/x", "x") == {}
    assert network.asked == [
        ("93.184.216.34", "hub.example", "Bearer hf_secret"),
        ("93.184.216.35", "cdn.example", ""),
    ]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://cdn.example/x", "not allowed"),  # https to http
        ("https://evil.test/x", "not allowed"),
        ("https://hub.example:8443/x", ""),
        ("https://user:pw@cdn.example/x", "no address of a hub"),
        ("http://169.254.169.254/latest/meta-data", "not allowed"),
        ("http://[::ffff:127.0.0.1]/", "not allowed"),
        ("https://169.254.169.254/", "not allowed"),
        ("file:///etc/passwd", "no address of a hub"),
        ("//evil.test/x", "not allowed"),
        ("https://[bad/x", "no address of a hub"),
    ],
)
def test_abuse_15_redirects_that_lead_away(url: str, message: str) -> None:
    network = Network({"hub.example": to(url), "cdn.example": body})
    with network.hub("hf_secret") as hub, pytest.raises(HubError, match=message or "redirects") as caught:
        hub.get_json("/x", "x")
    assert "hf_secret" not in str(caught.value)
    assert {token for _, host, token in network.asked if host != "hub.example"} <= {""}


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"])
def test_abuse_15_a_name_that_leads_inside(address: str) -> None:
    network = Network({"hub.example": to("https://cdn.example/"), "cdn.example": body})
    network.hosts["cdn.example"] = ["93.184.216.35", address]  # one bad address is enough
    with network.hub() as hub, pytest.raises(HubError, match="an address inside this network"):
        hub.get_json("/x", "x")
    assert [host for _, host, _ in network.asked] == ["hub.example"]


def test_a_name_is_looked_up_once() -> None:
    network = Network({"hub.example": body})
    with network.hub() as hub:
        hub.get_json("/x", "x")
        network.hosts["hub.example"] = ["127.0.0.1"]  # rebound after the check
        hub.get_json("/x", "x")
    assert network.looked_up == ["hub.example"]
    assert {address for address, _, _ in network.asked} == {"93.184.216.34"}


@pytest.mark.parametrize(("count", "works"), [(5, True), (6, False), (11, False)])
def test_abuse_15_redirects_are_counted(count: int, works: bool) -> None:
    left = [count]

    def turn(request: httpx.Request) -> httpx.Response:
        left[0] -= 1
        return to("/again")(request) if left[0] >= 0 else body(request)

    network = Network({"hub.example": turn})
    with network.hub() as hub:
        if works:
            hub.get_json("/x", "x")
        else:
            with pytest.raises(HubError, match="more than 5 redirects"):
                hub.get_json("/x", "x")
    assert len(network.asked) == min(count, 5) + 1


def test_the_next_address_is_tried() -> None:
    def deaf(request: httpx.Request) -> httpx.Response:
        if request.url.host == "93.184.216.34":
            raise httpx.ConnectError("refused")
        return body(request)

    network = Network({"hub.example": deaf})
    network.hosts["hub.example"] = ["93.184.216.34", "93.184.216.99"]
    with network.hub() as hub:
        assert hub.get_json("/x", "x") == {}


def test_a_name_that_does_not_resolve_says_so_after_the_retries() -> None:
    network = Network({})
    network.hosts.clear()
    with network.hub() as hub, pytest.raises(HubError, match=r"the name hub\.example cannot be resolved, also after 1"):
        hub.get_json("/x", "x")


def test_the_guard_keeps_a_token_even_if_the_client_would_not() -> None:
    network = Network({"cdn.example": body})
    here = Endpoint(parse_origin("https://hub.example"), "", (".example",), "t")
    guard = Guard(here, QUICK, network.resolve, network.connect)
    request = httpx.Request("GET", "https://cdn.example/", headers={"authorization": "Bearer t"})
    with pytest.raises(HubError, match="about to go to"):
        guard.handle_request(request)
    assert network.asked == []


def test_an_interruption_never_leaves_the_room() -> None:
    assert not issubclass(Interruption, HubError)
    network = Network({"hub.example": lambda _: httpx.Response(503)})
    with network.hub() as hub, pytest.raises(HubError, match="the hub answered 503, also after 1 retries"):
        hub.get_json("/x", "x")
    assert len(network.asked) == 2
