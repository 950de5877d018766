"""GET /metrics: the numbers are those of the requests, and no text of a request is in a label."""

from __future__ import annotations

import re

from tests.http.conftest import Client
from tests.http.decoders import STORY

SECRET = "the text that must not be repeated"


def numbers(client: Client) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = re.findall(r"^([a-z_]+(?:\{.*\})?) ([0-9.e+-]+|\+Inf)$", response.text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_requests_tokens_and_memory(writer: Client) -> None:
    body = {"model": "stories", "prompt": STORY, "max_tokens": 5, "n": 2, "user": SECRET}
    usage = writer.post("/v1/completions", json=body).json()["usage"]
    writer.post("/v1/completions", json={**body, "stream": True})
    writer.post("/v1/completions", json={**body, "prompt": SECRET * 100})
    writer.post("/v1/completions", json={**body, "model": SECRET})
    writer.get(f"/{SECRET}")
    found = numbers(writer)
    route = 'method="POST",route="/v1/completions"'
    assert found[f'linnet_http_requests_total{{{route},status="200"}}'] == 2
    assert found[f'linnet_http_requests_total{{{route},status="400"}}'] == 2
    assert found['linnet_http_requests_total{method="GET",route="(none)",status="404"}'] == 1
    assert found['linnet_refusals_total{code="context_length_exceeded",status="400"}'] == 1
    model = 'model="stories:latest"'
    assert found[f'linnet_tokens_total{{kind="completion",{model}}}'] == 2 * usage["completion_tokens"] == 20
    assert found[f'linnet_tokens_total{{kind="prompt",{model}}}'] == 4 * usage["prompt_tokens"]
    assert found[f'linnet_generations_total{{finish="length",{model}}}'] == 4
    assert found[f"linnet_time_to_first_token_seconds_count{{{model}}}"] == 4
    assert found[f"linnet_tokens_per_second_count{{{model}}}"] == 4
    assert found[f'linnet_model_memory_bytes{{kind="planned",{model}}}'] > 1e6
    assert found["linnet_queue_depth"] == found["linnet_generations_running"] == 0
    assert SECRET not in writer.get("/metrics").text
