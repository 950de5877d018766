"""What is asked of a decoder and what comes back, as frozen values. Every range is checked here and nowhere else.

A field that is not here never reaches an engine: engines translate these values one by one. Knows no engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

from linnet.core.errors import InputError
from linnet.engines.requests.tools import MAX_CALLS, Tool, ToolCall, check_tools

ROLES = ("system", "user", "assistant", "tool")
MAX_MESSAGES = 1000
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MAX_TOP_LOGPROBS = 20
MAX_ADAPTERS = 8
MAX_BIASES = 1024

Finish = Literal["stop", "length", "tool_calls", "cancelled"]

# field -> (whole number?, lowest, highest)
RANGES: dict[str, tuple[bool, float, float]] = {
    "temperature": (False, 0.0, 5.0),
    "top_k": (True, 0, 1 << 20),
    "top_p": (False, 0.0, 1.0),
    "min_p": (False, 0.0, 1.0),
    "repeat_penalty": (False, 0.1, 10.0),
    "repeat_last_n": (True, 0, 1 << 16),
    "presence_penalty": (False, -2.0, 2.0),
    "frequency_penalty": (False, -2.0, 2.0),
    "seed": (True, 0, (1 << 32) - 2),  # 2^32 - 1 means "any" to llama.cpp
    "max_tokens": (True, 1, 1 << 20),
    "top_logprobs": (True, 0, MAX_TOP_LOGPROBS),
    "token_id": (True, 0, (1 << 31) - 1),
    "scale": (False, -10.0, 10.0),
    "bias": (False, -100.0, 100.0),
}


class FieldError(InputError):
    """A field that this model cannot obey. `field` is its name in a GenerateRequest."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


def check_range(field: str, value: object, shown: str = "") -> None:
    """Raise InputError, which names the field and its limits, unless `value` is a number inside them."""
    whole, low, high = RANGES[field]
    kinds: tuple[type, ...] = (int,) if whole else (int, float)
    # bool is an int to Python and NaN fails both comparisons.
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:  # type: ignore[operator]
        what = "a whole number" if whole else "a number"
        said = repr(value)[:80]
        raise InputError(f"{shown or field} is {said}: it must be {what} from {low:g} to {high:g}.")


