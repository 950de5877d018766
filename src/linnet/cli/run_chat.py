"""The chat of `linnet run` on a terminal: lines in, answers out, and the commands that begin with a slash.

Nothing is written to disk but what /save is told to. Knows a decoder and no file of a model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from linnet.cli import run_output as output
from linnet.cli.run_input import is_chat, read_chat
from linnet.cli.run_parameters import rows, with_value
from linnet.core.errors import ContextExceeded, InputError, LinnetError, did_you_mean
from linnet.engines.requests.conversation import Conversation, Parameters

if TYPE_CHECKING:
    from linnet.engines.base import Decoder
    from linnet.engines.requests.generation import Generation

PROMPT, MORE = ">>> ", "... "
QUOTES = '"""'
COMMANDS = {
    "/set": ("/set PARAM VALUE", "change a parameter; default takes it back; /set alone lists them"),
    "/system": ("/system TEXT", 'what the model is told before the chat; "" takes it away; alone shows it'),
    "/show": ("/show", "model, context, parameters, system text"),
    "/stats": ("/stats", "tokens and times of the last answer, and of all"),
    "/save": ("/save FILE", "write the chat to a file, as JSON"),
    "/load": ("/load FILE", "go on with a chat from a file; the present one is forgotten"),
    "/clear": ("/clear", "forget the chat; system text and parameters stay"),
    "/help": ("/help", "this list"),
    "/bye": ("/bye", "leave; so does Ctrl-D"),
}
HELP = (
    "Several lines: begin and end with " + QUOTES + ", or end a line with a backslash.",
    "A message that begins with a slash: put a space before it.",
    "Ctrl-C stops an answer; once more leaves.",
)


