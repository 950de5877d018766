"""`linnet evaluate`: a specialist, a decoder or an endpoint on examples, by one ruler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linnet.cli.evaluate_harness import run_tasks
from linnet.core.errors import InputError

if TYPE_CHECKING:
    from linnet.core.store import Store
    from linnet.pipeline.evaluate import Evaluated, EvaluateOptions

WORST = 5


def evaluate(
    name: Annotated[str, typer.Argument(help="A specialist, a model of `linnet list`, a GGUF file or a folder.")],
    file: Annotated[Path | None, typer.Argument(help="The examples; the same as --data.")] = None,
    *,
    data: Annotated[Path | None, typer.Option(help="The examples: CSV, JSONL, JSON, Parquet; or a .txt file.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="A metric, or FILE.py:FUNCTION. The first decides.")] = None,
    input_: Annotated[str, typer.Option("--input", help="Column of the text, or a template of columns.")] = "",
    output: Annotated[str, typer.Option(help="Column of the answer; may hold a list of references.")] = "",
    format_: Annotated[str, typer.Option("--format", help="messages, sharegpt, ... Recognised.")] = "",
    group: Annotated[str, typer.Option(help="Column of groups: drawn whole, and shown apart.")] = "",
    instruction: Annotated[str, typer.Option("--instruction", "--prompt", help="What stands before questions.")] = "",
    schema: Annotated[Path | None, typer.Option(help="JSON schema that every answer is held to.")] = None,
    labels: Annotated[str, typer.Option(help="Labels to score, with commas. Those of the data by default.")] = "",
    shots: Annotated[int | None, typer.Option(help="How many examples are shown before each question.")] = None,
    shots_from: Annotated[Path | None, typer.Option(help="The file that they are taken from.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer in tokens.")] = 512,
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends an answer.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Ask without a chat template.")] = False,
    limit: Annotated[int, typer.Option(help="Only the first so many rows.")] = 0,
    endpoint: Annotated[str, typer.Option(help="Ask this OpenAI-compatible address for the model.")] = "",
    judge: Annotated[str, typer.Option(help="A model that grades the answers: the metric judge.")] = "",
    rubric: Annotated[str, typer.Option(help="What the judge looks at: a text, or a .txt or .md file.")] = "",
    scale: Annotated[str, typer.Option(help="The judge's lowest and highest grade.")] = "1-5",
    judge_endpoint: Annotated[str, typer.Option(help="Ask this OpenAI-compatible address for the judge.")] = "",
    human: Annotated[str, typer.Option(help="A file of people's grades: how far the judge agrees.")] = "",
    harness: Annotated[list[str] | None, typer.Option(help="Run this task of lm-eval instead, or these.")] = None,
    include_path: Annotated[Path | None, typer.Option(help="With --harness: a folder of task files.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="With --harness: by the model's chat template.")] = False,
    online: Annotated[bool, typer.Option("--online", help="With --harness: data may be fetched.")] = False,
    seed: Annotated[int, typer.Option(help="Of resampling, and of the choice of shots.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line, and no progress.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Measure a model on examples: metrics with 95 % intervals, by length, group and class.

    Answers are kept one by one; an interrupted evaluation goes on with the same command.
    """
    given = dict(locals())
    if run_tasks(given):
        return
    if (file is None) == (data is None):
        raise InputError("The examples are needed, once.", "Write: linnet evaluate MODEL --data FILE --metric NAME")
    _judge(given, data or file or Path())


def _judge(given: dict[str, Any], rows: Path) -> None:
    """A specialist that labels or tags by the ruler of its build; everything else as the flags say."""
    from linnet.core.store import Store

    name, store, as_json = given["name"], Store(), given["as_json"]
    kind, columns = _kind(store, name), (given["input_"], given["output"])
    asked = any(given[flag] for flag in ("metric", "schema", "endpoint", "judge"))
    if kind == "tag" and not given["endpoint"]:
        _tagger(store, name, rows, columns, as_json=as_json)
    elif not asked and (given["data"] is None or kind == "classify"):
        _classifier(store, name, rows, columns, as_json=as_json)
    else:
        _run(name, rows, _options(given), as_json=as_json, quiet=given["quiet"])


def _options(given: dict[str, Any]) -> EvaluateOptions:
    """What the flags say, by their names."""
    from linnet.pipeline.evaluate import EvaluateOptions
    from linnet.pipeline.judge import JudgeOptions
    from linnet.text.questions import Asking

    judge = None
    if any(given[name] for name in ("judge", "rubric", "judge_endpoint", "human")):
        judge = JudgeOptions(model=given["judge"], endpoint=given["judge_endpoint"],
                             **{name: given[name] for name in ("rubric", "scale", "human")})  # fmt: skip
    same = {name: given[name] for name in ("instruction", "max_tokens", "raw", "endpoint", "seed")}
    same["shots"] = given["shots"] or 0
    return EvaluateOptions(
        metrics=tuple(given["metric"] or ()), stop=tuple(given["stop"] or ()), judge=judge,
        asking=Asking(*(given[name] for name in ("input_", "output", "format_", "group", "limit"))),
        schema=str(given["schema"] or ""), shots_from=str(given["shots_from"] or ""),
        labels=tuple(x.strip() for x in given["labels"].split(",") if x.strip()), **same,
    )  # fmt: skip


