"""CSV and its kin: fields between commas, semicolons, tabs or bars, quoted by the rules of RFC 4180, strictly.

Knows nothing of columns' meaning. A field stays the text that it is; numbers are not parsed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from linnet.core.errors import DataError
from linnet.formats.lines import Lines
from linnet.formats.parsed import Parsed, blank_note, check_columns

DELIMITERS = (",", ";", "\t", "|")
DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SAMPLE_RECORDS = 20


def recognise_delimiter(sample: str, named: str | None = None) -> str:
    """The delimiter of the header line: the one that also splits the next records into as many fields.

    `named` is what the file's extension promises; it wins where it occurs. A comma when nothing splits the header.
    """
    best, best_score = ",", (False, False, 1)
    for delimiter in DELIMITERS:
        widths = _widths(sample, delimiter)
        if not widths or widths[0] < 2:
            continue
        score = (delimiter == named, all(width == widths[0] for width in widths), widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _widths(sample: str, delimiter: str) -> list[int]:
    """How many fields each of the first records has; stops at the first one that is broken."""
    widths: list[int] = []
    # Lines end at \n alone: str.splitlines would also cut at characters that are text.
    lines = (line + "\n" for line in sample.split("\n"))
    try:
        for record in csv.reader(lines, delimiter=delimiter, strict=True):
            if record:
                widths.append(len(record))
            if len(widths) == _SAMPLE_RECORDS:
                break
    except csv.Error:
        pass
    return widths


def read_delimited(lines: Lines, delimiter: str) -> Parsed:
    """Every record of a delimited file; the first one names the columns.

    Raises DataError, naming the line where a record starts, for broken quotes, a record with another number of
    fields than the header, doubled or empty column names, and a file whose first line is data.
    """
    columns: list[str] = []
    rows: list[dict[str, str]] = []
    numbers: list[int] = []
    blank: list[int] = []
    try:
        for number, record in _records(lines, delimiter):
            if not record:
                blank.append(number)
            elif not columns:
                columns = check_columns(record, f"{lines.path}, line {number}")
            elif len(record) != len(columns):
                raise _ragged(lines, number, len(record), len(columns), delimiter)
            else:
                rows.append(dict(zip(columns, record, strict=True)))
                numbers.append(number)
    except DataError:
        # A missing header explains more than the broken line that follows from it.
        _refuse_headless(lines, columns, rows, delimiter)
        raise
    if not columns:
        raise DataError(f"{lines.path}: the file holds nothing but blank lines.", "Put examples into it.")
    _refuse_headless(lines, columns, rows, delimiter)
    return Parsed(columns, rows, numbers, blank_note(blank))


def _records(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(iter(lines), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _broken(lines, start, str(error), delimiter) from error
        yield start, record


def _broken(lines: Lines, start: int, problem: str, delimiter: str) -> DataError:
    where = f"{lines.path}, line {start}"
    until = f" (up to line {lines.number})" if lines.number > start else ""
    double = 'Double every quote inside a quoted field ("" for "), and close each quoted field.'
    if delimiter == "\t":
        double += (
            ' If quotes mean nothing in this file, write it as CSV: python -c "import csv, sys; csv.writer(sys.stdout)'
            ".writerows(line.rstrip('\\r\\n').split('\\t') for line in sys.stdin)\" < OLD > NEW.csv"
        )
    if "unexpected end" in problem:
        return DataError(f"{where}: a quote is opened in this record and never closed{until}.", double)
    if "field limit" in problem:
        limit = f"{csv.field_size_limit():,}"
        return DataError(
            f"{where}: a field is longer than {limit} characters, or its quote is never closed{until}.", double
        )
    if "expected after" in problem:
        return DataError(f"{where}: text follows a closing quote{until}: {problem}.", double)
    if "new-line" in problem:
        return DataError(
            f"{where}: a carriage return stands inside the line.",
            "The file has old Macintosh line ends, or a stray one: convert them, for example: tr '\\r' '\\n' < OLD.",
        )
    return DataError(f"{where}: not valid CSV{until}: {problem}.", double)


def _ragged(lines: Lines, number: int, got: int, want: int, delimiter: str) -> DataError:
    name = DELIMITER_NAMES[delimiter]
    return DataError(
        f"{lines.path}, line {number}: got {got} {'field' if got == 1 else 'fields'}, want {want}.",
        f'The delimiter is the {name}: put a text that holds one in double quotes ("...").',
    )


def _refuse_headless(lines: Lines, columns: list[str], rows: list[dict[str, str]], delimiter: str) -> None:
    """A column name that is also a common value of its column is no name: the header is missing."""
    for name in columns:
        same = sum(row[name] == name for row in rows)
        if same >= 2 and same * 20 >= len(rows):
            shown = repr(delimiter.join(f"column{n}" for n in range(1, len(columns) + 1)) + "\n")
            raise DataError(
                f"{lines.path}, line 1: this looks like data, not like a header: {name[:60]!r} is also the value of"
                f" {same:,} of the {len(rows):,} rows read.",
                f"Add a first line that names the {len(columns)} columns, with a {DELIMITER_NAMES[delimiter]} between"
                f" the names, for example: printf {shown} | cat - OLD > NEW{lines.path.suffix}",
            ) from None
