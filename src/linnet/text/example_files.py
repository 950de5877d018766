"""Examples in a file, one JSON object a line: how a split lies in the store. The same examples are the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from linnet.core.errors import CorruptFile, os_errors
from linnet.core.files import canonical, write_bytes
from linnet.core.records import Example

# Line ends to some programs, plain characters in JSON: escaped, so that a line is a line to everybody.
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write examples, atomically. Raises DiskFull, ResourceMissing or StoreError; then the file is not there."""
    lines = (canonical(example.to_json()).decode().translate(_LINE_ENDS) + "\n" for example in examples)
    write_bytes(path, "".join(lines).encode())


def read_examples(path: Path) -> list[Example]:
    """The examples of a file that `write_examples` wrote. Raises NotFound, or CorruptFile with the line."""
    with os_errors(path, "Reading"):
        lines = path.read_bytes().split(b"\n")
    examples = []
    for number, line in enumerate(lines, 1):
        if not line and number == len(lines):
            break
        try:
            examples.append(Example.model_validate_json(line))
        except ValidationError as error:
            raise CorruptFile(f"{path}, line {number}: this is no example.", "Run the build again.") from error
    return examples
