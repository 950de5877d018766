"""`linnet compare`: which of several evaluations or models is better, and whether the difference is real."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    names: Annotated[list[str], typer.Argument(help="Runs of `linnet evaluate`; or models, with --data.")],
    *,
    data: Annotated[Path | None, typer.Option(help="Examples that the models are evaluated on first.")] = None,
    metric: Annotated[str, typer.Option(help="The metric to compare. The evaluations' first one by default.")] = "",
    max_loss: Annotated[float | None, typer.Option(help="How much may be lost; 0.01 is a point.")] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Every pair, instead of each with the first.")] = False,
    input_: Annotated[str, typer.Option("--input", help="Column of the text, or a template of columns.")] = "",
    output: Annotated[str, typer.Option(help="Column of the answer.")] = "",
    group: Annotated[str, typer.Option(help="Column of groups, drawn whole.")] = "",
    instruction: Annotated[str, typer.Option("--instruction", "--prompt", help="What stands before questions.")] = "",
    schema: Annotated[Path | None, typer.Option(help="JSON schema that every answer is held to.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer in tokens.")] = 512,
    limit: Annotated[int, typer.Option(help="Only the first so many rows.")] = 0,
    seed: Annotated[int, typer.Option(help="Of resampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line, and no progress.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Compare two evaluations, or several with the first, on the same examples.

    Evaluations whose examples, prompt, decoding, metric or seed differ are refused, and the difference is named.
    """
    from linnet.cli.printing import listener, plain, print_json
    from linnet.pipeline.compare import compare as run
    from linnet.pipeline.compare import summary
    from linnet.pipeline.evaluate import EvaluateOptions
    from linnet.text.questions import Asking

    options = None
    if data is not None:
        options = EvaluateOptions(
            metrics=(metric,) if metric else (), asking=Asking(input_, output, group=group, limit=limit),
            instruction=instruction, schema=str(schema or ""), max_tokens=max_tokens, seed=seed,
        )  # fmt: skip
    found = run(
        names, str(data or ""), options,
        metric=metric, max_loss=max_loss, pairs=pairs, on_event=listener(quiet or as_json),
    )  # fmt: skip
    if as_json:
        print_json(summary(found))
        return
    for one in found:
        print(f"{plain(one.first)} {one.first_value:.4f}   {plain(one.second)} {one.second_value:.4f}   {one.metric}")
        print(f"  {plain(one.sentence)}")
        if one.loss:
            print(f"  {plain(one.loss)}")
