"""Render a chat template that passed the check: sandboxed, without network, clock or files.

What transformers gives a template, this gives too (trimmed blocks, loop controls, `tojson`, `raise_exception`,
`strftime_now`), so that the text is the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.core.errors import InputError, ModelFileError
from linnet.formats.chat_template import check_template
from linnet.formats.hf_folder import read_folder
from linnet.formats.hf_tokenizer import template_sources

if TYPE_CHECKING:
    from jinja2 import Template

# Templates may write the day. A fixed one, so that the same rows are the same tokens on every day.
DAY = datetime(2024, 7, 26, tzinfo=UTC)
_COMPLAINTS = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)
VARIABLES = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class ChatTemplate:
    """A template and the variables it may use, its tokens' names. Raises ModelFileError when it may not be used."""

    source: str
    tokens: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        report = check_template(self.source)
        if not report.ok:
            raise ModelFileError("chat_template", report.refusal, "Give another template, or take another model.")

    @cached_property
    def _compiled(self) -> Template:
        return _compile(self.source)

    def render(self, messages: Sequence[tuple[str, str]], *, add_generation_prompt: bool = False) -> str:
        """The text of (role, content) pairs. Raises InputError with the template's own complaint."""
        turns = [{"role": role, "content": content} for role, content in messages]
        return self.render_messages(turns, add_generation_prompt=add_generation_prompt)

    def render_messages(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] = (),
        *,
        add_generation_prompt: bool = False,
    ) -> str:
        """The text of whole messages, which may hold tool calls, and of the tools that may be called."""
        from jinja2 import TemplateError

        given = {**self.tokens, **({"tools": list(tools)} if tools else {})}
        try:
            return self._compiled.render(messages=list(messages), add_generation_prompt=add_generation_prompt, **given)
        except (TemplateError, *_COMPLAINTS) as error:
            raise InputError(f"the chat template refuses these messages: {str(error)[:300]}") from error


def folder_template(folder: Path, source: str = "") -> ChatTemplate:
    """The template of a Hugging Face folder, or another one (`source`) with its tokens.

    Raises ModelFileError when there is none, or one that may not be used.
    """
    found = read_folder(folder)
    if not source:
        sources = template_sources(found.files)
        if not sources:
            raise ModelFileError(
                "chat_template", f"{folder} has no chat template.", "Put a chat_template.jinja into the folder."
            )
        named = [text for where, text in sources.items() if where.endswith("(default)")]
        source = (named or list(sources.values()))[0]
    settings = found.json("tokenizer_config.json")
    tokens = {name: _text(settings.get(name)) for name in VARIABLES}
    return ChatTemplate(source, {n: text for n, text in tokens.items() if text})


def has_template(folder: Path) -> bool:
    """Whether a Hugging Face folder brings a chat template."""
    return bool(template_sources(read_folder(folder).files))


def _text(token: Any) -> str:
    """A token's text; some files write an object."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


def _compile(source: str) -> Template:
    from jinja2 import TemplateError
    from jinja2.ext import Extension
    from jinja2.nodes import Node
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 - jinja2 wants it so

        def parse(self, parser: Parser) -> list[Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: Any) -> None:
        raise TemplateError(str(message))

    def as_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
        # jinja2's own escapes < and > for web pages, which no model was trained on.
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = DAY.strftime
    return environment.from_string(source)
