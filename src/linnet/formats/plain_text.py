"""Plain text as rows of one key, `text`: the paragraphs of a file, or each file of a folder as one document.

A paragraph ends at an empty line. Line ends become line feeds; nothing else is changed. UTF-8 only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from linnet.core.errors import DataError, os_errors
from linnet.core.files import canonical, sha256_bytes, sha256_file
from linnet.formats.lines import BOM, decode

SUFFIX = ".txt"
MOST_BYTES = 1 << 28


def read_documents(folder: Path) -> tuple[list[Path], list[str], list[str]]:
    """(files, their texts, notes) of the .txt files right in a folder, by name. Raises DataError for one that is empty
    or no text."""
    with os_errors(folder, "Reading"):
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in inside if path.suffix.lower() == SUFFIX and path.is_file() and not path.is_symlink()]
    if not files:
        raise DataError(f"{folder} holds neither a saved dataset nor {SUFFIX} files.", "Name a file of examples.")
    texts = [read_text(path) for path in files]
    for path, text in zip(files, texts, strict=True):
        if not text.strip():
            raise DataError(f"{path}: the file is empty.", "Remove it, or fill it.")
    others = [path.name for path in inside if path not in files]
    said = f"{len(others)} not read, being no {SUFFIX} files: {', '.join(others)[:200]}"
    return files, texts, [said] if others else []


def read_text(path: Path) -> str:
    """The text of a file, with line feeds as line ends. Raises DataError with line and byte, NotFound."""
    with os_errors(path, "Reading"):
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise DataError(f"{path}: {size >> 20} MiB of text; at most {MOST_BYTES >> 20} are read.", "Split it.")
        data = path.read_bytes()
    body = data.removeprefix(BOM)
    return decode(body, path, 1, len(data) - len(body)).replace("\r\n", "\n").replace("\r", "\n")


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """(line it begins on, text) of each paragraph."""
    lines: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip():
            lines.append(line)
        elif lines:
            yield number - len(lines), "\n".join(lines).rstrip()
            lines = []


def digest(files: list[Path]) -> str:
    """The sha256 of the names and contents of all files."""
    return sha256_bytes(canonical([[path.name, sha256_file(path)] for path in files]))
