"""The child that lets AutoRound choose how each weight of a Hugging Face folder is rounded. See engines.autoround.

Cheng et al. 2023, "Optimize Weight Rounding via Signed Gradient Descent for the Quantization of LLMs"
(arXiv:2309.05516). Reads one JSON object from stdin: {"folder", "scheme", "windows", "iterations", "threads",
"scratch", "summary", "parent"}; writes a GGUF under scratch, and its path, or an error, to "summary".
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

BATCH = 8
UNKNOWN = "default"  # the metadata of this file is not used: the vocabulary in it need not be right


def work(job: dict[str, Any]) -> dict[str, Any]:
    import torch
    import transformers

    from linnet.engines.conversion.convert_main import without_remote_code

    without_remote_code(transformers.AutoTokenizer)
    without_remote_code(transformers.AutoConfig)
    torch.set_num_threads(job["threads"])
    _any_vocabulary(import_module("auto_round.export.export_to_gguf.llama_cpp_conversion"))
    model = transformers.AutoModelForCausalLM.from_pretrained(
        job["folder"], dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        job["folder"], local_files_only=True, trust_remote_code=False
    )
    windows = [torch.tensor([window]) for window in job["windows"]]
    tuner = import_module("auto_round").AutoRound(
        model, tokenizer, scheme=job["scheme"], dataset=windows, iters=job["iterations"], nsamples=len(windows),
        seqlen=len(job["windows"][0]), batch_size=min(BATCH, len(windows)), device_map="cpu", seed=0,
    )  # fmt: skip
    target = Path(job["scratch"]) / "autoround"
    tuner.quantize_and_save(str(target), format=job["scheme"])
    made = sorted(target.rglob("*.gguf"))
    return {"file": str(made[0])} if made else {"error": "AutoRound wrote no file."}


def _any_vocabulary(carrier: Any) -> None:
    """Let its conversion code write any vocabulary, and fetch no other conversion code from the network."""
    opened = carrier._import_conversion_from

    def bundled(*where: Any) -> Any:
        found = opened(*where)
        found.module.TextModel.get_vocab_base_pre = lambda *_: UNKNOWN
        return found

    carrier._import_conversion_from = bundled
    carrier._auto_update_enabled = lambda: False


def main() -> None:
    from linnet.engines.worker.worker_main import die_with

    job = json.loads(sys.stdin.read())
    die_with(job["parent"])
    found = work(job)
    Path(job["summary"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
