"""The child that turns a Hugging Face folder into a GGUF of any type in one pass, or says whether it could.

Reads one JSON object from stdin: {"tools", "folder", "scratch", "target", "summary", "mixture", "pure", "imatrix",
"imatrix_name", "threads", "types", "goal", "parent"}; writes the GGUF (unless "target" is empty) and a JSON summary.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def work(job: dict[str, Any]) -> dict[str, Any]:
    from linnet.core.files import check_space
    from linnet.engines.conversion.conversion_proof import prove_load, prove_prompts
    from linnet.engines.conversion.hf_source import hf_source
    from linnet.engines.quantization.gguf_quantize import Recipe, plan, write
    from linnet.formats.imatrix import read_imatrix

    importance = read_imatrix(Path(job["imatrix"])) if job["imatrix"] else None
    recipe = Recipe(
        job["mixture"], job["pure"], importance, job["imatrix_name"], threads=job["threads"], types=job["types"],
        target=job["goal"],
    )  # fmt: skip
    with hf_source(job["tools"], Path(job["folder"]), Path(job["scratch"])) as source:
        made = plan(source, recipe)
        planned = Path(job["scratch"]) / "planned.gguf"
        prove_load(made, planned)
        prove_prompts(Path(job["folder"]), planned)
        summary = made.summary().to_json() | {"architecture": source.facts.architecture}
        if job["target"]:
            target = Path(job["target"])
            check_space(target.parent, made.size_bytes, f"{target.name}")
            with target.open("wb") as handle:
                write(made, handle, lambda *_: None)
                handle.flush()
                os.fsync(handle.fileno())
    return summary


def main() -> None:
    from linnet.core.errors import LinnetError
    from linnet.engines.worker.worker_main import die_with

    job = json.loads(sys.stdin.read())
    die_with(job["parent"])
    try:
        found: dict[str, Any] = work(job)
    except LinnetError as error:
        kind = type(error).__name__
        found = {"error": {"kind": kind, "message": error.message, "hint": error.hint}}
    Path(job["summary"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
