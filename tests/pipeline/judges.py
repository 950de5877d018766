"""Models behind an endpoint on loopback: each a small true fake that reads what it is shown and answers by one habit.

A habit is given the texts between the tags that a judge is shown, and under "" the whole question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.endpoints import listening, reply, said

Habit = Callable[[dict[str, str]], str]
_TAG = re.compile(r"<(\w+)>\n(.*?)\n</\1>", re.DOTALL)


def longer(shown: dict[str, str]) -> str:
    """Prefers the longer answer, wherever it stands; grades by length, 1 to 5."""
    if "answer" in shown:
        return json.dumps({"grade": max(1, min(5, len(shown["answer"])))})
    a, b = len(shown["answer_a"]), len(shown["answer_b"])
    return json.dumps({"verdict": "A" if a > b else "B" if b > a else "tie"})


def always_first(shown: dict[str, str]) -> str:
    """Always the first place."""
    return '{"verdict": "A"}'


def nonsense(shown: dict[str, str]) -> str:
    """Never a verdict."""
    return "As a poet I would rather sing of {both}"


def sometimes_nonsense(shown: dict[str, str]) -> str:
    """As `longer`, but nonsense on every question with a 7."""
    return nonsense(shown) if "7" in shown["question"] else longer(shown)


@dataclass
class Asked:
    """Where it listens, and what it was asked: the bodies."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def judging(habit: Habit) -> Iterator[Asked]:
    """An OpenAI-compatible endpoint with this habit."""
    asked = Asked()

    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        asked.bodies.append(body)
        whole = body["messages"][-1]["content"]
        reply(handler, 200, said(habit({"": whole, **dict(_TAG.findall(whole))})))

    with listening(answer) as url:
        asked.url = f"{url}/v1"
        yield asked
