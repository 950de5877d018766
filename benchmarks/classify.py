"""Text classification on banking77, beside Hugging Face Trainer and pipeline, in one run.

    python -m benchmarks.classify speed       training speed, interleaved, median of three
    python -m benchmarks.classify accuracy    full training set, our recipe
    python -m benchmarks.classify trainer     full training set, Hugging Face Trainer, same epochs and rate
    python -m benchmarks.classify few         10 examples a class
    python -m benchmarks.classify inference   documents per second and one request (after accuracy)
    python -m benchmarks.classify serving     memory of the serving process (after accuracy)

Results are kept in $LINNET_BENCH (default .bench) as JSON, and printed.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import shared_data
from linnet.core.records import Example, Model
from linnet.core.store import Store

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
STEPS_EXAMPLES, REPEATS = 1280, 3
VALIDATION_EVERY = 20  # one training example in twenty is held back to pick the epoch


def keep(name: str, values: dict[str, Any]) -> None:
    """Print one result and keep it."""
    OUT.mkdir(exist_ok=True)
    values |= {"cpu": platform.processor(), "cores": os.cpu_count()}
    (OUT / f"{name}.json").write_text(json.dumps(values, indent=2))
    print(name, json.dumps(values), flush=True)


def rows(split: str) -> list[Example]:
    with (shared_data("banking77") / f"{split}.csv").open(newline="") as handle:
        found = list(csv.DictReader(handle))
    return [Example(text=r["text"], label=r["category"], row=i + 2) for i, r in enumerate(found)]


def few_of(examples: list[Example], count: int) -> list[Example]:
    """`count` examples of each class, in an order that a seed decides."""
    order = np.random.default_rng(0).permutation(len(examples))
    taken: dict[str, list[Example]] = {}
    for index in order:
        mine = taken.setdefault(examples[index].label, [])
        if len(mine) < count:
            mine.append(examples[index])
    return [example for group in taken.values() for example in group]


def base_model() -> Model:
    from linnet.stages.pull import pull

    return pull(Store(OUT / "store"), "builtin:minilm")[0]


def train_ours(name: str, examples: list[Example], held: list[Example], method: str, **changes: Any) -> dict[str, Any]:
    """Train, export fp32 and int8 to OUT/<name>, and score the test set with the engine that serves."""
    from linnet.core.files import write_json
    from linnet.engines.onnx_runtime.onnx import OnnxClassifier
    from linnet.engines.onnx_runtime.onnx_tools import quantize_int8
    from linnet.engines.pytorch import torch_encoder
    from linnet.training.classify import encode, train_classifier
    from linnet.training.recipe import default_recipe

    base, labels = base_model(), sorted({e.label for e in examples})
    recipe = default_recipe(method, len(examples), 0, base.max_tokens).model_copy(update=changes)
    tokenizer = Path(base.path) / "tokenizer.json"
    encoded = [encode(part, labels, tokenizer, recipe.max_tokens) for part in (examples, held)]
    folder = OUT / name
    started = time.perf_counter()
    trained = train_classifier(
        base, labels, encoded[0], encoded[1], recipe, folder=folder,
        digest=recipe.digest(name), on_event=lambda e: e.kind == "note" and print(e.message, flush=True),
    )  # fmt: skip
    wall = time.perf_counter() - started
    torch_encoder.save(trained.classifier, base, folder / "model")
    test, accuracy = rows("test"), {}
    for kind in ("fp32", "int8"):
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / "tokenizer.json").write_bytes(tokenizer.read_bytes())
        write_json(folder / kind / "engine.json", {"max_tokens": recipe.max_tokens, "pad_id": 0})
    torch_encoder.export_onnx(torch_encoder.load(folder / "model", for_export=True), folder / "fp32" / "model.onnx")
    quantize_int8(folder / "fp32" / "model.onnx", folder / "int8" / "model.onnx")
    truth = np.array([labels.index(e.label) for e in test])
    for kind in ("fp32", "int8"):
        logits = OnnxClassifier(folder / kind).logits([e.text for e in test])
        accuracy[kind] = round(float((logits.argmax(1) == truth).mean()) * 100, 2)
    speed = trained.facts["examples_per_second"]
    return {"accuracy": accuracy, "epochs": recipe.epochs, "examples_per_second": speed, "wall_s": round(wall, 1)}


def accuracy() -> None:
    train = rows("train")
    held = train[::VALIDATION_EVERY]
    kept = [e for i, e in enumerate(train) if i % VALIDATION_EVERY]
    keep("accuracy", train_ours("full", kept, held, "full"))


def few() -> None:
    """No validation examples exist with ten a class: the training examples stand in, so the last epochs win."""
    train = few_of(rows("train"), 10)
    keep("few", train_ours("few", train, train, "full", epochs=16))


def _trainer(examples: list[Example], labels: list[str], epochs: float) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, logging

    from linnet.training.recipe import default_recipe

    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    path = base_model().path
    tokenizer = AutoTokenizer.from_pretrained(path)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=len(labels))
    data = [{**tokenizer(e.text, truncation=True, max_length=256), "labels": labels.index(e.label)} for e in examples]
    recipe = default_recipe("full", len(examples), 0, 256)
    arguments = TrainingArguments(
        output_dir=str(OUT / "trainer"), num_train_epochs=epochs, per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate, save_strategy="no", report_to=[], logging_strategy="no",
        disable_tqdm=True, use_cpu=True, seed=0,
    )  # fmt: skip
    return Trainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer), tokenizer


def trainer() -> None:
    import torch

    from linnet.training.recipe import default_recipe

    train, test = rows("train"), rows("test")
    labels = sorted({e.label for e in train})
    epochs = default_recipe("full", len(train), 0, 256).epochs
    runner, tokenizer = _trainer(train, labels, epochs)
    started = time.perf_counter()
    runner.train()
    wall = time.perf_counter() - started
    right, model = 0, runner.model.eval()
    with torch.no_grad():
        for start in range(0, len(test), 64):
            part = test[start : start + 64]
            found = model(**tokenizer([e.text for e in part], return_tensors="pt", padding=True)).logits.argmax(1)
            right += sum(labels[int(i)] == e.label for i, e in zip(found, part, strict=True))
    values = {"accuracy": round(100 * right / len(test), 2), "epochs": epochs, "wall_s": round(wall, 1)}
    keep("trainer", {**values, "examples_per_second": round(len(train) * epochs / wall, 1)})


def speed() -> None:
    from linnet.training.classify import encode, train_classifier
    from linnet.training.recipe import default_recipe

    train = [rows("train")[i] for i in np.random.default_rng(1).permutation(10003)[:STEPS_EXAMPLES]]
    base, labels = base_model(), sorted({e.label for e in rows("train")})
    recipe = default_recipe("full", 10000, 0, base.max_tokens).model_copy(update={"epochs": 1})
    encoded = encode(train, labels, Path(base.path) / "tokenizer.json", recipe.max_tokens)
    few_held = encode(train[:32], labels, Path(base.path) / "tokenizer.json", recipe.max_tokens)
    ours, theirs = [], []
    for turn in range(REPEATS):
        runner, _ = _trainer(train, labels, 1)
        started = time.perf_counter()
        runner.train()
        theirs.append(len(train) / (time.perf_counter() - started))
        digest = recipe.digest("speed", str(turn), str(time.time()))
        done = train_classifier(
            base, labels, encoded, few_held, recipe, folder=OUT / f"speed-{turn}-{os.getpid()}", digest=digest
        )
        ours.append(done.facts["examples_per_second"])
        print(turn, round(theirs[-1], 1), round(ours[-1], 1), flush=True)
    mine, other = statistics.median(ours), statistics.median(theirs)
    keep("speed", {"ours": round(mine, 1), "trainer": round(other, 1), "ratio": round(mine / other, 2)})


def inference() -> None:
    """The same trained weights on both sides: ours as int8 (and fp32) ONNX, theirs as fp32 pipeline."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    from linnet.engines.onnx_runtime.onnx import OnnxClassifier

    texts = [e.text for e in rows("test")][:1024]
    path = base_model().path
    labels = len({e.label for e in rows("train")})
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=labels).eval()
    torch.set_num_threads(os.cpu_count() or 1)
    pipe = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(path))
    engines = {kind: OnnxClassifier(OUT / "full" / kind) for kind in ("fp32", "int8")}

    def rate(function: Any) -> float:
        started = time.perf_counter()
        function()
        return len(texts) / (time.perf_counter() - started)

    def waits(function: Any) -> float:
        found = []
        for text in texts[:60]:
            started = time.perf_counter()
            function(text)
            found.append(1000 * (time.perf_counter() - started))
        return statistics.median(found)

    sizes = (1, 8, 16, 32)
    best = max(sizes, key=lambda size: rate(lambda: pipe(texts, batch_size=size)))
    rates: dict[str, list[float]] = {"pipeline": [], "fp32": [], "int8": []}
    singles: dict[str, list[float]] = {"pipeline": [], "fp32": [], "int8": []}
    for _ in range(5):
        rates["pipeline"].append(rate(lambda: pipe(texts, batch_size=best)))
        singles["pipeline"].append(waits(pipe))
        for kind, engine in engines.items():
            rates[kind].append(rate(lambda engine=engine: engine.logits(texts)))
            singles[kind].append(waits(lambda text, engine=engine: engine.logits([text])))
    rate_of = {k: statistics.median(v) for k, v in rates.items()}
    wait_of = {k: statistics.median(v) for k, v in singles.items()}
    ratios = {
        f"{kind}_{what}": round(value, 2)
        for kind in engines
        for what, value in (
            ("throughput_ratio", statistics.median(a / b for a, b in zip(rates[kind], rates["pipeline"], strict=True))),
            ("p50_ratio", statistics.median(b / a for a, b in zip(singles[kind], singles["pipeline"], strict=True))),
        )
    }
    rounded = {k: round(v, 1) for k, v in rate_of.items()}
    keep("inference", {"batch": best, "documents_per_second": rounded,
                       "p50_ms": {k: round(v, 2) for k, v in wait_of.items()}, **ratios})  # fmt: skip


