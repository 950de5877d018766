"""Classifying short texts by scoring labels, beside generating the label greedily, on one engine in one run.

    python -m benchmarks.scoring [COUNT]    texts of examples/support (500), 13 labels, 110 million random weights

Random weights cost what trained ones cost; what they answer is noise, so this measures time only: seconds of one
thread's processor time, which other work on the machine does not change. The model (Llama shape, Q8_0) is made once in
$LINNET_BENCH (default .bench), where the results are kept as JSON too. Labels come in two kinds: the intents as
words, of three tokens or so, and one letter each. Generating decodes the right label's tokens and one more, its end,
with the instruction kept from text to text as a server with prefix reuse does ("kept"), and without ("fresh").
Methods take turns on blocks of texts; a row is the median of blocks.
"""

from __future__ import annotations

import csv
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import random_llama
from benchmarks.classify import keep
from linnet.engines.scoring.scorer import Scorer

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
EXAMPLES = Path(__file__).parents[1] / "examples" / "support" / "train.csv"
TEXTS, BLOCKS = 500, 5
FRESH_SHARE = 5  # without a kept prefix, one text in five is enough: it is slow


def rows() -> list[tuple[str, str]]:
    with EXAMPLES.open(newline="") as handle:
        return [(row["message"], row["intent"]) for row in csv.DictReader(handle)]


def prompt(text: str, shown: dict[str, str]) -> str:
    """An instruction of about 200 tokens that every text shares, then the text. `shown`: what stands for a label."""
    about = "\n".join(f"- {label}: the customer writes about {name.replace('_', ' ')}" for name, label in shown.items())
    return f"Sort the customer's message into exactly one of these groups.\n{about}\n\nMessage: {text}\nGroup:"


def generate(scorer: Scorer, ids: list[int], count: int) -> list[int]:
    for _ in range(count):
        ids.append(int(scorer.next_logits(ids).argmax()))
    return ids[-count:]


def measure(scorer: Scorer, kind: str, count: int) -> None:
    """One kind of labels: milliseconds a text by each method, and their ratios."""
    pairs = rows()
    names = sorted({label for _, label in pairs})
    shown = {name: name if kind == "words" else chr(ord("A") + place) for place, name in enumerate(names)}
    labels = list(shown.values())
    tails = [f" {label}" for label in labels]
    chosen = [pairs[i] for i in np.random.default_rng(1).permutation(len(pairs))[:count]]
    asked = [prompt(text, shown) for text, _ in chosen]
    lengths = {name: len(scorer.tokenize(f" {label}", bos=False)) for name, label in shown.items()}
    prompts = [scorer.tokenize(one) for one in asked]

    def score(block: range) -> int:
        scorer.label_scores([asked[i] for i in block], tails)
        return len(block)

    def kept(block: range) -> int:
        for i in block:
            generate(scorer, list(prompts[i]), lengths[chosen[i][1]] + 1)
        return len(block)

    def fresh(block: range) -> int:
        some = block[::FRESH_SHARE]
        for i in some:
            scorer.next_logits([0])  # nothing of the last prompt is left
            generate(scorer, list(prompts[i]), lengths[chosen[i][1]] + 1)
        return len(some)

    methods: dict[str, Callable[[range], int]] = {"score": score, "generate_kept": kept, "generate_fresh": fresh}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for method in methods.values():
        method(range(FRESH_SHARE))  # to warm up
    for start in range(0, count, count // BLOCKS):
        block = range(start, min(start + count // BLOCKS, count))
        for name, method in methods.items():
            began = time.process_time()
            done = method(block)
            seconds[name].append((time.process_time() - began) / done)
    found: dict[str, float] = {
        f"{name}_ms": round(1000 * statistics.median(values), 1) for name, values in seconds.items()
    }
    for name in ("generate_kept", "generate_fresh"):
        ratios = [slow / fast for slow, fast in zip(seconds[name], seconds["score"], strict=True)]
        found[f"{name}_over_score"] = round(statistics.median(ratios), 2)
    found["prompt_tokens"] = round(statistics.mean(map(len, prompts)), 1)
    found["label_tokens"] = round(statistics.mean(lengths.values()), 2)
    keep(f"scoring-{kind}", {"texts": count, "labels": len(labels), **found})


def main() -> None:
    OUT.mkdir(exist_ok=True)
    path = OUT / "scoring-0.1b.gguf"
    if not path.is_file():
        pairs = rows()
        shown = {label: label for _, label in pairs}
        texts = [prompt(text, shown) + f" {label}" for text, label in pairs]
        random_llama.make(path.with_suffix(".part"), random_llama.SMALL, texts).rename(path)
    with Scorer(path, threads=1) as scorer:
        for kind in ("words", "letters"):
            measure(scorer, kind, int(sys.argv[1]) if sys.argv[1:] else TEXTS)


if __name__ == "__main__":
    main()
