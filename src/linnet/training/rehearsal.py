"""A training walked through on a few rows before it is begun: steps, rate, checkpoint, merge, conversion, engine.

Everything runs through the functions that the long run uses, with its own longest and ordinary batches. What fails
stops here with its name; what is measured becomes the prediction. Writes into one folder and keeps nothing of it.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linnet.core import settings
from linnet.core.errors import EngineError, GateFailed, GuardStopped, Interrupted, LinnetError
from linnet.core.events import Event, OnEvent, silent
from linnet.engines.base import GGUF
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.measure import forget_peak_memory, peak_memory_bytes
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation, Message
from linnet.training import align, checkpoints, decoder_folder, devices, lora, merging, quantized
from linnet.training.align_data import AlignData
from linnet.training.align_plan import AlignRecipe
from linnet.training.allocator import large_blocks
from linnet.training.answers import Rows
from linnet.training.decoder import ADAPTER, make_job, ready
from linnet.training.decoder_data import DecoderData
from linnet.training.loop import Job, Trainer
from linnet.training.recipe import Recipe
from linnet.training.targets import TargetEncoder, Targets

RATE_STEPS, SAMPLED_STEPS, WARM_STEPS = 8, 2, 4  # those of grpo sample answers first
STEEP = 1.25  # the loss on rows that are learned again and again must not rise by a quarter
HELD = 8  # rows for validation, gates and the generation
ANSWER_TOKENS = 16
NAMES = ("load", "steps", "rate", "checkpoint", "save", "merge", "convert", "engine")


@dataclass(frozen=True, slots=True)
class Given:
    """What the long run would be given: the base's folder, its digest and name, the rows, and the recipe."""

    base: Path
    digest: str
    name: str
    data: DecoderData
    recipe: Recipe
    gguf: bool = True


@dataclass(slots=True)
class Rehearsed:
    """`steps`: each with name, ok, seconds and what was measured. `predicted`: of the long run."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    predicted: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A training made ready. `lengths` are the tokens of each row: to learn from, held out, and held out here.

    Of grpo the loss says nothing: it is about nought whatever is learned, and `steep` is None.
    """

    model: Any
    adapted: Any
    job: Job
    lengths: tuple[Sequence[int], Sequence[int], Sequence[int]]
    steps: int = RATE_STEPS
    steep: float | None = STEEP


def _ready(given: Given, on_event: OnEvent) -> _Ready:
    """The training as the long run makes it ready, with few rows held out."""
    data, recipe, device = given.data, given.recipe, devices.chosen()
    model = quantized.load(given.base, recipe, device)
    if isinstance(data, AlignData) and isinstance(recipe, AlignRecipe):
        adapted, losses = align.ready(model, data, recipe, given.base, device, on_event)
        few = replace(data, rows=(data.rows[0], data.rows[1][:HELD]))
        job = align.make_job(losses, few, recipe, given.digest)
        (train, held), (_, shown) = data.lengths(), few.lengths()
        if recipe.objective != "grpo":
            return _Ready(model, adapted, job, (train, held, shown))
        return _Ready(model, adapted, job, (train, held[: align.HELD_PROMPTS], shown), SAMPLED_STEPS, None)
    decoder, adapted = ready(model, recipe, device)
    sides = [Rows(examples) for examples in (*(side.examples for side in data.targets), _few(data).examples)]
    job = make_job(decoder, sides[0], sides[2], recipe, given.digest)
    return _Ready(model, adapted, job, (sides[0].lengths, sides[1].lengths, sides[2].lengths))


def _few(data: DecoderData) -> Targets:
    return Targets(data.targets[1].examples[:HELD])


def rehearse(given: Given, room: Path, on_event: OnEvent = silent) -> Rehearsed:
    """Walk through a training in the empty folder `room`.

    Raises GuardStopped, which names the step and what failed in it.
    """
    return _Rehearsal(given, room, on_event).run()


