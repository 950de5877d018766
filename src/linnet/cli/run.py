"""`linnet run`: one answer, or a chat on the terminal: a GGUF in a process of its own, or a folder in torch."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linnet.core.errors import ContextExceeded, InputError

if TYPE_CHECKING:
    from linnet.engines.llama.engine import LlamaEngine
    from linnet.engines.pytorch.torch_decoder import TorchDecoder
    from linnet.engines.requests.conversation import Conversation, Parameters


def run(
    model: Annotated[str, typer.Argument(help="A name of `linnet list`, a .gguf file, or hf:org/repo[:QUANT].")],
    prompt: Annotated[list[str] | None, typer.Argument(help="What to ask. Without it: a chat on a terminal.")] = None,
    *,
    file: Annotated[list[Path] | None, typer.Option("--file", help="Attach a text file; may be given again.")] = None,
    system: Annotated[str, typer.Option(help="What the model is told before the chat.")] = "",
    temperature: Annotated[float | None, typer.Option(help="0 is greedy; higher is more varied.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest tokens of this probability.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="End the answer after so many tokens.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same answer.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be given again.")] = None,
    json_schema: Annotated[str | None, typer.Option(help="Answer in JSON of this schema: a file, or JSON.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="No template: continue the prompt as it is.")] = False,
    template: Annotated[str, typer.Option(help="Chat template instead of the model's: builtin:chatml or a file.")] = "",
    context: Annotated[int, typer.Option(help="Tokens of prompt and answer together. 0: chosen.")] = 0,
    speculate: Annotated[str, typer.Option(help="Guess ahead: ngram, or a smaller model of the same words.")] = "",
    cache_type: Annotated[str, typer.Option(help="Type of the attention cache, such as q8_0. Default f16.")] = "",
    threads: Annotated[int, typer.Option(help="Threads to use. 0: LINNET_THREADS, else every core.")] = 0,
    engine: Annotated[str, typer.Option(help="llama for GGUF; torch for a Hugging Face folder, slower.")] = "llama",
    quantize: Annotated[str, typer.Option(help="With --engine torch: nf4 or int8, through bitsandbytes.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: text, token counts, timings.")] = False,
) -> None:
    """Chat with a model on the terminal, or give one answer to a prompt, a file or a pipe.

    Ctrl-C stops the answer. In the chat /help lists the commands. Nothing of it is written to disk.
    """
    from linnet.cli import run_input, run_model

    if raw and (system or template):
        raise InputError("--raw uses no template: --system and --template would change nothing.", "Leave one out.")
    _write_anything()
    chosen = {"temperature": temperature, "top_p": top_p, "seed": seed}
    parameters = _parameters(chosen, max_tokens, stop, json_schema)
    piped = run_input.stdin_text()
    words = " ".join(prompt) if prompt else None
    text = run_input.joined(words, piped, file or [], raw=raw)
    is_chat = words is None and piped is None
    if is_chat and as_json:
        raise InputError("--json is for one answer: it needs a prompt.", "Give one, or leave --json out.")
    if text is None and not is_chat:
        raise InputError("There is no prompt: standard input is empty.", "Give one after the model's name.")
    shape = run_model.read_template(template)
    wish = run_model.Wish(model, engine, quantize, shape, context, threads, raw, speculate, cache_type)
    with run_model.opened(wish, parameters, may_ask=_may_ask() and not as_json) as (decoder, found, load_ms):
        parameters, begun = run_model.with_preset(found.preset, parameters, chosen, system)
        parameters = run_model.with_adapters(decoder, parameters)
        session = _Session(decoder, found.name, parameters, begun, raw, load_ms)
        code = _chat(session, text or "") if is_chat else _answer(session, text or "", as_json=as_json)
    raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class _Session:
    engine: LlamaEngine | TorchDecoder
    model: str
    parameters: Parameters
    begun: Conversation
    raw: bool
    load_ms: float


def _parameters(
    sampling: dict[str, float | None], max_tokens: int | None, stop: list[str] | None, json_schema: str | None
) -> Parameters:
    """The flags that were given; what was not keeps its default."""
    from linnet.cli.run_input import read_schema
    from linnet.engines.requests.conversation import Parameters
    from linnet.engines.requests.generation import Sampling

    given: dict[str, Any] = {name: value for name, value in sampling.items() if value is not None}
    return Parameters(
        sampling=Sampling(**given),
        max_tokens=max_tokens,
        stop=tuple(stop or ()),
        json_schema=None if json_schema is None else read_schema(json_schema),
    )


def _write_anything() -> None:
    """A terminal of another encoding gets an escape for what it cannot show, instead of an error in mid-answer."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _may_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _answer(session: _Session, text: str, *, as_json: bool) -> int:
    """One answer on standard output. Returns the exit code: 130 when it was stopped."""
    from linnet.cli import run_model
    from linnet.cli import run_output as output

    parameters, engine = session.parameters, session.engine
    messages = session.begun.asking(text)
    request = parameters.raw_request(text) if session.raw else parameters.chat_request(messages)
    larger = f"Shorten the prompt, or give --context above {engine.context}."
    printer = output.Printer()
    try:
        found = output.stream_answer(engine, request, (lambda _: None) if as_json else printer)
    except ContextExceeded as error:
        error.hint = f"{larger} Nothing was cut."
        raise
    finally:
        printer.end()
    if as_json:
        value = {"model": session.model, "text": found.text, **output.statistics(found)}
        value["timings"]["load_ms"] = round(session.load_ms, 3)
        value |= run_model.memory(engine)
        print(output.json_text(value, indent=2 if sys.stdout.isatty() else None), flush=True)
    if note := output.finish_note(found, parameters.max_tokens, engine.context, larger):
        print(note, file=sys.stderr)
    run_model.remember(engine, found)
    return 130 if found.finish_reason == "cancelled" else 0


def _chat(session: _Session, attached: str) -> int:
    from linnet.cli.run_chat import Chat, line_reader
    from linnet.cli.run_model import reasons
    from linnet.cli.run_output import shown

    engine = session.engine
    facts = [f"engine {engine.build}, loaded in {session.load_ms / 1000:.1f} s", *reasons(engine)]
    chat = Chat(
        engine=engine,
        model=session.model,
        conversation=session.begun,
        parameters=session.parameters,
        facts=facts,
        attached=attached,
        raw=session.raw,
        read=line_reader(),
    )
    about = f"{session.model}: context {engine.context} tokens. /help lists the commands, Ctrl-D leaves."
    print(shown(about), file=sys.stderr)
    return chat.run()
