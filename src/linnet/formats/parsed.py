"""What every reader of tables hands back, and the checks that columns and values of any format must pass.

Knows nothing of files: `where` is the text that tells the user which file and line is meant.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from linnet.core.errors import DataError

MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Parsed:
    """Rows of text under named columns. `row_numbers` holds, for each row, where it starts in its file."""

    columns: list[str]
    rows: list[dict[str, str]]
    row_numbers: list[int]
    notes: list[str] = field(default_factory=list)


def check_columns(columns: list[str], where: str) -> list[str]:
    """Return the columns. Raises DataError when one has no name, or when two have the same."""
    for position, name in enumerate(columns, 1):
        if not name.strip():
            raise DataError(f"{where}: column {position} of {len(columns)} has no name.", "Give every column a name.")
    doubled = [name for name, count in Counter(columns).items() if count > 1]
    if doubled:
        raise DataError(
            f"{where}: column {doubled[0]!r} is there {columns.count(doubled[0])} times.",
            "Give every column its own name, or remove the copies.",
        )
    return columns


def check_text(value: str, where: str) -> str:
    """Return the value. Raises DataError for what is no text: a NUL character, or half of a surrogate pair."""
    if "\0" in value:
        raise DataError(f"{where}: the text holds a NUL character.", "Remove it: text has none.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: the text holds {value[error.start]!r}, which is half a character.",
            "The file was cut or written wrongly: write it again as UTF-8.",
        ) from error
    return value


def blank_note(numbers: list[int]) -> list[str]:
    """The note that says which blank lines were passed over, if any were."""
    if not numbers:
        return []
    return [f"{len(numbers)} blank {'line' if len(numbers) == 1 else 'lines'} passed over, the first is {numbers[0]}"]
