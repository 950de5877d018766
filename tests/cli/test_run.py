"""`linnet run` through its front door, with the real engine on a real small model; on a terminal where it takes one."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from linnet.cli import main
from linnet.cli.run_input import joined, read_schema
from linnet.core.errors import InputError, NotFound
from linnet.core.store import Store
from tests.gguf_files import stories
from tests.hub_imitation import FakeHub, running
from tests.tiny import tiny_specialist

LAUNCH = Path(__file__).with_name("launch.py")
HEAVY = {"torch", "transformers", "onnxruntime", "fastapi", "polars", "sklearn", "scipy", "huggingface_hub"}
ONCE = "Once upon a time"
GREEDY = ("--raw", "--temperature", "0")
CHATML = ("--template", "builtin:chatml")


class Run:
    """Calls `linnet run` in this process with a pipe as its input: exit code, standard output, standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: object, piped: bytes = b"") -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["linnet", "run", *map(str, arguments)])
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        return int(caught.value.code or 0), out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(capsys, monkeypatch)


@pytest.fixture
def model() -> Path:
    return stories()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    for name, value in {"LINNET_HOME": str(folder), "LINNET_THREADS": "1", "TERM": "dumb", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    return folder


class Terminal:
    """`linnet run` on a pseudo-terminal. `until` reads up to a text; `end` waits for the exit code."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "linnet", "run", *map(str, arguments)]
        self.pid, self.end_of_line = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)
        self.unread = b""

    def until(self, text: str, seconds: float = 120) -> str:
        deadline, wanted = time.monotonic() + seconds, text.encode()
        while wanted not in self.unread:
            assert self._read(deadline, text), f"it ended without {text!r}, after {self.unread!r}"
        before, _, self.unread = self.unread.partition(wanted)
        return (before + wanted).decode()

    def _read(self, deadline: float, wanted: str) -> bool:
        """Read what is there, waiting for it. False when nobody holds the other end any more."""
        ready, _, _ = select.select([self.end_of_line], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {wanted!r} in time, but {self.unread!r}"
        try:
            data = os.read(self.end_of_line, 4096)
        except OSError:  # what Linux says then
            return False
        self.unread += data
        return bool(data)

    def send(self, text: str) -> None:
        os.write(self.end_of_line, text.encode())

    def end(self) -> tuple[int, str]:
        """The exit code, and what was not read yet."""
        while self._read(time.monotonic() + 120, "its end"):
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status), self.unread.decode()

    def close(self) -> None:
        os.close(self.end_of_line)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def test_greedy_text_is_the_published_one(run: Run, model: Path) -> None:
    expected = json.loads(model.with_name("expected_outputs.json").read_text())["greedy_temp0"]
    code, out, err = run(model, "", *GREEDY, "--max-tokens", 200)
    assert (code, out) == (0, f" {expected}\n")
    code, out, err = run(model, ONCE, *GREEDY, "--max-tokens", 40)
    assert (code, out.endswith("\n")) == (0, True)
    assert expected.startswith(ONCE + out.rstrip("\n"))
    assert err == "stopped at max_tokens 40: the answer may not be complete (finish reason length)\n"


@pytest.mark.parametrize("guess", ["ngram", "model"])
def test_guessing_ahead_changes_no_answer_and_is_reported(run: Run, model: Path, guess: str) -> None:
    asked = (model, ONCE, *GREEDY, "--max-tokens", 60, "--json")
    plain = json.loads(run(*asked)[1])
    guessed = json.loads(run(*asked, "--speculate", model if guess == "model" else guess)[1])
    assert guessed["text"] == plain["text"]
    assert plain["timings"]["draft_tokens"] == 0
    assert guess == "ngram" or guessed["timings"]["draft_accepted"] > 20
    assert run(model, ONCE, "--engine", "torch", "--speculate", guess)[0] == 2


def test_a_pipe_is_the_prompt(run: Run, model: Path) -> None:
    words = run(model, "Once upon", "a time", *GREEDY, "--max-tokens", 12)
    piped = run(model, *GREEDY, "--max-tokens", 12, piped=(ONCE + "\n").encode())
    both = run(model, " a time", *GREEDY, "--max-tokens", 12, piped=b"Once upon\n")
    assert words == piped == both
    assert words[1].startswith(", there was a little")


def test_a_file_is_attached(run: Run, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "start.txt"
    path.write_bytes(b"\xef\xbb\xbfOnce upon\r\n")
    _, out, _ = run(model, " a time", *GREEDY, "--max-tokens", 12, "--file", path)
    assert out.startswith(", there was a little")


def test_in_a_real_pipe(model: Path) -> None:
    command = f'{sys.executable} -m linnet run "$0" --raw --max-tokens 500 | head -c 5'
    done = subprocess.run(
        ["bash", "-c", command, model], input=ONCE, capture_output=True, text=True, timeout=120, check=False
    )
    assert len(done.stdout) == 5
    assert "Traceback" not in done.stderr


def test_json(run: Run, model: Path) -> None:
    code, out, err = run(model, ONCE, *GREEDY, "--max-tokens", 10, "--seed", 4, "--json")
    assert (code, out.count("\n")) == (0, 1)
    assert "max_tokens 10" in err
    found = json.loads(out)
    assert found.pop("text").startswith(", there was a little")
    timings = found.pop("timings")
    assert found == {
        "model": "stories260K.gguf",
        "finish_reason": "length",
        "prompt_tokens": 5,
        "cached_tokens": 0,
        "completion_tokens": 10,
        "seed": 4,
    }
    assert 0 < timings["first_token_ms"] <= timings["total_ms"]
    assert timings["load_ms"] > 0


def test_a_seed_draws_the_same_answer(run: Run, model: Path) -> None:
    def drawn(seed: int) -> Any:
        arguments = (ONCE, "--raw", "--temperature", 2, "--top-p", 1, "--max-tokens", 40, "--seed", seed, "--json")
        return json.loads(run(model, *arguments)[1])["text"]

    assert drawn(1) == drawn(1) != drawn(2)


def test_stop(run: Run, model: Path) -> None:
    code, out, err = run(model, ONCE, *GREEDY, "--stop", "never there", "--stop", " named")
    assert (code, out, err) == (0, ", there was a little girl\n", "")


def test_a_schema_holds(run: Run, model: Path, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"ok": {"enum": ["yes", "no"]}}, "required": ["ok"]}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({**schema, "additionalProperties": False}))
    for given, extra in ((path, ()), (path.read_text(), ("--temperature", 0))):
        code, out, err = run(model, ONCE, "--raw", "--max-tokens", 300, "--json-schema", given, *extra)
        assert (code, err) == (0, "")
        assert json.loads(out)["ok"] in ("yes", "no")


def test_a_template_makes_a_chat_of_a_base_model(run: Run, model: Path) -> None:
    code, out, err = run(model, "hello")
    assert (code, out) == (2, "")
    assert "has no chat template" in err
    assert "--raw" in err
    arguments = (*CHATML, "--max-tokens", 4, "--json")
    short = json.loads(run(model, "hello", *arguments)[1])
    told = json.loads(run(model, "hello", "--system", "You are a pirate.", *arguments)[1])
    assert short["completion_tokens"] == 4
    assert told["prompt_tokens"] > short["prompt_tokens"]


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(run: Run, model: Path, as_json: list[str]) -> None:
    code, out, err = run(model, "--raw", "--context", 256, *as_json, piped=b"word " * 300)
    assert (code, out) == (2, "")
    assert "The prompt has 902 tokens; the context is 256" in err
    assert "--context above 256. Nothing was cut." in err


def test_a_full_context_says_so(run: Run, model: Path) -> None:
    code, out, err = run(model, ONCE, *GREEDY, "--context", 256)
    assert code == 0
    assert len(out) > 300
    assert "the context of 256 tokens is full, 5 of the prompt and 251 of the answer" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent", "hi"], "No model is called 'absent'."),
        (["./absent.gguf", "hi"], "no such file or folder"),
        (["hf:org/tiny:Q8_0", "hi"], "Fetch it with: linnet pull hf:org/tiny:Q8_0"),
        (["hf:org", "hi"], "is not a valid hub name"),
        (["{model}"], "There is no prompt: standard input is empty."),
        (["{model}", "hi", "--temperature", "9"], "temperature is 9.0: it must be a number from 0 to 5."),
        (["{model}", "hi", "--max-tokens", "0"], "max_tokens is 0"),
        (["{model}", "hi", "--seed", "-1"], "seed is -1"),
        (["{model}", "hi", "--context", "-1"], "context is -1"),
        (["{model}", "hi", "--stop", ""], "a stop text has 0 characters"),
        (["{model}", "hi", "--file", "/absent"], "no such file or folder"),
        (["{model}", "hi", "--file", "/"], "is a folder"),
        (["{model}", "hi", "--file", "{model}"], "is not UTF-8 text: byte"),
        (["{model}", "hi", "--json-schema", "{"], "the JSON schema is not JSON"),
        (["{model}", "hi", "--json-schema", '{"type": "objct"}'], "'objct'"),
        (["{model}", "hi", "--json-schema", "/absent"], "no such file or folder"),
        (["{model}", "hi", "--raw", "--system", "x"], "--raw uses no template"),
        (["{model}", "hi", "--template", "builtin:chatlm"], "Known: builtin:chatml"),
    ],
)
def test_what_is_wrong_is_code_2(run: Run, model: Path, home: Path, arguments: list[str], said: str) -> None:
    code, out, err = run(*(word.replace("{model}", str(model)) for word in arguments))
    assert (code, out) == (2, "")
    assert said in err


def test_a_specialist_is_not_run(run: Run, home: Path) -> None:
    tiny_specialist(Store(home), "support", ["refund", "delivery"])
    code, _, err = run("support", "hi")
    assert code == 2
    assert "linnet classify support" in err


def test_what_is_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("A\n\n")
    assert joined("ask", "piped\n", [path], raw=False) == "File a.txt:\n\nA\n\n\npiped\n\nask"
    assert joined("ask", "piped\n", [path], raw=True) == "A\npipedask"
    assert joined(None, "", [], raw=True) is None
    assert joined("", None, [], raw=True) == ""


def test_what_is_read_is_text_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data, match in ((b"a\0b", "NUL"), (b"ab\xff", "byte 2"), (b"x" * (8 << 20) + b"x", "longer than 8388608")):
        path.write_bytes(data)
        with pytest.raises(InputError, match=match):
            joined(None, None, [path], raw=True)
    path.write_text("[1]")
    with pytest.raises(InputError, match="schema"):
        read_schema(str(path))
    with pytest.raises(NotFound):
        read_schema("absent.json")


def test_nothing_heavy_is_imported_and_nobody_is_called(model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, str(LAUNCH), str(log), "run", str(model), ONCE, *GREEDY, "--max-tokens", "2"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert not HEAVY & set(events[-1][1])
    assert [event for event in events[:-1] if event[0] in ("socket.getaddrinfo", "socket.bind", "socket.sendto")] == []
    assert all("engine.sock" in event[1] for event in events[:-1] if event[0] == "socket.connect")


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Opens terminals; what a failed test leaves running is ended."""
    opened: list[Terminal] = []

    def start(*arguments: object) -> Terminal:
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def chat(model: Path, terminal: Callable[..., Terminal]) -> Terminal:
    started = terminal(model, *GREEDY)
    started.until(">>> ")
    return started


def test_ctrl_c_stops_the_answer_and_a_second_one_leaves(chat: Terminal) -> None:
    chat.send(ONCE + "\n")
    chat.until(", there was a")
    chat.send("\x03")
    chat.until("stopped by Ctrl-C")
    chat.until(">>> ")
    chat.send("/stats\n")
    assert "finish reason cancelled" in chat.until("session     1 answer")
    chat.until(">>> ")
    time.sleep(1)  # Python's readline misses a signal between its prompt and its wait
    chat.send("\x03")
    chat.until("Ctrl-C again")
    chat.until(">>> ")
    time.sleep(1)
    chat.send("\x03")
    assert chat.end()[0] == 130


def test_a_session_on_a_terminal(chat: Terminal, home: Path) -> None:
    chat.send("/st\n")
    chat.until('Did you mean "/set"?')
    chat.until(">>> ")
    chat.send("/set max_tokens 12\n")
    chat.until(">>> ")
    for _ in range(2):
        chat.send('"""\nOnce upon\\\n"""\n')
        chat.until("... ")
        chat.until("finish reason length")
        chat.until(">>> ")
    chat.send("\x04")
    assert chat.end()[0] == 0
    assert [p for p in home.rglob("*") if p.is_file() and b"upon" in p.read_bytes()] == []


def test_ctrl_c_ends_a_single_answer_with_130(model: Path, terminal: Callable[..., Terminal]) -> None:
    single = terminal(model, ONCE, *GREEDY)
    single.until(", there was a")
    single.send("\x03")
    code, rest = single.end()
    assert code == 130
    assert "stopped by Ctrl-C" in rest
    assert "Traceback" not in rest


def test_ctrl_c_while_loading_leaves_with_130(model: Path, terminal: Callable[..., Terminal]) -> None:
    single = terminal(model, ONCE, *GREEDY)
    single.until("loading stories260K.gguf")
    single.send("\x03")
    code, rest = single.end()
    assert code == 130
    assert "Traceback" not in rest


@pytest.fixture
def hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with running(FakeHub({"tiny-F32.gguf": model.read_bytes()})) as hub:
        monkeypatch.setenv("LINNET_HUB", hub.url)
        yield hub


def test_a_missing_model_is_offered_on_a_terminal(
    hub: FakeHub, home: Path, terminal: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # scripts/test sets it
    arguments = ("hf:org/tiny", ONCE, *GREEDY, "--max-tokens", 12)
    first = terminal(*arguments)
    assert "1.2 MB to fetch" in first.until("Fetch it now?")
    first.send("n\n")
    code, rest = first.end()
    assert code == 2
    assert "linnet pull hf:org/tiny" in rest
    assert not (home / "models").exists()
    second = terminal(*arguments)
    second.until("Fetch it now?")
    second.send("y\n")
    second.until(", there was a little")
    assert second.end()[0] == 0
    assert (home / "models" / "tiny").is_dir()


def test_in_a_pipe_a_missing_model_asks_nobody(run: Run, hub: FakeHub) -> None:
    code, _, err = run("hf:org/tiny", ONCE, *GREEDY)
    assert code == 2
    assert "Fetch it with: linnet pull hf:org/tiny" in err
    assert hub.asked == []
