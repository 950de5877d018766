"""`linnet classify`: files, pipes, tables and texts on the command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from linnet.cli.classify import classify
from linnet.core.errors import DataError, InputError, NotFound
from linnet.core.store import Store
from tests.cli.test_serve import HEAVY, LAUNCH
from tests.tiny import tiny_specialist


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("LINNET_HOME", str(folder))
    tiny_specialist(Store(folder), "support", ["refund", "delivery"])
    return folder


def rows(text: str) -> list[list[str]]:
    return [line.split("\t", 2) for line in text.splitlines()]


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_file_of_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(b"\xef\xbb\xbfmy refund\r\nwhere is\tmy delivery\nRefund")
    classify("support", str(path))
    found = rows(capsys.readouterr().out)
    assert [(label, text) for label, _, text in found] == [
        ("refund", "my refund"),
        ("delivery", "where is\tmy delivery"),
        ("refund", "Refund"),
    ]
    assert all(0.5 < float(probability) <= 1 for _, probability, _ in found)


def test_texts_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    classify("support:1", text=["delivery", "my\nrefund"], as_json=True)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert set(first) == {"text", "label", "probability", "probabilities", "truncated"}
    assert (first["label"], second["label"], second["text"]) == ("delivery", "refund", "my\nrefund")
    assert set(first["probabilities"]) == {"refund", "delivery"}
    with pytest.raises(InputError, match="Both"):
        classify("support", "file.txt", text=["a"])


def test_hostile_text_is_shown_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    classify("support", text=["refund \x1b[31m\nsecond line"])
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert "\\x1b[31m\\nsecond line" in out


def test_standard_input_in_many_batches(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [("refund" if i % 3 else "delivery") + f" word{i % 300}" for i in range(600)]
    feed(monkeypatch, "\n".join(texts).encode())
    classify("support")
    found = rows(capsys.readouterr().out)
    assert [text for _, _, text in found] == texts
    assert [label for label, _, _ in found] == [text.split()[0] for text in texts]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"refund\n\nrefund\n", "standard input, line 2: the text is empty"),
        (b"refund\n   \n", "line 2: the text is empty"),
        (b"refund\nrefund \xff\n", "line 2: byte 0xFF"),
        (b"refund\n" + b"a" * 100_001, "line 2: the text has 100001 characters"),
    ],
)
def test_wrong_line_is_named_and_earlier_ones_are_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: bytes, message: str
) -> None:
    feed(monkeypatch, data)
    with pytest.raises(InputError, match=message):
        classify("support")
    assert [label for label, _, _ in rows(capsys.readouterr().out)] == ["refund"]


def test_too_long_is_refused_with_its_line_or_cut_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = b"refund\n" * 300 + b"refund " * 50
    feed(monkeypatch, data)
    with pytest.raises(InputError, match="line 301: the text has 52 tokens; support:1 reads at most 32"):
        classify("support")
    assert len(rows(capsys.readouterr().out)) == 300
    feed(monkeypatch, data)
    classify("support", truncate=True, as_json=True)
    shown = capsys.readouterr()
    assert "line 301: longer than support:1 reads; cut" in shown.err
    assert [json.loads(line)["truncated"] for line in shown.out.splitlines()[-2:]] == [False, True]


def test_nothing_to_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    feed(monkeypatch, b"")
    with pytest.raises(InputError, match="standard input holds no text"):
        classify("support")
    with pytest.raises(NotFound):
        classify("support", str(tmp_path / "absent.txt"))
    with pytest.raises(NotFound, match="support"):
        classify("suport", text=["a"])


def test_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "mail.csv"
    table.write_text('subject,body\nrefund,"please,\nnow"\nwhere,delivery\n')
    classify("support", str(table), column="{subject} {body}")
    assert [row[0] for row in rows(capsys.readouterr().out)] == ["refund", "delivery"]
    with pytest.raises(InputError, match="several columns: subject, body"):
        classify("support", str(table))
    with pytest.raises(InputError, match=r'has no column .bodi.*"body"'):
        classify("support", str(table), column="bodi")
    lines = tmp_path / "mail.jsonl"
    lines.write_text('{"text": "refund"}\n{"text": "delivery"}\n')
    classify("support", str(lines))
    assert [row[0] for row in rows(capsys.readouterr().out)] == ["refund", "delivery"]
    lines.write_text('{"text": "refund"}\n{"text": " "}\n')
    with pytest.raises(InputError, match="line 2: the text is empty"):
        classify("support", str(lines))
    lines.write_text('{"text": "refund"}\n[1]\n')
    with pytest.raises(DataError):
        classify("support", str(lines))
    plain = tmp_path / "mail.txt"
    plain.write_text("refund\n")
    with pytest.raises(InputError, match="--column needs a table"):
        classify("support", str(plain), column="text")


def test_as_a_program_in_a_pipe(home: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(LAUNCH), str(tmp_path / "log"), "classify", "support", "--json"],
        input="my refund\n\n",
        env={**os.environ, "LINNET_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["label"] == "refund"
    assert "line 2: the text is empty" in done.stderr
    (event, modules), *others = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert (event, others) == ("modules", [])
    assert not (HEAVY | {"fastapi", "uvicorn", "httpx"}) & set(modules)