def _run(name: str, rows: Path, options: EvaluateOptions, *, as_json: bool, quiet: bool) -> None:
    from linnet.cli.printing import listener, print_json
    from linnet.pipeline.evaluate import evaluate as run

    found = run(name, rows, options, on_event=listener(quiet or as_json))
    if as_json:
        print_json(found.summary())
        return
    _show(found, rows)


def _kind(store: Store, name: str) -> str:
    """The kind of a specialist; "" for everything else."""
    from linnet.core.names import is_name

    bare = name.partition(":")[0]
    return store.find(name)[0].kind if is_name(bare) and store.versions(bare) else ""


def _tagger(store: Store, name: str, file: Path, columns: tuple[str, str], *, as_json: bool) -> None:
    from linnet.cli.printing import plain, print_json
    from linnet.pipeline.tag_evaluate import evaluate_tagger

    found, labels = evaluate_tagger(store, name, file, columns)
    if as_json:
        print_json(found.summary() | {"labels": [one.to_json() for one in labels]})
        return
    _show(found, file)
    width = max(len(plain(one.label)) for one in labels) + 2
    print(f"\n  {'label':<{width}}{'precision':>10}{'recall':>8}{'f1':>8}{'true':>7}{'found':>7}")
    for one in labels:
        shown = f"{one.precision:>10.3f}{one.recall:>8.3f}{one.f1:>8.3f}{one.true:>7}{one.found:>7}"
        print(f"  {plain(one.label):<{width}}{shown}")


def _classifier(store: Store, name: str, file: Path, columns: tuple[str, str], *, as_json: bool) -> None:
    from linnet.cli.printing import plain, print_json
    from linnet.stages.evaluate import evaluate_file

    evaluation, truncated = evaluate_file(store, name, file, columns[0] or None, columns[1] or None)
    if as_json:
        print_json(evaluation.to_json() | {"truncated": truncated})
        return
    print(f"{evaluation.candidate} on {evaluation.examples} examples of {file}")
    for what in ("macro_f1", "accuracy"):
        found = evaluation.metric(what)
        print(f"  {what:<10}{found.value:.4f}  [{found.low:.4f}, {found.high:.4f}]")
    print(f"  expected calibration error {evaluation.expected_calibration_error:.4f}")
    if truncated:
        print(f"  {truncated} texts were longer than the specialist reads; only their start was read")
    width = max(len(label) for label in evaluation.labels) + 2
    print(f"\n  {'label':<{width}}{'precision':>10}{'recall':>8}{'f1':>8}{'support':>9}")
    for label, row in evaluation.per_class.items():
        shown = f"{row['precision']:>10.3f}{row['recall']:>8.3f}{row['f1']:>8.3f}{row['support']:>9.0f}"
        print(f"  {plain(label):<{width}}{shown}")


def _show(found: Evaluated, rows: Path) -> None:
    from linnet.cli.printing import plain
    from linnet.metrics.grading import parse_scale

    made = found.evaluation
    if found.agreement:
        print(found.agreement.sentence)
    print(f"{plain(made.candidate)} on {made.examples} examples of {plain(str(rows))}")
    width = max(len(name) for name in made.metrics) + 2
    for name, one in made.metrics.items():
        print(f"  {plain(name):<{width}}{one.value:.4f}  [{one.low:.4f}, {one.high:.4f}]")
    if judged := made.metrics.get("judge"):
        scale = parse_scale(made.identities["judge"]["judge"]["scale"])
        print(f"  mean grade {scale.low + judged.value * (scale.high - scale.low):.2f} on the scale {scale}")
    if told := made.detectable.get(made.primary):
        print(f"  {told}")
    if made.failed:
        print(f"  {made.failed} questions got no answer and count as wrong")
    for text, count in list(made.problems.items())[:WORST]:
        print(f"  {count:>5} x {plain(text)[:160]}")
    _show_slices(made.primary, made.slices)
    speed = found.answered.result["requests_per_second"] if found.answered else None
    if speed and found.answered and not found.answered.reused:
        print(f"\n  {speed:.1f} questions a second, {found.answered.result['completion_tokens']} tokens written")
    print(f"  run        {found.step.run.id}")
    if found.answered:
        print(f"  answers    {found.answered.folder / 'predictions.jsonl'}")


def _show_slices(metric: str, slices: list[dict[str, Any]]) -> None:
    from linnet.cli.printing import plain

    if not slices:
        return
    width = min(40, max(len(one["name"]) for one in slices)) + 2
    print(f"\n  {metric} by part")
    for one in slices[:30]:
        limits = f"  [{one['low']:.4f}, {one['high']:.4f}]" if one["low"] is not None else ""
        print(f"  {one['by']:<8}{plain(one['name'])[:40]:<{width}}{one['examples']:>6}  {one['value']:.4f}{limits}")
    if len(slices) > 30:
        print(f"  and {len(slices) - 30} more parts in evaluation.json of the run")
