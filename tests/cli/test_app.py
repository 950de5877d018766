"""The command line through its front door: every verb, its JSON line, its exit codes, and what help must not load."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linnet.cli import main
from linnet.core.errors import LinnetError
from linnet.core.files import write_json
from linnet.core.store import RECORD, Store
from linnet.version import __version__
from tests.tiny import tiny_specialist

VERBS = (
    "build",
    "data",
    "evaluate",
    "classify",
    "serve",
    "list",
    "show",
    "rm",
    "cp",
    "check",
    "run",
    "pull",
    "import",
    "engine",
    "doctor",
    "settings",
)
HEAVY = {"torch", "numpy", "pydantic", "transformers", "onnxruntime", "polars", "sklearn", "fastapi", "tokenizers"}
MODULES = """
import json, sys
from linnet.cli import main
sys.argv = ["linnet", *json.loads(sys.argv[1])]
try:
    main()
finally:
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""


class Linnet:
    """Calls `linnet` in this process: exit code, standard output, standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys = capsys
        self.monkeypatch = monkeypatch

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["linnet", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        return int(caught.value.code or 0), out, err

    def json(self, *arguments: str) -> Any:
        code, out, err = self(*arguments, "--json")
        assert (code, out.count("\n"), err) == (0, 1, "")
        return json.loads(out)


@pytest.fixture
def linnet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Linnet:
    return Linnet(capsys, monkeypatch)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("LINNET_HOME", str(folder))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "100")
    return folder


def built(home: Path, name: str = "support") -> None:
    """A tiny specialist with the numbers and the lineage that `build` gives one."""
    store = Store(home)
    specialist = tiny_specialist(store, name, ["refund", "delivery"])
    whole = specialist.model_copy(
        update={
            "metric": {"name": "macro_f1", "value": 0.9, "ci95": [0.85, 0.95], "split": "test"},
            "baseline": {"name": "tfidf_logistic", "value": 0.8, "ci95": [0.75, 0.85]},
            "lineage": {"base": {"name": "tiny", "sha256": "0" * 64}, "dataset": "1" * 64, "code_version": "0+x"},
        }
    )
    write_json(store.path("specialists", name, str(specialist.version)) / RECORD, whole.to_json())


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnet", *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_help_as_a_program() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for verb in VERBS:
        assert f" {verb} " in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["settings"],
        *([verb, "--help"] for verb in VERBS),
        ["data", "check", "-h"],
        ["engine", "status", "-h"],
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-c", MODULES, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout
    # Typer itself reads the parameters of a verb with pydantic, where that is installed.
    own = HEAVY - (set() if arguments[0].startswith("--") else {"pydantic"})
    assert not own & set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    program = Path(sys.executable).with_name("linnet")
    if not program.exists():
        pytest.skip("the linnet program is not installed beside this Python")
    environment = {**os.environ, "_LINNET_COMPLETE": f"source_{shell}"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "_LINNET_COMPLETE=complete_" in done.stdout


def test_completion_knows_the_verbs() -> None:
    program = Path(sys.executable).with_name("linnet")
    if not program.exists():
        pytest.skip("the linnet program is not installed beside this Python")
    words = {"_LINNET_COMPLETE": "complete_bash", "COMP_WORDS": "linnet se", "COMP_CWORD": "1"}
    done = subprocess.run(
        [program], env={**os.environ, **words}, capture_output=True, text=True, timeout=60, check=False
    )
    assert {"serve", "settings"} <= set(done.stdout.split())


def test_version(linnet: Linnet) -> None:
    assert linnet("--version") == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["biuld"], "No such command"),
        (["build"], "Missing argument"),
        (["list", "--jsno"], "No such option"),
        (["serve", "--port", "x"], "Invalid value"),
    ],
)
def test_wrong_usage_is_code_2(linnet: Linnet, arguments: list[str], message: str) -> None:
    code, out, err = linnet(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_no_verb_shows_the_help(linnet: Linnet) -> None:
    _, out, err = linnet()
    assert "settings" in out + err


def test_settings(linnet: Linnet, home: Path) -> None:
    rows = {row["name"]: row for row in linnet.json("settings")}
    expected = {"name": "LINNET_HOME", "value": str(home), "source": "environment"}
    assert rows["LINNET_HOME"].items() >= expected.items()
    assert rows["LINNET_PORT"]["value"] == "11500"
    _, out, _ = linnet("settings")
    assert all(name in out for name in rows)


def test_a_bad_setting_is_named(linnet: Linnet, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(home)
    monkeypatch.setenv("LINNET_LOCK_WAIT_S", "soon")
    code, out, err = linnet("rm", "support", "--yes")
    assert (code, out) == (2, "")
    assert "LINNET_LOCK_WAIT_S='soon' is not a number" in err


def test_doctor(linnet: Linnet, home: Path) -> None:
    found = linnet.json("doctor")
    assert found["cores"] >= found["usable_cores"] >= 1
    assert found["memory_bytes"] > found["memory_free_bytes"] > 0
    assert found["store"] == str(home)
    assert found["fits"]
    assert found["installed"]
    code, out, _ = linnet("doctor")
    assert code == 0
    assert "what fits" in out


def test_list(linnet: Linnet, home: Path) -> None:
    assert linnet.json("list") == []
    assert "linnet build" in linnet("list")[1]
    for name in ("support", "support", "billing"):
        built(home, name)
    assert [row["name"] for row in linnet.json("list")] == ["billing:1", "support:1", "support:2"]
    code, out, err = linnet("list")
    assert (code, err, out.count("\n")) == (0, "", 4)
    assert "macro_f1 0.9000" in out


def test_show(linnet: Linnet, home: Path) -> None:
    built(home)
    found = linnet.json("show", "support")
    assert (found["name"], found["version"], found["decision"]["labels"]) == ("support", 1, ["refund", "delivery"])
    assert Path(found["folder"]) == home / "specialists" / "support" / "1"
    code, out, _ = linnet("show", "support:1")
    assert code == 0
    assert "0.9000  [0.8500, 0.9500] on the test set" in out
    assert "all as recorded" in out


def test_show_finds_a_changed_file(linnet: Linnet, home: Path) -> None:
    built(home)
    tokenizer = home / "specialists" / "support" / "1" / "engine" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    code, out, err = linnet("show", "support")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "tokenizer.json is not the file that was written" in err


def test_rm(linnet: Linnet, home: Path) -> None:
    for _ in range(3):
        built(home)
    assert linnet.json("rm", "support:2") == {"removed": ["support:2"]}
    assert linnet("rm", "support:1", "--yes") == (0, "removed support:1\n", "")
    assert linnet.json("rm", "support") == {"removed": ["support:3"]}
    assert linnet.json("list") == []


def test_rm_asks_first(home: Path) -> None:
    built(home)
    for answer, left in (("n\n", [1]), ("", [1]), ("y\n", [])):
        command = [sys.executable, "-m", "linnet", "rm", "support"]
        done = subprocess.run(command, input=answer, capture_output=True, text=True, timeout=60, check=False)
        assert "Remove support:1?" in done.stdout + done.stderr
        assert done.returncode == (0 if not left else 1)
        assert Store(home).versions("support") == left


@pytest.mark.parametrize("verb", [["show"], ["rm", "--yes"], ["classify"], ["evaluate"]])
def test_an_unknown_specialist_is_code_2(linnet: Linnet, home: Path, tmp_path: Path, verb: list[str]) -> None:
    built(home)
    file = tmp_path / "a.csv"
    file.write_text("text,label\na,refund\n")
    rest = [str(file)] if verb[0] in ("evaluate", "classify") else []
    code, out, err = linnet(*verb, "suport", *rest)
    assert (code, out) == (2, "")
    assert "No specialist is called 'suport'. Did you mean \"support\"?" in err
    assert "linnet list" in err
    code, out, err = linnet(*verb, "../support", *rest)
    assert (code, out) == (2, "")
    assert "A name is 1 to 64 of a-z" in err


def labelled(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([("text", "label"), *rows])
    return path


def test_evaluate(linnet: Linnet, home: Path, tmp_path: Path) -> None:
    built(home)
    rows = [(f"my refund word{i}", "refund") for i in range(6)] + [
        (f"the delivery word{i}", "delivery") for i in range(3)
    ]
    file = labelled(tmp_path / "a.csv", [*rows, ("where is my delivery", "refund")])
    found = linnet.json("evaluate", "support", str(file))
    assert found["accuracy"]["value"] == pytest.approx(0.9)
    assert found["confusion"] == [[6, 1], [0, 3]]
    assert (found["examples"], found["truncated"], found["candidate"]) == (10, 0, "support:1")
    code, out, _ = linnet("evaluate", "support", str(file), "--input", "text", "--output", "label")
    assert code == 0
    assert "accuracy  0.9000" in out


def test_evaluate_refuses_what_it_cannot_judge(linnet: Linnet, home: Path, tmp_path: Path) -> None:
    built(home)
    file = labelled(tmp_path / "a.csv", [("my refund", "refund"), ("my order", "Bestellung")])
    code, out, err = linnet("evaluate", "support", str(file))
    assert (code, out) == (2, "")
    assert "Row 3: label 'Bestellung' is not one the specialist knows" in err
    assert linnet("evaluate", "support", str(file), "--output", "lable")[0] == 2
    assert linnet("evaluate", "support", str(tmp_path / "absent.csv"))[0] == 2


def test_build_and_data_check_refuse_what_is_not_there(linnet: Linnet, tmp_path: Path) -> None:
    for arguments in (["build", str(tmp_path)], ["data", "check", str(tmp_path / "absent.csv")]):
        code, out, err = linnet(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")


def test_hostile_names_are_shown_not_obeyed(linnet: Linnet, tmp_path: Path) -> None:
    code, _, err = linnet("data", "check", str(tmp_path / "a\x1b[31m.csv"))
    assert code == 2
    assert "\x1b" not in err
    assert "\\x1b[31m" in err


@pytest.mark.parametrize("number", [1, 2, 3, 4, 130])
def test_an_error_becomes_its_exit_code(linnet: Linnet, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    error = LinnetError("what failed", "what to do")
    error.exit_code = number

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("linnet.core.settings.table", fails)
    assert linnet("settings") == (number, "", "error: what failed\n       what to do\n")


def test_a_closed_pipe_ends_quietly() -> None:
    command = f"{sys.executable} -m linnet settings | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
