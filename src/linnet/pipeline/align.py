"""Prepare a preference training: rows with two answers, judged answers or prompts, for `pipeline.tune` to run.

Reads, splits, plans and reports. Which losses there are is known to training.align.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.core.errors import InputError, require
from linnet.core.runs import RunView
from linnet.text.conversation_splits import hold_out_chats
from linnet.text.preferences import Choice, Choices, Named, read_choice_lines, read_choices

if TYPE_CHECKING:
    from linnet.pipeline.tune import TuneOptions
    from linnet.training.align_data import AlignData
    from linnet.training.align_plan import AlignRecipe
    from linnet.training.decoder_data import NamedTemplate
    from linnet.training.tune_plan import Chosen

METHODS = ("dpo", "kto", "orpo", "grpo")
HELD_OUT, CHOICES = "validation_choices", "train_choices"


def prepare(
    folder: Path, data: Path, options: TuneOptions, template: NamedTemplate, chosen: Chosen, sizes: tuple[int, int]
) -> tuple[AlignData, AlignRecipe, list[str], dict[str, Any]]:
    """(rows, recipe, its reasons, facts of the file) for the model in `folder`; `sizes` are its weights and context.

    Raises ResourceMissing without the libraries, NotFound, InputError, DataError.
    """
    from linnet.training import align_plan
    from linnet.training.align import EXTRA
    from linnet.training.align_data import prepare_choices
    from linnet.training.rewards import check_references
    from linnet.training.tune_plan import plan_tokens

    if options.format:
        raise InputError(f"--format is of answers that are imitated; {options.method} has its own.", _OVERRIDE)
    require("trl", EXTRA)
    said = align_plan.check_aligning(_aligning(options))
    wanted, named = align_plan.METHODS[options.method], _named(options)
    read = read_choices(data, wanted, named=named, split=options.split)
    held = read_choices(Path(options.validation).expanduser(), wanted, named=named) if options.validation else None
    sides = (read.rows, held.rows) if held else _hold_out(read, options.seed)
    if said.reward:
        check_references(said.reward, [row for side in sides for row in side])
    limit = plan_tokens(options.max_length, sizes[1])
    made = prepare_choices(
        folder, sides, template, limit, answer_tokens=said.answer_tokens, drop_long=options.drop_long,
        names=(data.name, Path(options.validation or data).name),
    )  # fmt: skip
    recipe, reasons = align_plan.plan_alignment(said, chosen, len(made.rows[0]), *sizes)
    return made, recipe, reasons, {"name": data.name, **read.facts()}


_OVERRIDE = "Name columns instead: --input PROMPT --output CHOSEN,REJECTED | COMPLETION,LABEL | REFERENCE."


def again(folder: Path, found: RunView, template: NamedTemplate) -> tuple[AlignData, AlignRecipe]:
    """Rows and recipe of a run that is gone on with. Raises CorruptFile, DataError, pydantic's ValidationError."""
    from linnet.training.align_data import prepare_choices
    from linnet.training.align_plan import AlignRecipe

    recipe = AlignRecipe.model_validate(found.request["recipe"])
    train, held = (read_choice_lines(found.folder / f"{name}.jsonl") for name in (CHOICES, HELD_OUT))
    made = prepare_choices(folder, (train, held), template, recipe.max_tokens, answer_tokens=recipe.answer_tokens)
    return made, recipe


def _aligning(options: TuneOptions) -> Any:
    from linnet.training.align_plan import Aligning

    return Aligning(
        objective=options.method, beta=options.beta, reward=options.reward, samples=options.samples,
        answer_tokens=options.answer_tokens,
    )  # fmt: skip


def _named(options: TuneOptions) -> Named | None:
    """The columns that are named, in the number that the method needs."""
    if not options.input:
        if options.output or options.instruction:
            raise InputError("--output and --instruction need --input, the column of the prompt.", _OVERRIDE)
        return None
    answers = tuple(name.strip() for name in options.output.split(",") if name.strip())
    needed = (0, 1) if options.method == "grpo" else (2,)
    if len(answers) not in needed:
        raise InputError(f"--output {options.output!r} names {len(answers)} columns for {options.method}.", _OVERRIDE)
    return Named(options.input, answers, options.instruction)


def _hold_out(read: Choices, seed: int) -> tuple[Sequence[Choice], Sequence[Choice]]:
    """Rows that ask the same stay on one side: see `conversation_splits`."""
    _, held = hold_out_chats([choice.chats()[0] for choice in read.rows], seed)
    numbers = {chat.row for chat in held}
    sides: tuple[list[Choice], list[Choice]] = ([], [])
    for choice in read.rows:
        sides[choice.row in numbers].append(choice)
    return sides
