"""A Modelfile for Ollama. Its templates are of its own kind: one is written only where it says what the model's says.

The model's Jinja template is rendered for a few chats, the pieces around the messages are cut out, and the pieces must
give every other chat again. Form: docs/modelfile.md and docs/template.md of github.com/ollama/ollama.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linnet.core.errors import InputError, ModelFileError
from linnet.core.records import Preset
from linnet.formats.gguf import GgufHeader, read_gguf
from linnet.formats.modelfile import parameter_lines
from linnet.formats.template_render import ChatTemplate

FILE = "Modelfile"
Chat = Sequence[tuple[str, str]]
_ENDS = ("eos", "eot", "eom")
_SYSTEM, _USER, _ASSISTANT, _MORE = "Qsystemq", "Quserq", "Qassistantq", "Qmoreq"
# Chats that the pieces must give again; they were not cut from these.
_PROBES: tuple[Chat, ...] = (
    (("user", "What is 2+2?"),),
    (("system", "Be brief.\nBe kind."), ("user", "Grüße, {name}!")),
    (("user", "a"), ("assistant", "b"), ("user", "c\n\nd"), ("assistant", "e"), ("user", "f")),
    (("system", "s"), ("user", "u"), ("assistant", '{"x": [1]}'), ("user", "v")),
)
_SPACED: Chat = (("system", " s "), ("user", "\n u "), ("assistant", " a\n"), ("user", " v "))


@dataclass(frozen=True, slots=True)
class Pieces:
    """What stands before and after each role's text, at the beginning of a chat, and before the answer."""

    start: str
    around: dict[str, tuple[str, str]]
    answer: str

    def render(self, chat: Chat) -> str:
        """The chat as Ollama would write it from `template`."""
        said = "".join(self.around[role][0] + content + self.around[role][1] for role, content in chat)
        return self.start + said + self.answer

    def template(self, begin: str) -> str:
        """In Ollama's kind (Go templates); `begin` replaces `start` where the tokenizer adds it itself."""
        words = {role: [_text(piece) for piece in pair] for role, pair in self.around.items()}
        cases = [
            f'{{{{ {"if" if n == 0 else "else if"} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
            for n, (role, (before, after)) in enumerate(words.items())
        ]
        return f"{_text(begin)}{{{{ range .Messages }}}}{''.join(cases)}{{{{ end }}}}{{{{ end }}}}{_text(self.answer)}"


def _text(piece: str) -> str:
    """A fixed text as Go reads it: JSON's escapes are Go's too."""
    return f"{{{{ {json.dumps(piece, ensure_ascii=False)} }}}}" if piece else ""


def pieces_of(template: ChatTemplate) -> Pieces | None:
    """The pieces of a template, or None where it does more than put pieces around messages."""
    try:
        return _checked(template, _cut(template))
    except InputError:
        return None


def keeps_spaces(template: ChatTemplate, pieces: Pieces) -> bool:
    """Whether the template leaves spaces around a message as they are, as Ollama does."""
    return template.render(_SPACED, add_generation_prompt=True) == pieces.render(_SPACED)


def _cut(template: ChatTemplate) -> Pieces | None:
    def split(chat: Chat) -> list[str]:
        rendered, found = template.render(chat), []
        for _, mark in chat:
            before, there, rendered = rendered.partition(mark)
            found.append(before)
            if not there:
                raise InputError(f"{mark} is not in the text.")
        return [*found, rendered]

    user, asks = ("user", _USER), (("user", _USER),)
    first, after_user = split(asks)
    lead, between, after = split((("system", _SYSTEM), user))
    again = split((user, ("assistant", _ASSISTANT), ("user", _MORE)))
    whole, open_end = template.render(asks), template.render(asks, add_generation_prompt=True)
    start = _common_start(first, lead)
    if not open_end.startswith(whole) or after != after_user or not again[1].startswith(after_user):
        return None
    for cut in range(len(start) + 1):  # how much of the beginning belongs to the chat and not to a role
        before_user = first[cut:]
        if between.endswith(before_user) and again[2].endswith(before_user):
            size = len(before_user)
            around = {
                "system": (lead[cut:], between[: len(between) - size]),
                "user": (before_user, after_user),
                "assistant": (again[1][len(after_user) :], again[2][: len(again[2]) - size]),
            }
            return Pieces(first[:cut], around, open_end[len(whole) :])
    return None


def _common_start(one: str, other: str) -> str:
    size = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:size]


