"""`linnet engine status` through the front door."""

from __future__ import annotations

import json
import subprocess
import sys


def linnet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnet", "engine", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def test_status_in_words_and_as_json() -> None:
    done = linnet("status")
    assert (done.returncode, done.stderr) == (0, "")
    for row in ("engine", "built for", "machine has", "left unused", "gpu", "scoring", "isolation of a worker"):
        assert f"\n{row} " in f"\n{done.stdout}".replace("worker\n", "worker \n")
    found = json.loads(linnet("status", "--json").stdout)
    assert found["engine"] == "xllamacpp"
    assert found["scoring_works"] is True
