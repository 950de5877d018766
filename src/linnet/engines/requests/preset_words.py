"""What a created model says about sampling and length, below what a request says itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from linnet.core.records import Preset


@dataclass(frozen=True, slots=True)
class PresetWords:
    """`sampling` are fields of Sampling that the request does not name; `max_tokens` is None where it says nothing."""

    sampling: dict[str, Any]
    max_tokens: int | None
    stop: tuple[str, ...]
    context: int


def preset_words(preset: Preset, said: Collection[str]) -> PresetWords:
    """The preset's parameters, less the sampling values that are `said`."""
    given: dict[str, Any] = dict(preset.parameters)
    stop, most, context = given.pop("stop", ()), given.pop("num_predict", 0), given.pop("num_ctx", 0)
    sampling = {name: value for name, value in given.items() if name not in said}
    return PresetWords(sampling, most if most > 0 else None, tuple(stop), context)
