"""From the rows of a table to labelled texts: which column is which, and what a row must hold.

Refuses what it cannot take, with the line; it never leaves a row out. Knows nothing of splits and of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from linnet.core.errors import DataError, did_you_mean
from linnet.core.records import Example
from linnet.core.task import fill_template, template_columns
from linnet.formats.tables import Table
from linnet.text.normalize import normalize

LISTED = 10
_OUTPUT_NAMES = ("label", "intent", "category", "class", "target", "output", "tag", "topic", "sentiment")
_MAX_GUESSED_LABELS = 300


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user said of the data. `input` is a column or a template of columns."""

    input: str
    output: str
    labels: tuple[str, ...] | None = None
    out_of_scope: str | None = None
    group: str | None = None
    leakage: Literal["refuse", "drop"] = "refuse"
    seed: int = 0
    doubtful: Literal["refuse", "accept"] = "refuse"


def lines_text(numbers: Sequence[int]) -> str:
    """'line 3' or 'lines 3, 5, 9' for a message, at most ten of them."""
    shown = ", ".join(map(str, numbers[:LISTED]))
    more = f" and {len(numbers) - LISTED:,} more" if len(numbers) > LISTED else ""
    return f"{'line' if len(numbers) == 1 else 'lines'} {shown}{more}"


def label_counts(examples: Sequence[Example]) -> dict[str, int]:
    """How many examples each label has, labels sorted."""
    return dict(sorted(Counter(example.label for example in examples).items()))


def examples_of(table: Table, rules: Rules, name: str) -> list[Example]:
    """Every row as an example, in the order of the file, which messages call `name`.

    Raises DataError for an unknown column, for rows without text or label (up to ten lines), and for a label that
    is not among `rules.labels`.
    """
    _check_columns(table, rules, name)
    group = rules.group
    examples = [
        Example(
            text=fill_template(rules.input, row),
            label=row[rules.output],
            row=number,
            group=row[group] if group else "",
        )
        for number, row in zip(table.row_numbers, table.rows, strict=True)
    ]
    inputs = template_columns(rules.input)
    # A template's own words are no text of the user's: a row is empty when all of its columns are.
    no_text = [
        number
        for number, row in zip(table.row_numbers, table.rows, strict=True)
        if not any(normalize(row[column]) for column in inputs)
    ]
    no_label = [example.row for example in examples if not normalize(example.label)]
    for what, numbers in (("text", no_text), ("label", no_label)):
        if numbers:
            column = ", ".join(map(repr, inputs if what == "text" else [rules.output]))
            raise DataError(
                f"{name}: {len(numbers):,} {'row has' if len(numbers) == 1 else 'rows have'} no {what}"
                f" (column {column}): {lines_text(numbers)}.",
                "Remove them, or fill them.",
            )
    _check_labels(examples, rules, name)
    return examples


def _check_columns(table: Table, rules: Rules, name: str) -> None:
    for key, columns in (
        ("input", template_columns(rules.input)),
        ("output", [rules.output]),
        ("group", [rules.group] if rules.group else []),
    ):
        for column in columns:
            if column not in table.columns:
                raise DataError(
                    f"{name}: there is no column {column!r} ({key}).{did_you_mean(column, table.columns)}",
                    f"Its columns are: {', '.join(map(repr, table.columns))[:500]}.",
                )


def _check_labels(examples: Sequence[Example], rules: Rules, name: str) -> None:
    if rules.labels is None:
        return
    known = list(rules.labels)
    wrong = [example for example in examples if example.label not in known]
    if wrong:
        first = wrong[0]
        more = f" {len(wrong) - 1:,} more rows have a label that is not listed." if len(wrong) > 1 else ""
        raise DataError(
            f"{name}, line {first.row}: label {first.label[:80]!r} is not among [task] labels."
            f"{did_you_mean(first.label, known)}{more}",
            "Correct the row, or add the label to labels in task.toml.",
        )


def check_classes(examples: Sequence[Example], name: str) -> None:
    """Raise DataError unless there are two labels, and two different texts of each: one to train on, one to check."""
    counts = label_counts(examples)
    if len(counts) < 2:
        raise DataError(
            f"{name}: every row has the label {next(iter(counts), '')[:80]!r}; there is nothing to tell apart.",
            "Add examples of at least one other label, or check that the output column is the right one.",
        )
    lonely = [example for example in examples if counts[example.label] == 1]
    if lonely:
        first = lonely[0]
        others = ", ".join(f"{e.label[:40]!r} (line {e.row})" for e in lonely[1:LISTED])
        more = f" So {'is' if len(lonely) == 2 else 'are'} {others}" if others else ""
        rest = f", and {len(lonely) - LISTED:,} more labels" if len(lonely) > LISTED else ""
        raise DataError(
            f"{name}, line {first.row}: label {first.label[:80]!r} has one example only"
            f" (duplicates not counted).{more}{rest}{'.' if more else ''}",
            "Add at least one more with another text, or remove it.",
        )


def guess_columns(table: Table, name: str, known_input: str | None, known_output: str | None) -> tuple[str, str]:
    """The input column (the longest text) and the output column (few values, often repeated), where not given.

    Raises DataError when no column can be the output.
    """
    taken = set(template_columns(known_input)) if known_input else set()
    output = known_output or _guess_output(table, name, taken)
    if known_input:
        return known_input, output
    lengths = {c: sum(len(row[c]) for row in table.rows) for c in table.columns if c != output}
    if not lengths:
        raise DataError(f"{name}: {output!r} is the only column.", "A table needs a text and a label in each row.")
    return max(lengths, key=lambda column: lengths[column]), output


def _guess_output(table: Table, name: str, taken: set[str]) -> str:
    if len(table.columns) < 2:
        raise DataError(
            f"{name}: the file has one column only, {table.columns[0][:80]!r}.",
            "A table needs a text and a label in each row. If it has more columns, check the delimiter.",
        )
    lengths = {column: sum(len(row[column]) for row in table.rows) for column in table.columns}
    longest = max(lengths, key=lambda column: lengths[column])
    fitting = []
    for column in table.columns:
        values = {row[column] for row in table.rows}
        if column not in taken and column != longest and 2 <= len(values) <= _MAX_GUESSED_LABELS:
            fitting.append((column, len(values)))
    named = [column for column, _ in fitting if column.lower() in _OUTPUT_NAMES]
    repeated = [column for column, values in fitting if values * 2 <= len(table.rows)]
    if found := named or repeated[::-1]:
        return found[0]
    raise DataError(
        f"{name}: no column looks like a label (few values, each often repeated)."
        f" Columns: {', '.join(map(repr, table.columns))[:300]}.",
        "Name it with --output, and the text with --input.",
    )
