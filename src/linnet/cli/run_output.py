"""How `linnet run` shows an answer while it is made, and what Ctrl-C does meanwhile.

A model's text is of unknown origin: nothing in it may move the cursor, change the terminal or turn the line around.
"""

from __future__ import annotations

import json
import queue
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Any

from linnet.core.errors import EngineError, LinnetError

if TYPE_CHECKING:
    from linnet.engines.base import Decoder
    from linnet.engines.requests.generation import Cancel, GenerateRequest, Generation, Piece

# Control characters but line break and tab, line and paragraph separators, marks that turn text around, the byte order
# mark, invisible tags, halves of a pair. Joiners stay: emoji and many scripts need them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
LEAVE_AT = 3  # Ctrl-C so often in one answer leaves, should the engine not stop


def shown(text: str) -> str:
    """A model's text with everything that a terminal would obey written out, such as \\x1b. Works piece by piece."""
    return _UNSAFE.sub(lambda found: repr(found[0])[1:-1], text)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that a terminal cannot obey either; whoever parses it gets the exact text."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], text)


def show_error(error: LinnetError) -> None:
    print(f"error: {shown(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"       {shown(error.hint)}", file=sys.stderr)


def stream_answer(engine: Decoder, request: GenerateRequest, write: Callable[[str], None]) -> Generation:
    """Write the pieces as they come and return the end; Ctrl-C ends the answer early. Raises what the engine raises.

    The engine works in another thread, so that this one can hear Ctrl-C however long the next piece takes.
    """
    from linnet.engines.requests.generation import Cancel, Piece

    cancel, items = Cancel(), queue.SimpleQueue[Any]()

    def work() -> None:
        try:
            for item in engine.generate(request, cancel):
                items.put(item)
            items.put(EngineError("The engine's answer has no end."))
        except BaseException as error:
            items.put(error)

    try:
        with _ctrl_c(cancel):
            threading.Thread(target=work, name="linnet-run-answer", daemon=True).start()
            while True:
                item: Piece | Generation | BaseException = items.get()
                if isinstance(item, BaseException):
                    raise item
                if not isinstance(item, Piece):
                    return item
                write(item.text)
    finally:
        cancel.cancel()


@contextmanager
def _ctrl_c(cancel: Cancel) -> Iterator[None]:
    """Ctrl-C cancels. Python hears signals in its main thread only; in others nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = 0

    def hear(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard == 1:
            cancel.cancel()
        elif heard >= LEAVE_AT:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Printer:
    """Writes an answer to standard output piece by piece, and ends its last line."""

    def __init__(self) -> None:
        self._last = "\n"

    def __call__(self, text: str) -> None:
        if text:
            sys.stdout.write(shown(text))
            sys.stdout.flush()
            self._last = text[-1]

    def end(self) -> None:
        if self._last != "\n":
            print(flush=True)
        self._last = "\n"


def finish_note(found: Generation, max_tokens: int | None, context: int, cure: str) -> str:
    """What an early end means, or nothing. `cure` is how to get more room when the context is full."""
    if found.finish_reason == "cancelled":
        return "stopped by Ctrl-C; the answer is not complete"
    if found.finish_reason != "length":
        return ""
    if max_tokens is not None and found.completion_tokens >= max_tokens:
        return f"stopped at max_tokens {max_tokens}: the answer may not be complete (finish reason length)"
    used = f"{found.prompt_tokens} of the prompt and {found.completion_tokens} of the answer"
    return f"the context of {context} tokens is full, {used}: the answer is not complete (finish reason length). {cure}"


def statistics(found: Generation) -> dict[str, Any]:
    """Everything about an answer but its text, for --json."""
    timings = {name: None if ms is None else round(ms, 3) for name, ms in asdict(found.timings).items()}
    return {
        "finish_reason": found.finish_reason,
        "prompt_tokens": found.prompt_tokens,
        "cached_tokens": found.cached_tokens,
        "completion_tokens": found.completion_tokens,
        "seed": found.seed,
        "timings": timings,
    }


def in_words(found: Generation) -> list[str]:
    """The same for a person, line by line."""
    timings, count = found.timings, found.completion_tokens
    cached = f" ({found.cached_tokens} from the cache)" if found.cached_tokens else ""
    first = "none" if timings.first_token_ms is None else f"{timings.first_token_ms / 1000:.2f} s"
    decoding = timings.total_ms - (timings.first_token_ms or 0.0)
    speed = f", {1000 * (count - 1) / decoding:.1f} tokens/s" if count > 1 and decoding > 0 else ""
    guessed = f"{timings.draft_accepted} of {timings.draft_tokens} tokens guessed right"
    return [
        f"prompt      {found.prompt_tokens} tokens{cached}",
        f"answer      {count} tokens, finish reason {found.finish_reason}",
        f"first token {first}",
        f"total       {timings.total_ms / 1000:.2f} s{speed}",
        *([f"speculation {guessed}"] if timings.draft_tokens else []),
        f"seed        {found.seed}",
    ]
