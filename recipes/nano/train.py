"""Train the decoder from nothing: warm-up, a constant rate, then a straight decay to zero on longer windows.

    python -m recipes.nano.train --size nano --out .nano --minutes 110

Killed at any moment, the same command goes on from the last checkpoint (at most 50 s old) to the same bits: the batch
of a step depends on its number alone. When the decay begins is decided by the clock and kept in the checkpoint;
`--decay-at STEP` repeats a finished training exactly.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from linnet.training import checkpoints
from recipes.nano import windows
from recipes.nano.optimizer import Muon
from recipes.nano.shape import SHAPES, Shape, recipe_id

WARM_UP, DECAY_SHARE = 60, 0.25
CHECKPOINT_SECONDS, LOG_STEPS = 50, 20
WINDOW_STEPS = {windows.SHORT: 4000, windows.LONG: 1400}  # of 4,096 tokens
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296",
             "MALLOC_TOP_PAD_": "268435456"}  # fmt: skip
SEED = 17


@dataclass(slots=True)
class Progress:
    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    decay_at: int = -1  # the step at which the decay begins; -1 while that is open
    precision: str = ""  # of products: fp32, or bf16 where the processor multiplies it

    def decay_steps(self) -> int:
        return int(self.decay_at * DECAY_SHARE / (1 - DECAY_SHARE))

    def decaying(self) -> bool:
        return 0 <= self.decay_at <= self.step

    def done(self) -> bool:
        return self.decaying() and self.step >= self.decay_at + self.decay_steps()

    def rate(self) -> float:
        """Share of the full learning rate."""
        if self.decaying():
            return 1 - (self.step - self.decay_at) / self.decay_steps()
        return min(1.0, (self.step + 1) / WARM_UP)


class Run:
    """Model, optimisers and data of one training."""

    def __init__(self, shape: Shape, out: Path) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(SEED)
        self.shape, self.out, self.progress = shape, out, Progress()
        self.model: Any = LlamaForCausalLM(LlamaConfig(**shape.config(), attn_implementation="sdpa"))
        named = dict(self.model.named_parameters())
        matrices = [p for n, p in named.items() if p.ndim == 2 and "embed" not in n]
        vectors = [p for n, p in named.items() if p.ndim != 2 or "embed" in n]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(vectors, lr=shape.vector_rate, betas=(0.9, 0.95), weight_decay=0.0)
        self.data: dict[int, Any] = {}
        self.recipe = recipe_id(shape)

    def batch(self) -> Tensor:
        """[windows, width + 1] token ids of this step; they come round again when all were used."""
        width = windows.LONG if self.progress.decaying() else windows.SHORT
        step = self.progress.step - (self.progress.decay_at if self.progress.decaying() else 0)
        if width not in self.data:
            windows.build(self.out / "data", width, WINDOW_STEPS[width] * 4096 // width, self.shape.vocabulary)
            self.data[width] = windows.read(self.out / "data", width)
        count, data = self.shape.tokens_per_step // width, self.data[width]
        places = [divmod(step * count + i, len(data)) for i in range(count)]
        picked = [data[shard][at % len(data[shard])] for at, shard in places]
        return torch.from_numpy(np.stack(picked).astype("int64"))

    def train_step(self) -> float:
        ids = self.batch()
        is_narrow = self.progress.precision == "bf16"
        loss = loss_of(self.model, ids, is_narrow)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        share = self.progress.rate()
        self.muon.step(self.shape.matrix_rate * share, torch.bfloat16 if is_narrow else torch.float32)
        self.adam.param_groups[0]["lr"] = self.shape.vector_rate * share
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.tokens += ids.shape[0] * (ids.shape[1] - 1)
        return float(loss.detach())

    def save(self) -> None:
        tensors = {f"model.{n}": p for n, p in self.model.named_parameters()}
        tensors |= {f"muon.{i}": t for i, t in enumerate(self.muon.state)}
        for i, p in enumerate(self.adam.param_groups[0]["params"]):
            tensors |= {f"adam.{i}.{k}": v for k, v in self.adam.state[p].items()}
        checkpoints.save(self.out / "checkpoints", self.recipe, tensors, asdict(self.progress), step=self.progress.step)

    def resume(self) -> None:
        """Raises StoreError when the checkpoint is of another recipe."""
        found = checkpoints.latest(self.out / "checkpoints", self.recipe)
        if found is None:
            return
        self.progress = Progress(**found.state)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(found.tensors[f"model.{name}"])
            for i, state in enumerate(self.muon.state):
                state.copy_(found.tensors[f"muon.{i}"])
        for i, p in enumerate(self.adam.param_groups[0]["params"]):
            keys = ("step", "exp_avg", "exp_avg_sq")
            self.adam.state[p] = {k: found.tensors[f"adam.{i}.{k}"].clone() for k in keys}


def loss_of(model: Any, ids: Tensor, is_narrow: bool = False) -> Tensor:
    """Mean cross-entropy, in nats a token; products in bf16 if asked for."""
    with torch.autocast("cpu", torch.bfloat16, enabled=is_narrow):
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden).flatten(0, 1)
    return functional.cross_entropy(logits.float(), ids[:, 1:].reshape(-1))


def precision_here() -> str:
    """bf16 where the processor multiplies it, for others imitate it at a hundredth of the speed."""
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


@contextlib.contextmanager
def stopping() -> Iterator[list[int]]:
    """A list that gets the number of the first SIGTERM or SIGINT."""
    seen: list[int] = []
    before = {s: signal.signal(s, lambda number, _: seen.append(number)) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def keep_log_until(path: Path, step: int) -> None:
    """Drop what was logged after the checkpoint: it will be logged again."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
        path.write_text("".join(line + "\n" for line in lines))


