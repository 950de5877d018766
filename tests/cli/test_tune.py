"""tune, runs and their pages as a person types them; and what wrong words are answered with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_app import Linnet, home, linnet
from tests.tiny_decoder import chats, tiny_decoder

__all__ = ["home", "linnet"]


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_decoder(tmp_path_factory.mktemp("base") / "tiny"))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"said": c.turns[0].content, "call": c.turns[1].content, "who": "me"}) + "\n"
                            for c in chats(24)))  # fmt: skip
    return path


@pytest.fixture
def task(rows: Path) -> Path:
    path = rows.with_name("task.toml")
    path.write_text('[task]\nname = "a"\nkind = "extract"\ninput = "said"\noutput = "call"\ninstruction = "Do."\n'
                    '[data]\ntrain = "rows.jsonl"\n')  # fmt: skip
    return path


def test_the_report_marks_what_is_learned(linnet: Linnet, decoder: str, task: Path) -> None:
    code, out, err = linnet("tune", str(task), "--model", decoder, "--check")
    assert (code, err) == (0, "")
    for part in ("24 rows", "not read  who", "the model's own", "tokens    ", "method full: 0.", "no row is over it"):
        assert part in out
    assert len(re.findall(r"⟦\{\"colour.*?<\|im_end\|>⟧", out)) == 10
    report = linnet.json("tune", str(task), "--model", decoder, "--check")
    assert report["train_rows"] + report["validation_rows"] == 24
    assert report["recipe"]["method"] == "full"
    assert len(report["examples"]) == 10


def test_a_training_its_runs_and_its_page(linnet: Linnet, decoder: str, rows: Path, task: Path, tmp_path: Path) -> None:
    common = ("--model", decoder, "--epochs", "2", "--batch", "8")
    code, out, _ = linnet("tune", str(task), *common, "--quiet")
    assert code == 0
    assert "linnet merge tune-" in out
    first = linnet.json("tune", str(task), *common)
    assert first["reused"]
    assert len(first["epochs"]) == 2
    other = linnet.json(
        "tune", *common, "--data", str(rows), "--input", "said", "--output", "call", "--instruction", "Do.",
        "--method", "lora", "--rank", "4",
    )  # fmt: skip
    assert other["artefact"] == "adapter"
    listed = linnet.json("runs", "list", "--stage", "tune")
    assert {(row["id"], row["state"]) for row in listed} == {(first["run"], "done"), (other["run"], "done")}
    assert first["run"] in linnet("runs", "list")[1]
    page = tmp_path / "page.html"
    code, out, _ = linnet("runs", "show", first["run"], "--html", str(page))
    assert code == 0
    for part in ("· training", "o held out", "epoch 2", "(kept)", str(page)):
        assert part in out
    html = page.read_text()
    assert html.count("<polyline") == 2
    assert "http" not in re.sub(r"http-equiv", "", html)
    shown = linnet.json("runs", "show", first["run"])
    assert [entry["step"] for entry in shown["log"] if "loss" in entry] == [1, 2, 3, 4, 5, 6]
    compared = linnet.json("runs", "compare", first["run"], other["run"])
    assert compared["problems"] == []
    assert {"method", "lora_rank"} <= set(compared["differ"])
    assert "validation loss" in linnet("runs", "compare", first["run"], other["run"])[1]
    assert linnet("runs", "compare", first["run"], first["run"])[0] == 2


def test_ctrl_c_saves_and_resume_ends_it(decoder: str, task: Path, tmp_path: Path, linnet: Linnet) -> None:
    """In a process of its own, as a person stops it."""
    command = [sys.executable, "-m", "linnet", "tune", str(task), "--model", decoder, "--epochs", "900", "--quiet"]
    environment = {**os.environ, "LINNET_HOME": str(tmp_path / "home")}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    log = None
    deadline = time.monotonic() + 120
    while log is None and time.monotonic() < deadline and running.poll() is None:
        log = next((tmp_path / "home" / "runs").glob("tune-*/log.jsonl"), None)
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 130, said
    assert "the state is saved" in said
    run = re.findall(r"linnet runs resume (tune-\w+)", said)[0]
    assert [(row["id"], row["state"]) for row in linnet.json("runs", "list")] == [(run, "stopped")]
    _, out, _ = linnet("runs", "show", run)
    assert f"linnet runs resume {run}" in out


def test_a_rehearsal_that_fails_ends_with_three_and_a_name(linnet: Linnet, decoder: str, task: Path) -> None:
    code, _, err = linnet("tune", str(task), "--model", decoder, "--rehearse", "--rate", "1", "--check")
    assert code == 3
    assert "load: ok" in err
    assert "The rehearsal stopped at rate: the learning rate 1 diverges" in err
    assert linnet.json("runs", "list") == []


def test_flags_of_an_adapter_that_fit_nothing(linnet: Linnet) -> None:
    for flags, said in (
        (("--adapter-gguf", "--no-gguf"), "--no-gguf makes none"),
        (("--base", "x"), "--base is for --adapter-gguf"),
    ):
        code, _, err = linnet("merge", "tune-x", *flags)
        assert code == 2
        assert said in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "neither a task.toml nor --data"),
        (("--data", "rows.jsonl"), "which column is the question"),
        (("--data", "none.jsonl"), "no such file"),
        (("--data", "rows.jsonl", "--input", "said"), "--input and --output belong together"),
        (("--data", "rows.jsonl", "--input", "sad", "--output", "call"), 'Did you mean "said"'),
        (("--data", "rows.jsonl", "--format", "alpacca"), 'Did you mean "alpaca"'),
        (("task.toml", "--data", "rows.jsonl"), "both a task.toml and --data"),
        (("task.toml", "--input", "said"), "task.toml names the columns"),
        (("task.toml", "--method", "lorra"), "No method is called 'lorra'"),
        (("task.toml", "--max-length", "9"), "has more than 9 tokens|have more than 9 tokens"),
        (("task.toml", "--max-length", "999"), "outside of 8 to 256"),
        (("task.toml", "--part-tokens", "3"), "--part-tokens 3 is outside of 16"),
        (("task.toml", "--out", "A B"), "not a valid model name"),
        (("task.toml", "--out", "a:b"), "a name without a tag"),
        (("task.toml", "--template", "chatnl"), "No template is called"),
        (("task.toml", "--validation", "none.jsonl"), "no such file"),
    ],
)
def test_wrong_words_are_answered(
    linnet: Linnet, decoder: str, task: Path, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(task.parent)
    code, out, err = linnet("tune", *arguments, "--model", decoder)
    assert (code, out) == (2, "")
    assert re.search(said, err), err


@pytest.mark.parametrize(
    "verb", [("runs", "show", "tune-x"), ("runs", "resume", "x"), ("merge", "x"), ("runs", "compare", "x")]
)
def test_a_run_that_is_not_there(linnet: Linnet, verb: tuple[str, ...]) -> None:
    code, _, err = linnet(*verb)
    assert code == 2
    assert "linnet runs list" in err


def test_encoders_and_gguf_are_no_base(linnet: Linnet, task: Path) -> None:
    for model, said in (("builtin:minilm", "is an encoder"), ("builtin:nano:Q8_0", "is gguf")):
        code, _, err = linnet("tune", str(task), "--model", model)
        assert code == 2
        assert said in err
