"""Fine-tune a small decoder on a task's rows, or one of the same shape without its training, and score its answers.

    python -m recipes.nano.finetune --model src/linnet/builtin/nano --train examples/smart-home/train.jsonl \
        --test examples/smart-home/test.jsonl --input command --output call --json out.json
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from linnet.core.events import Event
from linnet.core.files import canonical, sha256_bytes, sha256_file
from linnet.text.conversations import Chat, Columns, read_chats
from linnet.training import decoder_folder, quantized
from linnet.training.decoder import train_decoder
from linnet.training.recipe import Recipe, decoder_recipe
from linnet.training.targets import TargetEncoder
from linnet.training.tune_plan import rounded_products

VALIDATION_SHARE, VALIDATION_MOST = 0.1, 200
BATCH, SPARE_TOKENS = 64, 16


def split(chats: Sequence[Chat], examples: int, seed: int) -> tuple[list[Chat], list[Chat]]:
    """Training and validation rows out of the first `examples` of one shuffled order: more rows hold the fewer."""
    order = list(chats)
    random.Random(seed).shuffle(order)
    chosen = order[: examples or None]
    held = min(VALIDATION_MOST, max(1, round(len(chosen) * VALIDATION_SHARE)))
    return chosen[held:], chosen[:held]


@torch.no_grad()
def greedy(model: Any, prompts: Sequence[Sequence[int]], ends: set[int], most: int) -> list[list[int]]:
    """The likeliest token again and again, for prompts side by side."""
    out: list[list[int]] = [[]] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for begin in range(0, len(order), BATCH):
        chosen = order[begin : begin + BATCH]
        width = max(len(prompts[i]) for i in chosen)
        ids = torch.tensor([[0] * (width - len(prompts[i])) + list(prompts[i]) for i in chosen])
        mask = (torch.arange(width)[None] >= torch.tensor([[width - len(prompts[i])] for i in chosen])).long()
        made = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False,
            eos_token_id=sorted(ends), pad_token_id=min(ends),
        )  # fmt: skip
        for i, row in zip(chosen, made[:, width:].tolist(), strict=True):
            stop = next((at for at, token in enumerate(row) if token in ends), len(row))
            out[i] = row[:stop]
    return out


def parsed(text: str) -> Any:
    """The JSON of a text, or None; NaN and infinity are no JSON."""
    try:
        value = json.loads(text)
        canonical(value)
    except (ValueError, RecursionError):
        return None
    return value


def pairs(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(field, value) of every leaf; each item of a list is a pair of its own."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from pairs(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from pairs(item, f"{path}[]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def scores(said: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    """Exact match (of the JSON where both are JSON), share of valid JSON, and micro F1 over (field, value) pairs."""
    exact = valid = hits = made = wanted = 0
    for text, truth in zip(said, right, strict=True):
        ours, theirs = parsed(text), parsed(truth)
        valid += ours is not None
        both = ours is not None and theirs is not None
        exact += canonical(ours) == canonical(theirs) if both else text.strip() == truth.strip()
        found, expected = Counter(pairs(ours) if ours is not None else ()), Counter(pairs(theirs))
        hits, made, wanted = hits + (found & expected).total(), made + found.total(), wanted + expected.total()
    return {
        "exact_match": round(exact / len(said), 4),
        "valid_json": round(valid / len(said), 4),
        "field_f1": round(2 * hits / max(made + wanted, 1), 4),
    }


def judged(said: Sequence[str], test: Sequence[Chat], listed: int) -> dict[str, Any]:
    """The scores of one answer a chat, and the first answers that are not the right text."""
    right = [chat.turns[-1].content for chat in test]
    wrong = [{"row": c.row, "said": s, "right": r} for c, s, r in zip(test, said, right, strict=True) if s != r]
    return {**scores(said, right), "test_rows": len(test), "first_wrong": wrong[:listed]}


def evaluate(model: Any, encoder: TargetEncoder, test: Sequence[Chat], ends: set[int], most: int) -> dict[str, Any]:
    started = time.monotonic()
    said = greedy(model, [encoder.prompt_ids(chat.turns[:-1]) for chat in test], ends, most)
    seconds = time.monotonic() - started
    texts = [encoder.decode(ids) for ids in said]
    return {
        **judged(texts, test, listed=5),
        "decode_tokens_per_second": round(sum(map(len, said)) / max(seconds, 1e-9), 1),
    }


def instruction(task: Path | None) -> str:
    return tomllib.loads(task.read_text())["task"].get("instruction", "") if task else ""


def finetune(given: argparse.Namespace) -> dict[str, Any]:
    columns = Columns(given.input, given.output, instruction(given.task))
    encoder = TargetEncoder.of_folder(given.model)
    learned, held = split(read_chats(given.train, columns), given.examples, given.seed)
    test = read_chats(given.test, columns)[: given.test_rows or None]
    model = decoder_folder.load(given.model, random_seed=given.seed if given.random else None)
    recipe = _recipe(given, len(learned), model)
    if given.quantize:
        model = quantized.load(given.model, recipe)
    train = encoder.encode(learned, recipe.max_tokens)
    weights = sha256_file(given.model / decoder_folder.WEIGHTS)
    with tempfile.TemporaryDirectory() as scratch:
        tuned = train_decoder(
            model, train, encoder.encode(held, recipe.max_tokens), recipe,
            folder=given.work or Path(scratch), base_name=given.model.name,
            base_digest=sha256_bytes(f"{weights} {given.random} {given.seed}".encode()), original=given.model,
            on_event=_say,
        )  # fmt: skip
        merged = tuned.model  # of a quantised base it is made from what lies in this folder
    if given.to:
        decoder_folder.save(merged, given.model, given.to)
    longest = max(example.target_count for example in train.examples)
    found = evaluate(merged, encoder, test, encoder.end_ids(train.examples), longest + SPARE_TOKENS)
    kept = ("seconds", "tokens_per_second", "target_tokens_per_second", "padding_share", "best_epoch", "epochs")
    return {
        "task": given.train.parent.name, "model": str(given.model), "random": given.random,
        "examples": len(learned) + len(held),
        "metric": given.metric, "value": found[given.metric], **found,
        **{name: tuned.facts[name] for name in kept}, "recipe": recipe.to_json(),
    }  # fmt: skip


def _recipe(given: argparse.Namespace, examples: int, model: Any) -> Recipe:
    chosen = {"epochs": given.epochs, "learning_rate": given.rate, "batch_size": given.batch}
    chosen["products"] = given.products or ("bfloat16" if rounded_products() else "float32")
    if given.quantize:
        chosen |= {"quantization": given.quantize, "compute_dtype": "float32"}
    context = min(1024, model.config.max_position_embeddings)
    planned = decoder_recipe(given.method, examples, model.num_parameters(), seed=given.seed, max_tokens=context)
    return planned.model_copy(update={name: value for name, value in chosen.items() if value})


def _say(event: Event) -> None:
    if event.kind != "progress":
        print(event.message, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "train", "test"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--input", required=True, help="the column of the question, or a template of columns")
    parser.add_argument("--output", required=True, help="the column of the answer")
    parser.add_argument("--task", type=Path, help="a task.toml, for its instruction")
    parser.add_argument("--examples", type=int, default=0, help="how many rows, a tenth of them held out (0: all)")
    parser.add_argument("--test-rows", type=int, default=0, help="how many rows are answered (0: all)")
    parser.add_argument("--epochs", type=int, default=0, help="0: from the number of rows")
    parser.add_argument("--rate", type=float, default=0.0, help="peak learning rate (0: the recipe's)")
    parser.add_argument("--batch", type=int, default=0, help="rows a step (0: the recipe's)")
    parser.add_argument("--method", choices=("full", "lora"), default="full")
    parser.add_argument("--products", choices=("float32", "bfloat16"), help="as linnet tune on this processor")
    parser.add_argument("--quantize", choices=("nf4", "int8"), default="", help="hold the base so; with --method lora")
    parser.add_argument("--metric", choices=("exact_match", "field_f1", "valid_json"), default="exact_match")
    parser.add_argument("--random", action="store_true", help="start with random weights of the same shape")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where checkpoints and the adapter stay")
    parser.add_argument("--to", type=Path, help="where the tuned model is written")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = finetune(given)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k not in ("epochs", "recipe", "first_wrong")}, indent=1))


if __name__ == "__main__":
    main()
