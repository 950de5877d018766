"""The process that holds a user's metric. One JSON line in, one out; the function's own prints go nowhere.

Standard library only, but for the user's own imports. Lines: first {"file", "function"}, answered by {"ready"} or
{"failed"}; then {"prediction", "references", "example"}, answered by {"value"} or {"raised"}.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from linnet.metrics.sandbox_main import die_with_parent


def load(file: str, function: str) -> tuple[Callable[..., Any], bool]:
    """The function, and whether it takes the example as well."""
    sys.path.insert(0, str(Path(file).parent))  # for the user's own modules beside it
    spec = importlib.util.spec_from_file_location("linnet_user_metric", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if not callable(found):
        names = sorted(n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_"))
        raise AttributeError(f"it has no function {function!r}; it has: {', '.join(names[:10]) or 'none'}")
    taken = [
        p
        for p in inspect.signature(found).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return found, len(taken) >= 3


def in_words(error: BaseException, file: str) -> str:
    """The exception and the last line of the user's file that was running."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    place = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {str(error)[:300]}{place}"


def plain(value: Any) -> Any:
    """A number as JSON has it, for what calls itself one (numpy's, Decimal); the type's name for anything else."""
    if isinstance(value, bool | int | float) or hasattr(value, "__float__"):
        return {"value": repr(float(value))}
    return {"raised": f"it gave {type(value).__name__}, need a number"}


def main(parent: int) -> None:
    """Load the function, then answer until the pipe closes."""
    die_with_parent(parent)
    answers: BinaryIO = os.fdopen(os.dup(1), "wb")
    questions: BinaryIO = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()

    wanted = json.loads(questions.readline())
    try:
        score, takes_example = load(wanted["file"], wanted["function"])
    except BaseException as error:  # also what ends a program: the parent must hear of it
        say({"failed": in_words(error, wanted["file"])})
        return
    say({"ready": True})
    while line := questions.readline():
        row = json.loads(line)
        arguments = [row["prediction"], row["references"], *([row["example"]] if takes_example else [])]
        try:
            say(plain(score(*arguments)))
        except BaseException as error:
            say({"raised": in_words(error, wanted["file"])})


if __name__ == "__main__":
    main(int(sys.argv[1]))
