"""Many short lives of builds, each in a forked process of its own that a fault may end.

Run as a program: `python -m tests.faults.lives SCENARIOS.json`. Libraries are imported once, before the forks, so
that a life takes a second. A scenario is {"name", "task", "home", "failpoints": [one text a life]}; for each one
line of JSON is printed: how its lives ended and what they said.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path


def live(task: str, home: str, failpoints: str) -> tuple[int, str]:
    """One life in a forked process: its exit code, or minus the signal that ended it, and its error output."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 2)
            os.environ.update(LINNET_HOME=home, LINNET_CHECKPOINT_S="0", LINNET_FAILPOINTS=failpoints)
            sys.argv = ["linnet", "build", task, "--json"]
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = 1
            try:
                from linnet.cli import main

                main()
                code = 0
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
            finally:
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return code, said.read().decode(errors="replace")


def outcome(home: str) -> dict[str, object]:
    """What must be the same to the bit: weights, and the log of losses."""
    found: dict[str, object] = {}
    for folder in sorted((Path(home) / "runs").glob("tune-*")):
        if not (folder / "record.json").exists():
            continue
        record = json.loads((folder / "record.json").read_text())
        weights = record["files"]["model/model.safetensors"]["sha256"]
        found[folder.name] = [weights, record["result"]["epochs"], record["result"]["best_epoch"]]
    return found


def main(scenarios: Path) -> None:
    # Before the first fork, and without running anything: a forked thread pool would not work.
    import onnx  # noqa: F401
    import onnxruntime.quantization  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch  # noqa: F401
    from transformers import AutoConfig, AutoModel  # noqa: F401
    from transformers.models.bert import modeling_bert  # noqa: F401

    for scenario in json.loads(scenarios.read_text()):
        ends, texts = [], []
        for failpoints in scenario["failpoints"]:
            code, text = live(scenario["task"], scenario["home"], failpoints)
            ends.append(code)
            texts.append(text[-2000:])
            if code == 0:
                break
        line = {"name": scenario["name"], "ends": ends, "texts": texts, "outcome": outcome(scenario["home"])}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
