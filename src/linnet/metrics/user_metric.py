"""A metric of the user's: a Python function in a file, run in a process of its own with a time cap for each example.

The function is `score(prediction, references)` or `score(prediction, references, example)` and returns a number. It is
the user's own code and may do what the user may; the process keeps its hangs and crashes from ending the evaluation.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from linnet.core.errors import DataError, InputError, NotFound, ResourceMissing
from linnet.core.files import sha256_file
from linnet.core.records import Record
from linnet.metrics.scores import NO_PREDICTION, NO_REFERENCE, Score, Scores, checked, collect, same_length

FUNCTION = "score"
GIVE_UP = 5  # examples in a row that ended the process: it would only go on so
MAX_LINE = 1 << 20


class Caps(Record):
    """How long loading the file and scoring one example may take."""

    load_s: float = 60.0
    example_s: float = 10.0


class _Ended(Exception):
    """The process is gone or had to be stopped; the message is for the example's problem."""


def parse_name(name: str) -> tuple[Path, str]:
    """`metric.py` or `metric.py:function`. Raises InputError for another form, NotFound without the file."""
    file, _, function = name.rpartition(":") if not name.endswith(".py") else (name, "", FUNCTION)
    path = Path(file)
    if path.suffix != ".py" or not function.isidentifier():
        raise InputError(f"{name!r} is no metric of your own.", "Write it as FILE.py or FILE.py:FUNCTION.")
    if not path.is_file():
        raise NotFound(f"{path}: no such file.")
    return path.absolute(), function


class _Process:
    """One child with the function loaded. `ask` answers one example or raises _Ended."""

    def __init__(self, path: Path, function: str, caps: Caps) -> None:
        self._buffer = b""
        command = [sys.executable, "-P", "-m", "linnet.metrics.user_metric_main", str(os.getpid())]
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise ResourceMissing(f"No process for the metric: {error}.", "Close other programs.") from error
        try:
            said = self.ask({"file": str(path), "function": function}, caps.load_s)
        except _Ended as error:
            raise InputError(f"The metric {path} could not be loaded: it {error}.") from None
        if "failed" in said:
            self.close()
            raise InputError(f"The metric {path} could not be loaded: {str(said['failed'])[:400]}.")

    def ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        try:
            questions, answers = self._pipe("stdin"), self._pipe("stdout")
            questions.write(json.dumps(message).encode() + b"\n")
            questions.flush()
        except OSError:
            raise self._gone() from None
        with selectors.DefaultSelector() as selector:
            selector.register(answers, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    self.close()
                    raise _Ended(f"ran longer than {seconds:g} s")
                data = os.read(answers.fileno(), 1 << 16)
                if not data or len(self._buffer) > MAX_LINE:
                    raise self._gone()
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _pipe(self, name: str) -> BinaryIO:
        found: BinaryIO | None = getattr(self._child, name)
        if found is None:
            raise BrokenPipeError(f"no {name}")
        return found

    def _gone(self) -> _Ended:
        """It closed its pipe: give it a moment to end by itself, so that its exit code says how."""
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            if os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                break
            time.sleep(0.005)
        code = self.close()
        return _Ended(f"was ended by signal {-code}" if code < 0 else f"ended its process (exit code {code})")

    def close(self) -> int:
        """End the process and all that it started; the exit code. Safe to call again."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        for name in ("stdin", "stdout"):
            with contextlib.suppress(OSError):
                self._pipe(name).close()
        return self._child.returncode


def user_metric(
    name: str,
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]],
    examples: Sequence[Mapping[str, Any]] | None = None,
    caps: Caps | None = None,
) -> Scores:
    """Score every prediction by the function that `name` points to; see `parse_name`.

    An example whose scoring raises, gives no finite number, takes too long or ends the process is not counted and says
    so; after five in a row that ended the process the rest are not run. `version` is the hash of the file. Raises
    InputError when the file cannot be loaded, NotFound without it, DataError for lists of different length.
    """
    path, function = parse_name(name)
    same_length(predictions, references)
    rows = examples if examples is not None else [{}] * len(predictions)
    if len(rows) != len(predictions):
        raise DataError(f"There are {len(predictions)} predictions and {len(rows)} examples.")
    version = sha256_file(path)
    caps = caps or Caps()
    runner = _Runner(path, function, caps)
    try:
        found = [runner.score(*row) for row in zip(predictions, references, rows, strict=True)]
    finally:
        runner.close()
    return collect(f"user:{path.name}:{function}", version, found)


class _Runner:
    """Keeps a process at hand: a new one after each that ended, until too many did."""

    def __init__(self, path: Path, function: str, caps: Caps) -> None:
        self._made, self._caps = (path, function, caps), caps
        self._process: _Process | None = _Process(*self._made)
        self._ended = 0

    def score(self, prediction: str | None, references: Sequence[str], example: Mapping[str, Any]) -> Score:
        if prediction is None:
            return Score(value=0.0, problem=NO_PREDICTION)
        if not references:
            return Score(value=None, problem=NO_REFERENCE)
        if self._ended >= GIVE_UP:
            return Score(value=None, problem=f"not run: the metric ended {GIVE_UP} times in a row")
        question = {"prediction": prediction, "references": list(references), "example": dict(example)}
        try:
            self._process = self._process or _Process(*self._made)
            said = self._process.ask(question, self._caps.example_s)
        except _Ended as error:
            self._process, self._ended = None, self._ended + 1
            return Score(value=None, problem=f"the metric {error}: not counted")
        self._ended = 0
        if "value" not in said:
            return Score(value=None, problem=f"the metric raised {str(said.get('raised'))[:400]}: not counted")
        try:
            return Score(value=checked(float(said["value"])))
        except ValueError as error:
            return Score(value=None, problem=f"the metric {error}: not counted")

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
