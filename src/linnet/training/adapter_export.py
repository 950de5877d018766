"""An adapter folder as a GGUF adapter for its base, written only once it is proved to say what a merged model says."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from linnet.core.errors import GateFailed
from linnet.core.files import fsync_folder, make_folder
from linnet.engines.conversion.adapter_gguf import AdapterPrecision, AdapterProof, prove_adapter, write_adapter
from linnet.engines.conversion.convert import hf_to_gguf
from linnet.training import decoder_folder, lora


def export_adapter(
    base: Path, adapter: Path, target: Path, prompts: Sequence[Sequence[int]], precision: AdapterPrecision = "F32"
) -> AdapterProof:
    """Write the GGUF adapter `target`, after the proof on `prompts` of token ids with base and merged model in F32.

    Needs room for both as GGUF beside `target`, for the time of the proof. Raises GateFailed when they say different
    things, ModelFileError for what has no form in GGUF, EngineError, DiskFull, ResourceMissing.
    """
    target = target.absolute()
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=".adapter-", dir=target.parent) as scratch:
        room = Path(scratch)
        write_adapter(adapter, base, room / "adapter.gguf", precision)
        merged = lora.merge(lora.attach(decoder_folder.load(base), adapter))
        decoder_folder.save(merged, base, room / "merged", dtype=torch.float32)
        hf_to_gguf(room / "merged", room / "merged.gguf", "F32")
        hf_to_gguf(base, room / "base.gguf", "F32")
        proof = prove_adapter(room / "adapter.gguf", room / "base.gguf", room / "merged.gguf", prompts)
        if not proof.effect > proof.relative_difference:
            raise GateFailed(
                f"The adapter {adapter} changes nothing: the base alone is as near to the merged model.",
                "Nothing was written. An adapter of step 0 is empty: train it first.",
            )
        (room / "adapter.gguf").replace(target)
        fsync_folder(target.parent)
    return proof
