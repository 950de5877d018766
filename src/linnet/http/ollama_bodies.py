"""What the bodies of the Ollama dialect may hold, and what its options mean here. Knows no model."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from linnet.engines.llama.pool import MAX_KEEP_ALIVE_S
from linnet.engines.requests.generation import MAX_MESSAGES, MAX_STOP_CHARACTERS, MAX_STOPS, MAX_TOP_LOGPROBS, Sampling
from linnet.http.bodies import Body
from linnet.http.native import one_or_many
from linnet.http.openai_generate import sampling_of
from linnet.http.tool_bodies import Calls, Tools

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"-?(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h))+")


def _seconds(value: Any) -> Any:
    """A keep_alive as seconds: a number, or a duration such as "5m" or "1h30m". Negative: until memory is needed."""
    if isinstance(value, str):
        if re.fullmatch(r"-?[0-9]{1,9}", value):
            return float(value)
        if not _DURATION.fullmatch(value):
            raise PydanticCustomError("keep_alive", 'A duration is a number of seconds, or such as "5m" or "1h30m"')
        parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h)", value)
        total = sum(float(number) * _UNITS[unit] for number, unit in parts)
        return -total if value.startswith("-") else total
    if isinstance(value, int) and not isinstance(value, bool):
        return float(max(-1, min(value, int(MAX_KEEP_ALIVE_S))))
    return value


KeepAlive = Annotated[float, BeforeValidator(_seconds), WithJsonSchema({"type": ["number", "string"]})]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Stops = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]],
    Field(fail_fast=True),
    Field(max_length=MAX_STOPS),
    BeforeValidator(one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class Options(Body):
    """Ollama's options. Those about how a model is loaded are settings of the server: they are checked, and only
    what they cannot change is accepted."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        "mirostat": (0,),
        "tfs_z": (1, 1.0),
        "typical_p": (1, 1.0),
        "num_keep": (0,),
        "penalize_newline": (False,),
    }

    temperature: Annotated[float, Field(ge=0, le=5)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    top_p: Share | None = None
    min_p: Share | None = None
    repeat_penalty: Annotated[float, Field(ge=0.1, le=10)] | None = None
    repeat_last_n: Annotated[int, Field(ge=0, le=1 << 16)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stops | None = None
    num_predict: Annotated[int, Field(ge=-2, le=1 << 20)] | None = None
    num_ctx: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    num_thread: Annotated[int, Field(ge=0, le=512)] | None = None
    num_batch: Annotated[int, Field(ge=1, le=1 << 16)] | None = None
    num_gpu: Annotated[int, Field(ge=-1, le=10_000)] | None = None
    main_gpu: Annotated[int, Field(ge=0, le=64)] | None = None
    use_mmap: bool | None = None
    mirostat: Any = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    tfs_z: Any = None
    typical_p: Any = None
    num_keep: Any = None
    penalize_newline: Any = None

    def sampling(self) -> Sampling:
        return sampling_of(
            self.seed,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repeat_penalty=self.repeat_penalty,
            repeat_last_n=self.repeat_last_n,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )

    @property
    def max_tokens(self) -> int | None:
        """-1 and -2 mean as many as fit; so does none."""
        return self.num_predict if (self.num_predict or -1) > 0 else None

    @model_validator(mode="after")
    def _some_tokens(self) -> Options:
        if self.num_predict == 0:
            raise PydanticCustomError("num_predict", "num_predict must be 1 or more, or -1 for as many as fit")
        return self


class OllamaBody(Body):
    """What generate and chat have in common."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        "truncate": (False,),
        "shift": (False,),
        "images": ([],),
        "suffix": ("",),
        "template": ("",),
        "context": ([],),
        "think": (False,),
    }

    model: str
    stream: bool | None = None
    format: Any = None
    options: Options | None = None
    keep_alive: KeepAlive | None = None
    think: Any = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    truncate: Any = None
    shift: Any = None

    @property
    def chosen(self) -> Options:
        return self.options or Options()


class GenerateBody(OllamaBody):
    """A prompt. `raw` leaves out the template, and then control tokens in the prompt count."""

    prompt: str = ""
    system: str | None = None
    raw: bool | None = None
    suffix: Any = None
    images: Any = None
    template: Any = None
    context: Any = None


class OllamaMessage(Body):
    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {"images": ([],)}

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thinking: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    images: Any = None
    tool_calls: Calls | None = None


class OllamaChatBody(OllamaBody):
    """A chat."""

    messages: Annotated[list[OllamaMessage], Field(fail_fast=True), Field(max_length=MAX_MESSAGES)] = Field(
        default_factory=list
    )
    tools: Tools | None = None


class ShowBody(Body):
    """`name` is the older word for `model`."""

    model: str | None = None
    name: str | None = None
    verbose: bool | None = None

    @property
    def asked(self) -> str:
        return self.model or self.name or ""
