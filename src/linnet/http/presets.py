"""What a created model says beside its weights, put under what a request says: one place for every dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from linnet.core.records import Preset
from linnet.engines.llama.pool_entries import PoolEngine
from linnet.engines.requests.generation import GenerateRequest, Message, Sampling
from linnet.engines.requests.preset_words import preset_words

SEEDS = (1 << 32) - 1  # larger and negative seeds are taken modulo this


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Sampling):
    """How a client wants to sample; `said` names the values that are its own and not the engine's defaults."""

    said: frozenset[str] = frozenset()


def adopt(request: GenerateRequest, preset: Preset | None, number: int = 0) -> GenerateRequest:
    """The request with the preset's words wherever it says nothing itself. `number` counts the answers of one call:
    a preset's seed counts on with them."""
    if preset is None:
        return request
    said = request.sampling.said if isinstance(request.sampling, Asked) else preset.parameters.keys()
    words = preset_words(preset, said)
    if "seed" in words.sampling:
        words.sampling["seed"] = (words.sampling["seed"] + number) % SEEDS
    return replace(
        request,
        messages=request.messages and _chat(request.messages, preset),
        sampling=replace(request.sampling, **words.sampling),
        max_tokens=request.max_tokens or words.max_tokens,
        stop=request.stop or words.stop,
    )


def _chat(messages: Sequence[Message], preset: Preset) -> tuple[Message, ...]:
    """A request's own system message takes the place of the preset's."""
    own = [message for message in messages if message.role == "system"]
    before = [Message(role, content) for role, content in preset.messages if not own or role != "system"]
    if not own and preset.system and not any(message.role == "system" for message in before):
        before = [Message("system", preset.system), *before]
    if messages[0].role == "system":
        return (messages[0], *before, *messages[1:])
    return (*before, *messages)


class Adopting:
    """An engine that counts the tokens of a request as they will be, the preset's words among them."""

    def __init__(self, engine: PoolEngine, preset: Preset) -> None:
        self._engine, self._preset = engine, preset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def prompt_ids(self, request: GenerateRequest) -> list[int]:
        return self._engine.prompt_ids(adopt(request, self._preset))
