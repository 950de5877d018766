"""Throughput of evaluation: questions side by side against one at a time, and labels scored against one at a time.

    python -m benchmarks.evaluate --quick          a tenth of the questions, one round: minutes
    python -m benchmarks.evaluate --model FILE     another GGUF than builtin:nano
    python -m benchmarks.evaluate --large          half a billion random weights, made once in $LINNET_BENCH

Interleaved rounds, medians, ratios of one run. Prints Markdown rows for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import random_llama
from benchmarks.scoring import OUT
from linnet.core.files import sha256_file
from linnet.core.task import read_task
from linnet.engines.requests.asking import SLOTS, Decoding, Prompting, Source, ask_engine, messages_of, open_engine
from linnet.engines.scoring.label_scoring import LabelScorer
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.builtin import our_model
from linnet.stages.answer import LABEL_BATCH, ask_all
from linnet.text.questions import Asking, Question, read_questions, turns_of

EXAMPLE = Path("examples/extract-tickets")
LABELS = ("late", "damaged", "defective", "wrong_item", "missing_parts", "billing", "unwanted", "question")
MOST_TOKENS = 24  # short outputs, as of a classifier or a small record


@dataclass(frozen=True)
class Setting:
    source: Source
    questions: list[Question]
    prompting: Prompting
    decoding: Decoding


def written(setting: Setting, slots: int) -> Callable[[], float]:
    """Seconds for every question with so many slots. The engine is loaded, and has answered, before the clock runs."""

    def run() -> float:
        engine = open_engine(setting.source, setting.questions, setting.prompting, setting.decoding, slots)
        try:
            engine.start()
            ask_engine(engine, setting.questions[0], setting.prompting, setting.decoding)
            started = time.perf_counter()
            ask_all(
                lambda one: ask_engine(engine, one, setting.prompting, setting.decoding),
                list(enumerate(setting.questions)),
                engine.slots,
                lambda *_: None,
            )
            return time.perf_counter() - started
        finally:
            engine.close()

    return run


def scored(setting: Setting, batch: int) -> Callable[[], float]:
    """Seconds to score the labels of every question: so many prompts in one call, or (1) each label by itself, with
    its prompt kept from the label before."""

    def run() -> float:
        assert setting.source.path is not None
        with LabelScorer(setting.source.path, LABELS) as scorer, Scorer(setting.source.path) as plain:
            asked = [turns_of(one, setting.prompting.instruction) for one in setting.questions]
            ids = [scorer.prompt_ids(messages_of(turns)) for turns in asked]
            started = time.perf_counter()
            if batch > 1:
                for start in range(0, len(ids), batch):
                    scorer.scores(ids[start : start + batch])
            else:
                for prompt in ids:
                    for label in scorer.labels:
                        plain.score(prompt, [label])
            return time.perf_counter() - started

    return run


def interleaved(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            found[name].append(run())
    return {name: statistics.median(values) for name, values in found.items()}


def large(texts: list[str]) -> Path:
    OUT.mkdir(exist_ok=True)
    path = OUT / "random-0.5b-chat.gguf"
    if not path.is_file():
        random_llama.make(path.with_suffix(".part"), random_llama.HALF_BILLION, texts).rename(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", type=Path, default=Path(our_model("builtin:nano:Q8_0").path))
    parser.add_argument("--large", action="store_true")
    given = parser.parse_args()
    task = read_task(EXAMPLE)
    every = read_questions(EXAMPLE / "train.jsonl", Asking(task.task.input, task.task.output))
    if given.large:
        given.model = large([one.asked for one in every])
    count, rounds = (50, 1) if given.quick else (500, 3)
    source = Source(given.model.name, given.model, sha256_file(given.model))
    setting = Setting(source, every[:count], Prompting(task.task.instruction), Decoding(max_tokens=MOST_TOKENS))
    texts = interleaved({"one": written(setting, 1), "many": written(setting, SLOTS)}, rounds)
    labels = interleaved({"one": scored(setting, 1), "many": scored(setting, LABEL_BATCH)}, rounds)
    print("| what | questions | one at a time | side by side | ratio |")
    print("|---|---|---|---|---|")
    for name, found in ((f"answers of {MOST_TOKENS} tokens", texts), (f"{len(LABELS)} labels scored", labels)):
        each = [f"{count / found[way]:.1f}/s" for way in ("one", "many")]
        print(f"| {name} | {count} | {each[0]} | {each[1]} | {found['one'] / found['many']:.2f} |")
    print(json.dumps({"model": given.model.name, "texts": texts, "labels": labels}))


if __name__ == "__main__":
    main()