@dataclass(slots=True)
class Chat:
    """One session. `read` gives a line for a prompt, as `input` does; `facts` is what /show says of the model.

    `attached` goes before the first question; /clear drops it. With `raw` every line is a prompt by itself, without
    template or history.
    """

    engine: Decoder
    model: str
    conversation: Conversation
    parameters: Parameters
    facts: list[str] = field(default_factory=list)
    attached: str = ""
    raw: bool = False
    read: Callable[[str], str] = input
    answers: list[Generation] = field(default_factory=list)
    _interrupted: bool = False

    def run(self) -> int:
        """Until the user leaves. Returns the exit code."""
        while True:
            try:
                if not self._turn():
                    return 0
            except EOFError:
                print()
                return 0
            except KeyboardInterrupt:
                print()
                if self._interrupted:
                    return 130
                self._interrupted = True
                _say("Ctrl-C again, Ctrl-D or /bye leaves")
            except LinnetError as error:
                output.show_error(error)
            except UnicodeDecodeError:
                output.show_error(InputError("That was not UTF-8 text.", "Set the terminal to UTF-8."))

    def _turn(self) -> bool:
        """One message or command. False when the user leaves."""
        line = self.read(PROMPT)
        self._interrupted = False
        if line.startswith(QUOTES):
            self._ask(self._block(line))
        elif line.startswith("/"):
            name, _, rest = line.partition(" ")
            rest = rest.strip()
            return self._command(name, self._block(rest) if rest.startswith(QUOTES) else rest)
        else:
            while line.endswith("\\"):
                line = line[:-1] + "\n" + self.read(MORE)
            if line.strip():
                self._ask(line)
        return True

    def _block(self, first: str) -> str:
        """The text between triple quotes, without the line breaks that only set them apart."""
        text = first.removeprefix(QUOTES)
        while not text.rstrip().endswith(QUOTES):
            text += "\n" + self.read(MORE)
        return text.rstrip().removesuffix(QUOTES).removeprefix("\n").removesuffix("\n")

    def _ask(self, question: str) -> None:
        if self.attached:
            question = self.attached + ("" if self.raw else "\n\n") + question
        parameters, printer = self.parameters, output.Printer()
        try:
            request = (
                parameters.raw_request(question)
                if self.raw
                else parameters.chat_request(self.conversation.asking(question))
            )
            found = output.stream_answer(self.engine, request, printer)
        except ContextExceeded as error:
            error.hint = f"Nothing was cut, and the question was not kept. {self._room()}"
            raise
        except LinnetError as error:
            error.hint = f"The question was not kept. {error.hint}".rstrip()
            raise
        finally:
            printer.end()
        self.answers.append(found)
        self._interrupted = found.finish_reason == "cancelled"
        if found.text:
            self.attached = ""
            if not self.raw:
                self.conversation.add(question, found.text)
        if note := output.finish_note(found, parameters.max_tokens, self.engine.context, self._room()):
            _say(note)

    def _room(self) -> str:
        larger = f"start again with --context above {self.engine.context}"
        count = len(self.conversation.turns)
        return f"/clear forgets the {count} messages so far; or {larger}." if count else f"Shorten it, or {larger}."

    def _command(self, name: str, rest: str) -> bool:
        if name == "/bye":
            return False
        if name not in COMMANDS:
            near = did_you_mean(name, list(COMMANDS))
            raise InputError(f"No command is called {name}.{near}", "/help lists them. A message may not begin with /.")
        known: dict[str, Callable[[str], None]] = {
            "/set": self._set,
            "/system": self._system,
            "/save": self._save,
            "/load": self._load,
        }
        if name in known:
            known[name](rest)
            return True
        if rest:
            raise InputError(f"{name} takes nothing after it; have: {rest[:80]!r}.")
        plain: dict[str, Callable[[], None]] = {
            "/show": self._show,
            "/stats": self._stats,
            "/clear": self._clear,
            "/help": _help,
        }
        plain[name]()
        return True

    def _set(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        if not name:
            _table(rows(self.parameters))
            return
        if not value.strip():
            raise InputError(f"/set {name} needs a value.", "For example: /set temperature 0.2, or: /set seed default")
        self.parameters = with_value(self.parameters, name, value.strip())
        _say(f"{name}: {dict(rows(self.parameters))[name]}")

    def _system(self, rest: str) -> None:
        if self.raw:
            raise InputError("A raw prompt has no system text.", "Start without --raw.")
        if rest:
            self.conversation.system = "" if rest == '""' else rest
        _say(f"system: {self.conversation.system or 'none'}")

    def _show(self) -> None:
        kind = "raw prompts, each by itself" if self.raw else f"{len(self.conversation.turns)} messages"
        _table([("model", self.model), ("context", f"{self.engine.context} tokens"), ("chat", kind)])
        for fact in self.facts:
            print(output.shown(f"  {fact}"))
        _table([("system", self.conversation.system or "none"), *rows(self.parameters)])

    def _stats(self) -> None:
        if not self.answers:
            _say("no answer yet")
            return
        last = self.answers[-1]
        print("\n".join(output.in_words(last)))
        print(f"context     {last.prompt_tokens + last.completion_tokens} of {self.engine.context} tokens")
        total = sum(found.completion_tokens for found in self.answers)
        count = len(self.answers)
        print(f"session     {count} answer{'s' if count > 1 else ''}, {total} tokens")

    def _save(self, rest: str) -> None:
        from linnet.core.files import write_json

        path = _path("/save", rest)
        if path.exists() and not is_chat(path):
            raise InputError(f"{path} exists and is not a saved chat.", "Choose another name: it is not replaced.")
        write_json(path, self.conversation.to_json(self.model))
        _say(f"{len(self.conversation.messages)} messages saved to {path}; only this account can read it")

    def _load(self, rest: str) -> None:
        if self.raw:
            raise InputError("Raw prompts have no history to load.", "Start without --raw.")
        self.conversation = read_chat(_path("/load", rest))
        _say(f"{len(self.conversation.messages)} messages loaded; system: {self.conversation.system or 'none'}")

    def _clear(self) -> None:
        count = len(self.conversation.turns)
        self.conversation.clear()
        self.attached = ""
        _say(f"{count} messages forgotten")


def line_reader() -> Callable[[str], str]:
    """How to read a line here: with editing and the history of this session on a terminal, else plainly."""
    if sys.stdout.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401 - input() uses it once it is there; it writes no history file
        return input
    return _plain_line


def _plain_line(prompt: str) -> str:
    """A line while standard output goes elsewhere: prompts are no part of the answers."""
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.removesuffix("\n")


def _path(command: str, rest: str) -> Path:
    if not rest:
        raise InputError(f"{command} needs a file.", f"For example: {command} chat.json")
    return Path(rest).expanduser()


def _help() -> None:
    for usage, sentence in COMMANDS.values():
        print(f"{usage:<18}{sentence}")
    print(*HELP, sep="\n")


def _table(lines: list[tuple[str, str]]) -> None:
    for name, value in lines:
        print(output.shown(f"{name:<18}{value}"))


def _say(text: str) -> None:
    print(output.shown(text), file=sys.stderr)
