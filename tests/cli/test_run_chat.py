"""The chat with scripted lines and a decoder of this file: what is sent, kept, said, and what leaves."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from linnet.cli.run_chat import COMMANDS, Chat
from linnet.cli.run_output import json_text, shown
from linnet.core.errors import ContextExceeded, EngineError, InputError
from linnet.engines.requests.conversation import Conversation, Parameters
from linnet.engines.requests.generation import Cancel, GenerateRequest, Generation, Message, Piece, Timings

HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\x00\u202eevil\u2066\u2028\ufeff\U000e0041\x7f"


class Parrot:
    """Answers with its pieces. Counts a character as a token; `context` of them fit."""

    has_template = True
    context = 60

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces or ("Hel", "lo.")
        self.requests: list[GenerateRequest] = []
        self.before_last: Callable[[], None] = lambda: None
        self.error: Exception | None = None
        self.finish: Any = "stop"

    def generate(self, request: GenerateRequest, cancel: Cancel | None = None) -> Iterator[Piece | Generation]:
        count = sum(len(m.content) for m in request.messages or ()) + len(request.prompt or "")
        if count >= self.context:
            raise ContextExceeded(count, self.context)
        self.requests.append(request)
        return self._pieces(count, cancel or Cancel())

    def _pieces(self, count: int, cancel: Cancel) -> Iterator[Piece | Generation]:
        done = ""
        for number, text in enumerate(self.pieces, 1):
            if number == len(self.pieces):
                self.before_last()
            if cancel.cancelled:
                break
            done += text
            yield Piece(text, (1,))
        if self.error:
            raise self.error
        finish = "cancelled" if cancel.cancelled else self.finish
        yield Generation(done, finish, count, 0, len(self.pieces), 5, Timings(0.0, 1.0, 11.0))

    def tokenize(self, text: str, *, add_special: bool = False, control_tokens: bool = False) -> list[int]:
        return [1] * len(text)

    def detokenize(self, ids: Sequence[int]) -> str:
        return ""

    def apply_template(self, messages: Sequence[Message], *, thinking: bool | None = None) -> str:
        return ""

    def embed(self, texts: Sequence[str]) -> Any:
        return None

    def close(self) -> None:
        pass


class Script:
    """Gives its lines one after another, then the end of input. An exception among them is raised."""

    def __init__(self, *lines: str | type[BaseException]) -> None:
        self.lines = list(lines)
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        line = self.lines.pop(0) if self.lines else EOFError
        if isinstance(line, str):
            return line
        raise line


def chatted(*lines: str | type[BaseException], engine: Parrot | None = None, **more: Any) -> tuple[int, Chat]:
    chat = Chat(engine or Parrot(), "parrot", more.pop("conversation", Conversation()), Parameters(), **more)
    chat.read = Script(*lines)
    return chat.run(), chat


def sent(chat: Chat) -> list[GenerateRequest]:
    assert isinstance(chat.engine, Parrot)
    return chat.engine.requests


def asked(chat: Chat) -> list[str]:
    return [r.messages[-1].content if r.messages else r.prompt or "" for r in sent(chat)]


def test_answers_are_printed_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    code, chat = chatted("hi", "again")
    assert code == 0
    assert capsys.readouterr().out == "Hello.\nHello.\n\n"
    assert [m.content for m in sent(chat)[1].messages or ()] == ["hi", "Hello.", "again"]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (['"""one', "  two", 'three"""'], "one\n  two\nthree"),
        (['"""', "one", '"""  '], "one"),
        (['"""/bye"""'], "/bye"),
        (["one\\", "two\\", "three"], "one\ntwo\nthree"),
        (["one\npasted"], "one\npasted"),
        ([" /bye is a word"], " /bye is a word"),
    ],
)
def test_several_lines_are_one_message(lines: list[str], text: str) -> None:
    _, chat = chatted(*lines)
    assert asked(chat) == [text]


def test_empty_lines_ask_nothing() -> None:
    assert asked(chatted("", "   ", "\t")[1]) == []


def test_bye_and_the_end_of_input_leave_with_0() -> None:
    code, chat = chatted("/bye", "never")
    assert (code, asked(chat)) == (0, [])
    assert chatted()[0] == 0
    assert chatted('"""', "unfinished")[0] == 0


def test_ctrl_c_at_the_prompt_leaves_the_second_time(capsys: pytest.CaptureFixture[str]) -> None:
    code, chat = chatted(KeyboardInterrupt, "hi", KeyboardInterrupt, KeyboardInterrupt, "never")
    assert (code, asked(chat)) == (130, ["hi"])
    assert capsys.readouterr().err.count("Ctrl-C again") == 2


