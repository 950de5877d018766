"""Does a llama-server binary answer as the wheel does? A small model is made, run in both, and the answers compared."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from linnet.core.errors import LinnetError, ResourceMissing
from linnet.core.records import Record

VERSION = 1  # of this test: a changed one is made again
PROMPT, ANSWER_TOKENS = tuple(range(300, 340)), 16
PROBE_S = 120.0


class SelfTest(Record):
    """What came of it. `server` and `scoring` say what is wrong, empty where it works; `answer` is the token ids."""

    server: str
    scoring: str
    version: str = ""
    system_info: str = ""
    answer: tuple[int, ...] = ()


def run_selftest(binary: Path, library: Path | None = None) -> SelfTest:
    """Run a binary, and the scoring library beside it, in processes of their own.

    Raises ResourceMissing when memory is short, and what the wheel raises when that does not run.
    """
    from linnet.engines.native.selftest_model import small_model

    with tempfile.TemporaryDirectory(prefix="linnet-selftest-") as folder:
        model = Path(folder) / "small.gguf"
        model.write_bytes(small_model())
        expected = _answer(model, "xllamacpp")
        server, found = "", []
        try:
            found = _answer(model, str(binary))
        except ResourceMissing:
            raise
        except LinnetError as error:
            server = f"{error.message} {error.hint}".strip()[:600]
    if not server and found != expected:
        place = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), len(found))
        server = f"its greedy answer differs from the wheel's at token {place + 1} of {len(expected)}."
    said = probe(library) if library else {"scoring": "no library beside it"}
    return SelfTest(server=server, answer=tuple(found), **said)


def _answer(model: Path, engine: str) -> list[int]:
    """The ids of a greedy answer."""
    from linnet.engines.llama.engine import LlamaEngine
    from linnet.engines.llama.load_plan import LoadOptions, plan_load
    from linnet.engines.native.selftest_model import CONTEXT
    from linnet.engines.requests.generation import GREEDY, GenerateRequest, Piece

    options = LoadOptions(context=CONTEXT, slots=1, threads=1, batch=64, checkpoints=0, engine=engine)
    runner = LlamaEngine(plan_load(model, options, label="the self-test's model"))
    try:
        request = GenerateRequest(token_ids=PROMPT, sampling=GREEDY, max_tokens=ANSWER_TOKENS)
        return [one for piece in runner.generate(request) if isinstance(piece, Piece) for one in piece.token_ids]
    finally:
        runner.close()


def probe(library: Path) -> dict[str, Any]:
    """What a native library says of itself, asked in a process of its own: it may have been built for another one."""
    command = [sys.executable, "-I", str(Path(__file__).with_name("engine_probe.py")), str(library)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PROBE_S, check=False)
        if done.returncode == 0:
            found: dict[str, Any] = json.loads(done.stdout)
            return found
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        why = type(error).__name__
    return {"scoring": f"{library.name} does not work here: {why}"}
