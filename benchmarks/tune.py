"""Fine-tuning of decoders with LoRA, beside TRL's SFTTrainer with PEFT: same weights, rows, tokens, masks and settings.

    python -m benchmarks.tune                 both shapes, both data sets, then builtin:nano for quality
    python -m benchmarks.tune --quick         shape a, 19 rows of each data set, one round
    python -m benchmarks.tune --only b-gsm8k  one part: a-scitldr, a-gsm8k, b-scitldr, b-gsm8k, nano
    python -m benchmarks.tune --products float32   ours without rounding, where the processor multiplies bfloat16
    python -m benchmarks.tune --settings      every setting of TRL, once, on a few rows: which one is its best here

(a) is a Llama of 0.1 billion random weights with a vocabulary of 49,152, (b) a Qwen2 of half a billion with 151,936;
random weights cost what trained ones cost. Both have the tokenizer of builtin:nano, whose tokens are shorter than those
of a large vocabulary. Both sides read ids that are cut behind the last target. 16 rows a step, one epoch (three of
nano), rank 16 on every linear layer. Each training has a process of its own and the sides take turns; a row is the
median of rounds, and a ratio has a bootstrap interval over the rounds. Seconds are those of the steps; processor
seconds are for a machine with other work on it. Peak memory is the largest resident set before anything is evaluated.

TRL runs in the settings named in TRL, all without gradient checkpointing, which is its faster form; its loss is at the
targets only, as ours. Its packing and its padding-free batches need flash attention: without it rows would see each
other, or attention would cost the square of the batch. Ours holds out two rows while it is timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.classify import keep
from benchmarks.data import shared_data

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
NANO = Path(__file__).parents[1] / "src" / "linnet" / "builtin" / "nano"
SMART_HOME = Path(__file__).parents[1] / "examples" / "smart-home" / "train.jsonl"
BATCH, RATE, MAX_TOKENS = 16, 2e-4, 1024
# Name of a setting: what SFTConfig gets. `parts` is rows at once; the rest of a step's rows are accumulated. All 16 at
# once take more than 20 GB with (a) on gsm8k.
GPU = "gpu"
GROUPED = {"train_sampling_strategy": "group_by_length"}
TRL: dict[str, dict[str, Any]] = {
    "1x16": {"parts": 1},
    "2x8-grouped": {"parts": 2, **GROUPED},
    "4x4-grouped": {"parts": 4, **GROUPED},
    "4x4-random": {"parts": 4},
    # On a GPU: with Liger, and without padding where flash-attn is installed too.
    GPU: {"parts": BATCH, "bf16": True, "use_liger_kernel": True},
    # Slow on a processor without bf16:
    "1x16-bf16": {"parts": 1, "bf16": True},
    "2x8-grouped-bf16": {"parts": 2, "bf16": True, **GROUPED},
}
BEST = "1x16"  # on a processor, and the one of least memory there
BEST_BF16 = "1x16-bf16"  # on one that multiplies bfloat16
SHAPES = {
    "a": {"kind": "Llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
          "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152},
    "b": {"kind": "Qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
          "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936},
}  # fmt: skip
PARTS = ("a-scitldr", "a-gsm8k", "b-scitldr", "b-gsm8k", "nano")
BARS = {"a": 1.6, "b": 2.2}


def make_model(shape: str) -> Path:
    """A folder with random weights in bf16, made once."""
    if shape == "nano":
        return NANO
    folder = OUT / f"tune-{shape}"
    if (folder / "config.json").is_file():
        return folder
    import shutil

    import torch
    import transformers

    wanted = dict(SHAPES[shape])
    kind = wanted.pop("kind")
    config = getattr(transformers, f"{kind}Config")(
        **wanted, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0
    )
    torch.manual_seed(0)
    getattr(transformers, f"{kind}ForCausalLM")(config).to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (NANO / name).is_file():
            shutil.copyfile(NANO / name, folder / name)
    return folder


def chats(data: str, count: int) -> list[Any]:
    from linnet.text.conversations import Chat, Turn

    if data == "smart-home":
        rows = [json.loads(line) for line in SMART_HOME.read_text().splitlines()]
        pairs = [(row["command"], row["call"]) for row in rows]
    else:
        rows = [json.loads(line) for line in (shared_data(data) / "train.jsonl").read_text().splitlines()]
        if data == "gsm8k":
            pairs = [(row["question"], row["answer"]) for row in rows]
        else:
            pairs = [(" ".join(row["source"]), row["target"][0]) for row in rows]
    turned = [(Turn(role="user", content=q), Turn(role="assistant", content=a)) for q, a in pairs]
    return [Chat(turns=turns, row=number) for number, turns in enumerate(turned[:count], 1)]


def encoded(job: dict[str, Any]) -> tuple[Any, Any]:
    """(training, held-out) targets: every eighth row is held out, and rows over the limit are left out."""
    from linnet.training.decoder_data import choose_template
    from linnet.training.targets import TargetEncoder

    folder = Path(job["model"])
    encoder = TargetEncoder.of_folder(folder, choose_template(folder).source)
    made = chats(job["data"], job["rows"])
    sides = [chat for i, chat in enumerate(made) if i % 8], made[::8]
    return tuple(encoder.encode(side, MAX_TOKENS, drop_long=True) for side in sides)  # type: ignore[return-value]


def recipe_of(job: dict[str, Any]) -> Any:
    from linnet.training.recipe import decoder_recipe

    chosen = {"epochs": job["epochs"], "batch_size": BATCH, "learning_rate": job["rate"], "lora_rank": 16,
              "lora_alpha": 16, "patience": 99, "part_tokens": job.get("part_tokens", 0),
              "products": job.get("products", "float32")}  # fmt: skip
    return decoder_recipe("lora", 1000, 10**8, max_tokens=MAX_TOKENS).model_copy(update=chosen)


def ours(job: dict[str, Any]) -> dict[str, float]:
    from linnet.engines.measure import peak_memory_bytes
    from linnet.training import devices, quantized
    from linnet.training.decoder import train_decoder

    train, held = encoded(job)
    recipe = recipe_of(job)
    device = devices.chosen()
    model = quantized.load(Path(job["model"]), recipe, device)
    few = type(held)(held.examples[:2]) if job["epochs"] == 1 else held  # what is held out is not what is timed
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        tuned = train_decoder(
            model, train, few, recipe, folder=Path(folder), base_name="b", base_digest="b", device=device
        )
    spent = time.process_time() - began
    peak = devices.peak_bytes(device) or peak_memory_bytes()
    return {
        "tokens_per_second": tuned.facts["target_tokens_per_second"],
        "tokens_per_processor_second": tuned.facts["target_tokens_per_second"] * tuned.facts["seconds"] / spent,
        "peak_mib": peak / 2**20,
        "loss": loss_of(model.to(device), held),
    }


def theirs(job: dict[str, Any]) -> dict[str, float]:
    from linnet.engines.measure import peak_memory_bytes
    from linnet.training import devices
    from linnet.training.align import offline
    from linnet.training.allocator import SETTINGS
    from linnet.training.answers import Rows

    with offline():
        import torch
        from datasets import Dataset
        from peft import LoraConfig
        from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
        from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):
        seconds = spent = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.seconds, self.spent = -time.monotonic(), -time.process_time()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.seconds, self.spent = self.seconds + time.monotonic(), self.spent + time.process_time()

    class Quiet(SFTTrainer):
        def _send_telemetry(self) -> None:
            pass

    for name in SETTINGS:
        os.environ.pop(name, None)  # ours asks for large pages and few kernels, others do not
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    train, held = encoded(job)
    rows = Rows(train.examples)
    table = Dataset.from_dict({
        "input_ids": [list(ids) for ids in rows.ids],
        "labels": [[t if i in set(rows.targets[n]) else -100 for i, t in enumerate(ids)]
                   for n, ids in enumerate(rows.ids)],
    })  # fmt: skip
    chosen = dict(TRL[job["setting"]])
    at_once = chosen.pop("parts")
    recipe, clock, device = recipe_of(job), Clock(), devices.chosen()
    on_gpu, has_flash = devices.on_gpu(), importlib.util.find_spec("flash_attn") is not None
    if on_gpu and has_flash:
        chosen["padding_free"] = True
    model = AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=torch.bfloat16 if on_gpu else torch.float32, local_files_only=True,
        attn_implementation="flash_attention_2" if on_gpu and has_flash else "sdpa",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder, num_train_epochs=job["epochs"], learning_rate=job["rate"], max_length=None,
            per_device_train_batch_size=at_once, gradient_accumulation_steps=BATCH // at_once, max_grad_norm=1.0,
            lr_scheduler_type="linear", warmup_steps=recipe.warmup_share, weight_decay=recipe.weight_decay,
            optim="adamw_torch_fused", gradient_checkpointing=False, report_to="none", save_strategy="no",
            use_cpu=not on_gpu, disable_tqdm=True, logging_steps=10**6, seed=0, **{"bf16": False, **chosen},
        )  # fmt: skip
        lora = LoraConfig(r=16, lora_alpha=16, lora_dropout=0.0, use_rslora=True, target_modules="all-linear")
        tokenizer = AutoTokenizer.from_pretrained(job["model"], local_files_only=True)
        trainer = Quiet(
            model=model, args=settings, train_dataset=table, peft_config=lora, callbacks=[clock],
            processing_class=tokenizer,
        )  # fmt: skip
        trainer.train()
    peak = devices.peak_bytes(device) or peak_memory_bytes()
    count = rows.count(range(len(rows))) * job["epochs"]
    return {
        "tokens_per_second": count / clock.seconds,
        "tokens_per_processor_second": count / clock.spent,
        "peak_mib": peak / 2**20,
        "loss": loss_of(model, held),
    }


def loss_of(model: Any, held: Any) -> float:
    """The mean loss of the held-out targets, measured alike for both."""
    from linnet.training.answers import Decoder, Rows, mean_loss, parts
    from linnet.training.recipe import PART_TOKENS

    rows = Rows(held.examples)
    made = [rows.part(chosen) for chosen in parts(rows.lengths, range(len(rows)), PART_TOKENS)]
    return mean_loss(Decoder(model.eval()), made)


def measured(job: dict[str, Any]) -> dict[str, float]:
    """One training in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.tune", "--one", json.dumps(job)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{job} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {job['side']:<5} {job.get('setting', ''):<18} {json.dumps(found)}", file=sys.stderr, flush=True)
    return found