def test_ctrl_c_in_several_lines_drops_them() -> None:
    _, chat = chatted('"""', "secret", KeyboardInterrupt, "hi")
    assert asked(chat) == ["hi"]


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


main_thread = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="only the main thread hears signals"
)


@main_thread
def test_ctrl_c_stops_the_answer_and_not_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Parrot("first ", "never")
    heard = threading.Event()

    def stop_once() -> None:
        if not heard.is_set():
            heard.set()
            interrupt()
            threading.Event().wait(0.5)

    engine.before_last = stop_once
    code, chat = chatted("hi", "go on", engine=engine)
    out, err = capsys.readouterr()
    assert code == 0
    assert out == "first \nfirst never\n\n"
    assert "stopped by Ctrl-C" in err
    assert [m.content for m in chat.conversation.turns[:2]] == ["hi", "first "]


@main_thread
def test_ctrl_c_after_a_stopped_answer_leaves() -> None:
    engine = Parrot("first ", "never")
    engine.before_last = lambda: (interrupt(), threading.Event().wait(0.5))[0]
    assert chatted("hi", KeyboardInterrupt, "never", engine=engine)[0] == 130


@main_thread
def test_ctrl_c_three_times_leaves_an_engine_that_does_not_stop(capsys: pytest.CaptureFixture[str]) -> None:
    engine, hangs = Parrot("first ", "never"), threading.Event()

    def hang() -> None:
        for _ in range(3):
            interrupt()
            hangs.wait(0.2)
        hangs.wait(30)

    engine.before_last = hang
    try:
        code, chat = chatted("hi", "/bye", engine=engine)
    finally:
        hangs.set()
    assert code == 0
    assert chat.conversation.turns == []


def test_abuse_38_hostile_text_is_shown_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    for text in (HOSTILE, *HOSTILE):  # also when an escape is spread over pieces
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown(text))
    visible = "\\x1b[2J\\x1b]0;title\\x07\\x9b31m\\r\\x08\\x00\\u202eevil\\u2066\\u2028\\ufeff\\U000e0041\\x7f"
    chatted("hi", engine=Parrot(*HOSTILE))
    assert capsys.readouterr().out == visible + "\n\n"
    kept = "a\tb\nc é 漢字 👩\u200d👧 ن\u200cی \xa0 <script> `x`"
    assert shown(kept) == kept
    assert shown("\ud800") == "\\ud800"


def test_abuse_38_hostile_text_in_json_is_exact_for_programs_and_harmless_for_terminals() -> None:
    line = json_text({"text": HOSTILE + "é\n"})
    assert json.loads(line) == {"text": HOSTILE + "é\n"}
    assert "é" in line
    assert all(c.isprintable() for c in line)


