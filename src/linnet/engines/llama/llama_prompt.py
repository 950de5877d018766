"""Messages to token ids, so that only the template's own control tokens count and a user's are plain text.

llama.cpp's server renders a chat and tokenises the whole text with control tokens parsed: a user who writes
`<|im_start|>system` would get one. Here a text whose contents hold no control token takes that same path; otherwise
the template's tokens are cut out first and each rest is tokenised without parsing. Knows no HTTP.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from linnet.core.errors import InputError
from linnet.engines.requests.generation import FieldError, Message
from linnet.engines.requests.tools import Tool
from linnet.formats.gguf import GgufHeader

# Token types of GGUF. llama.cpp parses USER_DEFINED ones even where it is told to parse none.
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
# The tokens in front of the prefix, of the suffix and of the middle, as families of models call them.
FILL_IN_MARKS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),
)

Tokenize = Callable[[str, bool, bool], list[int]]  # text, add BOS and the like, parse control tokens
Render = Callable[[Sequence[Message]], str]


@dataclass(frozen=True)
class ControlTokens:
    """The texts that mean more than their letters, and the chat template of one model file."""

    control: tuple[str, ...]
    user_defined: tuple[str, ...]
    template: str

    @cached_property
    def guarded(self) -> tuple[str, ...]:
        """Every text that a user must not be able to turn into one token, longest first.

        A user-defined token counts when it looks like a mark (`<tool_call>`) or the template uses it.
        """
        marks = [text for text in self.user_defined if re.fullmatch(r"<.+>|\[.+\]", text) or text in self.template]
        # A lone character or a run of spaces is ordinary text whatever its type is.
        found = {text for text in (*self.control, *marks) if len(text) > 1 and text.strip()}
        return tuple(sorted(found, key=lambda text: (-len(text), text)))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self.guarded)) or r"(?!)")

    @cached_property
    def _edges(self) -> tuple[frozenset[str], frozenset[str]]:
        heads = {text[:cut] for text in self.guarded for cut in range(1, len(text))}
        tails = {text[cut:] for text in self.guarded for cut in range(1, len(text))}
        return frozenset(heads), frozenset(tails)

    def is_plain(self, text: str) -> bool:
        """Whether `text` neither holds a guarded token nor could complete one together with its surroundings."""
        if any(token in text for token in self.guarded):
            return False
        heads, tails = self._edges
        longest = len(self.guarded[0]) if self.guarded else 0
        return not any(text[-cut:] in heads or text[:cut] in tails for cut in range(1, min(longest, len(text) + 1)))


def control_tokens(header: GgufHeader) -> ControlTokens:
    """What a checked file's header says of its control tokens."""
    texts, kinds = header.strings("tokenizer.ggml.tokens"), header.numbers("tokenizer.ggml.token_type")
    control, user_defined = [], []
    for text, kind in zip(texts, kinds, strict=False):
        if kind in (_CONTROL, _UNKNOWN):
            control.append(text.decode(errors="replace"))
        elif kind == _USER_DEFINED:
            user_defined.append(text.decode(errors="replace"))
    template = header.metadata.get("tokenizer.chat_template")
    return ControlTokens(tuple(control), tuple(user_defined), template if isinstance(template, str) else "")


def chat_ids(messages: Sequence[Message], tokens: ControlTokens, render: Render, tokenize: Tokenize) -> list[int]:
    """Token ids of a rendered chat, in which no id comes from a control token inside a message.

    Raises InputError when a message holds control tokens and the template rewrites messages, so that nobody
    could tell whose they are.
    """
    rendered = render(messages)
    if all(tokens.is_plain(message.content) for message in messages):
        return tokenize(rendered, True, True)
    # An empty content has no place to be found, and a template may ask whether there is one.
    marks = [f"q{secrets.token_hex(12)}q" if message.content else "" for message in messages]
    skeleton = render([replace(m, content=mark) for m, mark in zip(messages, marks, strict=True)])
    spans = _content_spans(rendered, skeleton, messages, marks)
    return _ids_of_parts(_split(rendered, spans, tokens), tokenize)


def refuse_control_tokens(messages: Sequence[Message], tools: Sequence[Tool], tokens: ControlTokens) -> None:
    """Raise InputError for tools or calls that hold control tokens: templates write them as JSON, so that nobody
    could tell whose the tokens are."""
    texts = [json.dumps(tool.to_json(), ensure_ascii=False) for tool in tools]
    texts += [call.arguments for message in messages for call in message.tool_calls]
    texts += [json.dumps(call.values(), ensure_ascii=False) for message in messages for call in message.tool_calls]
    texts += [text for message in messages for text in (message.tool_name, message.tool_call_id)]
    if any(token in text for text in texts for token in tokens.guarded):
        raise FieldError("tools", "A tool, or a call of one, holds the model's control tokens.", "Remove them.")


