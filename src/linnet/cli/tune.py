"""`linnet tune`: a decoder learns the answers of conversations."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.core.errors import InputError

if TYPE_CHECKING:
    from linnet.pipeline.tune import TuneOptions


DropLong = Annotated[bool, typer.Option("--drop-long", help="Leave rows over the limit out, and count them.")]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="messages, sharegpt, alpaca, prompt-completion, text, paragraphs or documents. Recognised.",
    ),
]
Checkpointing = Annotated[bool, typer.Option("--checkpointing", help="Save memory: compute each layer a second time.")]
Shard = Annotated[bool, typer.Option("--shard", help="Under torchrun: each process holds a part of the weights.")]
Rehearse = Annotated[
    bool | None,
    typer.Option("--rehearse/--no-rehearse", help="Walk through it all first. Done unasked before long runs."),
]


def tune(
    task: Annotated[Path | None, typer.Argument(help="A task.toml, or its folder; else --model and --data.")] = None,
    *,
    model: Annotated[str, typer.Option(help="The base: builtin:nano, a name of `linnet list`, or a folder.")] = "",
    data: Annotated[Path | None, typer.Option(help="Rows: CSV, JSONL, JSON, Parquet, .txt; or a folder.")] = None,
    method: Annotated[str, typer.Option(help="lora or full, chosen by size; dpo, kto, orpo or grpo.")] = "",
    rank: Annotated[int, typer.Option(help="Rank of the adapter.")] = 0,
    alpha: Annotated[int, typer.Option(help="Strength of the adapter.")] = 0,
    epochs: Annotated[int, typer.Option(help="How often each row is seen, at most.")] = 0,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.0,
    batch: Annotated[int, typer.Option(help="Rows a step.")] = 0,
    quantize: Annotated[str, typer.Option(help="Hold the base in nf4 or int8 while an adapter is trained.")] = "",
    dora: Annotated[bool, typer.Option("--dora", help="Learn the length of each weight row by itself (DoRA).")] = False,
    neftune: Annotated[float, typer.Option(help="Noise on the embeddings while training; 5 is usual.")] = 0.0,
    max_length: Annotated[int, typer.Option(help="Longest row in tokens; a longer one is an error.")] = 0,
    drop_long: DropLong = False,
    split: Annotated[str, typer.Option(help="One of the splits of a saved dataset; by default train.")] = "",
    format_: Format = "",
    input_: Annotated[str, typer.Option("--input", help="Column of the question, or a template of columns.")] = "",
    output: Annotated[str, typer.Option(help="Column of the answer; of preferences two: A,B.")] = "",
    instruction: Annotated[str, typer.Option(help="What the model is told before each question.")] = "",
    template: Annotated[str, typer.Option(help="Chat template instead of the model's: chatml, plain or a file.")] = "",
    validation: Annotated[str, typer.Option(help="Rows to stop by. Without it a tenth is held out.")] = "",
    beta: Annotated[float, typer.Option(help="dpo, kto, grpo: pull towards the base; orpo: weight of the odds.")] = 0.0,
    reward: Annotated[str, typer.Option(help="grpo: exact, json, or FILE.py[:FUNCTION].")] = "",
    samples: Annotated[int, typer.Option(help="grpo: answers to each prompt.")] = 0,
    answer_tokens: Annotated[int, typer.Option(help="grpo: longest answer in tokens.")] = 0,
    checkpointing: Checkpointing = False,
    part_tokens: Annotated[int, typer.Option(help="Save memory: compute so many tokens at once.")] = 0,
    shard: Shard = False,
    rehearse: Rehearse = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same model on the same machine.")] = 0,
    out: Annotated[str, typer.Option(help="Merge at the end and give the model this name.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Only report on the data and the plan.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line, and no progress.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no report and no progress.")] = False,
) -> None:
    """Fine-tune a decoder. Shows what it will learn, token by token, before the first step.

    Ctrl-C saves and leaves; the same command, or `linnet runs resume`, goes on to the same result.
    """
    from linnet.pipeline.tune import TuneOptions

    given = {name.rstrip("_"): value for name, value in locals().items()}
    options = TuneOptions(**{field.name: given[field.name] for field in fields(TuneOptions)})
    if (task is None) == (data is None):
        what = "both a task.toml and --data" if task else "neither a task.toml nor --data"
        raise InputError(f"tune was given {what}.", "Write: linnet tune TASK.toml, or: linnet tune --data FILE")
    _run(task, model, data, options, check=check, as_json=as_json, quiet=quiet)


def _run(
    task: Path | None, model: str, data: Path | None, options: TuneOptions, *, check: bool, as_json: bool, quiet: bool
) -> None:
    from linnet.cli.printing import print_json
    from linnet.cli.tune_output import live, print_report, print_result
    from linnet.core.settings import is_follower
    from linnet.core.store import Store
    from linnet.pipeline.rehearsal import rehearse_tuning
    from linnet.pipeline.tune import DEFAULT_MODEL, from_task, prepare_tuning, run_tuning

    notes: tuple[str, ...] = ()
    source = str(data)
    if task is not None:
        model, source, options, notes = from_task(task, model, options)
    store = Store()
    quiet = quiet or is_follower()
    base, job = prepare_tuning(model or DEFAULT_MODEL, source, options, store=store, notes=notes)
    if not as_json and not quiet:
        print_report(base.name, job.data.report)
    if check:
        told = rehearse_tuning(store, base, job, live(quiet or as_json)).result if options.rehearse else None
        if as_json:
            print_json(job.data.report | {"recipe": job.recipe.to_json(), "rehearsal": told})
        return
    result = run_tuning(store, base, job, live(quiet or as_json))
    if is_follower():
        return
    if as_json:
        print_json(result.summary())
        return
    print_result(result)