def train(run: Run, minutes: float, decay_at: int) -> int:
    """0 when finished, else the exit status of the signal."""
    log, progress = run.out / "log.jsonl", run.progress
    keep_log_until(log, progress.step)
    started = saved = time.monotonic()
    before, losses = progress.seconds, []
    with stopping() as seen, log.open("a") as lines:
        while not progress.done() and not seen:
            if progress.decay_at < 0:
                late = decay_at < 0 and progress.seconds >= 60 * minutes * (1 - DECAY_SHARE)
                progress.decay_at = progress.step if late or progress.step == decay_at else -1
            losses.append(run.train_step())
            if losses[-1] != losses[-1]:
                raise SystemExit(f"The loss of step {progress.step} is not a number. The last checkpoint stands.")
            progress.seconds = before + time.monotonic() - started
            if progress.step % LOG_STEPS == 0:
                row = {"step": progress.step, "loss": round(sum(losses) / len(losses), 4), "tokens": progress.tokens,
                       "seconds": round(progress.seconds), "rate": round(progress.rate(), 3)}  # fmt: skip
                print(json.dumps(row), file=lines, flush=True)
                print(row, flush=True)
                losses = []
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                run.save()
                saved = time.monotonic()
    run.save()
    return 128 + seen[0] if seen else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SHAPES), default="nano")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, log and token windows; outside git")
    parser.add_argument("--minutes", type=float, default=110)
    parser.add_argument("--decay-at", type=int, default=-1, help="begin the decay at this step, not by the clock")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="of products (what the processor multiplies)")
    given = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        # glibc reads these at start only. Large blocks then stay with the process: 17 % less time a step.
        os.execve(sys.executable, [sys.executable, "-m", "recipes.nano.train", *sys.argv[1:]], os.environ | ALLOCATOR)
    (given.out / "data").mkdir(parents=True, exist_ok=True)
    run = Run(SHAPES[given.size], given.out)
    run.resume()
    run.progress.precision = run.progress.precision or given.precision or precision_here()
    print(f"{sum(p.numel() for p in run.model.parameters()):,} parameters; begins at step {run.progress.step}")
    raise SystemExit(train(run, given.minutes, given.decay_at))


if __name__ == "__main__":
    main()
