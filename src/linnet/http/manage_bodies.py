"""What the bodies of Ollama's management routes may hold, and what they ask for. Knows no store."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from linnet.core.errors import InputError
from linnet.engines.requests.generation import MAX_MESSAGES
from linnet.http.bodies import Body
from linnet.http.native import one_or_many
from linnet.pipeline.create import MAX_SYSTEM, Recipe

_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
MAX_FILES = 64
Text = Annotated[str, Field(max_length=MAX_SYSTEM)]
Blobs = Annotated[dict[str, str], Field(max_length=MAX_FILES)]


def sha256_of(digest: str) -> str:
    """The hex digits of `sha256:<hex>`. Raises InputError for every other digest."""
    found = _DIGEST.fullmatch(digest)
    if found is None:
        raise InputError(f"{digest[:80]!r} is no digest: it must be sha256: and 64 of 0-9 and a-f.")
    return found[1]


class _Named(Body):
    """A body that names one model; `name` is the older word for `model`."""

    model: str | None = None
    name: str | None = None

    @property
    def asked(self) -> str:
        """The name. Raises InputError without one, and for two different ones."""
        if self.model and self.name and self.model != self.name:
            raise InputError('"model" and "name" differ: say one of them.')
        if not (found := self.model or self.name):
            raise InputError('"model" is required.')
        return found


class PullBody(_Named):
    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {"insecure": (False,), "username": ("",), "password": ("",)}

    stream: bool | None = None
    insecure: Any = None
    username: Any = None
    password: Any = None


class DeleteBody(_Named):
    """A model to remove."""


class CopyBody(Body):
    source: str
    destination: str


class PresetMessage(Body):
    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {"images": ([],), "tool_calls": ([],), "thinking": ("",)}

    role: Literal["system", "user", "assistant"]
    content: Text
    images: Any = None
    tool_calls: Any = None
    thinking: Any = None


class CreateBody(_Named):
    """What to make a model of. Paths of the server's machine and whole Modelfiles are not taken."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        "modelfile": ("",),
        "path": ("",),
        "quantization": ("",),
        "info": ({},),
        "renderer": ("",),
        "parser": ("",),
        "requires": ("",),
    }

    base: str = Field(default="", alias="from")
    files: Blobs | None = None
    adapters: Blobs | None = None
    template: Text | None = None
    system: Text | None = None
    license: Annotated[
        list[Text],
        Field(max_length=MAX_FILES),
        BeforeValidator(one_or_many),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field(default_factory=list)
    parameters: dict[str, Any] | None = None
    messages: Annotated[list[PresetMessage], Field(fail_fast=True), Field(max_length=MAX_MESSAGES)] | None = None
    quantize: str | None = None
    stream: bool | None = None
    modelfile: Any = None
    path: Any = None
    quantization: Any = None
    info: Any = None
    renderer: Any = None
    parser: Any = None
    requires: Any = None

    def recipe(self) -> Recipe:
        """Raises InputError for a digest that is none."""
        messages = None if self.messages is None else tuple((one.role, one.content) for one in self.messages)
        return Recipe(
            base=self.base,
            files={name: sha256_of(digest) for name, digest in (self.files or {}).items()},
            adapters={name: sha256_of(digest) for name, digest in (self.adapters or {}).items()},
            template=self.template,
            system=self.system,
            parameters=self.parameters,
            messages=messages,
            licence="\n".join(self.license),
            quantize=self.quantize or "",
        )
