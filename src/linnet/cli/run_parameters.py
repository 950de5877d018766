"""The parameters of a chat by name, as `/set` and the flags of `linnet run` give them."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

from linnet.cli.run_input import read_schema
from linnet.core.errors import InputError, did_you_mean
from linnet.engines.requests.conversation import Parameters
from linnet.engines.requests.generation import RANGES, Sampling

SAMPLING = tuple(field.name for field in fields(Sampling))
NAMES = [*SAMPLING, "max_tokens", "stop", "json_schema", "thinking"]
_SWITCH = {"on": True, "off": False}


def with_value(parameters: Parameters, name: str, text: str) -> Parameters:
    """The parameters with one changed; "default" gives back what it was without any. Raises InputError."""
    if name not in NAMES:
        raise InputError(f"No parameter is called {name!r}.{did_you_mean(name, NAMES)}", f"Known: {', '.join(NAMES)}.")
    value = _default(name) if text == "default" else _value(parameters, name, text)
    if name in SAMPLING:
        return replace(parameters, sampling=replace(parameters.sampling, **{name: value}))
    return replace(parameters, **{name: value})


def _default(name: str) -> Any:
    return getattr(Sampling() if name in SAMPLING else Parameters(), name)


def _value(parameters: Parameters, name: str, text: str) -> Any:
    if name == "stop":
        return (*parameters.stop, _stop(text))
    if name == "json_schema":
        return read_schema(text)
    if name == "thinking":
        if text not in _SWITCH:
            raise InputError(f"thinking is {text!r}: it must be on, off or default.")
        return _SWITCH[text]
    try:
        return int(text) if RANGES[name][0] else float(text)
    except ValueError:
        return text  # the check of ranges says what it must be


def _stop(text: str) -> str:
    """A stop text as it is, or in quotes with \\n and the like."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError as error:
            raise InputError(f"{text} is not a text in quotes.", 'For example: /set stop "\\n\\n"') from error
    return text


def rows(parameters: Parameters) -> list[tuple[str, str]]:
    """Every parameter with its value, for a person."""
    sampling = [(name, getattr(parameters.sampling, name)) for name in SAMPLING]
    lines = [(name, "drawn for each answer" if value is None else str(value)) for name, value in sampling]
    thinking = {None: "as the template says", True: "on", False: "off"}[parameters.thinking]
    schema = parameters.json_schema
    return [
        *lines,
        ("max_tokens", "to the end of the context" if parameters.max_tokens is None else str(parameters.max_tokens)),
        ("stop", ", ".join(json.dumps(text, ensure_ascii=False) for text in parameters.stop) or "none"),
        ("json_schema", "none" if schema is None else json.dumps(schema, ensure_ascii=False)),
        ("thinking", thinking),
    ]
