"""The child that asks torch what a Hugging Face folder predicts, to compare its GGUF with. See quantize_gate.

Reads one JSON object from stdin: {"folder", "precision", "ids", "target", "parent"}; writes float32 logits (tokens,
vocabulary). Weights stay as the files keep them, mapped rather than read, and each block is made float32 for its turn:
nothing is rounded, and memory is that of the files and of one block.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def logits(folder: Path, precision: str, ids: list[int]) -> Any:
    """Shape (tokens, vocabulary). `precision`: how all weights of the folder are kept, else "float32"."""
    import torch
    import transformers

    def run(held: str) -> Any:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, held), local_files_only=True, trust_remote_code=False, use_safetensors=True
        ).eval()
        if held != "float32":
            _widen_buffers(model, torch, transformers)
            for module, parameters in _groups(model, torch.nn.ModuleList):
                _widen_in_turn(module, parameters, torch.float32)
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids])).logits[0].float().numpy()

    try:
        return run(precision)
    except RuntimeError:  # a model that asks a part for its type before the part's turn, as Mamba does
        if precision == "float32":
            raise
        return run("float32")


def _widen_buffers(model: Any, torch: Any, transformers: Any) -> None:
    """Buffers in float32: those of the checkpoint as they are, those of the architecture computed anew."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        computed = transformers.AutoModelForCausalLM.from_config(model.config, dtype=torch.float32)
    fresh = dict(computed.named_non_persistent_buffers())
    for name, buffer in list(model.named_buffers()):
        if buffer.is_floating_point():
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, fresh.get(name, buffer).float())


def _groups(model: Any, kind: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Modules with the parameters that their turn needs: each block whole, what is outside of blocks by itself."""
    within: set[Any] = set()
    for module in model.modules():
        if module not in within and isinstance(module, kind):
            for block in module:
                within.update(block.modules())
                yield block, list(block.parameters())
    for module in model.modules():
        if module not in within and (own := list(module.parameters(recurse=False))):
            yield module, own


def _widen_in_turn(module: Any, parameters: list[Any], wide: Any) -> None:
    kept: list[Any] = []

    def before(*_: Any) -> None:
        kept.extend(one.data for one in parameters)
        for one in parameters:
            one.data = one.data.to(wide)

    def after(*_: Any) -> None:
        for one, data in zip(parameters, kept, strict=True):
            one.data = data
        kept.clear()

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


def main() -> None:
    import numpy as np

    from linnet.engines.worker.worker_main import die_with

    job = json.loads(sys.stdin.read())
    die_with(job["parent"])
    np.save(job["target"], logits(Path(job["folder"]), job["precision"], job["ids"]), allow_pickle=False)


if __name__ == "__main__":
    main()
