"""Stop texts, found while an answer streams. Pure: knows no engine.

Done here because llama.cpp, when an answer ends by its length, drops the text that it held back as the possible
beginning of a stop text.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopTexts:
    """Feed it the answer bit by bit; what it gives back is safe to show.

    `found` once a stop was seen, `text` which, and `after` what came behind it.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = False
        self.text = self.after = ""

    def feed(self, text: str) -> str:
        """The text that cannot be part of a stop text any more, up to the first stop text."""
        self._held += text
        hits = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if hits:
            at, self.text = min(hits)
            self.found = True
            self.after = self._held[at + len(self.text) :]
            safe, self._held = self._held[:at], ""
            return safe
        keep = max((self._overlap(stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        safe, self._held = self._held[:cut], self._held[cut:]
        return safe

    def rest(self) -> str:
        """What was held back, once the answer has ended without a stop text."""
        rest, self._held = self._held, ""
        return rest

    def _overlap(self, stop: str) -> int:
        """How much of the end of the held text is a beginning of `stop`."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if stop.startswith(self._held[-n:])), 0)
