"""Linnet: from your examples to a small language model you can trust, on hardware you own.

The public names, sorted. Importing this module loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linnet.version import __version__

if TYPE_CHECKING:
    from linnet.core.errors import LinnetError
    from linnet.core.events import Event
    from linnet.core.records import Specialist
    from linnet.core.store import Store
    from linnet.core.task import Task, parse_task, read_task
    from linnet.pipeline.build import BuildResult, build
    from linnet.stages.serve import Specialists

_HOMES = {
    "BuildResult": "linnet.pipeline.build",
    "Event": "linnet.core.events",
    "LinnetError": "linnet.core.errors",
    "Specialist": "linnet.core.records",
    "Specialists": "linnet.stages.serve",
    "Store": "linnet.core.store",
    "Task": "linnet.core.task",
    "build": "linnet.pipeline.build",
    "parse_task": "linnet.core.task",
    "read_task": "linnet.core.task",
}

__all__ = [
    "BuildResult",
    "Event",
    "LinnetError",
    "Specialist",
    "Specialists",
    "Store",
    "Task",
    "__version__",
    "build",
    "parse_task",
    "read_task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'linnet' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
