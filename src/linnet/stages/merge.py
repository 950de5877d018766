"""Merge: a tuned decoder becomes one model in its base's precision, and the same model in GGUF, each step proven."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.core.errors import InputError, StoreError, require
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import check_space, write_bytes
from linnet.core.records import Model, Run
from linnet.core.runs import RunView
from linnet.core.store import Step, Store, verify_files
from linnet.engines.base import GGUF
from linnet.text.conversations import read_chat_lines

if TYPE_CHECKING:
    from linnet.training.merging import Merged
    from linnet.training.targets import Targets

MODEL, ADAPTER = "model", "adapter.gguf"
PROMPTS, PROMPT_LEAST = 4, 8


def merge(store: Store, base: Model, tuned: RunView, on_event: OnEvent = silent, *, gguf: bool = True) -> Step:
    """Merge a run's adapter into `base`, or take a fully tuned model as it is; then convert it to GGUF.

    The step holds `model/` and `model.gguf`; its result lists the gates: name, bound, measured. Raises InputError for
    a run that is not finished or no decoder's, StoreError for another base, GateFailed, EngineError, DiskFull,
    ResourceMissing without the conversion's libraries.
    """
    run, inputs = _checked(base, tuned)
    inputs = {**inputs, "gguf": gguf}
    name = f"{run.result['method']} on {run.inputs['base_name']}"

    def work(folder: Path) -> dict[str, Any]:
        require("torch", "train")
        if gguf:
            from linnet.engines.conversion.convert import tools_folder

            tools_folder()  # what is missing is said before the work
        stored = sum(entry.size_bytes for file, entry in base.files.items() if file.endswith(".safetensors"))
        check_space(folder, 3 * stored, f"Merging {name}")
        merged = _merge(base, tuned, folder, on_event)
        write_bytes(folder / MODEL / "README.md", _card(base, tuned.id).encode())
        gates = merged.gates
        if gguf:
            from linnet.training.merging import to_gguf

            on_event(Event("progress", "merge", f"{name}: to GGUF"))
            gates = [*gates, to_gguf(folder / MODEL, folder / GGUF, merged.probes)]
        return {
            "gates": gates,
            "base": base.name,
            "method": run.result["method"],
            "tuned": tuned.id,
            "licence": base.licence,
        }

    return store.step("merge", inputs, work, on_event, label=name)


def keep_adapter(store: Store, base: Model, tuned: RunView, on_event: OnEvent = silent) -> Step:
    """Leave the adapter an adapter: `adapter.gguf`, which an engine puts on its base, written once it is proved.

    The proof compares it on the base with the merged model, both in F32, on held-out prompts. Raises what `merge`
    raises, InputError for a run without an adapter, ModelFileError for one that has no form in GGUF (DoRA).
    """
    run, inputs = _checked(base, tuned)
    if run.result["artefact"] != "adapter":
        raise InputError(f"{tuned.id} trained the whole model: it has no adapter.", f"Write: linnet merge {tuned.id}")
    name = f"{run.result['method']} on {run.inputs['base_name']}, as an adapter"

    def work(folder: Path) -> dict[str, Any]:
        require("torch", "train")
        from linnet.training.adapter_export import export_adapter
        from linnet.training.merging import gate

        parameters = int(base.report.get("parameters") or 0)
        check_space(folder, 3 * 4 * parameters, f"Proving {name}")
        on_event(Event("progress", "merge", f"{name}: to GGUF, with its proof"))
        proof = export_adapter(Path(base.path), tuned.folder / "adapter", folder / ADAPTER, _prompts(base, tuned))
        measured = f"{proof.relative_difference:.1e} of the largest logit, {proof.greedy_tokens} answer tokens the same"
        made = {"base": base.name, "method": run.result["method"], "tuned": tuned.id, "licence": base.licence}
        bound = "<= 1e-03 of the largest logit, the same answers"
        return {
            "gates": [gate("adapter on base = merged, F32 GGUF", bound, measured)],
            "proof": proof.to_json(),
            **made,
        }

    return store.step("merge", {**inputs, "adapter": True}, work, on_event, label=name)


def _checked(base: Model, tuned: RunView) -> tuple[Run, dict[str, Any]]:
    """The finished run of a decoder on this very base, and its hashes."""
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
    return run, {"tuned": {name: entry.sha256 for name, entry in run.files.items()}, "base": hashes}


def _prompts(base: Model, tuned: RunView) -> list[list[int]]:
    """Held-out prompts, each up to its first answer."""
    held = _held(base, tuned)
    return [list(e.ids[: max(e.mask.index(True), PROMPT_LEAST)]) for e in held.examples[:PROMPTS]]


def _held(base: Model, tuned: RunView) -> Targets:
    from linnet.training.targets import TargetEncoder

    template = (tuned.folder / "template.jinja").read_text(encoding="utf-8")
    encoder = TargetEncoder.of_folder(Path(base.path), template)
    limit = int(tuned.run.inputs["recipe"]["max_tokens"]) if tuned.run else 0
    return encoder.encode(read_chat_lines(tuned.folder / "validation.jsonl"), limit)


def _merge(base: Model, tuned: RunView, folder: Path, on_event: OnEvent) -> Merged:
    from linnet.training.merging import copied, merge_adapter

    held = _held(base, tuned)
    template = (tuned.folder / "template.jinja").read_text(encoding="utf-8")
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
