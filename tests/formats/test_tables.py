"""Tables through their one door, with real files: what is read, and what is refused with its line."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linnet.core.errors import DataError, NotFound
from linnet.formats.tables import Table, read_table


def table(tmp_path: Path, name: str, content: bytes | str) -> Table:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path)


ROWS = [{"text": "hello", "label": "greet"}, {"text": "bye now", "label": "leave"}]


@pytest.mark.parametrize(
    ("name", "content", "format_", "delimiter", "numbers"),
    [
        ("a.csv", "text,label\nhello,greet\nbye now,leave\n", "csv", ",", [2, 3]),
        ("a.csv", "text;label\r\nhello;greet\r\nbye now;leave", "csv", ";", [2, 3]),
        ("a.txt", "text|label\nhello|greet\n\nbye now|leave\n", "csv", "|", [2, 4]),
        ("a.tsv", "text\tlabel\nhello\tgreet\nbye now\tleave\n", "tsv", "\t", [2, 3]),
        ("noname", "text\tlabel\nhello\tgreet\nbye now\tleave\n", "tsv", "\t", [2, 3]),
        ("a.csv", '"text","label"\n"hello","greet"\n"bye now",leave\n', "csv", ",", [2, 3]),
        (
            "a.jsonl",
            '{"text":"hello","label":"greet"}\n\n{"label":"leave","text":"bye now"}\n',
            "jsonl",
            "",
            [1, 3],
        ),
        ("a", '{"text":"hello","label":"greet"}\n{"text":"bye now","label":"leave"}\n', "jsonl", "", [1, 2]),
        ("a.json", json.dumps(ROWS, indent=1), "json", "", [1, 2]),
        ("a.json", json.dumps({"data": ROWS}), "json", "", [1, 2]),
    ],
)
def test_the_same_rows_from_every_text_format(
    tmp_path: Path, name: str, content: str, format_: str, delimiter: str, numbers: list[int]
) -> None:
    got = table(tmp_path, name, content)
    assert got.rows == ROWS
    assert got.columns == ["text", "label"]
    assert (got.format, got.delimiter, got.row_numbers) == (format_, delimiter, numbers)
    assert got.size_bytes == len(content.encode())


def test_parquet(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = {"text": ["a", None], "n": [1, 2], "f": [0.5, None], "b": [True, False]}
    polars.DataFrame(frame).write_parquet(tmp_path / "a.parquet")
    got = read_table(tmp_path / "a.parquet")
    assert got.rows == [
        {"text": "a", "n": "1", "f": "0.5", "b": "true"},
        {"text": "", "n": "2", "f": "", "b": "false"},
    ]
    assert (got.format, got.row_numbers) == ("parquet", [1, 2])


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    import hashlib

    for name, content in (("a.csv", b"a,b\n1,2\n"), ("a.json", b'[{"a": 1}]')):
        assert table(tmp_path, name, content).sha256 == hashlib.sha256(content).hexdigest()


def test_numbers_stay_text(tmp_path: Path) -> None:
    assert table(tmp_path, "a.csv", "id,label\n007,1e3\n").rows == [{"id": "007", "label": "1e3"}]


def test_json_scalars_become_the_text_they_were_written_as(tmp_path: Path) -> None:
    line = '{"a": true, "b": null, "c": 1.0, "d": 123456789012345678901234567890, "e": false}'
    expected = {"a": "true", "b": "", "c": "1.0", "d": "123456789012345678901234567890", "e": "false"}
    assert table(tmp_path, "a.jsonl", line).rows == [expected]


def test_a_byte_order_mark_is_read_and_noted(tmp_path: Path) -> None:
    for name, content in (("a.csv", "text,label\nx,y\n"), ("a.jsonl", '{"text": "x", "label": "y"}\n')):
        got = table(tmp_path, name, b"\xef\xbb\xbf" + content.encode())
        assert got.columns == ["text", "label"]
        assert got.encoding == "utf-8-sig"
        assert any("byte order mark" in note for note in got.notes)


def test_blank_lines_and_a_misleading_name_are_noted(tmp_path: Path) -> None:
    notes = table(tmp_path, "a.csv", '\n{"text": "x", "label": "y"}\n').notes
    assert any("content is jsonl" in note for note in notes)
    assert any("1 blank line passed over, the first is 1" in note for note in notes)


def test_a_record_over_several_lines_is_named_by_its_first(tmp_path: Path) -> None:
    got = table(tmp_path, "a.csv", 'text,label\n"one\ntwo\r\nthree",x\nlast,y\n')
    assert [row["text"] for row in got.rows] == ["one\ntwo\r\nthree", "last"]
    assert got.row_numbers == [2, 5]


def test_commas_in_texts_do_not_hide_a_semicolon(tmp_path: Path) -> None:
    got = table(tmp_path, "a.csv", "text;label\na, b, c;x\nd, e, f;y\n")
    assert got.rows[0] == {"text": "a, b, c", "label": "x"}


HOSTILE = {
    "empty file": ("a.csv", b"", ["a.csv", "is empty"]),
    "blank lines only": ("a.csv", b"\n\n\n", ["nothing but blank lines"]),
    "header only": ("a.csv", b"text,label\n", ["no rows", "text, label"]),
    "utf-16": ("a.csv", "text,label\nx,y\n".encode("utf-16"), ["line 1", "UTF-16", "iconv -f UTF-16 -t UTF-8"]),
    "utf-32": ("a.csv", "text,label\nx,y\n".encode("utf-32"), ["UTF-32", "iconv"]),
    "utf-16 without mark": ("a.csv", "text,label\n".encode("utf-16-le"), ["line 1", "NUL byte at byte 1", "UTF-16"]),
    "NUL byte": ("a.csv", b"text,label\nab,x\na\0b,y\n", ["line 3", "NUL byte at byte 17"]),
    "NUL byte in JSONL": ("a.jsonl", b'{"text": "a"}\n{"text": "\0"}\n', ["line 2", "NUL byte"]),
    "NUL escape in JSONL": ("a.jsonl", b'{"text": "a\\u0000b"}\n', ["line 1", "'text'", "NUL character"]),
    "half a character": ("a.jsonl", b'{"text": "\\ud83d"}\n', ["line 1", "'text'", "half a character"]),
    "mixed encodings": (
        "a.csv",
        "text,label\ncafé,x\n".encode() + "café,y\n".encode("latin-1"),
        ["line 3", "0xE9", "byte 22", "mixed encodings", "iconv"],
    ),
    "mixed encodings in JSON": ("a.json", b'[{"a": "x"},\n{"a": "\xe9"}]', ["line 2", "0xE9 at byte 20"]),
    "too few fields": ("a.csv", b"text,label\na,x\nb\n", ["line 3", "got 1 field, want 2", "quotes"]),
    "too many fields": ("a.csv", b"text,label\na,x\nb, c,y\n", ["line 3", "got 3 fields, want 2", "comma"]),
    "doubled column": ("a.csv", b"text,label,text\na,x,b\n", ["line 1", "'text'", "2 times"]),
    "empty column": ("a.csv", b"text,,label\na,b,x\n", ["line 1", "column 2 of 3 has no name"]),
    "long line": ("a.csv", b"text,label\n" + b"x" * (1 << 20) + b"y,z\n", ["line 2", "1 MiB"]),
    "unterminated quote": ("a.csv", b'text,label\na,x\n"b,y\nc,z\n', ["line 3", "never closed", "up to line 4"]),
    "unterminated quote, long file": (
        "a.csv",
        b'text,label\n"b,y\n' + b"some more text,z\n" * 20_000,
        ["line 2", "131,072 characters", "never closed"],
    ),
    "text after a quote": ("a.csv", b'text,label\n"b" c,y\n', ["line 2", "closing quote", '""']),
    "quotes without a meaning": ("a.tsv", b'text\tlabel\n"b" c\ty\n', ["line 2", "closing quote", "csv.writer"]),
    "old Macintosh line ends": ("a.csv", b"text,label\ra,x\rb,y\r", ["line 1", "carriage return"]),
    "no header": (
        "sms",
        b"ham\tHello, you\nham\tSee you, then\nspam\tWin, win\nham\tOk\n",
        ["line 1", "'ham'", "header"],
    ),
    "no header, then a broken quote": ("sms", b'ham\ta\nham\tb\nham\tc\nham\t"d" e\n', ["line 1", "'ham'", "header"]),
    "bad JSON line": ("a.jsonl", b'{"a": 1}\n{"a": }\n', ["line 2", "not valid JSON", "character 7"]),
    "line that is no object": ("a.jsonl", b'{"a": 1}\n[1]\n', ["line 2", "an array, not an object"]),
    "number that is no object": ("a.jsonl", b'{"a": 1}\n5\n', ["line 2", "not an object"]),
    "nested value": ("a.jsonl", b'{"a": {"b": 1}}\n', ["line 1", "'a'", "an object", "Flatten"]),
    "missing key": ("a.jsonl", b'{"a": 1, "b": 2}\n{"a": 1}\n', ["line 2", "'b' is missing", "line 1 has"]),
    "new key": ("a.jsonl", b'\n{"a": 1}\n{"a": 1, "c": 2}\n', ["line 3", "'c' is new", "line 2 has"]),
    "doubled key": ("a.jsonl", b'{"a": 1, "a": 2}\n', ["line 1", "'a'", "more than once"]),
    "empty object": ("a.jsonl", b"{}\n", ["line 1", "empty"]),
    "empty key": ("a.jsonl", b'{"": 1}\n', ["line 1", "has no name"]),
    "NaN": ("a.jsonl", b'{"a": 1}\n{"a": NaN}\n', ["line 2", "NaN"]),
    "Infinity in JSON": ("a.json", b'[{"a": -Infinity}]', ["a.json", "-Infinity"]),
    "deep JSON": ("a.jsonl", b"[" * 200_000 + b"\n", ["line 1", "nested too deeply"]),
    "broken JSON": ("a.json", b'[{"a": 1},\n {"a" 2}]', ["line 2", "not valid JSON"]),
    "JSON without rows": ("a.json", b"[]", ["array is empty"]),
    "JSON of another shape": ("a.json", b'"hello"', ["not an array of objects"]),
    "JSON item of another shape": ("a.json", b'[{"a": 1}, 2]', ["item 2", "not an object"]),
    "JSON with a missing key": ("a.json", b'[{"a": 1}, {"b": 1}]', ["item 2", "'a' is missing"]),
    "damaged parquet": ("a.parquet", b"PAR1 and nothing more", ["a.parquet", "not a readable Parquet file"]),
    "spreadsheet": ("a.xlsx", b"PK\x03\x04\x14\x00", ["Excel", "Save the sheet as CSV"]),
    "gzip": ("a.csv.gz", b"\x1f\x8b\x08\x00", ["gzip", "gunzip"]),
}


@pytest.mark.parametrize("case", HOSTILE, ids=[name.replace(" ", "-") for name in HOSTILE])
def test_hostile_input_is_refused_with_place_and_next_step(tmp_path: Path, case: str) -> None:
    name, content, expected = HOSTILE[case]
    with pytest.raises(DataError) as caught:
        table(tmp_path, name, content)
    assert caught.value.exit_code == 2
    assert str(tmp_path / name) in caught.value.message
    assert caught.value.hint
    assert [part for part in expected if part not in str(caught.value)] == []


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_one_line_of_a_gigabyte_is_refused_without_reading_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'{"text": 1}\nx')
    with path.open("r+b") as handle:
        handle.truncate(1 << 30)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"line 2: the line is longer than 1 MiB|a JSON file over 256 MiB"):
        read_table(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_line_of_exactly_one_mebibyte_is_read(tmp_path: Path) -> None:
    line = b'{"a": "' + b"x" * ((1 << 20) - 10) + b'"}\n'
    assert len(line) == 1 << 20
    assert len(table(tmp_path, "a.jsonl", line).rows) == 1


def test_parquet_that_does_not_fit_a_table_of_text(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    polars.DataFrame({"a": [[1], [2]]}).write_parquet(tmp_path / "nested.parquet")
    polars.DataFrame({"a": [1.0, float("nan")]}).write_parquet(tmp_path / "nan.parquet")
    polars.DataFrame({"a": []}, schema={"a": polars.String}).write_parquet(tmp_path / "none.parquet")
    for name, expected in (("nested", "column 'a': holds List"), ("nan", "row 2: NaN"), ("none", "no rows")):
        with pytest.raises(DataError, match=expected):
            read_table(tmp_path / f"{name}.parquet")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as missing:
        read_table(tmp_path / "none.csv")
    assert missing.value.exit_code == 2
    with pytest.raises(DataError, match="not a file"):
        read_table(tmp_path)


# What a UTF-8 file can hold; a NUL is refused elsewhere.
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(pairs=PAIRS, delimiter=st.sampled_from(",;\t|"))
def test_csv_round_trip(tmp_path: Path, pairs: list[tuple[str, str]], delimiter: str) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("the text", "the label"), *pairs])
    got = table(tmp_path, "a.csv", written.getvalue())
    assert [(row["the text"], row["the label"]) for row in got.rows] == pairs
    lines = written.getvalue().encode().split(b"\n")
    assert all(lines[number - 1].startswith(b'"') for number in got.row_numbers)


@FEW
@given(pairs=PAIRS, ascii_only=st.booleans())
def test_jsonl_round_trip(tmp_path: Path, pairs: list[tuple[str, str]], ascii_only: bool) -> None:
    written = [json.dumps({"text": text, "label": label}, ensure_ascii=ascii_only) for text, label in pairs]
    got = table(tmp_path, "a.jsonl", "\n".join(written))
    assert [(row["text"], row["label"]) for row in got.rows] == pairs
    assert got.row_numbers == list(range(1, len(pairs) + 1))
