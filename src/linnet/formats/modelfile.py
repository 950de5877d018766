"""Modelfiles as Ollama's users write them: what a model is made from, and what it says beside its weights.

Reads the text and opens nothing. FROM, PARAMETER, TEMPLATE, SYSTEM, ADAPTER, LICENSE and MESSAGE are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from linnet.core.errors import InputError, did_you_mean
from linnet.core.records import Preset

MAX_BYTES = 1 << 20
WORDS = ("FROM", "PARAMETER", "TEMPLATE", "SYSTEM", "ADAPTER", "LICENSE", "MESSAGE")
_LINE = re.compile(r"[ \t]*(?P<word>[A-Za-z]+)[ \t]+(?P<rest>.*)")
Value = int | float | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Modelfile:
    """What a Modelfile says. None: nothing."""

    base: str
    parameters: Mapping[str, Value]
    template: str | None = None
    system: str | None = None
    adapter: str | None = None
    licence: str | None = None
    messages: tuple[tuple[str, str], ...] = ()


def read_modelfile(text: str) -> Modelfile:
    """Raises InputError, naming the line, for what is no Modelfile or says a thing twice that can be said once."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise InputError(f"The Modelfile is larger than {MAX_BYTES} bytes.")
    once: dict[str, str] = {}
    parameters: dict[str, Value] = {}
    messages: list[tuple[str, str]] = []
    for number, word, rest in _instructions(text):
        if word == "PARAMETER":
            name, _, value = rest.partition(" ")
            _add(parameters, name.lower(), _unquoted(value.strip()), number)
        elif word == "MESSAGE":
            role, _, content = rest.partition(" ")
            messages.append((role.lower(), _unquoted(content.strip())))
        elif word in once:
            raise InputError(f"Line {number} of the Modelfile: {word} is given twice.")
        else:
            once[word] = _unquoted(rest)
    if not once.get("FROM"):
        raise InputError("The Modelfile has no FROM.", "Begin it with: FROM NAME")
    return Modelfile(
        base=once["FROM"],
        parameters=parameters,
        template=once.get("TEMPLATE"),
        system=once.get("SYSTEM"),
        adapter=once.get("ADAPTER"),
        licence=once.get("LICENSE"),
        messages=tuple(messages),
    )


def _instructions(text: str) -> list[tuple[int, str, str]]:
    """Line, word and the rest as written; a text in three quotes goes on to the next three."""
    lines, found, at = text.splitlines(), [], 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        word = match["word"].upper() if match else ""
        if match is None or word not in WORDS:
            near = did_you_mean((line.split() or [""])[0].upper(), list(WORDS))
            raise InputError(f"Line {number} of the Modelfile begins with none of {', '.join(WORDS)}.{near}")
        rest = match["rest"].strip()
        while rest.count('"""') == 1:
            if at == len(lines):
                raise InputError(f'Line {number} of the Modelfile: the text in """ has no end.')
            rest += "\n" + lines[at]
            at += 1
        found.append((number, word, rest.strip()))
    return found


def _unquoted(text: str) -> str:
    for mark in ('"""', '"'):
        if len(text) >= 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
            return text[len(mark) : -len(mark)]
    return text


def _add(parameters: dict[str, Value], name: str, text: str, number: int) -> None:
    if name == "stop":
        before = parameters.get("stop", ())
        parameters["stop"] = (*(before if isinstance(before, tuple) else ()), text.replace("\\n", "\n"))
        return
    if name in parameters:
        raise InputError(f"Line {number} of the Modelfile: {name} is given twice.")
    try:
        parameters[name] = int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)
    except ValueError as error:
        raise InputError(f"Line {number} of the Modelfile: {name} needs a number.") from error


def parameter_lines(parameters: Mapping[str, Value]) -> list[tuple[str, str]]:
    """Name and value as they are written, a line for each stop text."""
    found = []
    for name, value in sorted(parameters.items()):
        many = value if isinstance(value, tuple) else (value,)
        found += [(name, json.dumps(one, ensure_ascii=False) if isinstance(one, str) else str(one)) for one in many]
    return found


def write_modelfile(name: str, preset: Preset | None) -> str:
    """A Modelfile that makes the same again."""
    if preset is None:
        return f"FROM {name}\n"
    lines = [f"FROM {preset.base}"]
    if preset.adapter:
        lines.append(f"ADAPTER {preset.adapter}")
    lines += [
        f'{word} """{text}"""' for word, text in (("TEMPLATE", preset.template), ("SYSTEM", preset.system)) if text
    ]
    lines += [f"PARAMETER {name} {value}" for name, value in parameter_lines(preset.parameters)]
    lines += [f'MESSAGE {role} """{content}"""' for role, content in preset.messages]
    return "\n".join(lines) + "\n"