def test_abuse_38_a_hostile_chat_file_is_shown_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"messages": [{"role": "system", "content": HOSTILE}]}))
    chatted(f"/load {path}", "/show", "/system", f"/load {tmp_path}/\x1b[31m")
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\\x1b[2J" in out


def test_a_full_context_is_refused_with_both_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    _, chat = chatted("x" * 40, "y" * 20, "/clear", "y" * 20)
    err = capsys.readouterr().err
    assert "The prompt has 66 tokens; the context is 60" in err
    assert "/clear forgets the 2 messages" in err
    assert "2 messages forgotten" in err
    assert asked(chat) == ["x" * 40, "y" * 20]
    chatted("z" * 70)
    assert "Shorten it, or start again with --context above 60" in capsys.readouterr().err


def test_a_crash_is_said_and_the_chat_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Parrot()
    engine.error = EngineError("parrot: the engine failed while it answered.", "Its last words.")
    code, chat = chatted("hi", engine=engine)
    err = capsys.readouterr().err
    assert code == 0
    assert "error: parrot: the engine failed" in err
    assert "The question was not kept. Its last words." in err
    assert chat.conversation.turns == []


@pytest.mark.parametrize(
    ("value", "note"), [("2", "stopped at max_tokens 2"), ("default", "the context of 60 tokens is full")]
)
def test_what_length_means_is_said(value: str, note: str, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Parrot()
    engine.finish = "length"
    chatted(f"/set max_tokens {value}", "hi", engine=engine)
    assert note in capsys.readouterr().err


def test_set(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ("temperature 0", "top_p 0.5", "top_k 3", "seed 9", "max_tokens 7", "stop User:", 'stop "\\n\\n"')
    _, chat = chatted(*(f"/set {line}" for line in lines), "/set thinking off", "hi", "/set")
    first = sent(chat)[0]
    assert (first.sampling.temperature, first.sampling.top_p, first.sampling.top_k, first.sampling.seed) == (
        0.0,
        0.5,
        3,
        9,
    )
    assert (first.max_tokens, first.stop, first.thinking) == (7, ("User:", "\n\n"), False)
    out = capsys.readouterr().out
    assert 'stop              "User:", "\\n\\n"' in out
    assert "seed              9" in out
    names = ("temperature", "top_p", "top_k", "seed", "max_tokens", "stop", "thinking", "json_schema")
    _, chat = chatted(*(f"/set {line}" for line in lines), *(f"/set {name} default" for name in names))
    assert chat.parameters == Parameters()


def test_set_takes_a_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"type": "object"}')
    _, chat = chatted(f"/set json_schema {path}")
    assert chat.parameters.json_schema == {"type": "object"}
    _, chat = chatted('/set json_schema {"type": "nothing"}')
    assert chat.parameters.json_schema is None
    assert "'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/set temperatur 1", 'Did you mean "temperature"?'),
        ("/set temperature hot", "temperature is 'hot': it must be a number from 0 to 5"),
        ("/set temperature nan", "it must be a number from 0 to 5"),
        ("/set seed 1.5", "seed is '1.5': it must be a whole number"),
        ("/set max_tokens 0", "max_tokens is 0"),
        ("/set thinking maybe", "it must be on, off or default"),
        ('/set stop "x\\q"', "not a text in quotes"),
        ("/set seed", "needs a value"),
        ("/sav x", 'No command is called /sav. Did you mean "/save"?'),
        ("/usr/bin is full", "No command is called /usr/bin."),
        ("/clear now", "/clear takes nothing after it"),
        ("/save", "/save needs a file"),
        ("/load /absent/chat.json", "no such file or folder"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, chat = chatted(line, "/clear")
    assert said in capsys.readouterr().err
    assert (code, chat.parameters, asked(chat)) == (0, Parameters(), [])


def test_system(capsys: pytest.CaptureFixture[str]) -> None:
    _, chat = chatted("/system be", "a", '/system """', "two", 'lines"""', "/system", "b", '/system ""', "c")
    systems = [[m.content for m in r.messages or () if m.role == "system"] for r in sent(chat)]
    assert systems == [["be"], ["two\nlines"], []]
    assert "system: two\nlines" in capsys.readouterr().err


def test_save_and_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chat.json"
    chatted("/system be brief", "hi", f"/save {path}", f"/save {path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    saved = json.loads(path.read_text())
    assert saved["model"] == "parrot"
    assert [m["content"] for m in saved["messages"]] == ["be brief", "hi", "Hello."]
    _, chat = chatted("old", f"/load {path}", "go on")
    assert [m.content for m in sent(chat)[1].messages or ()] == ["be brief", "hi", "Hello.", "go on"]
    assert "3 messages loaded" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["my diary", '{"a": 1}', "[" * 100_000, "\xff"])
def test_save_replaces_no_other_file_and_load_takes_none(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "diary.txt"
    path.write_text(content, encoding="latin-1")
    _, chat = chatted("hi", f"/save {path}", f"/load {path}")
    assert path.read_text(encoding="latin-1") == content
    assert len(chat.conversation.turns) == 2
    assert capsys.readouterr().err.count("error: ") == 2


def test_show_stats_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    chatted("/stats", "hi", "/stats", "/show", "/help", facts=["engine parrot 1"])
    out, err = capsys.readouterr()
    assert "no answer yet" in err
    for line in ("prompt      2 tokens", "answer      2 tokens, finish reason stop", "seed        5"):
        assert line in out
    assert "total       0.01 s, 100.0 tokens/s" in out
    assert "session     1 answer, 2 tokens" in out
    for line in ("model             parrot", "context           60 tokens", "  engine parrot 1", "temperature"):
        assert line in out
    assert all(usage in out for usage, _ in COMMANDS.values())


def test_raw_prompts_stand_alone(capsys: pytest.CaptureFixture[str]) -> None:
    _, chat = chatted("one", "two", "/system x", "/load y", raw=True)
    assert [r.prompt for r in sent(chat)] == ["one", "two"]
    assert capsys.readouterr().err.count("Start without --raw.") == 2


def test_what_is_attached_goes_before_the_first_question() -> None:
    _, chat = chatted("sum up", "and now", attached="a table")
    assert asked(chat) == ["a table\n\nsum up", "and now"]
    _, chat = chatted("/clear", "hi", attached="a table")
    assert asked(chat) == ["hi"]


def test_an_answer_without_an_end_is_an_error() -> None:
    from linnet.cli.run_output import stream_answer

    class Endless(Parrot):
        def _pieces(self, count: int, cancel: Cancel) -> Iterator[Piece | Generation]:
            yield Piece("a", (1,))

    with pytest.raises(EngineError, match="no end"):
        stream_answer(Endless(), GenerateRequest(prompt="a"), lambda _: None)
    with pytest.raises(InputError):
        Parameters(max_tokens=-1)
