"""`linnet tag`: find spans in texts from a file, a pipe or the command line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from linnet.cli.printing import print_json
from linnet.cli.text_rows import one_line, text_batches
from linnet.core.errors import InputError


def tag(
    name: Annotated[str, typer.Argument(help="Specialist: name (its newest version) or name:version.")],
    file: Annotated[str, typer.Argument(help="One text a line, or a table; - is standard input.")] = "-",
    text: Annotated[list[str] | None, typer.Option("--text", help="A text; may be given again.")] = None,
    column: Annotated[str | None, typer.Option(help="Column of a table.")] = None,
    redact: Annotated[bool, typer.Option("--redact", help="Print the texts, [LABEL] in place of each span.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with offsets.")] = False,
) -> None:
    """Print the number of the text, the label, its probability and the words, one span a line.

    A text of any length is read whole. An empty line ends the run with the number of its line.
    """
    from linnet.core.store import Store
    from linnet.stages.serve import Specialists, redacted

    if redact and as_json:
        raise InputError("--redact prints texts, --json spans.", "Give one of them.")
    specialists = Specialists(Store())
    model = specialists.find(name).full_name  # one version for the whole run, whatever is built meanwhile
    number = 0
    for batch in text_batches(text, file, column):
        found = specialists.tag(model, [row.text for row in batch])
        for row, spans in zip(batch, found.spans, strict=True):
            number += 1
            if as_json:
                print_json({"text": row.text, "spans": [one._asdict() for one in spans]})
            elif redact:
                print(one_line(redacted(row.text, spans)))
            else:
                for one in spans:
                    print(f"{number}\t{one_line(one.label)}\t{one.probability:.4f}\t{one_line(one.text)}")
        sys.stdout.flush()
