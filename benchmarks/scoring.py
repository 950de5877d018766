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
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.classify import keep
from linnet.engines.scoring import Scorer

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
EXAMPLES = Path(__file__).parents[1] / "examples" / "support" / "train.csv"
TEXTS, BLOCKS = 500, 5
FRESH_SHARE = 5  # without a kept prefix, one text in five is enough: it is slow
LAYERS, WIDTH, HEADS, INNER, VOCABULARY = 12, 768, 12, 2048, 32000


def rows() -> list[tuple[str, str]]:
    with EXAMPLES.open(newline="") as handle:
        return [(row["message"], row["intent"]) for row in csv.DictReader(handle)]


def prompt(text: str, shown: dict[str, str]) -> str:
    """An instruction of about 200 tokens that every text shares, then the text. `shown`: what stands for a label."""
    about = "\n".join(f"- {label}: the customer writes about {name.replace('_', ' ')}" for name, label in shown.items())
    return f"Sort the customer's message into exactly one of these groups.\n{about}\n\nMessage: {text}\nGroup:"


def make_model(path: Path) -> Path:
    """A Llama of about 110 million random weights in Q8_0, with a byte-level BPE trained on the example texts."""
    import gguf
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    pairs = rows()
    shown = {label: label for _, label in pairs}
    texts = [prompt(text, shown) + f" {label}" for text, label in pairs]
    tokenizer.train_from_iterator(texts, trainer)
    state = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    tokens += [f"<unused{i}>" for i in range(VOCABULARY - len(tokens))]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges([" ".join(merge) for merge in state["merges"]])
    writer.add_eos_token_id(VOCABULARY - 1)
    writer.add_add_bos_token(False)
    noise = np.random.default_rng(0)
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH)}
    shapes |= {"attn_output": (WIDTH, WIDTH), "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH)}
    shapes |= {"ffn_down": (WIDTH, INNER)}
    named = {f"blk.{layer}.{name}.weight": shape for layer in range(LAYERS) for name, shape in shapes.items()}
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, shape in {"token_embd.weight": (VOCABULARY, WIDTH), **named}.items():
        value = noise.normal(scale=shape[1] ** -0.5, size=shape).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
    norms = [f"blk.{layer}.{name}.weight" for layer in range(LAYERS) for name in ("attn_norm", "ffn_norm")]
    for name in ("output_norm.weight", *norms):
        writer.add_tensor(name, np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


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
        make_model(path.with_suffix(".part")).rename(path)
    with Scorer(path, threads=1) as scorer:
        for kind in ("words", "letters"):
            measure(scorer, kind, int(sys.argv[1]) if sys.argv[1:] else TEXTS)


if __name__ == "__main__":
    main()
