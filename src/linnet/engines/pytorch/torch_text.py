"""A Hugging Face folder's tokenizer and chat template as the torch engine reads prompts, by llama.cpp's rules:
only the template's own control tokens count, and BOS stands in front once where the model wants one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from linnet.core.errors import InputError, ModelFileError
from linnet.engines.llama.llama_prompt import ControlTokens, chat_ids, plain_ids
from linnet.engines.requests.generation import FieldError, GenerateRequest, Message
from linnet.formats.hf_folder import read_folder
from linnet.formats.named_templates import NAMED
from linnet.formats.template_render import ChatTemplate, folder_template, has_template

# What a request may ask of an engine and this one has no means for.
_MISSING = ("json_schema", "grammar", "tools", "suffix", "adapters", "top_logprobs")


@dataclass(frozen=True)
class FolderText:
    """Texts to token ids and back. `ends` are the ids that end an answer; `bos` is empty where the model wants none."""

    label: str
    parsing: Any
    plain: Any
    tokens: ControlTokens
    template: ChatTemplate | None
    bos: tuple[int, ...]
    ends: frozenset[int]

    def tokenize(self, text: str, add_special: bool, control: bool) -> list[int]:
        ids: list[int] = (self.parsing if control else self.plain).encode(text, add_special_tokens=False).ids
        lead = [*self.bos] if add_special and tuple(ids[:1]) != self.bos else []
        return lead + ids

    def render(self, messages: Sequence[Message], thinking: bool | None = None) -> str:
        """The chat as the template writes it, with the answer's beginning. Raises InputError."""
        if self.template is None:
            raise InputError(f"{self.label} has no chat template: it is a base model.", "Give it a raw prompt.")
        template = self.template
        if thinking is not None:
            template = replace(template, tokens={**template.tokens, "enable_thinking": thinking})
        return template.render([(turn.role, turn.content) for turn in messages], add_generation_prompt=True)

    def prompt_ids(self, request: GenerateRequest) -> list[int]:
        """The request's prompt. Raises InputError, FieldError for what this engine cannot do."""
        refuse(request)
        if request.token_ids is not None:
            return list(request.token_ids)
        if request.prompt is not None:
            if request.control_tokens:
                return self.tokenize(request.prompt, True, True)
            return plain_ids(request.prompt, self.tokens, self.tokenize)
        messages = request.messages or ()
        begin = self.parsing.id_to_token(self.bos[0]) if self.bos else ""

        def render(chat: Sequence[Message]) -> str:
            return self.render(chat, request.thinking).removeprefix(begin)  # `tokenize` puts it there

        return chat_ids(messages, self.tokens, render, self.tokenize)


def refuse(request: GenerateRequest) -> None:
    """Raise FieldError for what is asked and cannot be done here: nothing is ignored."""
    for name in _MISSING:
        if getattr(request, name) not in (None, ()):
            raise FieldError(name, f"{name}: the torch engine cannot do it.", "Convert the model and run its GGUF.")
    if any(turn.tool_calls or turn.role == "tool" for turn in request.messages or ()):
        raise FieldError("tools", "tools: the torch engine cannot do it.", "Convert the model and run its GGUF.")


def folder_text(folder: Path, label: str, template: str = "", ends: Sequence[int] = ()) -> FolderText:
    """Read a checked folder. `template`: "" for its own, "builtin:NAME" or a template's text; `ends`: more end tokens.

    Raises ModelFileError when there is no tokenizer.json, or for a template that may not be used.
    """
    from tokenizers import Tokenizer

    found = read_folder(folder)
    if "tokenizer.json" not in found.files:
        raise ModelFileError("tokenizer.json", f"{folder} has no tokenizer.json.", "Take a folder that has one.")
    made = []
    for plain in (False, True):
        try:
            one: Any = Tokenizer.from_file(str(found.files["tokenizer.json"]))
        except Exception as error:  # the library raises nothing narrower
            raise ModelFileError("tokenizer.json", f"{folder}: tokenizer.json cannot be read: {error}.") from error
        one.no_padding()
        one.no_truncation()
        one.encode_special_tokens = plain  # then the letters of a control token are letters
        made.append(one)
    source = NAMED[template.removeprefix("builtin:")] if template.startswith("builtin:") else template
    used = folder_template(folder, source) if source or has_template(folder) else None
    settings = found.json("tokenizer_config.json")
    names = {key: _text(settings.get(key)) for key in ("bos_token", "eos_token")}
    added = made[0].get_added_tokens_decoder().values()
    control = ControlTokens(
        tuple(token.content for token in added if token.special),
        tuple(token.content for token in added if not token.special),
        used.source if used else "",
    )
    eos = made[0].token_to_id(names["eos_token"]) if names["eos_token"] else None
    return FolderText(
        label=label,
        parsing=made[0],
        plain=made[1],
        tokens=control,
        template=used,
        bos=_bos(made[0], names["bos_token"], settings.get("add_bos_token")),
        ends=frozenset([*ends, *([] if eos is None else [eos])]),
    )


def _bos(tokenizer: Any, name: str, stated: Any) -> tuple[int, ...]:
    """The token that every text begins with, by tokenizer_config.json or else by tokenizer.json."""
    token = tokenizer.token_to_id(name) if name else None
    around = tokenizer.encode("", add_special_tokens=True).ids
    wants = stated if isinstance(stated, bool) else around[:1] == [token]
    return (token,) if wants and token is not None else ()


def _text(token: Any) -> str:
    """A token's text; some files write an object."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""