class _Rehearsal:
    def __init__(self, given: Given, room: Path, on_event: OnEvent) -> None:
        self.given, self.room, self.on_event = given, room, on_event
        self.found = Rehearsed()
        self.few = _few(given.data)
        self.lengths: Sequence[int] = ()  # of the rows to learn from
        self.batches: list[list[int]] = []
        self.losses: list[float] = []

    def run(self) -> Rehearsed:
        forget_peak_memory()
        devices.forget_peak(devices.chosen())
        began = time.monotonic()
        with large_blocks(), devices.products(self.given.recipe.products):
            self._train()
        gc.collect()
        self._forms()
        self.found.predicted["rehearsal_seconds"] = round(time.monotonic() - began, 1)
        return self.found

    @contextmanager
    def _step(self, name: str) -> Iterator[dict[str, Any]]:
        """One named step; what goes wrong in it is told and raised under its name."""
        measured: dict[str, Any] = {}
        started = time.monotonic()
        try:
            yield measured
        except Interrupted:
            raise
        except LinnetError as error:
            self._tell(name, False, started, {"error": error.message})
            raise GuardStopped(f"The rehearsal stopped at {name}: {error.message}", error.hint) from error
        except (MemoryError, RuntimeError) as error:
            self._tell(name, False, started, {"error": str(error)[:200]})
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            hint = "The memory is too small: try --part-tokens 256, --checkpointing or --quantize nf4."
            raise GuardStopped(
                f"The rehearsal stopped at {name}: {first}", hint if "memory" in first or not str(error) else ""
            ) from error
        self._tell(name, True, started, measured)

    def _tell(self, name: str, ok: bool, started: float, measured: dict[str, Any]) -> None:
        entry = {"step": name, "ok": ok, "seconds": round(time.monotonic() - started, 3), **measured}
        self.found.steps.append(entry)
        said = measured.get("said") or measured.get("error", "")
        text = f"{name}: {'ok' if ok else 'failed'}{', ' + said if said else ''}"
        self.on_event(Event("note", "rehearse", text, NAMES.index(name) + 1, len(NAMES), entry))

    def _train(self) -> None:
        """Load, step, and save; the model is gone when this returns."""
        recipe, began = self.given.recipe, time.monotonic()
        with self._step("load") as said:
            made = _ready(self.given, self.on_event)
            self.lengths, held, few = made.lengths
            self.batches = made.job.epoch_batches(0)
            trainer = Trainer(made.job, recipe, self.room / "checkpoints", self._note_loss)
            trainer.steps = WARM_STEPS * 10  # a tenth of them is the way up to the peak rate
            trainer.recipe = recipe.model_copy(update={"warmup_share": 0.1})
            said["said"] = f"{made.model.num_parameters():,} weights"
        loading = time.monotonic() - began
        longest, ordinary = self._batches()
        with self._step("steps") as said:
            seconds = [self._timed(trainer, batch) for batch in (ordinary, longest, ordinary)]
            said["said"] = f"{self._tokens(longest):,} and {self._tokens(ordinary):,} tokens, loss {self.losses[0]:.3f}"
        with self._step("rate") as said:
            again = [self._timed(trainer, ordinary) for _ in range(made.steps)]
            said["said"] = self._check_rate(made)
        with self._step("checkpoint") as said:
            saving = self._checkpoint(trainer)
            said["said"] = f"read back to the same bits, {saving:.2f} s"
        started = time.monotonic()
        loss = made.job.score()["loss"]
        scoring = (time.monotonic() - started) * sum(held) / max(sum(few), 1)
        if not math.isfinite(loss):
            raise GuardStopped(f"The rehearsal stopped at rate: the validation loss is {loss}.", "Lower --rate.")
        self._predict(loading, (seconds[1], statistics.median([seconds[2], *again])), saving, scoring)
        with self._step("save") as said:
            said["said"] = self._save(made.model, made.adapted)

    def _note_loss(self, event: Event) -> None:
        if "loss" in event.data:
            self.losses.append(float(event.data["loss"]))

    def _timed(self, trainer: Trainer, batch: list[int]) -> float:
        started = time.monotonic()
        trainer.step(batch)
        return time.monotonic() - started

    def _tokens(self, batch: list[int]) -> int:
        return sum(self.lengths[i] for i in batch)

    def _batches(self) -> tuple[list[int], list[int]]:
        """The batch of the most tokens with the longest row in it, and the one in the middle."""
        every = sorted(self.batches, key=self._tokens)
        row = max(range(len(self.lengths)), key=self.lengths.__getitem__)
        longest = every[-1] if row in every[-1] else [row, *every[-1][1:]]
        return longest, every[len(every) // 2]

    def _check_rate(self, made: _Ready) -> str:
        rate = self.given.recipe.learning_rate
        if made.steep is None:
            return f"{rate:g}: not judged, for the loss of sampled answers is about nought"
        before, after = self.losses[0], sum(self.losses[-3:]) / 3
        if not after <= made.steep * before + 0.05:
            raise GuardStopped(
                f"the learning rate {rate:g} diverges: the loss on the same rows rose from {before:.3f} to {after:.3f} "
                f"in {made.steps} steps.",
                f"Try --rate {rate / 10:.1g}.",
            )
        return f"{rate:g}: loss {self.losses[0]:.3f} to {self.losses[-1]:.3f}"

    @torch.no_grad()
    def _checkpoint(self, trainer: Trainer) -> float:
        """Save, spoil, read back, compare every bit. Returns the seconds that saving took."""
        started = time.monotonic()
        trainer.save()
        saving = time.monotonic() - started
        self.found.predicted["memory_bytes"] = float(devices.peak_bytes(trainer.device) or peak_memory_bytes())
        before = [parameter.detach().clone() for parameter in trainer.parameters]
        for parameter in trainer.parameters:
            parameter.fill_(math.nan)
        trainer.load(checkpoints.latest(self.room / "checkpoints", trainer.job.digest))
        if not all(_same(a, b) for a, b in zip(before, trainer.parameters, strict=True)):
            raise GateFailed("what was read back from a checkpoint is not what was written.", "Test this disk.")
        checkpoints.clear(self.room / "checkpoints")
        return saving

    def _predict(self, loading: float, steps: tuple[float, float], saving: float, scoring: float) -> None:
        """The long run from what a longest and an ordinary batch took: a line through the two."""
        longest, ordinary = (self._tokens(batch) for batch in self._batches())
        mean = steps[1] / max(ordinary, 1)
        slope = (steps[0] - steps[1]) / max(longest - ordinary, 1)
        if longest <= 1.2 * ordinary or slope <= 0:
            slope = mean
        tokens = [self._tokens(batch) for batch in self.batches]
        epoch = sum(max(steps[1] + slope * (count - ordinary), 0.25 * mean * count) for count in tokens)
        training = self.given.recipe.epochs * (epoch + scoring)
        every = max(settings.get_number("LINNET_CHECKPOINT_S"), 1.0)
        self.found.predicted["seconds"] = round(loading + training + saving * training / every, 3)

    def _save(self, model: Any, adapted: Any) -> str:
        given = self.given
        if adapted is None:
            decoder_folder.save(model, given.base, self.room / "model", given.data.template.source)
            made = self.room / "model"
        else:
            lora.save(adapted, given.name, self.room / ADAPTER)
            made = self.room / ADAPTER
        size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
        self.found.predicted["artefact_bytes"] = float(size)
        return f"{size / 1e6:.1f} MB"

    def _forms(self) -> None:
        """The merged model, its GGUF, and the engine, each compared with what it was made of."""
        given = self.given
        merged = self.room / "merged"
        forget_peak_memory()
        with self._step("merge") as said:
            if given.recipe.method == "lora":
                source = given.data.template.source
                proof = merging.merge_adapter(given.base, self.room / ADAPTER, self.few, merged, source)
            else:
                merged = self.room / "model"
                proof = merging.copied(merged, self.few)
            said["gates"] = proof.gates
            said["said"] = proof.gates[-1]["measured"] if proof.gates else "nothing to merge"
        self.found.predicted["merge_memory_bytes"] = float(peak_memory_bytes())
        if not given.gguf:
            return
        file = self.room / GGUF
        with self._step("convert") as said:
            gate = merging.to_gguf(merged, file, proof.probes)
            said |= {"gates": [gate], "said": gate["measured"]}
        with self._step("engine") as said:
            said["said"] = self._generate(merged, file)

    def _generate(self, folder: Path, file: Path) -> str:
        """One answer from the engine, to a prompt whose ids are those of the training."""
        encoder = TargetEncoder.of_folder(folder)
        chat = next((c for c in self.given.data.validation if c.turns and not c.has_tools), None)
        asked = chat.turns[:-1] if chat and chat.turns[-1].role == "assistant" else ()
        ids = list(encoder.prompt_ids(asked) if asked else self.few.examples[0].ids[:2])
        room = len(ids) + 2 * ANSWER_TOKENS
        engine = open_llama(file, LoadOptions(context=max(room, 64), slots=1), label=self.given.name)
        try:
            engine.start()
            if asked:
                messages = tuple(Message(turn.role, turn.content) for turn in asked)
                _check_prompt(engine.prompt_ids(GenerateRequest(messages=messages)), ids)
            return _answered(engine, ids)
        finally:
            engine.close()


def _same(one: Tensor, other: Tensor) -> bool:
    return bool(torch.equal(one, other.detach()))


def _check_prompt(engine: list[int], trained: list[int]) -> None:
    if engine == trained:
        return
    shared = min(len(engine), len(trained))
    at = next((i for i in range(shared) if engine[i] != trained[i]), shared)
    raise GateFailed(
        f"the engine reads a prompt as other tokens than the training: at token {at + 1} of {len(trained)}.",
        "Template, BOS or tokenizer differ between the folder and its GGUF. Try another --template.",
    )


def _answered(engine: LlamaEngine, ids: list[int]) -> str:
    request = GenerateRequest(token_ids=tuple(ids), max_tokens=ANSWER_TOKENS, sampling=GREEDY)
    last = None
    for piece in engine.generate(request):
        last = piece
    if not isinstance(last, Generation):
        raise EngineError("the engine ended an answer without its end.")
    return f"{last.completion_tokens} tokens answered to {len(ids)}"
