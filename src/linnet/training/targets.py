"""Chats to token ids with a mask over the assistant's answers, each with the token that ends it.

The text is the chat template's. Its own control tokens become control tokens; the same letters in a message stay
plain text. A prompt is tokenised as it is when the model is asked, the answer by itself behind it. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError, InputError, ModelFileError
from linnet.engines.llama.llama_prompt import ControlTokens
from linnet.formats.template_render import ChatTemplate, folder_template
from linnet.text.conversations import Chat, Turn, named
from linnet.training.tool_targets import tool_answers

ANSWER = "assistant"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a rendered chat: its text, its ids, and whether the model learns to write it."""

    text: str
    ids: tuple[int, ...]
    is_target: bool = False
    is_control: bool = False


@dataclass(frozen=True)
class TargetExample:
    """One tokenised chat. `row` is its line in the file; `guarded`: a message held letters of a control token."""

    row: int
    pieces: tuple[Piece, ...]
    guarded: bool = False

    @cached_property
    def ids(self) -> tuple[int, ...]:
        return tuple(token for piece in self.pieces for token in piece.ids)

    @cached_property
    def mask(self) -> tuple[bool, ...]:
        return tuple(piece.is_target for piece in self.pieces for _ in piece.ids)

    @cached_property
    def target_count(self) -> int:
        return sum(self.mask)