def _content_spans(
    rendered: str, skeleton: str, messages: Sequence[Message], marks: Sequence[str]
) -> list[tuple[int, int]]:
    """Where the messages' contents lie in `rendered`, found with the same chat rendered around random marks."""
    spans: list[tuple[int, int]] = []
    at = 0
    contents = dict(zip(marks, (message.content for message in messages), strict=True))
    for index, part in enumerate(re.split(f"({'|'.join(filter(None, marks))})", skeleton)):
        if index % 2 == 0:
            if not rendered.startswith(part, at):
                raise _unclear()
            at += len(part)
            continue
        # Templates strip what they are given, or not.
        content = next((c for c in _shapes(contents[part]) if rendered.startswith(c, at)), None)
        if content is None:
            raise _unclear()
        spans.append((at, at + len(content)))
        at += len(content)
    if at != len(rendered):
        raise _unclear()
    return spans


def _shapes(content: str) -> list[str]:
    return [content, content.strip(), content.lstrip(), content.rstrip()]


def _unclear() -> InputError:
    return InputError(
        "A message holds the model's control tokens, and its template rewrites messages: they cannot be told apart.",
        "Remove the control tokens from the message.",
    )


class Part(NamedTuple):
    """A stretch of a prompt. `is_control`: one of the template's tokens. `goes_on`: cut off inside a word."""

    text: str
    is_control: bool = False
    goes_on: bool = False


def _split(rendered: str, spans: Sequence[tuple[int, int]], tokens: ControlTokens) -> list[Part]:
    """Cut `rendered` at the template's control tokens, and inside those a user wrote, so that nothing joins them."""
    cuts: list[tuple[int, int, bool]] = []
    for found in tokens.pattern.finditer(rendered):
        start, end = found.span()
        if any(start < stop and begin < end for begin, stop in spans):
            # Even unparsed, a user-defined token would be matched whole: break it after its first letter.
            if found.group() in tokens.user_defined:
                cuts.append((start + 1, start + 1, False))
        else:
            cuts.append((start, end, True))
    parts: list[Part] = []
    at, goes_on = 0, False
    for start, end, is_control in cuts:
        parts.append(Part(rendered[at:start], goes_on=goes_on))
        if is_control:
            parts.append(Part(rendered[start:end], is_control=True))
        at, goes_on = end, not is_control
    parts.append(Part(rendered[at:], goes_on=goes_on))
    return [part for part in parts if part.text]


def fill_in_ids(prefix: str, suffix: str, tokens: ControlTokens, tokenize: Tokenize) -> list[int]:
    """Token ids that ask for what stands between two texts: prefix, suffix, then the middle (Bavarian et al. 2022,
    arXiv:2207.14255). Control tokens in the texts are plain text. Raises FieldError where the model has no tokens for
    it.
    """
    known = {*tokens.control, *tokens.user_defined}
    marks = next((marks for marks in FILL_IN_MARKS if known.issuperset(marks)), None)
    if marks is None:
        raise FieldError("suffix", "This model has no tokens for filling in: it takes no suffix.", "Leave it out.")
    before, between, end = (Part(mark, is_control=True) for mark in marks)
    texts = [_split(text, [(0, len(text))], tokens) for text in (prefix, suffix)]
    return _ids_of_parts([before, *texts[0], between, *texts[1], end], tokenize)


def plain_ids(text: str, tokens: ControlTokens, tokenize: Tokenize) -> list[int]:
    """Token ids of a user's text alone, with BOS where the model wants it; control tokens are plain text."""
    return _ids_of_parts(_split(text, [(0, len(text))], tokens), tokenize)


def _ids_of_parts(parts: Sequence[Part], tokenize: Tokenize) -> list[int]:
    """Each part by itself: llama.cpp does the same between two control tokens, so ordinary text gets the same ids."""
    around = tokenize("", True, True)  # BOS, and EOS where the model wants one
    ids = around[:1]
    for part in parts:
        found = tokenize(part.text, False, part.is_control)
        if part.goes_on:
            # Some tokenizers put a space before every text. Behind a line break that space is not in our part.
            lead, led = tokenize("\n", False, False), tokenize("\n" + part.text, False, False)
            found = led[len(lead) :] if led[: len(lead)] == lead else found
        ids += found
    return ids + around[1:]
