"""Answers of a real server on this machine: bounded, retried, never unpacked."""

from __future__ import annotations

import resource
import time

import pytest

from linnet.core.errors import HubError, NotFound
from linnet.hub.client import Hub
from linnet.hub.endpoint import Endpoint, Limits, parse_origin
from tests.hub_imitation import FakeHub

PATH = "/api/models/org/tiny/revision/main?blobs=true"


def test_a_listing(hub: Hub, fake: FakeHub) -> None:
    assert hub.get_json(PATH, "it")["sha"] == fake.commit
    assert fake.asked[0].token == ""


@pytest.mark.parametrize("lie", ["500", "429"])
def test_what_passes_is_retried(hub: Hub, fake: FakeHub, lie: str) -> None:
    fake.lie, fake.lies_left = lie, 3
    assert hub.get_json(PATH, "it")["sha"] == fake.commit
    assert len(fake.asked) == 4
    fake.lies_left = 4
    with pytest.raises(HubError, match=rf"it: the hub answered {lie}, also after 3 retries.\nRun the same command"):
        hub.get_json(PATH, "it")


def test_what_is_not_there(hub: Hub, fake: FakeHub) -> None:
    with pytest.raises(NotFound, match="has no such thing"):
        hub.get_json("/api/models/org/other/revision/main", "hf:org/other")
    assert len(fake.asked) == 1


def test_a_gated_repository_needs_a_token(hub: Hub, fake: FakeHub) -> None:
    fake.token = "hf_right"
    with pytest.raises(HubError, match=r"refuses \(401\).\nIt needs a token.*HF_TOKEN"):
        hub.get_json(PATH, "it")
    for token, works in (("hf_right", True), ("hf_wrong", False)):
        with Hub(Endpoint(parse_origin(fake.url), "", (), token), hub.limits) as other:
            if works:
                other.get_json(PATH, "it")
                continue
            with pytest.raises(HubError, match="The token in HF_TOKEN does not open it") as caught:
                other.get_json(PATH, "it")
            assert token not in str(caught.value)


@pytest.mark.parametrize("lie", ["long listing", "endless listing"])
def test_abuse_15_a_listing_is_bounded(hub: Hub, fake: FakeHub, lie: str) -> None:
    fake.lie = lie
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(HubError, match="4194304"):
        hub.get_json(PATH, "it")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # in KiB


@pytest.mark.parametrize(("limit", "works"), [(0, True), (-1, False)])
def test_the_bound_of_a_listing_is_exact(hub: Hub, fake: FakeHub, limit: int, works: bool) -> None:
    import json

    size = len(json.dumps(fake.listing(True)).encode())
    with Hub(hub.endpoint, Limits(listing_bytes=size + limit, retries=0)) as other:
        if works:
            other.get_json(PATH, "it")
        else:
            with pytest.raises(HubError, match=f"has {size} bytes, at most {size - 1} are read"):
                other.get_json(PATH, "it")


def test_what_is_no_json(hub: Hub, fake: FakeHub) -> None:
    fake.lie = "no json"
    with pytest.raises(HubError, match="something that is no JSON"):
        hub.get_json(PATH, "it")


def test_abuse_15_nothing_is_unpacked(hub: Hub, fake: FakeHub) -> None:
    fake.lie = "gzip bomb"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(HubError, match="the answer is compressed"):
        hub.get_json("/org/tiny/resolve/main/blob.gguf", "it")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_abuse_15_a_redirect_to_another_port_is_not_followed(hub: Hub, fake: FakeHub) -> None:
    from tests.hub_imitation import running

    with running(FakeHub({})) as other:
        fake.redirect_to = f"{other.url}/x"
        with pytest.raises(HubError, match="which is not allowed"):
            hub.get_json("/org/tiny/resolve/main/blob.gguf", "it")
        assert other.asked == []


def test_abuse_15_a_loop_of_redirects(hub: Hub, fake: FakeHub) -> None:
    fake.lie = "loop"
    with pytest.raises(HubError, match="more than 5 redirects"):
        hub.get_json("/org/tiny/resolve/main/blob.gguf", "it")
    assert len(fake.asked) == 6


@pytest.mark.parametrize("lie", ["stall", "trickle"])
def test_a_silent_hub_is_given_up(fake: FakeHub, lie: str) -> None:
    fake.lie = lie
    limits = Limits(stall_s=0.3, retries=1, backoff_s=0.001)
    started = time.monotonic()
    with Hub(Endpoint(parse_origin(fake.url), "", ()), limits) as hub, pytest.raises(HubError, match="after 1 retries"):
        hub.get_json("/org/tiny/resolve/main/blob.gguf", "it")
    assert time.monotonic() - started < 10


def test_nobody_listens() -> None:
    nobody = Endpoint(parse_origin("http://127.0.0.1:9"), "", ())
    with (
        Hub(nobody, Limits(retries=1, backoff_s=0.001)) as hub,
        pytest.raises(HubError, match="also after 1 retries"),
    ):
        hub.get_json(PATH, "it")
