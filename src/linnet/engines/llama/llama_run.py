"""One generation while it runs: events of the engine become pieces and, at the end, a Generation.

The engine's own counts are not believed: tokens are counted as they come. Knows no connection.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from linnet.core.errors import EngineError
from linnet.engines.llama.llama_body import read_logprobs, read_tokens
from linnet.engines.requests.generation import Finish, Generation, Piece, Timings
from linnet.engines.requests.stop_texts import StopTexts

LONGEST_TOKEN = 1024  # characters; vocabularies hold runs of a few hundred spaces


@dataclass(slots=True)
class Run:
    """What was seen of one generation, of at most `room` tokens. Times are of the monotonic clock."""

    prompt_tokens: int
    seed: int
    started: float
    top_logprobs: int | None
    stops: StopTexts
    room: int
    got_slot: float = 0.0
    first_token: float | None = None
    text: str = ""
    tokens: int = 0
    cached: int = 0
    prompt_ms: float = 0.0
    spread: int = 0  # characters outside ASCII: each may hide up to three tokens

    def piece(self, event: dict[str, Any]) -> Piece | None:
        """The piece of a text event; None for an event about progress. Raises EngineError for nonsense."""
        progress = event.get("prompt_progress")
        if isinstance(progress, dict):
            self.cached = min(_count(progress, "cache"), self.prompt_tokens)
            self.prompt_ms = _number(progress, "time_ms")
            return None
        text, ids = event.get("content"), read_tokens(event)
        if not isinstance(text, str):
            raise EngineError("The engine sent an event without text.", _BROKEN)
        if self.first_token is None:
            self.first_token = time.monotonic()
        self.tokens += len(ids)
        if self.tokens > self.room or len(self.text) + len(text) > LONGEST_TOKEN * (self.room + 1):
            raise EngineError(f"The engine sent more than the {self.room} tokens it was asked for.", _BROKEN)
        self.spread += sum(1 for character in text if character > "\x7f")
        safe = self.stops.feed(text)
        self.text += safe
        return Piece(safe, ids, read_logprobs(event, self.top_logprobs))

    def rest(self) -> Piece | None:
        """The text that might have become a stop text and did not."""
        rest = self.stops.rest()
        self.text += rest
        return Piece(rest, ()) if rest else None

    def end(self, finish: Finish, event: dict[str, Any] | None = None) -> Generation:
        """The answer's end. Of the engine's own count only what whole characters can hide is believed."""
        event = event or {}
        timings = event.get("timings")
        told: dict[str, Any] = timings if isinstance(timings, dict) else {}
        hidden = min(max(0, _count(event, "tokens_predicted") - self.tokens), 3 * self.spread + 3)
        now = time.monotonic()
        first = self.first_token
        return Generation(
            text=self.text,
            finish_reason=finish,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=min(_count(told, "cache_n"), self.prompt_tokens) if told else self.cached,
            completion_tokens=self.tokens + hidden,
            seed=self.seed,
            timings=Timings(
                queued_ms=1000 * ((self.got_slot or now) - self.started),
                first_token_ms=None if first is None else 1000 * (first - self.started),
                total_ms=1000 * (now - self.started),
                prompt_ms=_number(told, "prompt_ms") if told else self.prompt_ms,
                decode_ms=_number(told, "predicted_ms") if told else 1000 * (now - (first or now)),
                draft_tokens=_count(told, "draft_n"),
                draft_accepted=_count(told, "draft_n_accepted"),
            ),
            stop_text=self.stops.text,
        )


_BROKEN = "Stop the model and load it again; check its file with: linnet check"


def _count(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    return value if type(value) is int and 0 <= value < 1 << 62 else 0


def _number(found: dict[str, Any], name: str) -> float:
    value = found.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value < math.inf and value < 1 << 62 else 0.0
