"""docs/guide/serve.md is executed, not trusted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.http.conftest import Client

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "serve.md").read_text()
CURLS = re.findall(r"^curl http://127\.0\.0\.1:11500(\S+)(?:.*\\\n\s+-d '(.*)')?", GUIDE, re.MULTILINE)


def test_there_are_examples() -> None:
    assert len(CURLS) == 3


@pytest.mark.parametrize(("path", "body"), CURLS)
def test_examples_are_answered(client: Client, path: str, body: str) -> None:
    response = client.post(path, json=json.loads(body)) if body else client.get(path)
    assert response.status_code == 200
    assert "support:1" in response.text


def test_every_route_is_in_the_guide(client: Client) -> None:
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path.replace('{model}', '{id}')}`" in GUIDE
