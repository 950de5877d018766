"""What tests of workers share: specs for the fake and the real one, and a way to end them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.load_plan import LoadOptions, LoadPlan, plan_load, worker_options
from linnet.engines.worker.process import WorkerSpec
from tests.engines.made_llama import STORIES

FAKE = Path(__file__).with_name("fake_worker.py")


def fake_command(mode: str) -> tuple[str, ...]:
    return (sys.executable, "-I", str(FAKE), mode)


def stories_plan(**options: Any) -> LoadPlan:
    # One thread: two of a tiny model mostly wait for each other.
    return plan_load(STORIES, LoadOptions(**{"context": 512, "threads": 1, "slots": 1, **options}), label="stories")


def fake_spec(mode: str, **more: Any) -> WorkerSpec:
    options = worker_options(stories_plan())
    return WorkerSpec("fake", STORIES, options, command=fake_command(mode), **more)


def fake_engine(mode: str, **more: Any) -> LlamaEngine:
    return LlamaEngine(stories_plan(slots=2), command=fake_command(mode), **more)