def _checked(template: ChatTemplate, pieces: Pieces | None) -> Pieces | None:
    if pieces is None:
        return None
    same = all(template.render(chat, add_generation_prompt=True) == pieces.render(chat) for chat in _PROBES)
    return pieces if same else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """How a model is asked, for the Modelfile. `shots`: turns (role, content) before each question. `greedy`: as it was
    evaluated."""

    system: str = ""
    shots: tuple[tuple[str, str], ...] = ()
    schema: str = ""
    max_tokens: int = 0
    greedy: bool = False
    preset: Preset | None = None


def modelfile(gguf: Path, name: str, adapter: str, ask: Ask) -> tuple[str, list[str]]:
    """The text of a Modelfile beside the file `name`, and sentences on what it could not say.

    Raises InputError for a text that no Modelfile holds, ModelFileError for a template that may not be used.
    """
    header = read_gguf(gguf)
    preset = ask.preset or Preset(base=name)
    system = ask.system or preset.system
    messages = (*ask.shots, *preset.messages)
    for text in (system, *(content for _, content in messages)):
        if '"""' in text:
            raise InputError('A text with """ can not stand in a Modelfile.', "Export with --to gguf or --to dir.")
    notes: list[str] = []
    lines = [f"FROM ./{name}", *([f"ADAPTER ./{adapter}"] if adapter else [])]
    lines += _template_lines(header, preset.template, notes)
    lines += [f'SYSTEM """{system}"""'] if system else []
    lines += [f"PARAMETER {key} {value}" for key, value in parameter_lines(_parameters(header, ask, preset))]
    lines += [f'MESSAGE {role} """{content}"""' for role, content in messages]
    if ask.schema:
        lines += ["# Answers were held to this schema. Ollama takes it with each request, as its field `format`:"]
        lines += [f"# {json.dumps(json.loads(ask.schema), ensure_ascii=True)}"]
        notes.append("The schema is a comment in the Modelfile: send it with each request, as `format`.")
    return "\n".join(lines) + "\n", notes


def _template_lines(header: GgufHeader, other: str, notes: list[str]) -> list[str]:
    source = other or header.metadata.get("tokenizer.chat_template")
    if not isinstance(source, str) or not source:
        return ["# The model has no chat template: it goes on with the text it is given."]
    tokens = {f"{end}_token": text for end in ("bos", "eos") if (text := _token(header, end))}
    try:
        template = ChatTemplate(source, tokens)
        pieces = pieces_of(template)
    except ModelFileError as error:
        raise ModelFileError("chat_template", error.message, "Export with --to dir.") from error
    begin = None if pieces is None else _begin(header, pieces.start, tokens.get("bos_token", ""))
    if pieces is None or begin is None:
        notes.append("The chat template does more than Ollama's kind can say: the Modelfile has none, compare answers.")
        return ["# The model's chat template does more than one of Ollama's kind can say: none is written here."]
    lines = [f'TEMPLATE """{pieces.template(begin)}"""']
    if keeps_spaces(template, pieces):
        return lines
    return ["# The model's own template strips spaces around messages; this one does not.", *lines]


def _begin(header: GgufHeader, start: str, bos: str) -> str | None:
    """What the template must write first, without a BOS that the tokenizer adds. None where that is not known."""
    if not bos or not start.startswith(bos):
        return start
    adds = header.metadata.get("tokenizer.ggml.add_bos_token")
    if not isinstance(adds, bool):
        if header.metadata.get("tokenizer.ggml.model") != "llama":
            return None
        adds = True
    return start.removeprefix(bos) if adds else start


def _parameters(header: GgufHeader, ask: Ask, preset: Preset) -> dict[str, int | float | tuple[str, ...]]:
    found: dict[str, int | float | tuple[str, ...]] = {}
    ends = [text for end in _ENDS if (text := _token(header, end))]
    if ends:
        found["stop"] = tuple(dict.fromkeys(ends))
    context = header.metadata.get(f"{header.metadata.get('general.architecture')}.context_length")
    if isinstance(context, int) and context < 4096:
        found["num_ctx"] = context
    if ask.greedy:
        found["temperature"] = 0
    if ask.max_tokens:
        found["num_predict"] = ask.max_tokens
    stops = preset.parameters.get("stop", ())
    more = stops if isinstance(stops, tuple) else ()
    found |= preset.parameters
    return {**found, "stop": tuple(dict.fromkeys([*ends, *more]))} if ends or more else found


def _token(header: GgufHeader, end: str) -> str:
    number, tokens = header.metadata.get(f"tokenizer.ggml.{end}_token_id"), header.strings("tokenizer.ggml.tokens")
    if not isinstance(number, int) or not 0 <= number < len(tokens):
        return ""
    return tokens[number].decode(errors="replace")
