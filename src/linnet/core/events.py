"""Progress, as values. A stage says what happens; the command line and the server show it in their own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    kind: "start", "progress", "note", "warning", "reused" or "done". `done` of `total` counts units of work
    (steps, rows) where they are known.
    """

    kind: Literal["start", "progress", "note", "warning", "reused", "done"]
    stage: str
    message: str
    done: int = 0
    total: int = 0
    data: dict[str, Any] = field(default_factory=dict)


OnEvent = Callable[[Event], None]


def silent(_: Event) -> None:
    """The listener that shows nothing."""
