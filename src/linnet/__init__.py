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
    from linnet.pipeline.merge import MergeResult, merge
    from linnet.pipeline.tune import TuneOptions, TuneResult, tune
    from linnet.stages.serve import Specialists

_HOMES = {
    "BuildResult": "linnet.pipeline.build",
    "Event": "linnet.core.events",
    "LinnetError": "linnet.core.errors",
    "MergeResult": "linnet.pipeline.merge",
    "Specialist": "linnet.core.records",
    "Specialists": "linnet.stages.serve",
    "Store": "linnet.core.store",
    "Task": "linnet.core.task",
    "TuneOptions": "linnet.pipeline.tune",
    "TuneResult": "linnet.pipeline.tune",
    "build": "linnet.pipeline.build",
    "merge": "linnet.pipeline.merge",
    "parse_task": "linnet.core.task",
    "read_task": "linnet.core.task",
    "tune": "linnet.pipeline.tune",
}

__all__ = [
    "BuildResult",
    "Event",
    "LinnetError",
    "MergeResult",
    "Specialist",
    "Specialists",
    "Store",
    "Task",
    "TuneOptions",
    "TuneResult",
    "__version__",
    "build",
    "merge",
    "parse_task",
    "read_task",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'linnet' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
