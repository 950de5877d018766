"""What the base model can do, measured: bits per byte beside a 5-gram model, grammar pairs, practice in unseen forms.

python -m recipes.nano.evaluate --model src/linnet/builtin/nano --data .nano/data --json out.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from recipes.nano import corpus, windows
from recipes.nano.fill_middle import fill_middle
from recipes.nano.kneser_ney import KneserNey
from recipes.nano.minimal_pairs import KINDS
from recipes.nano.tokenizer import START, STOP, render

BOOK_BYTES = 60_000
WINDOW, STRIDE = 1024, 512
PER_SKILL, ANSWER_TOKENS = 60, 160


def load(folder: Path) -> tuple[Any, Any]:
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


@torch.no_grad()
def nats(model: Any, ids: list[int]) -> float:
    """Sum of -log p over all tokens but the first, each with WINDOW - STRIDE tokens before it or more."""
    total, done = 0.0, 1
    for start in range(0, max(1, len(ids) - 1), STRIDE):
        part = torch.tensor([ids[start : start + WINDOW]])
        fresh = start + part.shape[1] - done
        if fresh <= 0:
            break
        logits = model(input_ids=part).logits[0, -fresh - 1 : -1]
        total += float(functional.cross_entropy(logits, part[0, -fresh:], reduction="sum"))
        done = start + part.shape[1]
    return total


def bits_per_byte(model: Any, tokenizer: Any, grams: KneserNey, texts: list[str]) -> dict[str, float]:
    ours = theirs = size = 0.0
    for text in texts:
        ids = tokenizer.encode(text).ids
        ours += nats(model, ids)
        theirs -= float(grams.log_probabilities(np.array(ids)).sum())
        size += len(text.encode())
    return {"model": round(ours / size / math.log(2), 4), "five_gram": round(theirs / size / math.log(2), 4),
            "bytes": int(size)}  # fmt: skip


def grammar(model: Any, tokenizer: Any) -> dict[str, float]:
    """Share of pairs of each kind in which the right sentence is the likelier one."""
    found, rights, count = {}, 0, 0
    for name, make in KINDS.items():
        made = make()
        good = sum(
            nats(model, [1, *tokenizer.encode(a).ids]) < nats(model, [1, *tokenizer.encode(b).ids]) for a, b in made
        )
        found[name] = round(good / len(made), 3)
        rights, count = rights + good, count + len(made)
    return {**found, "all": round(rights / count, 3), "pairs": count}


@torch.no_grad()
def answers(model: Any, tokenizer: Any, prompts: list[str], batch: int = 16) -> list[str]:
    """Greedy answers."""
    stop, pad = tokenizer.token_to_id(STOP), 0
    rows = [tokenizer.encode(p).ids for p in prompts]
    out = [""] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for begin in range(0, len(order), batch):
        chosen = order[begin : begin + batch]
        width = max(len(rows[i]) for i in chosen)
        ids = torch.tensor([[pad] * (width - len(rows[i])) + rows[i] for i in chosen])
        mask = (torch.arange(width)[None] >= torch.tensor([[width - len(rows[i])] for i in chosen])).long()
        made = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=ANSWER_TOKENS, do_sample=False,
            eos_token_id=stop, pad_token_id=pad,
        )  # fmt: skip
        for i, row in zip(chosen, made[:, width:].tolist(), strict=True):
            out[i] = tokenizer.decode(row[: row.index(stop)] if stop in row else row)
    return out


def practice(model: Any, tokenizer: Any, lines: list[str], seed: int = 5) -> dict[str, float]:
    """Exact match of the last answer, in forms and words that training never had."""
    from recipes.nano.practice import stream

    taken: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for sample in itertools.islice(stream(seed, "test", lines), 40 * PER_SKILL):
        if len(taken[sample.skill]) < PER_SKILL and sample.messages[-1].role == "assistant":
            turns = [(m.role, m.content) for m in sample.messages]
            taken[sample.skill].append((render(turns[:-1]) + f"{START}assistant\n", turns[-1][1]))
    found = {}
    for skill, rows in sorted(taken.items()):
        said = answers(model, tokenizer, [prompt for prompt, _ in rows])
        found[skill] = round(sum(a.strip() == b.strip() for a, (_, b) in zip(said, rows, strict=True)) / len(rows), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="the folder with 512-0.bin, for the 5-gram model")
    parser.add_argument("--tokens", type=int, default=0, help="training tokens the 5-gram model reads (0: all)")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    model, tokenizer = load(given.model)
    held_out = corpus.books(test=True)
    seen = np.concatenate([shard[:, :-1].reshape(-1) for shard in windows.read(given.data, windows.SHORT)])
    grams = KneserNey(np.asarray(seen[: given.tokens or None]), tokenizer.get_vocab_size())
    wikitext = (corpus.folder().parent / "wikitext2" / "test.txt").read_text(encoding="utf-8")
    result = {
        "held_out_books": bits_per_byte(model, tokenizer, grams, [b.text[:BOOK_BYTES] for b in held_out]),
        "wikitext2_test": bits_per_byte(model, tokenizer, grams, [wikitext]),
        "middle_bits_per_byte": fill_middle(model, tokenizer, [b.text[:BOOK_BYTES] for b in held_out]),
        "grammar_pairs": grammar(model, tokenizer),
        "practice_exact_match": practice(model, tokenizer, corpus.sentences(held_out)),
    }
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
