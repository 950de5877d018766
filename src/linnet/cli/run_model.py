"""From the name that `linnet run` was given to a loaded engine. What only a hub has is offered, with its size."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from linnet.cli.run_input import file_text
from linnet.cli.run_output import shown
from linnet.core.errors import InputError, NameInvalid, NotFound

if TYPE_CHECKING:
    from linnet.core.records import Model, Preset
    from linnet.core.store import Store
    from linnet.engines.llama.engine import LlamaEngine
    from linnet.engines.llama.load_plan import LoadOptions
    from linnet.engines.pytorch.torch_decoder import TorchDecoder
    from linnet.engines.requests.conversation import Conversation, Parameters
    from linnet.engines.requests.generation import Generation

END_S = 2.0  # for a load that was stopped to end
TEMPLATES = ("builtin:chatml",)
ENGINES = ("llama", "torch")


@dataclass(frozen=True, slots=True)
class Wish:
    """The flags that say which model is opened and how."""

    model: str
    engine: str
    quantize: str
    template: str
    context: int
    threads: int
    raw: bool
    speculate: str = ""
    cache_type: str = ""


@contextmanager
def opened(
    wish: Wish, parameters: Parameters, *, may_ask: bool
) -> Iterator[tuple[LlamaEngine | TorchDecoder, Model, float]]:
    """The decoder with its model and the milliseconds that loading took.

    Raises InputError for flags that do not fit each other, and what finding and loading raise.
    """
    from linnet.core.store import Store
    from linnet.engines.llama.load_plan import LoadOptions
    from linnet.engines.llama.speed_options import speed_options

    if wish.engine not in ENGINES:
        raise InputError(f"No engine is called {wish.engine[:40]!r}.", f"Known: {', '.join(ENGINES)}.")
    in_torch = wish.engine == "torch"
    if in_torch and (wish.speculate or wish.cache_type):
        raise InputError("--speculate and --cache-type are for GGUF models.", "Leave --engine torch out.")
    if wish.quantize and not in_torch:
        raise InputError("--quantize is for --engine torch.", "A GGUF is quantised already: see linnet quantize.")
    if in_torch:
        from linnet.engines.pytorch.torch_text import refuse

        refuse(parameters.raw_request(""))
    store = Store()
    found = find_model(store, wish.model, may_ask=may_ask, in_torch=in_torch)
    started = time.monotonic()
    speed = {} if in_torch else speed_options(store, wish.speculate, wish.cache_type)
    options = LoadOptions(context=wish.context, threads=wish.threads, slots=1, template=wish.template, **speed)
    with (
        _in_torch(store, found, wish) if in_torch else loaded(store, found, options, needs_template=not wish.raw)
    ) as engine:
        yield engine, found, 1000 * (time.monotonic() - started)


@contextmanager
def _in_torch(store: Store, model: Model, wish: Wish) -> Iterator[TorchDecoder]:
    from linnet.core.models import lease
    from linnet.engines.pytorch.torch_load import check_kind

    check_kind(wish.quantize or "none")
    from linnet.engines.pytorch.torch_decoder import TorchOptions, open_torch

    options = TorchOptions(wish.quantize or "none", wish.context, wish.threads, wish.template)
    with lease(store, model), _said(f"loading {model.name} …"):
        engine = open_torch(Path(model.path), options, label=model.name)
    _require_template(model, wish.raw or engine.has_template)
    try:
        yield engine
    finally:
        engine.close()


def with_preset(
    preset: Preset | None, parameters: Parameters, flags: Mapping[str, object], system: str
) -> tuple[Parameters, Conversation]:
    """The parameters and the beginning of a chat as a created model has them, below what the flags say; None
    is one that was not given."""
    from linnet.engines.requests.conversation import Conversation
    from linnet.engines.requests.generation import Message
    from linnet.engines.requests.preset_words import preset_words

    if preset is None:
        return parameters, Conversation(system)
    words = preset_words(preset, {name for name, value in flags.items() if value is not None})
    begun = replace(
        parameters,
        sampling=replace(parameters.sampling, **words.sampling),
        max_tokens=parameters.max_tokens or words.max_tokens,
        stop=parameters.stop or words.stop,
    )
    heads = [content for role, content in preset.messages if role == "system"]
    turns = [Message(role, content) for role, content in preset.messages if role != "system"]
    return begun, Conversation(system or next(iter(heads), preset.system), turns)


def with_adapters(engine: LlamaEngine | TorchDecoder, parameters: Parameters) -> Parameters:
    """The parameters with every adapter that the model was loaded with."""
    return replace(parameters, adapters=tuple((name, 1.0) for name in getattr(engine, "adapters", ())))


def reasons(engine: LlamaEngine | TorchDecoder) -> tuple[str, ...]:
    """What was chosen for the model and why, or what it takes."""
    return engine.plan.reasons if hasattr(engine, "plan") else engine.reasons


def memory(engine: LlamaEngine | TorchDecoder) -> dict[str, Any]:
    """What a model in torch takes, for --json. A GGUF's process is another one: see linnet ps."""
    if hasattr(engine, "plan"):
        return {}
    return {"memory": {"weights_bytes": engine.weights_bytes, "peak_bytes": engine.peak_memory_bytes}}


