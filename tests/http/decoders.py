"""What tests of decoders over HTTP share: two small models behind the real application, and faulty ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.core.records import Model
from linnet.core.store import Store
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.formats.resolve import path_model
from linnet.http.decoders import Decoders
from tests.engines.made_llama import STORIES
from tests.engines.workers import fake_engine

STORY = "Once upon a time"


def named(name: str, path: Path) -> tuple[str, Model]:
    return f"{name}:latest", path_model(path, str(path)).model_copy(update={"name": f"{name}:latest"})


def small_engine(model: Model, free_bytes: int, embedding: bool, context: int = 512) -> LlamaEngine:
    # One thread: two of a tiny model mostly wait for each other.
    options = LoadOptions(context=context, threads=1, slots=1 if embedding else 2, embedding=embedding)
    return open_llama(Path(model.path), options, label=model.name, free_bytes=free_bytes)


def faulty(store: Store, mode: str, **more: Any) -> Decoders:
    """Decoders whose one model, `stories`, is the fake worker in this mode."""

    def open_fake(model: Model, free_bytes: int, embedding: bool) -> LlamaEngine:
        return fake_engine(mode, **more)

    return Decoders(store, [named("stories", STORIES)], open_engine=open_fake)