def serving() -> None:
    """Memory of `linnet serve` after 2,000 texts through HTTP, with the int8 model of `accuracy`."""
    import signal
    import subprocess

    import httpx

    from benchmarks.pack import pack_engine

    store = OUT / "serving"
    pack_engine(Store(store), OUT / "full" / "int8", sorted({e.label for e in rows("train")}))
    process = subprocess.Popen(
        [sys.executable, "-m", "linnet", "serve", "--port", "0", "--json"],
        env={**os.environ, "LINNET_HOME": str(store)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    texts = [e.text for e in rows("test")][:2000]
    waits = []
    for text in texts[:300]:
        started = time.perf_counter()
        httpx.post(f"{url}/v1/classify", json={"model": "bank", "input": text}).raise_for_status()
        waits.append(1000 * (time.perf_counter() - started))
    for start in range(0, len(texts), 500):
        httpx.post(f"{url}/v1/classify", json={"model": "bank", "input": texts[start : start + 500]}, timeout=120)
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    keep("serving", {"peak_memory_mb": round(peak * 1024 / 1e6), "http_p50_ms": round(statistics.median(waits), 2)})


PARTS = {
    "speed": speed,
    "accuracy": accuracy,
    "trainer": trainer,
    "few": few,
    "inference": inference,
    "serving": serving,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or list(PARTS):
        PARTS[part]()
