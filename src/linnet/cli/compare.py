"""`linnet compare`: which of several evaluations or models is better, and whether the difference is real."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.core.errors import InputError

if TYPE_CHECKING:
    from linnet.pipeline.compare import Compared
    from linnet.pipeline.evaluate import EvaluateOptions
    from linnet.pipeline.judge_pairs import Judged

PROBLEMS = 5


def compare(
    names: Annotated[list[str], typer.Argument(help="Runs of `linnet evaluate`; or models, with --data.")],
    *,
    data: Annotated[Path | None, typer.Option(help="Examples that the models are evaluated on first.")] = None,
    metric: Annotated[str, typer.Option(help="The metric to compare. The evaluations' first one by default.")] = "",
    max_loss: Annotated[float | None, typer.Option(help="How much may be lost; 0.01 is a point.")] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Every pair, instead of each with the first.")] = False,
    judge: Annotated[str, typer.Option(help="A model that says whose answers are better, in both orders.")] = "",
    rubric: Annotated[str, typer.Option(help="What the judge looks at: a text, or a .txt or .md file.")] = "",
    endpoint: Annotated[str, typer.Option(help="Ask this OpenAI-compatible address for the judge.")] = "",
    human: Annotated[str, typer.Option(help="A file of people's verdicts: how far the judge agrees.")] = "",
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
    from linnet.pipeline.evaluate import EvaluateOptions
    from linnet.text.questions import Asking

    options = EvaluateOptions(
        metrics=(metric,) if metric else (), asking=Asking(input_, output, group=group, limit=limit),
        instruction=instruction, schema=str(schema or ""), max_tokens=max_tokens, seed=seed,
    )  # fmt: skip
    if judge or rubric or endpoint or human:
        if max_loss is not None or (metric and not data):
            raise InputError("A judge takes the place of --metric, and a win rate has no --max-loss.", "Leave it out.")
        told = {"model": judge, "rubric": rubric, "endpoint": endpoint, "human": human}
        _by_judge(names, told, (str(data or ""), options), pairs=pairs, as_json=as_json, quiet=quiet)
        return
    from linnet.cli.printing import listener, print_json
    from linnet.pipeline.compare import compare as run
    from linnet.pipeline.compare import summary

    on_event = listener(quiet or as_json)
    found = run(names, str(data or ""), options, metric=metric, max_loss=max_loss, pairs=pairs, on_event=on_event)
    if as_json:
        print_json(summary(found))
    else:
        _show(found)


def _show(found: list[Compared]) -> None:
    from linnet.cli.printing import plain

    for one in found:
        print(f"{plain(one.first)} {one.first_value:.4f}   {plain(one.second)} {one.second_value:.4f}   {one.metric}")
        print(f"  {plain(one.sentence)}")
        if one.loss:
            print(f"  {plain(one.loss)}")


def _by_judge(
    names: list[str],
    told: dict[str, str],
    given: tuple[str, EvaluateOptions],
    *,
    pairs: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from linnet.cli.printing import listener, print_json
    from linnet.pipeline.judge import JudgeOptions
    from linnet.pipeline.judge_pairs import compare_by_judge

    on_event = listener(quiet or as_json)
    found = compare_by_judge(names, JudgeOptions(**told), *given, pairs=pairs, on_event=on_event)
    if as_json:
        print_json(found.summary())
    else:
        _show_judged(found)


def _show_judged(found: Judged) -> None:
    from linnet.cli.printing import plain

    print(f"judge {plain(found.name)}, rubric {found.judge['rubric'][:12]}")
    if found.agreement:
        print(f"  {found.agreement.sentence}")
    for one, run in zip(found.comparisons, found.runs, strict=True):
        first, second = plain(one.first), plain(one.second)
        print(f"{first} {one.wins_first} wins   {second} {one.wins_second} wins   {one.ties} ties")
        for text in (one.sentence, one.judged):
            if text:
                print(f"  {plain(text)}")
        for problem, count in list(one.problems.items())[:PROBLEMS]:
            print(f"  {count:>5} x {plain(problem)[:160]}")
        print(f"  verdicts   {run}")
