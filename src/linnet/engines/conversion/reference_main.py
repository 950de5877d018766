"""The child that asks torch what a Hugging Face folder predicts, to compare its GGUF with. See quantize_gate.

Reads one JSON object from stdin: {"folder", "ids", "target", "parent"}; writes float32 logits (tokens, vocabulary).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def logits(folder: Path, ids: list[int]) -> Any:
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([ids])).logits[0].float().numpy()


def main() -> None:
    import numpy as np

    from linnet.engines.worker.worker_main import die_with

    job = json.loads(sys.stdin.read())
    die_with(job["parent"])
    np.save(job["target"], logits(Path(job["folder"]), job["ids"]), allow_pickle=False)


if __name__ == "__main__":
    main()