@dataclass(frozen=True, slots=True)
class Targets:
    """Examples ready for training, and what was left out: `too_long` are rows over the limit, never cut."""

    examples: tuple[TargetExample, ...]
    too_long: tuple[int, ...] = ()

    def facts(self) -> dict[str, Any]:
        tokens = sum(len(e.ids) for e in self.examples)
        learned = sum(e.target_count for e in self.examples)
        return {
            "examples": len(self.examples),
            "tokens": tokens,
            "target_tokens": learned,
            "masked_share": round(1 - learned / max(tokens, 1), 4),
            "longest": max((len(e.ids) for e in self.examples), default=0),
            "too_long_rows": list(self.too_long),
            "control_tokens_in_text_rows": [e.row for e in self.examples if e.guarded],
        }


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a template writes around the messages: `fixed[i]` before message i, the last behind all.

    `starts[i]` and `ends[i]`, for answers: where in `fixed[i]` the answer begins, and in `fixed[i + 1]` it ends.
    """

    fixed: tuple[str, ...]
    starts: dict[int, int]
    ends: dict[int, int]


class TargetEncoder:
    """Tokenises chats for one model folder. Raises ModelFileError when tokenizer or template cannot be used."""

    def __init__(self, tokenizer_file: Path, template: ChatTemplate, *, adds_bos: bool | None = None) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Any = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # the library raises nothing narrower
            raise ModelFileError("tokenizer.json", f"{tokenizer_file} cannot be read: {error}.") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.template = template
        added = self._tokenizer.get_added_tokens_decoder().values()
        special = tuple(token.content for token in added if token.special)
        others = tuple(token.content for token in added if not token.special)
        self._tokens = ControlTokens(special, others, template.source)
        self._pattern = re.compile("|".join(_reach(t) for t in self._longest_first(added)) or r"(?!)")
        bos = self._tokenizer.token_to_id(template.tokens.get("bos_token", ""))
        around = self._tokenizer.encode("", add_special_tokens=True).ids
        wants = around[:1] == [bos] if adds_bos is None else adds_bos
        self._bos: tuple[int, ...] = (bos,) if wants and bos is not None else ()
        self._twice = (bos, bos)
        # From here on the letters of a control token are letters.
        self._tokenizer.encode_special_tokens = True
        self._lead = tuple(self._tokenizer.encode("\n", add_special_tokens=False).ids)
        self._frames: dict[tuple[str, ...], _Frame] = {}

    def _longest_first(self, added: Iterable[Any]) -> list[Any]:
        known = {token.content: token for token in added}
        return [known[text] for text in self._tokens.guarded]

    @property
    def control_texts(self) -> tuple[str, ...]:
        """The letters of every control token."""
        return tuple(self._tokens.guarded)

    @classmethod
    def of_folder(cls, folder: Path, source: str = "") -> TargetEncoder:
        """With the tokenizer and the chat template of a Hugging Face folder, or another template's `source`."""
        from linnet.formats.hf_folder import read_folder

        found = read_folder(folder)
        if "tokenizer.json" not in found.files:
            raise ModelFileError("tokenizer.json", f"{folder} has no tokenizer.json.", "Take a folder that has one.")
        adds = found.json("tokenizer_config.json").get("add_bos_token")
        template = folder_template(folder, source)
        return cls(found.files["tokenizer.json"], template, adds_bos=adds if isinstance(adds, bool) else None)

    def encode(self, chats: Sequence[Chat], max_tokens: int, *, drop_long: bool = False) -> Targets:
        """All chats, tokenised. A row over `max_tokens` is refused, or with `drop_long` left out and named.

        Raises DataError that names the row: template drops or rewrites a message, no answer to learn, too long.
        """
        made = [self.example(chat) for chat in chats]
        long = tuple(e.row for e in made if len(e.ids) > max_tokens)
        if long and not drop_long:
            raise DataError(
                f"{named(long)} more than {max_tokens} tokens, the longest {max(len(e.ids) for e in made):,}.",
                "Nothing is cut: raise the limit if the model allows it, shorten them, or leave them out by choice.",
            )
        kept = tuple(e for e in made if len(e.ids) <= max_tokens)
        if not kept:
            raise DataError(f"No example is left: all {len(made)} have more than {max_tokens} tokens.")
        return Targets(kept, long)

    def example(self, chat: Chat) -> TargetExample:
        """One chat with its mask."""
        try:
            if chat.passage:
                pieces, spelled = self._passage(chat.passage), chat.passage
            else:
                pieces, spelled = self._chat(chat), "\n".join(turn.content for turn in chat.turns)
        except InputError as error:
            raise DataError(f"Row {chat.row}: {error.message}", error.hint) from error
        guarded = any(token in spelled for token in self._tokens.guarded)
        found = TargetExample(chat.row, tuple(self._with_bos(pieces)), guarded=guarded)
        if found.ids[:2] == self._twice and not chat.passage:
            raise DataError(
                f"Row {chat.row}: the chat template begins every chat with BOS twice.",
                "The model was trained with one. Write it once in the template.",
            )
        if not found.target_count:
            raise DataError(f"Row {chat.row}: no token of it is to be learned.", "Remove the row, or fill its answer.")
        return found

    def _chat(self, chat: Chat) -> list[Piece]:
        contents: Sequence[tuple[int, int]] = ()
        if chat.has_tools:
            rendered, answers = tool_answers(self.template, chat, self._control_end, self._tokens.guarded)
        else:
            frame = self._frame(chat.turns)
            rendered = self.template.render(_pairs(chat.turns))
            contents = _place(rendered, frame, chat.turns)
            answers = [
                (start - len(frame.fixed[i]) + frame.starts[i], end + frame.ends[i])
                for i, (start, end) in enumerate(contents)
                if i in frame.starts and chat.turns[i].learned
            ]
        pieces: list[Piece] = []
        at = 0
        for begin, stop in answers:
            pieces += self._pieces(rendered, at, begin, contents, is_target=False)
            pieces += self._pieces(rendered, begin, stop, contents, is_target=True)
            at = stop
        return pieces + self._pieces(rendered, at, len(rendered), contents, is_target=False)

    def _passage(self, text: str) -> list[Piece]:
        """Plain text, all of it learned, and the model's end token behind it."""
        end = self.template.tokens.get("eos_token", "")
        token = self._tokenizer.token_to_id(end) if end else None
        closing = [] if token is None else [Piece(end, (token,), is_target=True, is_control=True)]
        return self._pieces(text, 0, len(text), [(0, len(text))], is_target=True) + closing

    def _control_end(self, text: str, start: int) -> int:
        """Where the last control token behind `start` ends; -1 where there is none."""
        found = list(self._pattern.finditer(text, start))
        return found[-1].start() + len(_bare(found[-1].group(), self._tokens.guarded)) if found else -1

    def prompt_ids(self, turns: Sequence[Turn]) -> list[int]:
        """What a model is asked: turns and the template's beginning of an answer. The ids that training saw."""
        rendered = self.template.render(_pairs(turns), add_generation_prompt=True)
        fixed = self._fixed(turns, add_generation_prompt=True)
        contents = _place(rendered, _Frame(fixed, {}, {}), turns)
        pieces = self._with_bos(self._pieces(rendered, 0, len(rendered), contents, is_target=False))
        return [token for piece in pieces for token in piece.ids]

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def end_ids(self, examples: Sequence[TargetExample]) -> set[int]:
        """The tokens that end an answer."""
        return {e.pieces[i].ids[-1] for e in examples for i in range(len(e.pieces)) if _ends(e.pieces, i)}

    def _fixed(self, turns: Sequence[Turn], *, add_generation_prompt: bool = False) -> tuple[str, ...]:
        """What the template writes around the turns, found by rendering marks in their place."""
        marks = [f"q{index:04d}q7f3c91" for index in range(len(turns))]
        pairs = [(turn.role, mark) for turn, mark in zip(turns, marks, strict=True)]
        text = self.template.render(pairs, add_generation_prompt=add_generation_prompt)
        fixed, at = [], 0
        for turn, mark in zip(turns, marks, strict=True):
            if text.count(mark) != 1 or (found := text.find(mark, at)) < 0:
                what = "drops" if mark not in text else "repeats or reorders"
                raise InputError(
                    f"the chat template {what} the {turn.role} turn.",
                    "Training would not see what the model sees. Use another template, or other roles.",
                )
            fixed.append(text[at:found])
            at = found + len(mark)
        return (*fixed, text[at:])

    def _frame(self, turns: Sequence[Turn]) -> _Frame:
        roles = tuple(turn.role for turn in turns)
        if roles not in self._frames:
            self._frames[roles] = self._make_frame(turns)
        return self._frames[roles]

    def _make_frame(self, turns: Sequence[Turn]) -> _Frame:
        fixed = self._fixed(turns)
        starts: dict[int, int] = {}
        ends: dict[int, int] = {}
        for index, turn in enumerate(turns):
            if turn.role != ANSWER:
                continue
            opening = self._fixed(turns[:index], add_generation_prompt=True)[-1]
            if not fixed[index].startswith(opening):
                raise InputError(
                    f"the chat template asks for an answer with {opening[-80:]!r}, and writes one behind "
                    f"{fixed[index][-80:]!r}.",
                    "The model would be trained on another text than it is asked with. Use another template.",
                )
            end = self._pattern.search(fixed[index + 1])
            if end is None:
                raise InputError(
                    "the chat template ends an answer without a control token: the model could not learn to stop.",
                    "Use another template.",
                )
            starts[index], ends[index] = len(opening), end.start() + len(_bare(end.group(), self._tokens.guarded))
        return _Frame(fixed, starts, ends)

    def _pieces(
        self, text: str, start: int, stop: int, contents: Sequence[tuple[int, int]], *, is_target: bool
    ) -> list[Piece]:
        """`text[start:stop]` cut at the template's control tokens; those that a message spells are plain text."""
        made: list[Piece] = []
        at = start
        for found in self._pattern.finditer(text, start, stop):
            begin, end = found.span()
            if any(first < end and begin < last for first, last in contents):
                bare = _bare(found.group(), self._tokens.guarded)
                if bare in self._tokens.user_defined:  # even unparsed it is matched whole: break it
                    cut = begin + found.group().index(bare) + 1
                    made += self._plain(text[at:cut], is_target, at > 0)
                    at = cut
                continue
            made += self._plain(text[at:begin], is_target, at > 0)
            token: int = self._tokenizer.token_to_id(_bare(found.group(), self._tokens.guarded))
            made.append(Piece(found.group(), (token,), is_target, is_control=True))
            at = end
        return made + self._plain(text[at:stop], is_target, at > 0)

    def _plain(self, text: str, is_target: bool, goes_on: bool) -> list[Piece]:
        if not text:
            return []
        ids = tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)
        if goes_on:
            # Some tokenizers put a space before every text. Behind a line break that space is not in ours.
            led = tuple(self._tokenizer.encode("\n" + text, add_special_tokens=False).ids)
            if led[: len(self._lead)] == self._lead:
                ids = led[len(self._lead) :]
        return [Piece(text, ids, is_target)]

    def _with_bos(self, pieces: list[Piece]) -> list[Piece]:
        """BOS in front where the model wants one and the template wrote none."""
        if not self._bos or (pieces and pieces[0].ids[:1] == self._bos):
            return pieces
        return [Piece("", self._bos, is_control=True), *pieces]


