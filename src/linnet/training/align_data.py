"""Choices made ready for a preference method, and the report on them that is read before step 1.

A prompt is tokenised as it is when the model is asked, each answer by itself behind it. Knows no weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError
from linnet.text.conversations import Chat, Turn, named
from linnet.text.preferences import Choice, choice_lines
from linnet.training.decoder_data import DecoderData, NamedTemplate, report_of
from linnet.training.targets import TargetEncoder, TargetExample, Targets

PLACE = Turn(role="assistant", content="x")  # an answer that is put where one will be sampled


@dataclass(frozen=True, slots=True)
class AlignRow:
    """The token ids of one choice: of its prompt, and of each answer with the token that ends it."""

    choice: Choice
    prompt: tuple[int, ...]
    chosen: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Tokens of the prompt with its longest answer."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))

    @property
    def answer_tokens(self) -> int:
        return len(self.chosen) + len(self.rejected)


@dataclass(frozen=True, slots=True)
class AlignData(DecoderData):
    """What one preference training learns from and is judged by.

    `train` and `validation` are chats of the good answers (of prompts alone, their texts): what a merge is proved on.
    `rows` are both sides as ids; `end_ids` the tokens that end an answer.
    """

    rows: tuple[tuple[AlignRow, ...], tuple[AlignRow, ...]]
    end_ids: tuple[int, ...]

    def lengths(self) -> tuple[list[int], list[int]]:
        train, held = ([row.width for row in side] for side in self.rows)
        return train, held

    def more_files(self) -> dict[str, bytes]:
        """The choices of both sides, as a run keeps them."""
        names = ("train_choices.jsonl", "validation_choices.jsonl")
        return {n: choice_lines([r.choice for r in side]) for n, side in zip(names, self.rows, strict=True)}


def prepare_choices(
    folder: Path,
    sides: tuple[Sequence[Choice], Sequence[Choice]],
    template: NamedTemplate,
    max_tokens: int,
    *,
    answer_tokens: int = 0,
    drop_long: bool = False,
    names: tuple[str, str] = ("", ""),
) -> AlignData:
    """Tokenise both sides for the model in `folder`. `answer_tokens` are kept free behind a prompt alone.

    A row over `max_tokens` with either answer is refused, or with `drop_long` left out. Raises DataError.
    """
    encoder = TargetEncoder.of_folder(folder, template.source)
    made = [[_encoded(encoder, choice, name) for choice in side] for side, name in zip(sides, names, strict=True)]
    over = _over_length([row for side in made for row, _ in side], max_tokens - answer_tokens, drop_long=drop_long)
    over["limit_tokens"] = max_tokens
    kept = [[(row, seen) for row, seen in side if row.width <= max_tokens - answer_tokens] for side in made]
    for side, which in zip(kept, ("to learn from", "to see when to stop"), strict=True):
        if not side:
            raise DataError(f"No row {which} has at most {max_tokens:,} tokens.", "Raise --max-length.")
    rows = [tuple(row for row, _ in side) for side in kept]
    chats = [[chat for row in side for chat in row.choice.chats()] for side in rows]
    seen = [Targets(tuple(example for _, examples in side for example in examples)) for side in kept]
    report: dict[str, Any] = {"template": {"name": template.name, "reason": template.reason}, "over_length": over}
    report |= report_of(encoder, chats, seen) | {"train_rows": len(rows[0]), "validation_rows": len(rows[1])}
    report["examples"] = [_labelled(example, [row for side in rows for row in side]) for example in report["examples"]]
    good = [_good(side) for side in rows]
    targets = Targets(tuple(encoder.example(chat) for chat in good[0])), Targets(tuple(map(encoder.example, good[1])))
    ends = encoder.end_ids([encoder.example(row.choice.chat(row.choice.chosen or PLACE)) for row in rows[0][:50]])
    return AlignData(good[0], good[1], targets, template, report, (rows[0], rows[1]), tuple(sorted(ends)))


def _encoded(encoder: TargetEncoder, choice: Choice, name: str) -> tuple[AlignRow, list[TargetExample]]:
    try:
        answers = [answer for answer in (choice.chosen, choice.rejected) if answer is not None]
        seen = [encoder.example(choice.chat(answer)) for answer in answers or [PLACE]]
    except DataError as error:
        raise DataError(f"{name}: {error.message}" if name else error.message, error.hint) from error
    cut = [_cut(example) for example in seen]
    if any(prompt != cut[0][0] for prompt, _ in cut):
        raise DataError(
            f"{name}: Row {choice.row}: the chat template writes the prompt differently before its two answers.",
            "Use another template, or leave the row out.",
        )
    prompt = cut[0][0]
    if not answers:
        end = next(i for i, piece in enumerate(seen[0].pieces) if piece.is_target)
        return AlignRow(choice, prompt), [TargetExample(choice.row, seen[0].pieces[:end], guarded=seen[0].guarded)]
    ids = [answer for _, answer in cut]
    chosen, rejected = (ids[0] if choice.chosen else ()), (ids[-1] if choice.rejected else ())
    return AlignRow(choice, prompt, chosen, rejected), seen


def _cut(example: TargetExample) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(prompt, answer) of one example; nothing of what comes after the last target."""
    places = [i for i, wanted in enumerate(example.mask) if wanted]
    return example.ids[: places[0]], example.ids[places[0] : places[-1] + 1]


def _over_length(rows: Sequence[AlignRow], most: int, *, drop_long: bool) -> dict[str, Any]:
    long = [row for row in rows if row.width > most]
    if long and not drop_long:
        raise DataError(
            f"{named([row.choice.row for row in long])} more than {most:,} tokens ({len(long) / len(rows):.1%} of all);"
            f" the longest has {max(row.width for row in long):,}.",
            "Nothing is cut: raise --max-length if the model allows it, shorten them, or leave them out: --drop-long.",
        )
    numbers = [row.choice.row for row in long]
    return {"rows": numbers, "count": len(long), "share": round(len(long) / len(rows), 4)}


def _good(rows: Sequence[AlignRow]) -> tuple[Chat, ...]:
    """Of each row its better answer; the bad ones too where there are no others."""
    good = tuple(row.choice.chats()[0] for row in rows if row.choice.chosen or not row.choice.rejected)
    return good or tuple(row.choice.chats()[0] for row in rows)


def _labelled(example: dict[str, Any], rows: Sequence[AlignRow]) -> dict[str, Any]:
    """A shown row with what its answer is: chosen, rejected, or sampled later."""
    learned = "".join(part["text"] for part in example["text"] if part["learned"])
    for row in rows:
        for kind in ("chosen", "rejected"):
            answer = getattr(row.choice, kind)
            if row.choice.row == example["row"] and answer and learned.startswith(answer.content.strip()):
                return example | {"answer": kind}
    return example | {"answer": "" if learned else "prompt alone"}