def _check_all(value: object, names: tuple[str, ...]) -> None:
    for name in names:
        if (found := getattr(value, name)) is not None:
            check_range(name, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is drawn. Temperature 0 is greedy. Without a seed one is drawn and reported.

    `top_k` 0, `top_p` 1, `min_p` 0 and penalties of 1 (repeat) or 0 (presence, frequency) switch that filter off.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for field in fields(Sampling):
            if field.name != "seed" or self.seed is not None:
                check_range(field.name, getattr(self, field.name))


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. Control tokens in `content` are plain text to the model.

    `tool_calls` are what an assistant asked for; a tool's message says which call it answers, and who it is.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    tool_name: str = ""

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise InputError(f"role is {self.role!r}: it must be one of {', '.join(ROLES)}.")
        check_text("content", self.content)
        if self.tool_calls and self.role != "assistant":
            raise InputError(f"a message of {self.role} has tool_calls: only one of the assistant may.")
        if len(self.tool_calls) > MAX_CALLS:
            raise InputError(f"tool_calls has {len(self.tool_calls)} entries: at most {MAX_CALLS} are allowed.")


def check_text(field: str, text: object) -> None:
    """Raise InputError unless `text` is a str that is Unicode: half a surrogate pair is not."""
    if not isinstance(text, str):
        raise InputError(f"{field} is {type(text).__name__}: it must be text.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        where = f"half a surrogate pair at character {error.start}"
        raise InputError(f"{field} holds {where}: it is not Unicode.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """One generation: exactly one of `messages`, `prompt` (raw text) and `token_ids`.

    `stop` texts end the answer and are left out of it. `json_schema` or `grammar` (GBNF) constrain it.
    `top_logprobs` asks for the log-probabilities of each token and that many alternatives.
    `adapters` gives scales of LoRA adapters by the name they were loaded under; others are off.
    `thinking` is for templates that can switch it; None leaves it to the template. `control_tokens` lets a raw
    `prompt` hold the model's control tokens; without it they are plain text, as they always are in messages.
    `tools` may be called in answer to messages: as the model likes with `must_call` None, at least one with "", the
    named one otherwise. `suffix` makes a raw prompt the part before what is to be filled in. `logit_bias` adds to the
    logits of token ids. Raises InputError.
    """

    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    token_ids: tuple[int, ...] | None = None
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | bool | None = None
    grammar: str | None = None
    top_logprobs: int | None = None
    adapters: tuple[tuple[str, float], ...] = ()
    thinking: bool | None = None
    control_tokens: bool = False
    tools: tuple[Tool, ...] = ()
    must_call: str | None = None
    parallel_calls: bool = True
    suffix: str | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        given = [name for name in ("messages", "prompt", "token_ids") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(f"exactly one of messages, prompt and token_ids is needed; given: {given or 'none'}.")
        self._check_input()
        _check_all(self, ("max_tokens", "top_logprobs"))
        if len(self.stop) > MAX_STOPS:
            raise InputError(f"stop has {len(self.stop)} texts: at most {MAX_STOPS} are allowed.")
        for text in self.stop:
            check_text("stop", text)
            if not 1 <= len(text) <= MAX_STOP_CHARACTERS:
                raise InputError(f"a stop text has {len(text)} characters: 1 to {MAX_STOP_CHARACTERS} are allowed.")
        shapes = [name for name in ("json_schema", "grammar", "tools") if getattr(self, name) not in (None, ())]
        if len(shapes) > 1:
            raise InputError(f"{shapes[0]} and {shapes[1]} are both given: only one can shape the answer.")
        check_tools(self.tools, self.must_call)
        self._check_biases()
        if len(self.adapters) > MAX_ADAPTERS:
            raise InputError(f"adapters has {len(self.adapters)} entries: at most {MAX_ADAPTERS} are allowed.")
        for name, scale in self.adapters:
            check_range("scale", scale, f"the scale of adapter {name!r}")
        if self.thinking is not None and not isinstance(self.thinking, bool):
            raise InputError(f"thinking is {self.thinking!r}: it must be true or false.")

    def question(self) -> str | None:
        """The text that is asked about: the user's last message, or the raw prompt; None of token ids."""
        said = [message.content for message in self.messages or () if message.role == "user"]
        return said[-1] if said else self.prompt

    def _check_biases(self) -> None:
        if len(self.logit_bias) > MAX_BIASES:
            raise InputError(f"logit_bias has {len(self.logit_bias)} entries: at most {MAX_BIASES} are allowed.")
        for token, bias in self.logit_bias:
            check_range("token_id", token, "a token id of logit_bias")
            check_range("bias", bias, f"the bias of token {token}")

    def _check_input(self) -> None:
        if self.messages is not None and not 1 <= len(self.messages) <= MAX_MESSAGES:
            raise InputError(f"messages has {len(self.messages)} entries: 1 to {MAX_MESSAGES} are allowed.")
        if self.prompt is not None:
            check_text("prompt", self.prompt)
        if self.suffix is not None:
            check_text("suffix", self.suffix)
            if self.prompt is None:
                raise InputError("suffix is given without prompt: only a raw text can have one.")
        if self.token_ids is not None:
            if not self.token_ids:
                raise InputError("token_ids is empty: at least one is needed.")
            for token in self.token_ids:
                check_range("token_id", token, "a token id")


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability. `text` may be part of a character (then U+FFFD)."""

    token_id: int
    text: str
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """The next bit of an answer. `text` is whole characters; it may be empty while a stop text is possible.

    `token_ids` may lack the first tokens of a character that is spread over several: the engine sends the last.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds, measured here: waiting for a slot, until the first token, until the end.

    `prompt_ms` and `decode_ms` are the engine's own; `draft_tokens` of speculation were proposed, so many accepted.
    """

    queued_ms: float
    first_token_ms: float | None
    total_ms: float
    prompt_ms: float = 0.0
    decode_ms: float = 0.0
    draft_tokens: int = 0
    draft_accepted: int = 0


@dataclass(frozen=True, slots=True)
class Generation:
    """The end of an answer. `text` is the sum of all pieces.

    `finish_reason` is length when `max_tokens` or the context ended it, cancelled when the caller did, and tool_calls
    when it ended with whole calls of tools. A call that was cut is part of `text` as the model wrote it.
    Counts are of token ids seen here, an end-of-text token included, never the engine's word. `stop_text` is the one
    that ended it, if one did.
    """

    text: str
    finish_reason: Finish
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seed: int
    timings: Timings
    stop_text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


class Cancel:
    """A switch that ends a generation from any thread. `on_cancel` is called once, at once if it is too late."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._calls: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def on_cancel(self, call: Callable[[], None]) -> None:
        with self._lock:
            if not self._cancelled:
                self._calls.append(call)
                return
        call()

    def forget(self) -> None:
        """Drop what `on_cancel` was given: the generation is over."""
        with self._lock:
            self._calls = []
