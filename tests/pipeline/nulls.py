"""Every value of a report may be null: a page is still made."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

Place = tuple[Any, ...]


def failures(content: Any, places: Iterable[Place], render: Callable[[Any], object]) -> list[tuple[Place, str]]:
    """Where a null instead of the value makes `render` raise, and what. A place is the way to a value in `content`."""
    failed = []
    for place in places:
        changed = copy.deepcopy(content)
        inner: Any = changed
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = None
        try:
            render(changed)
        except Exception as error:
            failed.append((place, repr(error)))
    return failed
