"""`linnet classify`: label texts from a file, a pipe or the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.cli.printing import print_json
from linnet.cli.text_rows import Row, one_line, text_batches
from linnet.core.errors import InputError

if TYPE_CHECKING:
    from linnet.stages.serve import Specialists


def classify(
    name: Annotated[str, typer.Argument(help="Specialist: name (its newest version) or name:version.")],
    file: Annotated[str, typer.Argument(help="One text a line, or a table; - is standard input.")] = "-",
    text: Annotated[list[str] | None, typer.Option("--text", help="A text; may be given again.")] = None,
    column: Annotated[str | None, typer.Option(help='Column of a table, or a template: "{subject} {body}".')] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Read only the start of texts that are too long.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with every probability.")] = False,
) -> None:
    """Print the label, its probability and the text, one line each.

    An empty line, and a text that is too long, end the run with the number of its line.
    """
    from linnet.core.store import Store
    from linnet.stages.serve import Specialists

    specialists = Specialists(Store())
    model = specialists.find(name).full_name  # one version for the whole run, whatever is built meanwhile
    for batch in text_batches(text, file, column):
        _print_batch(specialists, model, batch, truncate=truncate, as_json=as_json)


def _print_batch(specialists: Specialists, model: str, batch: list[Row], *, truncate: bool, as_json: bool) -> None:
    from linnet.stages.serve import TextTooLong

    try:
        found = specialists.classify(model, [row.text for row in batch], truncate=truncate)
    except TextTooLong as error:
        if error.index:  # the texts before it are answered first, as they are when a row cannot be read
            _print_batch(specialists, model, batch[: error.index], truncate=truncate, as_json=as_json)
        raise InputError(
            f"{batch[error.index].place}: the text has {error.tokens} tokens; {model} reads at most {error.limit}.",
            "Shorten it, or use --truncate: then only its start is read.",
        ) from error
    cut = set(found.truncated)
    for index, (row, answer) in enumerate(zip(batch, found.answers, strict=True)):
        if as_json:
            line = {"text": row.text, "label": answer.label, "probability": answer.probability}
            print_json({**line, "probabilities": answer.probabilities, "truncated": index in cut})
        else:
            label = one_line(answer.label).replace("\t", "\\t")
            print(f"{label}\t{answer.probability:.4f}\t{one_line(row.text)}")
    sys.stdout.flush()
    for index in found.truncated:
        print(f"note: {batch[index].place}: longer than {model} reads; cut", file=sys.stderr)
