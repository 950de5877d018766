"""Which addresses a pull may go to: decided on values, before a socket is opened."""

from __future__ import annotations

import pytest

from linnet.core.errors import HubError, InputError
from linnet.hub.endpoint import PUBLIC_HUB, Endpoint, Origin, endpoint, parse_origin, refuse_address

INSIDE = ["127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"]
INSIDE += ["::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"]
INSIDE += ["fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "224.0.0.1", "2001:db8::1", "64:ff9b:1::1"]
OUTSIDE = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LINNET_HUB", "LINNET_HUB_HOSTS", "LINNET_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("address", INSIDE)
def test_abuse_15_an_address_of_this_network_is_refused(address: str) -> None:
    assert refuse_address(address, inside=False, plain=False)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_taken_over_https_only(address: str) -> None:
    assert refuse_address(address, inside=False, plain=False) == ""
    assert refuse_address(address, inside=True, plain=False) == ""
    assert "not encrypted" in refuse_address(address, inside=True, plain=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fc00::1"])
def test_a_mirror_that_the_user_named_may_be_inside_and_plain(address: str) -> None:
    assert refuse_address(address, inside=True, plain=True) == ""


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1", "ff02::1"])
def test_no_host_has_such_an_address(address: str) -> None:
    assert refuse_address(address, inside=True, plain=False)


def test_the_default_is_the_public_hub() -> None:
    here = endpoint()
    assert here.url == PUBLIC_HUB
    for host, allowed in (
        ("huggingface.co", True),
        ("cdn-lfs.huggingface.co", True),
        ("cas-bridge.xethub.hf.co", True),
        ("evilhuggingface.co", False),
        ("hf.co.evil.example", False),
        ("evil.example", False),
    ):
        assert here.allows(parse_origin(f"https://{host}/x")) is allowed, host
    assert not here.allows(parse_origin("http://cdn-lfs.huggingface.co"))
    assert not here.may_be_private(here.origin)


def test_a_mirror_allows_itself_and_what_the_user_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_HUB", "http://mirror.lan:8080/hf/")
    monkeypatch.setenv("LINNET_HUB_HOSTS", "store.lan, .blobs.lan")
    here = endpoint()
    assert (here.url, here.origin) == ("http://mirror.lan:8080/hf", Origin("http", "mirror.lan", 8080))
    assert here.may_be_private(here.origin)
    for url, allowed in (
        ("http://mirror.lan:8080/x", True),
        ("http://mirror.lan:8081/x", False),
        ("https://mirror.lan/x", False),
        ("https://store.lan/x", True),
        ("http://store.lan/x", False),
        ("https://a.blobs.lan/x", True),
        ("https://huggingface.co/x", False),
    ):
        assert here.allows(parse_origin(url)) is allowed, url
    assert not here.may_be_private(parse_origin("https://store.lan"))


@pytest.mark.parametrize(
    "text", ["mirror.lan", "ftp://x", "file:///etc", "https://", "https://u:p@x", "http://x:y", "https://a?b=1"]
)
def test_what_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LINNET_HUB", text)
    with pytest.raises(InputError, match="LINNET_HUB=") as caught:
        endpoint()
    assert "host" in caught.value.hint


@pytest.mark.parametrize("name", ["LINNET_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for value in ("0", "false", ""):
        monkeypatch.setenv(name, value)
        endpoint()
    monkeypatch.setenv(name, "1")
    with pytest.raises(HubError, match=r"Offline mode is on.*\n.*linnet import PATH"):
        endpoint()


def test_an_origin_is_normal() -> None:
    assert parse_origin("HTTPS://Host.Example.:443/x") == Origin("https", "host.example", 443)
    assert str(parse_origin("http://[::1]:80/")) == "http://[::1]"
    assert str(Endpoint(parse_origin("https://h:8443"), "/p", ()).url) == "https://h:8443/p"
