"""Tune: a base encoder and prepared examples become a classifier; a base decoder and chats an adapter or a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.core.errors import GateFailed, InputError, Interrupted, LinnetError, StoreError, require
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, check_space, read_json, sha256_bytes, write_bytes, write_json
from linnet.core.records import Model
from linnet.core.runs import REQUEST, logged
from linnet.core.settings import is_follower, processes
from linnet.core.store import Step, Store
from linnet.text.conversations import chat_lines
from linnet.text.example_files import read_examples
from linnet.training.forecast import disk_bytes
from linnet.training.recipe import Recipe

if TYPE_CHECKING:
    from linnet.training.decoder_data import DecoderData

Spans = Sequence[tuple[str, int, int]]
TRAIN, VALIDATION, REPORT, TEMPLATE = "train.jsonl", "validation.jsonl", "data_report.json", "template.jinja"
MERGE_BOUND = 1e-3  # largest difference of any logit between adapter and merged model


def tune(
    store: Store, base: Model, prepared: Step, labels: list[str], recipe: Recipe, on_event: OnEvent = silent
) -> Step:
    """Train by the recipe. The step's folder holds `model/`, and `adapter/` for LoRA.

    An interrupted training goes on from its last checkpoint to the same weights, bit for bit, on the same machine
    with the same number of threads. Raises GuardStopped, Interrupted, GateFailed, DiskFull, EngineError.
    """
    train, validation = prepared.sha256("train.jsonl"), prepared.sha256("validation.jsonl")
    inputs = {"train": train, "validation": validation, "labels": labels}

    def work(folder: Path, digest: str) -> dict[str, Any]:
        from linnet.engines.pytorch import torch_encoder
        from linnet.training.classify import encode, train_classifier

        tokenizer = Path(base.path) / "tokenizer.json"
        learned, held = (
            encode(read_examples(prepared.folder / f"{split}.jsonl"), labels, tokenizer, recipe.max_tokens)
            for split in ("train", "validation")
        )
        on_event(Event("note", "tune", f"{recipe.method}: {recipe.reasons(len(learned.ids))}"))
        trained = train_classifier(base, labels, learned, held, recipe, folder=folder, digest=digest, on_event=on_event)
        _merge_gate(f"{recipe.method} on {base.name}", trained.facts.get("merge_difference", 0.0))
        torch_encoder.save(trained.classifier, base, folder / "model")
        return trained.facts

    return _encoder_step(store, base, recipe, inputs, work, on_event)


@dataclass(frozen=True, slots=True)
class TagJob:
    """What a tagger is tuned on: (row, text, spans as (label, start, end)) for training and validation, and labels."""

    train: Sequence[tuple[int, str, Spans]]
    validation: Sequence[tuple[int, str, Spans]]
    labels: list[str]


def tune_tagger(store: Store, base: Model, job: TagJob, recipe: Recipe, on_event: OnEvent = silent) -> Step:
    """Train a head on every token by the recipe; otherwise as `tune`."""
    train, validation = (sha256_bytes(canonical(list(part))) for part in (job.train, job.validation))
    inputs = {"kind": "tag", "train": train, "validation": validation, "labels": job.labels}

    def work(folder: Path, digest: str) -> dict[str, Any]:
        from linnet.engines.pytorch import torch_tagger
        from linnet.training.tag import encode_tagged, train_tagger

        tokenizer = Path(base.path) / "tokenizer.json"
        learned, held = (
            encode_tagged(part, job.labels, tokenizer, recipe.max_tokens) for part in (job.train, job.validation)
        )
        on_event(Event("note", "tune", f"{recipe.method}: {recipe.reasons(len(job.train))}"))
        trained = train_tagger(
            base, job.labels, learned, held, recipe, folder=folder, digest=digest, on_event=on_event
        )  # fmt: skip
        _merge_gate(f"{recipe.method} on {base.name}", trained.facts.get("merge_difference", 0.0))
        torch_tagger.save(trained.tagger, base, folder / "model", job.labels)
        return trained.facts

    return _encoder_step(store, base, recipe, inputs, work, on_event)


def _encoder_step(
    store: Store,
    base: Model,
    recipe: Recipe,
    own: dict[str, Any],
    train: Callable[[Path, str], dict[str, Any]],
    on_event: OnEvent,
) -> Step:
    """The step around a training of an encoder: `train` gets its folder and what a checkpoint may be continued by.

    `own` are its inputs beside base and recipe: train, validation and labels among them.
    """
    files = {name: entry.sha256 for name, entry in base.files.items()}
    inputs = {**own, "base": files, "base_name": base.name, "recipe": recipe.to_json()}
    name = f"{recipe.method} on {base.name}"

    def work(folder: Path) -> dict[str, Any]:
        require("torch", "train")
        # Weights, their average, the best ones and two moments, and the finished model: an upper bound.
        check_space(folder, 6 * base.files["model.safetensors"].size_bytes, f"Training {name}")
        digest = recipe.digest(own["train"], own["validation"], str(files), str(own["labels"]))
        facts = train(folder, digest)
        return {**facts, "method": recipe.method, "base": base.name, "recipe": recipe.to_json()}

    step = store.step("tune", inputs, work, on_event, label=name)
    if not step.reused:
        from linnet.training import checkpoints
        from linnet.training.classify import CHECKPOINTS

        checkpoints.clear(step.folder / CHECKPOINTS)
    return step


def _merge_gate(name: str, difference: float) -> None:
    if difference > MERGE_BOUND:
        raise GateFailed(
            f"{name}: merging changed a logit by {difference:.2g}; at most {MERGE_BOUND:g} is allowed.",
            'The adapter is fine, the merge lost precision. Use methods = ["full"].',
        )


@dataclass(frozen=True, slots=True)
class DecoderJob:
    """What a decoder is tuned with. `request` is kept beside the data, so that the run can be gone on with.

    `before` is called when a training is about to begin, and not when its result is there already. `run` is the one
    that is gone on with, `begun_by` the version of the code that began it.
    """

    data: DecoderData
    recipe: Recipe
    request: dict[str, Any]
    before: Callable[[], None] = lambda: None
    run: str = ""
    begun_by: str = ""


def check_base(base: Model) -> Path:
    """The folder of a decoder that can be tuned. Raises InputError for every other model."""
    if base.kind == "encoder":
        raise InputError(f"{base.name} is an encoder: it gives no text.", "Train it as a classifier: linnet build.")
    if base.format != "safetensors":
        raise InputError(
            f"{base.name} is {base.format}; a decoder is tuned from a safetensors folder.",
            "Pull or import the model that the GGUF was made of.",
        )
    folder = Path(base.path)
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if isinstance(found := config.get("quantization_config"), dict):
        bits = next((f" in {bits} bits" for bits in (4, 8) if found.get(f"load_in_{bits}bit")), "")
        raise InputError(
            f"{base.name} is stored{bits} ({found.get('quant_method', 'quantised')}): what is learned is merged into "
            "full weights only.",
            "Tune the model it was quantised from: --quantize nf4 holds that in 4 bits while it trains.",
        )
    return folder


def tune_decoder(store: Store, base: Model, job: DecoderJob, on_event: OnEvent = silent) -> Step:
    """Train a decoder on chats. The step holds `adapter/` for LoRA, else `model/`; both can be opened from step 0 on.

    Beside them lie the rows, their report, the template and the curve (`log.jsonl`). An interrupted run goes on from
    its last checkpoint to the same bits. Raises InputError for a base that cannot be tuned, DataError, GuardStopped,
    Interrupted, GateFailed, DiskFull, EngineError.
    """
    recipe = job.recipe
    folder = check_base(base)
    files, inputs = decoder_inputs(base, job)
    name = f"{recipe.shown_method} on {base.name}"

    def work(place: Path) -> dict[str, Any]:
        require("torch", "train")
        _begin(job, place)
        check_space(place, need_bytes(base, recipe), f"Training {name}")
        for file, content in files.items():
            write_bytes(place / file, content)
        write_json(place / REPORT, job.data.report)
        write_json(place / REQUEST, job.request)
        try:
            with logged(place, on_event) as tell:
                _call_others(place.name)
                facts = _train(folder, base, job, place, tell)
        except Interrupted as error:
            error.hint = f"Go on from here with: linnet runs resume {place.name}"
            raise
        artefact = "adapter" if recipe.method == "lora" else "model"
        made = {"kind": "decoder", "method": recipe.shown_method, "base": base.name, "recipe": recipe.to_json()}
        made |= {"rehearsal": job.request.get("rehearsal", ""), "resumed_by": job.request.get("resumed_by", [])}
        return {**facts, **made, "artefact": artefact, "template": job.data.template.name}

    step = store.step("tune", inputs, work, on_event, label=name, begun_by=job.begun_by)
    if step.reused:
        _call_others("")
    else:
        from linnet.training import checkpoints
        from linnet.training.decoder import CHECKPOINTS

        checkpoints.clear(step.folder / CHECKPOINTS)
    return step


def decoder_inputs(base: Model, job: DecoderJob) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files that a run keeps of its data, and everything that decides what it makes."""
    data = job.data
    files = {TRAIN: chat_lines(data.train), VALIDATION: chat_lines(data.validation), **data.more_files()}
    inputs = {
        "kind": "decoder",
        "base": {name: entry.sha256 for name, entry in base.files.items()},
        "base_name": base.name,
        **{name.partition(".")[0]: sha256_bytes(content) for name, content in files.items()},
        "template": sha256_bytes(data.template.source.encode()),
        # As it was written when the run began: a later version may know more fields.
        "recipe": job.request.get("recipe") or job.recipe.to_json(),
    }
    return {**files, TEMPLATE: data.template.source.encode()}, inputs


