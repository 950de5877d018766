"""What `linnet tune` shows: the rows with their masks before the first step, the loss as it falls, the result."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from linnet.cli.printing import listener, plain
from linnet.core.events import Event, OnEvent

if TYPE_CHECKING:
    from linnet.pipeline.merge import MergeResult
    from linnet.pipeline.tune import TuneResult

BEGIN, END = "⟦", "⟧"  # around what is learned, where there is no colour
BARS = "▁▂▃▄▅▆▇█"
RECENT = 24
CUT = 700  # characters of one row on the screen


def live(quiet: bool) -> OnEvent:
    """A listener that shows the loss beside the bar, with a small curve of the last steps."""
    show = listener(quiet)
    seen: deque[float] = deque(maxlen=RECENT)

    def tell(event: Event) -> None:
        if event.kind == "progress" and "loss" in event.data:
            seen.append(event.data["loss"])
            event = replace(event, message=f"{event.message}  loss {seen[-1]:.3f} {sparkline(list(seen))} ")
        show(event)

    return tell


def sparkline(values: list[float]) -> str:
    """A curve of one line: the highest value is a full block."""
    low, high = min(values), max(values)
    return "".join(BARS[round((value - low) / (high - low or 1.0) * (len(BARS) - 1))] for value in values)


def print_report(base: str, report: dict[str, Any]) -> None:
    """The data as the model will see it, what was counted, and the plan with its reasons."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    colour = console.is_terminal and console.color_system is not None

    def line(text: str) -> None:
        console.print(Text(plain(text)), soft_wrap=True)

    for text in _head(base, report):
        line(text)
    mark = "in colour" if colour else f"between {BEGIN} and {END}"
    line(f"\n{len(report['examples'])} rows from the shortest to the longest; what is learned is {mark}:")
    for example in report["examples"]:
        which = f", {example['answer']}" if example.get("answer") else ""
        where = f"{report['source']['unit']} {example['row']}{which}"
        line(f"\n{where}: {example['tokens']} tokens, {example['target_tokens']} of them learned")
        console.print(_marked(example["text"], colour), soft_wrap=True)
    line("\nPlan")
    for text in report["reasons"]:
        line(f"  {text}")


def _head(base: str, report: dict[str, Any]) -> list[str]:
    source, lengths, over = report["source"], report["lengths"], report["over_length"]
    template = report["template"]
    lines = [f"{source['name']}: {source['format']}, {source['reason']}; {_rows(source['rows'])}"]
    lines.append(f"  read      {', '.join(source['fields'])}")
    lines += [f"  not read  {', '.join(source['unread'])}"] if source["unread"] else []
    lines.append(f"  base      {base}")
    lines.append(f"  template  {template['name']}: {template['reason']}")
    lines.append(
        f"  rows      {report['train_rows']:,} to learn from, {report['validation_rows']:,} to see when to stop"
    )
    learned = f"{report['target_tokens']:,} learned, {report['masked_tokens']:,} masked ({report['masked_share']:.1%})"
    lines.append(f"  tokens    {report['tokens']:,}: {learned}")
    longest = f"median {lengths['median']}, 95 % up to {lengths['p95']}, longest {lengths['longest']}"
    lines.append(f"  lengths   {longest}; the limit is {over['limit_tokens']}")
    left = f"{_rows(over['count'])} over the limit left out ({over['share']:.1%}): {_few(over['rows'])}"
    lines += [f"  ! {left}"] if over["count"] else ["            no row is over it; nothing is cut"]
    return lines + [f"  ! {text}" for text in _warnings(report)] + [f"  · {note}" for note in report.get("notes", [])]


def _warnings(report: dict[str, Any]) -> list[str]:
    found = list(report["source"]["notes"])
    if report["control_tokens_in_text_rows"]:
        spelled = report["control_tokens_in_text"]
        tokens = ", ".join(sorted({token for entry in spelled for token in entry["tokens"]}))
        rows = _few([entry["row"] for entry in spelled])
        found.append(
            f"control tokens spelled in the text of {_rows(report['control_tokens_in_text_rows'])} ({rows}): {tokens}; "
            "read as plain letters"
        )
    if report["repeated_rows"]:
        found.append(f"{_rows(report['repeated_rows'])} the same as another one; kept")
    if report["validation_questions_in_train"]:
        found.append(f"{_rows(report['validation_questions_in_train'])} held out ask what a training row asks")
    return found


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _few(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")


def _marked(stretches: list[dict[str, Any]], colour: bool) -> Any:
    """One row; long ones lose their middle on the screen, and say so."""
    from rich.text import Text

    shown = Text()
    for stretch in stretches:
        text = plain(stretch["text"]).replace("\n", "⏎\n")
        if len(text) > CUT:
            cut = f" … {len(text) - CUT:,} characters not shown … "
            text = text[: CUT // 2] + cut + text[-CUT // 2 :]
        if not stretch["learned"]:
            shown.append(text, style="dim" if colour else "")
        elif colour:
            shown.append(text, style="bold green")
        else:
            shown.append(f"{BEGIN}{text}{END}")
    shown.rstrip()
    return shown


def print_result(result: TuneResult) -> None:
    """What was made, how it went, and what can be done with it."""
    step, facts = result.step, result.step.result
    losses = [entry["validation_loss"] for entry in facts["epochs"]]
    best = losses[facts["best_epoch"] - 1]
    print(f"{step.run.id}  {facts['method']} on {plain(facts['base'])}" + (" (nothing had changed)" * step.reused))
    kept = f"epoch {facts['best_epoch']} of {len(losses)} kept"
    print(f"  validation loss  {losses[0]:.3f} after the first epoch, {best:.3f} at best; {kept}")
    print(f"  speed            {facts['target_tokens_per_second']:.0f} learned tokens/s, {facts['seconds']:.1f} s")
    print(f"  {facts['artefact']:<17}{step.folder / facts['artefact']}")
    if result.merged is None:
        print(f"  next             linnet merge {step.run.id} --out NAME")
        return
    print_merged(result.merged)


def print_merged(merged: MergeResult) -> None:
    """The gates and the names of a merged model."""
    for gate in merged.step.result["gates"]:
        print(f"  gate             {gate['name']}: {gate['measured']} (asked for: {gate['bound']})")
    for model in merged.models:
        print(f"  {model.format:<17}{model.name}")
    runnable = next((model for model in merged.models if model.format == "gguf"), None)
    if runnable is not None:
        print(f"  next             linnet run {runnable.name.partition(':')[0]}")
