"""Merge: a tuned decoder becomes one model in its base's precision, and the same model in GGUF, each step proven."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.core.errors import GateFailed, InputError, StoreError, require
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import check_space, write_bytes
from linnet.core.records import Model
from linnet.core.runs import RunView
from linnet.core.store import Step, Store, verify_files
from linnet.text.conversations import read_chat_lines

if TYPE_CHECKING:
    from linnet.training.merging import Merged, Probe

MODEL, GGUF = "model", "model.gguf"
PRECISION = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
GGUF_AGREEMENT = 0.95  # least share of held-out targets at which torch and the engine give the same likeliest token


def merge(store: Store, base: Model, tuned: RunView, on_event: OnEvent = silent, *, gguf: bool = True) -> Step:
    """Merge a run's adapter into `base`, or take a fully tuned model as it is; then convert it to GGUF.

    The step holds `model/` and `model.gguf`; its result lists the gates: name, bound, measured. Raises InputError for
    a run that is not finished or no decoder's, StoreError for another base, GateFailed, EngineError, DiskFull,
    ResourceMissing without the conversion's libraries.
    """
    run = tuned.run
    if run is None:
        raise InputError(f"{tuned.id} is {tuned.state}, not finished.", f"Go on with: linnet runs resume {tuned.id}")
    if run.result.get("kind") != "decoder":
        raise InputError(f"{tuned.id} is no run of a decoder: there is nothing to merge.", "See: linnet runs list")
    hashes = {name: entry.sha256 for name, entry in base.files.items()}
    if hashes != run.inputs["base"]:
        raise StoreError(
            f"{base.name} is not the model that {tuned.id} was tuned on: its files differ.",
            f"Its name was {run.inputs['base_name']}. An adapter fits no other weights.",
        )
    verify_files(tuned.folder, run.files)
    inputs = {"tuned": {name: entry.sha256 for name, entry in run.files.items()}, "base": hashes, "gguf": gguf}
    name = f"{run.result['method']} on {run.inputs['base_name']}"

    def work(folder: Path) -> dict[str, Any]:
        require("torch", "train")
        if gguf:
            from linnet.engines.convert import tools_folder

            tools_folder()  # what is missing is said before the work
        stored = sum(entry.size_bytes for file, entry in base.files.items() if file.endswith(".safetensors"))
        check_space(folder, 3 * stored, f"Merging {name}")
        merged = _merge(base, tuned, folder, on_event)
        write_bytes(folder / MODEL / "README.md", _card(base, tuned.id).encode())
        gates = merged.gates
        if gguf:
            on_event(Event("progress", "merge", f"{name}: to GGUF"))
            gates = [*gates, _convert(folder, merged.probes)]
        return {
            "gates": gates,
            "base": base.name,
            "method": run.result["method"],
            "tuned": tuned.id,
            "licence": base.licence,
        }

    return store.step("merge", inputs, work, on_event, label=name)


def _merge(base: Model, tuned: RunView, folder: Path, on_event: OnEvent) -> Merged:
    from linnet.training.merging import copied, merge_adapter
    from linnet.training.targets import TargetEncoder

    template = (tuned.folder / "template.jinja").read_text(encoding="utf-8")
    encoder = TargetEncoder.of_folder(Path(base.path), template)
    limit = int(tuned.run.inputs["recipe"]["max_tokens"]) if tuned.run else 0
    held = encoder.encode(read_chat_lines(tuned.folder / "validation.jsonl"), limit)
    on_event(Event("progress", "merge", f"{len(held.examples)} held-out rows"))
    if (tuned.folder / "adapter").is_dir():
        return merge_adapter(Path(base.path), tuned.folder / "adapter", held, folder / MODEL, template)
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    shutil.copytree(tuned.folder / MODEL, folder / MODEL)
    return copied(folder / MODEL, held)


def _card(base: Model, tuned: str) -> str:
    """The model card: what loaders and hubs read of licence and origin."""
    head = [f"license: {base.licence.lower()}"] if base.licence not in ("", "unknown") else []
    head += [f"base_model: {base.name}"]
    return "\n".join(["---", *head, "---", f"Tuned from {base.name}; run {tuned}.", ""])


def _convert(folder: Path, probes: list[Probe]) -> dict[str, Any]:
    """The GGUF in the same precision, compared with torch through the engine that will run it."""
    import numpy as np

    from linnet.engines.convert import hf_to_gguf
    from linnet.engines.scoring import Scorer
    from linnet.training import decoder_folder
    from linnet.training.merging import gate

    dtype = str(decoder_folder.precision(folder / MODEL)).removeprefix("torch.")
    hf_to_gguf(folder / MODEL, folder / GGUF, PRECISION[dtype])  # type: ignore[arg-type]
    same, largest = [], 0.0
    with Scorer(folder / GGUF, context=max(16, *(len(probe.ids) for probe in probes))) as scorer:
        for probe in probes:
            ours = scorer.logits(list(probe.ids))[list(probe.positions)]
            same.append(ours.argmax(1) == probe.logits.argmax(1))
            largest = max(largest, float(np.abs(ours - probe.logits).max()))
    agreement = float(np.concatenate(same).mean())
    if not agreement >= GGUF_AGREEMENT:
        raise GateFailed(
            f"The engine gives another likeliest token than torch at {1 - agreement:.1%} of {sum(map(len, same))} "
            f"held-out places; at most {1 - GGUF_AGREEMENT:.0%} is allowed.",
            f"{folder / MODEL} is right, its conversion is not. Report it with `linnet doctor --json`.",
        )
    measured = f"{agreement:.1%} of {sum(map(len, same))} tokens the same, largest logit difference {largest:.2g}"
    return gate(
        f"merged = GGUF {PRECISION[dtype]} in the engine", f">= {GGUF_AGREEMENT:.0%} of tokens the same", measured
    )