def base_digest(base: Model) -> str:
    """What names the weights that a training starts with."""
    return sha256_bytes(canonical({name: entry.sha256 for name, entry in base.files.items()}))


def _call_others(place: str) -> None:
    """Tell the other processes of torchrun in which run to compute; "" for none."""
    if processes() > 1 and not is_follower():
        from linnet.training import parallel

        parallel.join()
        parallel.told(place)


def follow_decoder(store: Store, base: Model, job: DecoderJob) -> None:
    """Compute a share of what process 0 trains, as another process of torchrun. Writes nothing."""
    from linnet.training import parallel

    parallel.join()
    if place := parallel.told():
        _train(check_base(base), base, job, store.path("runs", place), silent)


def _begin(job: DecoderJob, place: Path) -> None:
    """What may refuse the run refuses it before anything of it is there."""
    try:
        if job.run and place.name != job.run:
            raise StoreError(
                f"{job.run} was begun with other rows, or by a version that read them otherwise.",
                "Its state cannot be continued. Run its `linnet tune` command again: it starts anew.",
            )
        job.before()
    except LinnetError:
        if not any(place.iterdir()):
            place.rmdir()
        raise


def _train(folder: Path, base: Model, job: DecoderJob, place: Path, on_event: OnEvent) -> dict[str, Any]:
    from linnet.engines.measure import forget_peak_memory
    from linnet.training import align, decoder_folder, devices, parallel, quantized
    from linnet.training.align_data import AlignData
    from linnet.training.align_plan import AlignRecipe
    from linnet.training.decoder import ADAPTER, train_decoder

    began, is_measured = time.monotonic(), forget_peak_memory()
    device = devices.chosen()
    devices.forget_peak(device)
    if device.type != "cpu":
        on_event(Event("note", "tune", f"on {devices.name(device)}: products in bfloat16, the last bits not promised"))
    model = quantized.load(folder, job.recipe, device)
    train, validation = job.data.targets
    template = job.data.template.source
    if isinstance(job.recipe, AlignRecipe) and isinstance(job.data, AlignData):
        facts = align.train_aligned(
            model, job.data, job.recipe,
            folder=place, base=folder, base_name=base.name, base_digest=base_digest(base), device=device,
            on_event=on_event,
        )  # fmt: skip
        write_bytes(place / ADAPTER / decoder_folder.TEMPLATE, template.encode())
        return {**facts, **_cost(began, is_measured)}
    whole, writes = job.recipe.method == "full", parallel.rank() == 0
    if whole and writes and not (place / "model").exists():
        decoder_folder.save(model, folder, place / "model", template)
    tuned = train_decoder(
        model, train, validation, job.recipe,
        folder=place, base_name=base.name, base_digest=base_digest(base), original=folder,
        shard=bool(job.request.get("options", {}).get("shard")), device=device, on_event=on_event,
    )  # fmt: skip
    if whole and writes:
        decoder_folder.save(tuned.trained, folder, place / "model", template)
    elif writes:
        write_bytes(place / ADAPTER / decoder_folder.TEMPLATE, template.encode())
    return {**tuned.facts, **_cost(began, is_measured)}


def _cost(began: float, is_measured: bool) -> dict[str, Any]:
    from linnet.engines.measure import peak_memory_bytes

    peak = peak_memory_bytes() if is_measured else 0
    return {"peak_memory_bytes": peak, "wall_seconds": round(time.monotonic() - began, 3)}


def need_bytes(base: Model, recipe: Recipe) -> int:
    """Room on the disk for the training of this base, as `forecast.disk_bytes` counts it."""
    stored = sum(entry.size_bytes for name, entry in base.files.items() if name.endswith(".safetensors"))
    parameters = int(base.report.get("parameters") or stored // 2)
    return disk_bytes(parameters, recipe, stored)