def _reach(token: Any) -> str:
    """The pattern of an added token with the spaces that it swallows."""
    before, after = (r"\s*" if token.lstrip else ""), (r"\s*" if token.rstrip else "")
    return f"{before}{re.escape(token.content)}{after}"


def _bare(matched: str, guarded: Sequence[str]) -> str:
    return matched if matched in guarded else next(text for text in guarded if text in matched)


def _ends(pieces: Sequence[Piece], index: int) -> bool:
    """Whether a piece is the last of an answer."""
    return pieces[index].is_target and (index + 1 == len(pieces) or not pieces[index + 1].is_target)


def _pairs(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in turns]


def _place(rendered: str, frame: _Frame, turns: Sequence[Turn]) -> list[tuple[int, int]]:
    """Where each message lies in the rendered text; templates strip what they are given, or not."""
    spans: list[tuple[int, int]] = []
    at = 0
    for turn, fixed in zip(turns, frame.fixed, strict=False):
        at += len(fixed) if rendered.startswith(fixed, at) else len(rendered) + 1
        shapes = (turn.content, turn.content.strip(), turn.content.lstrip(), turn.content.rstrip())
        # A shape is right when the template goes on behind it as it does behind a mark.
        after = frame.fixed[len(spans) + 1]
        content = next((s for s in shapes if rendered.startswith(s + after, at)), None)
        if content is None:
            raise InputError(
                f"the chat template rewrites the {turn.role} turn: where it begins and ends cannot be told.",
                "Look for marks of the template in the text, such as <think>, and take them out.",
            )
        spans.append((at, at + len(content)))
        at += len(content)
    if rendered[at:] != frame.fixed[-1]:
        raise InputError("the chat template writes these messages in another way than others.", "Look at this row.")
    return spans
