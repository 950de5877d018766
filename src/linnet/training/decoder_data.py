"""Chats made ready for a decoder, and the report on them that is read before step 1.

Template, split, tokens and masks of one training. Knows no weights.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError, InputError
from linnet.core.files import canonical
from linnet.formats.named_templates import NAMED, fitting_template
from linnet.formats.template_render import folder_template, has_template
from linnet.text.conversation_splits import question
from linnet.text.conversations import Chat, named
from linnet.training.targets import TargetEncoder, TargetExample, Targets

SHOWN, LISTED = 10, 20


@dataclass(frozen=True, slots=True)
class NamedTemplate:
    """A chat template: `source` is its text, `name` "the model's own", a name of ours, or a file's."""

    name: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class DecoderData:
    """What one training learns from and is judged by. Rows over the limit are in neither."""

    train: tuple[Chat, ...]
    validation: tuple[Chat, ...]
    targets: tuple[Targets, Targets]
    template: NamedTemplate
    report: dict[str, Any]

    def more_files(self) -> dict[str, bytes]:
        """What a run keeps of its data beside the chats, by file name."""
        return {}


def choose_template(folder: Path, chosen: str = "") -> NamedTemplate:
    """The template a model is tuned with: the chosen one (a name of ours, or a file), its own, or one that fits it.

    Raises InputError for an unknown name, NotFound, ModelFileError for a template that may not be used.
    """
    if chosen:
        bare = chosen.removeprefix("builtin:")
        if bare in NAMED:
            return NamedTemplate(bare, NAMED[bare], "as chosen")
        path = Path(chosen).expanduser()
        if not path.is_file():
            raise InputError(f"No template is called {chosen!r}.", f"Known: {', '.join(NAMED)}; or give a file.")
        return NamedTemplate(path.name, path.read_text(encoding="utf-8"), "as chosen")
    if has_template(folder):
        return NamedTemplate("the model's own", folder_template(folder).source, "it brings one")
    from tokenizers import Tokenizer

    added = Tokenizer.from_file(str(folder / "tokenizer.json")).get_added_tokens_decoder().values()
    name = fitting_template([token.content for token in added])
    return NamedTemplate(name, NAMED[name], "the model brings none; this one is written into what is made of it")


def prepare_data(
    folder: Path,
    train: Sequence[Chat],
    validation: Sequence[Chat],
    template: NamedTemplate,
    max_tokens: int,
    *,
    drop_long: bool = False,
    names: tuple[str, str] = ("", ""),
) -> DecoderData:
    """Tokenise both sides for the model in `folder`; a row over `max_tokens` is refused, or with `drop_long` left out.

    `names` are the files that the sides come from. Raises DataError that names the rows that cannot be used.
    """
    encoder = TargetEncoder.of_folder(folder, template.source)
    sides = [_encoded(encoder, side, name) for side, name in zip((train, validation), names, strict=True)]
    every = [example for side in sides for _, example in side]
    long = [e for e in every if len(e.ids) > max_tokens]
    if long and not drop_long:
        raise DataError(
            f"{named([e.row for e in long])} more than {max_tokens:,} tokens ({len(long) / len(every):.1%} of all); "
            f"the longest has {max(len(e.ids) for e in long):,}.",
            "Nothing is cut: raise --max-length if the model allows it, shorten them, or leave them out: --drop-long.",
        )
    kept = [[(chat, e) for chat, e in side if len(e.ids) <= max_tokens] for side in sides]
    for side, which in zip(kept, ("to learn from", "to see when to stop"), strict=True):
        if not side:
            raise DataError(f"No row {which} has at most {max_tokens:,} tokens.", "Raise --max-length.")
    chats = [tuple(chat for chat, _ in side) for side in kept]
    targets = [Targets(tuple(e for _, e in side)) for side in kept]
    over = {
        "limit_tokens": max_tokens,
        "rows": [e.row for e in long],
        "count": len(long),
        "share": round(len(long) / len(every), 4),
    }
    report = {"template": {"name": template.name, "reason": template.reason}, "over_length": over}
    report |= report_of(encoder, chats, targets)
    return DecoderData(chats[0], chats[1], (targets[0], targets[1]), template, report)


def _encoded(encoder: TargetEncoder, chats: Sequence[Chat], name: str) -> list[tuple[Chat, TargetExample]]:
    try:
        return [(chat, encoder.example(chat)) for chat in chats]
    except DataError as error:
        raise DataError(f"{name}: {error.message}" if name else error.message, error.hint) from error


def report_of(encoder: TargetEncoder, chats: Sequence[Sequence[Chat]], targets: Sequence[Targets]) -> dict[str, Any]:
    every = [example for side in targets for example in side.examples]
    rows = [chat for side in chats for chat in side]
    lengths, learned = sorted(len(e.ids) for e in every), sum(e.target_count for e in every)
    spelled = {e.row: _spelled(encoder, chat) for e, chat in zip(every, rows, strict=True) if e.guarded}
    repeated = Counter(canonical([turn.message() for turn in chat.turns] or chat.passage) for chat in rows)
    trained = {question(chat) for chat in chats[0]}
    return {
        "train_rows": len(chats[0]),
        "validation_rows": len(chats[1]),
        "tokens": sum(lengths),
        "target_tokens": learned,
        "masked_tokens": sum(lengths) - learned,
        "masked_share": round(1 - learned / max(sum(lengths), 1), 4),
        "lengths": {"median": statistics.median_low(lengths), "p95": lengths[int(0.95 * (len(lengths) - 1))],
                    "longest": lengths[-1]},
        "repeated_rows": sum(count - 1 for count in repeated.values()),
        "validation_questions_in_train": sum(question(chat) in trained for chat in chats[1]),
        "control_tokens_in_text": [{"row": row, "tokens": tokens} for row, tokens in list(spelled.items())[:LISTED]],
        "control_tokens_in_text_rows": len(spelled),
        "examples": [_shown(example) for example in _spread(every)],
    }  # fmt: skip


def _spelled(encoder: TargetEncoder, chat: Chat) -> list[str]:
    text = chat.passage or "\n".join(turn.content for turn in chat.turns)
    return [token for token in encoder.control_texts if token in text]


def _spread(examples: Sequence[TargetExample]) -> list[TargetExample]:
    """Ten of them, evenly from the shortest to the longest."""
    ordered = sorted(examples, key=lambda e: (len(e.ids), e.row))
    count = min(SHOWN, len(ordered))
    return [ordered[round(i * (len(ordered) - 1) / max(count - 1, 1))] for i in range(count)]


def _shown(example: TargetExample) -> dict[str, Any]:
    """A row with its mask: stretches of text, each learned or not, in order."""
    stretches: list[dict[str, Any]] = []
    for piece in example.pieces:
        if not stretches or stretches[-1]["learned"] != piece.is_target:
            stretches.append({"text": "", "tokens": 0, "learned": piece.is_target})
        stretches[-1]["text"] += piece.text
        stretches[-1]["tokens"] += len(piece.ids)
    return {"row": example.row, "tokens": len(example.ids), "target_tokens": example.target_count, "text": stretches}