def interval(values: list[float]) -> tuple[float, float, float]:
    """Median, and the bootstrap interval of 95 % of the median."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (2000, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return statistics.median(values), float(low), float(high)


def part(name: str, rows: int, rounds: int, setting: str, parts: int, products: str) -> dict[str, Any]:
    shape, _, data = name.partition("-")
    is_quality = shape == "nano"
    job = {"model": str(make_model(shape)), "data": data or "smart-home", "rows": rows, "part_tokens": parts,
           "products": products,
           "epochs": 3 if is_quality else 1, "rate": 1e-3 if is_quality else RATE}  # fmt: skip
    print(f"{name}: {rows} rows, {rounds} rounds", file=sys.stderr, flush=True)
    mine, other = [], []
    for number in range(rounds):
        sides = [(mine, {"side": "ours"}), (other, {"side": "trl", "setting": setting})]
        for found, extra in sides if number % 2 == 0 else reversed(sides):
            found.append(measured(job | extra))
    row: dict[str, Any] = {"part": name, "setting": setting, "products": products, "rows": rows, "rounds": rounds}
    for key in mine[0]:
        row[key] = [round(statistics.median(r[key] for r in side), 4) for side in (mine, other)]
        ratios = [m[key] / o[key] for m, o in zip(mine, other, strict=True)]
        row[f"{key}_ratio"] = [round(value, 3) for value in interval(ratios)]
    keep(f"tune-{name}", row)
    return row


def table(rows: list[dict[str, Any]]) -> None:
    print("\n| what | ours | TRL | ratio (95 %) | bar |\n|---|---|---|---|---|")
    for row in rows:
        shape = row["part"][0]
        speed = f"{BARS[shape]}x" if shape in BARS else ""
        for key, text, bar in (
            ("tokens_per_second", "target tokens per second", speed),
            ("tokens_per_processor_second", "target tokens per processor second", ""),
            ("peak_mib", "peak memory, MiB", "0.7x" if speed else ""),
            ("loss", "held-out loss", "" if speed else "within 1 %"),
        ):
            a, b = row[key]
            middle, low, high = row[f"{key}_ratio"]
            digits = ".4f" if key == "loss" else ",.0f"
            ratio = f"{middle:.2f}x [{low:.2f}, {high:.2f}]"
            print(f"| {row['part']}, {text} | {a:{digits}} | {b:{digits}} | {ratio} | {bar} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--settings", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--setting", choices=list(TRL), default="", help="Of TRL; by default the best here.")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--part-tokens", type=int, default=0, help="Ours: tokens computed at once.")
    parser.add_argument("--products", choices=("float32", "bfloat16"), help="Ours; by default as linnet tune here.")
    parser.add_argument("--one")
    given = parser.parse_args()
    if given.one:
        job = json.loads(given.one)
        print(json.dumps((ours if job["side"] == "ours" else theirs)(job)))
        return
    OUT.mkdir(exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    os.environ.setdefault("LINNET_THREADS", os.environ["OMP_NUM_THREADS"])
    if given.settings:
        name = given.only or "a-gsm8k"
        job = {"model": str(make_model(name[0])), "data": name[2:], "rows": given.rows or 19, "epochs": 1, "rate": RATE}
        for kind in ("float32", "bfloat16"):
            measured(job | {"side": "ours", "products": kind})
        for setting in TRL:
            measured(job | {"side": "trl", "setting": setting})
        return
    from linnet.training import devices
    from linnet.training.tune_plan import rounded_products

    products = given.products or ("bfloat16" if rounded_products() else "float32")
    setting = given.setting or (GPU if devices.on_gpu() else BEST_BF16 if rounded_products() else BEST)
    names = [given.only] if given.only else ["a-scitldr", "a-gsm8k"] if given.quick else list(PARTS)
    full = {"a": 256, "b": 96, "nano": 800}
    rows = [
        part(name, given.rows or (19 if given.quick else full[name.partition("-")[0]]),
             given.rounds or (1 if given.quick else 3 if name == "nano" else 5), setting, given.part_tokens, products)
        for name in names
    ]  # fmt: skip
    table(rows)


if __name__ == "__main__":
    main()
