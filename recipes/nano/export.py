"""Write a trained model as it is shipped: config, bf16 weights, tokenizer, chat template, card and checksums.

python -m recipes.nano.export --size nano --out .nano --to src/linnet/builtin/nano
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from linnet.core.files import read_json, sha256_file, write_json
from linnet.engines.conversion.convert import hf_to_gguf
from linnet.formats.builtin import GGUF, SUMS
from linnet.training import checkpoints
from recipes.nano.shape import SHAPES, Shape, recipe_id

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def model_from(shape: Shape, out: Path) -> tuple[Any, dict[str, Any]]:
    """The model of the newest checkpoint, and how far the training was. Raises SystemExit when there is none."""
    from transformers import LlamaConfig, LlamaForCausalLM

    found = checkpoints.latest(out / "checkpoints", recipe_id(shape))
    if found is None:
        raise SystemExit(f"{out / 'checkpoints'} holds no checkpoint. Train first: python -m recipes.nano.train")
    model = LlamaForCausalLM(LlamaConfig(**shape.config(), **token_ids(out / "data" / "tokenizer")))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(found.tensors[f"model.{name}"])
    return model.eval(), found.state


def token_ids(folder: Path) -> dict[str, int]:
    """bos, eos and pad ids as the tokenizer's settings name them."""
    settings = read_json(folder / "tokenizer_config.json")
    added = {token["content"]: token["id"] for token in read_json(folder / "tokenizer.json")["added_tokens"]}
    return {f"{kind}_token_id": added[settings[f"{kind}_token"]] for kind in ("bos", "eos", "pad")}


def export(shape: Shape, out: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    model, _ = model_from(shape, out)
    model.to(torch.bfloat16).save_pretrained(to)
    (to / "generation_config.json").unlink(missing_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(out / "data" / "tokenizer" / name, to / name)
    hf_to_gguf(to, to / GGUF, "Q8_0")
    write_sums(to)


def write_sums(folder: Path) -> None:
    """sha256 of every shipped file but the one that lists them."""
    named = sorted(p for p in folder.iterdir() if p.is_file() and p.name != SUMS)
    write_json(folder / SUMS, {p.name: sha256_file(p) for p in named})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SHAPES), default="nano")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    given = parser.parse_args()
    export(SHAPES[given.size], given.out, given.to)
    print(json.dumps({p.name: p.stat().st_size for p in sorted(given.to.iterdir())}, indent=1))


if __name__ == "__main__":
    main()
