"""How the command line shows things: bars on a terminal, plain lines in a pipe, one JSON line when asked."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO

from linnet.core.events import Event, OnEvent, silent


def print_json(value: Any) -> None:
    """One JSON document on one line of standard output."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False), flush=True)


def plain(text: str) -> str:
    """Text of unknown origin, with every control character shown instead of obeyed (ANSI escapes among them)."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


class Progress:
    """Shows events on standard error, so that standard output stays the command's answer.

    On a terminal the line of a running stage is redrawn; elsewhere a line is printed at most every five seconds.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._last = 0.0
        self._open = False

    def __call__(self, event: Event) -> None:
        text = plain(event.message)
        if event.kind == "progress":
            now = time.monotonic()
            if now - self._last < (0.1 if self.live else 5.0):
                return
            self._last = now
            share = f" {self._bar(event)} {event.done}/{event.total}" if event.total else ""
            self._write(f"{event.stage:>9}  {text}{share}", keep=not self.live)
            return
        seconds = f" ({event.data['seconds']:.1f} s)" if "seconds" in event.data else ""
        mark = {"start": "…", "done": "✓", "reused": "=", "note": "·", "warning": "!"}[event.kind]
        tail = " (reused)" if event.kind == "reused" else seconds
        self._write(f"{event.stage:>9} {mark} {text}{tail}", keep=True)

    @staticmethod
    def _bar(event: Event) -> str:
        full = int(20 * min(1.0, event.done / event.total))
        return "█" * full + "░" * (20 - full)

    def _write(self, line: str, *, keep: bool) -> None:
        lead = "\r\x1b[K" if self.live and self._open else ""
        self.stream.write(lead + line + ("\n" if keep else ""))
        self.stream.flush()
        self._open = not keep


def listener(quiet: bool) -> OnEvent:
    """What shows progress, or nothing at all."""
    return silent if quiet else Progress()
