"""Plain text as rows: where a paragraph begins, which files are documents, and what is no text."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.core.errors import DataError
from linnet.formats.plain_text import paragraphs, read_documents, read_text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("one\ntwo\n\nthree", [(1, "one\ntwo"), (4, "three")]),
        ("\n\n  a  \n \t\n\n\nb\n", [(3, "  a"), (7, "b")]),
        ("alone", [(1, "alone")]),
        ("a\n\na\n\na", [(1, "a"), (3, "a"), (5, "a")]),
        ("\n \n", []),
    ],
)
def test_paragraphs_and_their_lines(text: str, found: list[tuple[int, str]]) -> None:
    assert list(paragraphs(text)) == found


def test_line_ends_become_one_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\r\n\r\nb\rc")
    assert read_text(tmp_path / "a.txt") == "a\n\nb\nc"


def test_documents_by_name_and_what_is_left(tmp_path: Path) -> None:
    for name, text in (("b.txt", "B"), ("a.TXT", "A"), (".hidden.txt", "H"), ("c.pdf", "P")):
        (tmp_path / name).write_text(text)
    files, texts, notes = read_documents(tmp_path)
    assert ([file.name for file in files], texts) == (["a.TXT", "b.txt"], ["A", "B"])
    assert notes == ["1 not read, being no .txt files: c.pdf"]


@pytest.mark.parametrize(
    ("content", "said"), [(b"a\0b", "NUL byte"), (b"a\n\xff", "line 2: byte 0xFF"), (b" \n", "the file is empty")]
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_documents(tmp_path)
