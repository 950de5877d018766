"""From the name that `linnet run` was given to a loaded engine. What only a hub has is offered, with its size."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from linnet.cli.run_input import file_text
from linnet.cli.run_output import shown
from linnet.core.errors import InputError, NameInvalid, NotFound

if TYPE_CHECKING:
    from linnet.core.records import Model
    from linnet.core.store import Store
    from linnet.engines.llama import LlamaEngine
    from linnet.engines.load_plan import LoadOptions

END_S = 2.0  # for a load that was stopped to end
TEMPLATES = ("builtin:chatml",)


def read_template(given: str) -> str:
    """What the engine takes for a template: a built-in one's name, or a file's text; "" is the model's own.

    Raises InputError, NotFound.
    """
    if not given:
        return ""
    if given.startswith("builtin:"):
        if given not in TEMPLATES:
            raise InputError(f"No template is called {given!r}.", f"Known: {', '.join(TEMPLATES)}; or give a file.")
        return given
    return file_text(Path(given).expanduser())


def find_model(store: Store, name: str, *, may_ask: bool) -> Model:
    """The decoder of this name. One that only a hub has is offered when `may_ask`, else NotFound names the pull."""
    from linnet.formats.builtin import RUNNABLE
    from linnet.formats.resolve import resolve_model

    try:
        model = resolve_model(store, RUNNABLE.get(name, name))
    except NotFound as error:
        if name.startswith("hf:") and may_ask:
            model = _offered(store, name, error)
        elif _is_specialist(store, name):
            raise InputError(f"{name} is a specialist.", f"Use it with: linnet classify {name}") from error
        else:
            raise
    if model.kind == "encoder":
        raise InputError(f"{name} is an encoder: it gives no text.", "Choose a decoder in a GGUF file.")
    if model.format != "gguf":
        raise InputError(f"{name} is {model.format}; only GGUF is run.", "Pull or import a GGUF of it.")
    return model


def _is_specialist(store: Store, name: str) -> bool:
    try:
        return bool(store.versions(name.partition(":")[0]))
    except NameInvalid:
        return False


def _offered(store: Store, name: str, missing: NotFound) -> Model:
    from linnet.cli.printing import Progress
    from linnet.stages.pull import PullOptions, in_words, pull, pull_offer

    options = PullOptions(kind="decoder")
    print(shown(f"{missing.message} Asking the hub."), file=sys.stderr)
    print(shown(in_words(pull_offer(store, name, options))), file=sys.stderr)
    if not typer.confirm("Fetch it now?", err=True):
        raise missing
    return pull(store, name, Progress(), options)[0]


@contextmanager
def loaded(store: Store, model: Model, options: LoadOptions, *, needs_template: bool) -> Iterator[LlamaEngine]:
    """The model, loaded and kept from being removed until the end.

    Raises InputError for a base model that `needs_template`, and what loading raises.
    """
    from linnet.core.models import lease
    from linnet.engines.llama import open_llama

    with lease(store, model):
        engine = open_llama(Path(model.path), options, label=model.name)
        if needs_template and not engine.has_template:
            raise InputError(
                f"{model.name} has no chat template: it is a base model, which continues a text.",
                "Use --raw; or --template builtin:chatml, when it was trained on that.",
            )
        try:
            with _said(f"loading {model.name} …"):
                _start(engine)
            yield engine
        finally:
            engine.close()


def _start(engine: LlamaEngine) -> None:
    """Load in another thread and wait, so that Ctrl-C never lands in the middle of starting a process."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            engine.start()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="linnet-run-load", daemon=True)
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        engine.close()
        thread.join(END_S)
        raise
    if failed:
        raise failed[0]


@contextmanager
def _said(text: str) -> Iterator[None]:
    """A line on the terminal for as long as something takes."""
    if not sys.stderr.isatty():
        yield
        return
    print(shown(text), end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r" + " " * len(shown(text)) + "\r", end="", file=sys.stderr, flush=True)