def remember(engine: LlamaEngine | TorchDecoder, answer: Generation) -> None:
    """Keep what an answer of a GGUF took, so that `linnet plan` knows how far off it was. Fails silently."""
    from contextlib import suppress

    from linnet.core.errors import LinnetError
    from linnet.core.store import Store
    from linnet.engines.llama.engine import LlamaEngine
    from linnet.stages.plan import remember as keep

    if isinstance(engine, LlamaEngine):
        with suppress(LinnetError):
            keep(Store(), engine.plan, answer, engine.measured_bytes)


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


def find_model(store: Store, name: str, *, may_ask: bool, in_torch: bool = False) -> Model:
    """The decoder of this name. One that only a hub has is offered when `may_ask`, else NotFound names the pull."""
    from linnet.formats.builtin import RUNNABLE
    from linnet.formats.resolve import resolve_model

    try:
        model = resolve_model(store, name if in_torch else RUNNABLE.get(name, name))
    except NotFound as error:
        if name.startswith("hf:") and may_ask:
            model = _offered(store, name, error)
        elif _is_specialist(store, name):
            raise InputError(f"{name} is a specialist.", f"Use it with: linnet classify {name}") from error
        else:
            raise
    if model.kind == "encoder":
        raise InputError(f"{name} is an encoder: it gives no text.", "Choose a decoder in a GGUF file.")
    if in_torch and model.format != "safetensors":
        raise InputError(f"{name} is {model.format}; torch runs safetensors.", "Leave --engine torch out.")
    if not in_torch and model.format != "gguf":
        hint = "Pull or import a GGUF of it, make one with linnet convert, or use --engine torch."
        raise InputError(f"{name} is {model.format}; this engine runs GGUF.", hint)
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
    from linnet.engines.llama.engine import open_llama
    from linnet.pipeline.create import preset_options

    made = preset_options(model)
    if options.template:
        made.pop("template", None)
    if model.preset is not None and not options.context:
        made["context"] = model.preset.parameters.get("num_ctx", 0)
    with lease(store, model):
        engine = open_llama(Path(model.path), replace(options, **made), label=model.name)
        _require_template(model, engine.has_template or not needs_template)
        try:
            with _said(f"loading {model.name} …"):
                _start(engine)
            yield engine
        finally:
            engine.close()


def _require_template(model: Model, fine: bool) -> None:
    if not fine:
        raise InputError(
            f"{model.name} has no chat template: it is a base model, which continues a text.",
            "Use --raw; or --template builtin:chatml, when it was trained on that.",
        )


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
