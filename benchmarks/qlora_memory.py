"""Peak memory of QLoRA beside LoRA on a base in bf16: `python -m benchmarks.qlora_memory [--quick]`.

`bf16` is the usual way, PEFT's layers with everything in bf16; `lora` is what `linnet tune` does with the same files.

A Qwen2 of half a billion random weights with a vocabulary of 151,936 (quick: a small one with 8,192), LoRA of rank 16
on every linear layer, two steps of four rows of 256 tokens (quick: 64), half of them targets; `--checkpointing`
computes layers twice. Each training has a process of its own. Two peaks, both of the kernel: everything resident, and
without the pages of files that it can drop at any time (the weights' file while it is read). What Python and its
libraries hold before a model is loaded is given too, and a ratio without it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.classify import keep

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
NANO = Path(__file__).parents[1] / "src" / "linnet" / "builtin" / "nano"
SHAPES = {
    "full": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
             "num_key_value_heads": 2, "vocab_size": 151936},
    "quick": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4,
              "num_key_value_heads": 2, "vocab_size": 8192},
}  # fmt: skip
KINDS = ("bf16", "lora", "nf4", "nf4-fp32", "int8")  # nf4-fp32: computed in fp32, for processors without bf16
ROWS, STEPS, BAR = 4, 2, 0.45
TOKENS = {"full": 256, "quick": 64}


def make_model(shape: str) -> Path:
    """A folder with random weights in bf16, made once."""
    folder = OUT / f"qlora-{shape}"
    if (folder / "config.json").is_file():
        return folder
    import shutil

    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(**SHAPES[shape], max_position_embeddings=1024, tie_word_embeddings=True)
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(NANO / name, folder / name)
    return folder


def status(*names: str) -> int:
    """The sum of these lines of the kernel's status of this process, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return sum(1024 * int(lines[name].split()[0]) for name in names)


class Watch(threading.Thread):
    """The peak of what is not a file's page."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        while True:
            self.peak = max(self.peak, status("RssAnon"))
            time.sleep(0.01)


def one(folder: Path, shape: str, kind: str, checkpointing: bool) -> dict[str, Any]:
    """One training, in this process."""
    import peft  # noqa: F401
    import torch
    import transformers  # noqa: F401

    from linnet.core.settings import threads
    from linnet.engines.pytorch.torch_load import load_causal
    from linnet.training import lora, quantized
    from linnet.training.allocator import SETTINGS, large_blocks
    from linnet.training.answers import Decoder, Rows
    from linnet.training.decoder import make_job, ready
    from linnet.training.loop import Trainer
    from linnet.training.recipe import decoder_recipe
    from linnet.training.targets import Piece, TargetExample

    if kind == "bf16":
        for name in SETTINGS:
            os.environ.pop(name, None)  # ours asks for large pages and few kernels, others do not
    torch.set_num_threads(threads())
    before, watch = status("RssAnon"), Watch()
    watch.start()
    held = kind.partition("-")[0] if kind not in ("bf16", "lora") else "none"
    recipe = decoder_recipe("lora", ROWS * STEPS, 5 * 10**8).model_copy(
        update={
            "quantization": held,
            "compute_dtype": "float32" if kind == "nf4-fp32" else "bfloat16",
            "gradient_checkpointing": checkpointing,
            "batch_size": ROWS,
            "epochs": 1,
        }
    )
    model = load_causal(folder) if kind == "bf16" else quantized.load(folder, recipe)
    source = torch.Generator().manual_seed(1)
    most, tokens = model.config.vocab_size, TOKENS[shape]
    examples = []
    for row in range(ROWS * STEPS):
        ids = [int(i) for i in torch.randint(3, most, (tokens,), generator=source)]
        half = tokens // 2
        examples.append(TargetExample(row, (Piece("", tuple(ids[:half])), Piece("", tuple(ids[half:]), True))))
    if kind == "bf16":
        lora.add(model, recipe)
        decoder = Decoder(model)
    else:
        decoder, _ = ready(model, recipe)
    rows = Rows(examples)
    job = make_job(decoder, rows, Rows(examples[:2]), recipe, "benchmark")
    trainer = Trainer(job, recipe, folder / "none")
    seconds = []
    with large_blocks() if kind != "bf16" else nullcontext():
        for batch in job.epoch_batches(0):
            started = time.monotonic()
            trainer.step(batch)
            seconds.append(time.monotonic() - started)
    return {
        "before_bytes": before,
        "peak_bytes": status("VmHWM"),
        "peak_own_bytes": watch.peak,
        "step_seconds": sorted(seconds)[len(seconds) // 2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--one", choices=KINDS)
    given = parser.parse_args()
    shape = "quick" if given.quick else "full"
    folder = make_model(shape)
    if given.one:
        print(json.dumps(one(folder, shape, given.one, given.checkpointing)))
        return
    found: dict[str, Any] = {}
    more = ["--quick"] * given.quick + ["--checkpointing"] * given.checkpointing
    for kind in KINDS:
        command = [sys.executable, "-m", "benchmarks.qlora_memory", "--one", kind, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[kind] = json.loads(done.stdout.splitlines()[-1])
    base = found["bf16"]
    print("| base | peak, own pages | of bf16 | less the libraries | s a step |\n|---|---|---|---|---|")
    for kind, one_found in found.items():
        own, floor = one_found["peak_own_bytes"], one_found["before_bytes"]
        one_found["of_bf16"] = own / base["peak_own_bytes"]
        one_found["of_bf16_less_libraries"] = (own - floor) / (base["peak_own_bytes"] - base["before_bytes"])
        print(
            f"| {kind} | {own / 2**30:.2f} GiB | {one_found['of_bf16']:.2f}x | "
            f"{one_found['of_bf16_less_libraries']:.2f}x | {one_found['step_seconds']:.2f} |"
        )
    keep(f"qlora_memory-{shape}" + "-checkpointing" * given.checkpointing, {"bar": BAR, **found})


if __name__ == "__main__":
    main()
