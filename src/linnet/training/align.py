"""Preference methods: TRL's losses in our loop, so that checkpoints, resuming, signals and curves are the same.

Of TRL only the loss of a batch is asked (and for GRPO its sampling); its own training loop never runs, so nothing of it
is written, and no pickle is. TRL would report each start to its makers: that is cut off here, and it is imported with
the hub switched off. One process; what is trained is an adapter, and the base without it is the reference.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linnet.core.errors import EngineError, InputError, require
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import sha256_bytes
from linnet.core.settings import threads
from linnet.text.preferences import choice_lines
from linnet.training import decoder_folder, devices, lora, parallel, quantized
from linnet.training.align_data import AlignData, AlignRow
from linnet.training.align_plan import AlignRecipe
from linnet.training.allocator import large_blocks
from linnet.training.answers import Rows, parts
from linnet.training.batching import epoch_batches
from linnet.training.decoder import ADAPTER, CHECKPOINTS, settle
from linnet.training.loop import Group, Job, Progress, Trainer
from linnet.training.merging import added
from linnet.training.recipe import PART_TOKENS
from linnet.training.rewards import make_reward

EXTRA = "align"
HELD_PROMPTS = 64  # of grpo: each costs an answer of the model after every epoch
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")
QUIET = {"TRL_EXPERIMENTAL_SILENCE": "1", **dict.fromkeys(OFFLINE, "1")}


@contextmanager
def offline() -> Iterator[None]:
    """Libraries that are imported inside read that they are offline; the environment is then as it was."""
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


class Losses:
    """The loss of a batch of rows by one of TRL's methods, of a model with a fresh adapter on it."""

    def __init__(
        self, adapted: Any, recipe: AlignRecipe, data: AlignData, base: Path, on_event: OnEvent = silent
    ) -> None:
        """`base` is the folder of the tokenizer."""
        self.model, self.recipe, self.on_event = adapted, recipe, on_event
        self.reward = 0.0  # the mean reward of the last call of `of`
        self.unscored = self.sampled_tokens = self.steps = 0
        self._reward = make_reward(recipe.reward)
        self._rows: dict[str, AlignRow] = {}
        with offline():
            self.trl: Any = _make(adapted, recipe, _tokenizer(base, data), self._judge)
        if "ref" in getattr(adapted, "peft_config", {}):
            adapted.delete_adapter("ref")  # a copy of the fresh adapter says what the base says without one
        self.trl.current_gradient_accumulation_steps = 1

    def of(self, rows: Sequence[AlignRow], *, train: bool = True) -> Tensor:
        """The mean loss over `rows`, with its graph. With `train` false answers are sampled once each."""
        self.model.train(train)
        device = devices.of(self.model)
        for metrics in (getattr(self.trl, "_metrics", {}), getattr(self.trl, "_stored_metrics", {})):
            for kind in metrics:
                metrics[kind] = defaultdict(list)  # TRL's own loop would empty them
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it asks transformers for names that are changing
            if self.recipe.objective == "grpo":
                inputs = self._sampled(rows, self.recipe.samples if train else 1)
            else:
                made = self.trl.data_collator(_FEATURES[self.recipe.objective](rows))
                inputs = {key: one.to(device) if isinstance(one, Tensor) else one for key, one in made.items()}
            with devices.computing(device):
                loss: Tensor = self.trl.compute_loss(self.model, inputs)
        return loss

    def accuracy(self) -> float | None:
        """The share of the rows of the last call of `of` whose chosen answer had the higher reward; None: not known."""
        for metrics in (getattr(self.trl, "_metrics", {}), getattr(self.trl, "_stored_metrics", {})):
            for found in metrics.values():
                if values := found.get("rewards/accuracies"):
                    return float(values[-1])
        return None

    def _sampled(self, rows: Sequence[AlignRow], samples: int) -> Any:
        self._rows = {str(place): row for place, row in enumerate(rows)}
        asked = [{"prompt": place} for place in self._rows for _ in range(samples)]
        self.trl._tokenize_prompts = lambda places: ([list(self._rows[p].prompt) for p in places], None, {})
        return self.trl._generate_and_score_completions(asked)

    def _judge(
        self, *, prompts: list[str], completions: list[str], completion_ids: list[list[int]], **_: Any
    ) -> list[float | None]:
        values = self._reward(completions, [self._rows[place].choice for place in prompts])
        counted = [value for value in values if value is not None]
        self.reward = sum(counted) / max(len(counted), 1)
        if len(counted) < len(values) and not self.unscored:
            text = (
                f"the reward gave no number for {len(values) - len(counted)} of {len(values)} answers: not learned from"
            )
            self.on_event(Event("warning", "tune", text))
        self.unscored += len(values) - len(counted)
        if self.model.training:
            self.steps += 1
            self.sampled_tokens += sum(map(len, completion_ids))
        return values


def _pairs(rows: Sequence[AlignRow]) -> list[dict[str, Any]]:
    return [
        {"prompt_ids": list(r.prompt), "chosen_ids": list(r.chosen), "rejected_ids": list(r.rejected)} for r in rows
    ]


def _judged(rows: Sequence[AlignRow]) -> list[dict[str, Any]]:
    """Each prompt also with the answer of the row before it: from those the distance to the base is estimated."""
    answers = [list(row.chosen or row.rejected) for row in rows]
    return [
        {
            "prompt_ids": list(row.prompt),
            "completion_ids": answer,
            "KL_completion_ids": other,
            "label": bool(row.chosen),
        }
        for row, answer, other in zip(rows, answers, [answers[-1], *answers[:-1]], strict=True)
    ]


def _whole_pairs(rows: Sequence[AlignRow]) -> list[dict[str, Any]]:
    made = []
    for row in rows:
        features: dict[str, Any] = _masked("prompt", row.prompt, ())
        made.append(
            features | _masked("chosen", row.prompt, row.chosen) | _masked("rejected", row.prompt, row.rejected)
        )
    return made


def _masked(name: str, prompt: Sequence[int], answer: Sequence[int]) -> dict[str, list[int]]:
    ids = [*prompt, *answer]
    found = {f"{name}_input_ids": ids, f"{name}_attention_mask": [1] * len(ids)}
    return found | ({f"{name}_labels": [-100] * len(prompt) + list(answer)} if answer else {})


_FEATURES = {"dpo": _pairs, "kto": _judged, "orpo": _whole_pairs}


def _tokenizer(base: Path, data: AlignData) -> Any:
    """What TRL asks for padding, ends and texts; the tokens of the rows are ours."""
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    found.eos_token = found.convert_ids_to_tokens(data.end_ids[0])
    if found.pad_token is None:
        found.pad_token = found.eos_token
    return found


def _make(adapted: Any, recipe: AlignRecipe, tokenizer: Any, judge: Any) -> Any:
    """TRL's trainer of the method: only its losses are used. The rows it is made with are never read."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    kind, settings_of = _classes(recipe.objective)
    folder = tempfile.mkdtemp(prefix="linnet-")  # TRL wants one, and writes nothing into it
    common: dict[str, Any] = {
        "output_dir": folder, "report_to": "none", "save_strategy": "no", "eval_strategy": "no",
        "use_cpu": devices.of(adapted).type == "cpu", "bf16": False, "fp16": False,
        "gradient_checkpointing": False, "disable_tqdm": True,
        "per_device_train_batch_size": recipe.batch_size, "seed": recipe.seed, "remove_unused_columns": False,
        "beta": recipe.beta, "push_to_hub": False,
    }  # fmt: skip
    more: dict[str, Any] = {}
    if recipe.objective == "grpo":
        common |= {"per_device_train_batch_size": recipe.batch_size * recipe.samples, "num_generations": recipe.samples,
                   "num_generations_eval": 1, "max_completion_length": recipe.answer_tokens}  # fmt: skip
        more["reward_funcs"] = [judge]
    else:
        common["max_length"] = None if recipe.objective != "orpo" else recipe.max_tokens
    unread = {"prompt": ["a"], "chosen": ["b"], "rejected": ["c"], "completion": ["b"], "label": [True]}

    class Quiet(kind):  # type: ignore[misc, valid-type]
        def _send_telemetry(self) -> None:
            """TRL's report to its makers."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def train(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError("The loop is linnet.training.loop; TRL's would write pickles.")

    try:
        made = Quiet(
            model=adapted, args=settings_of(**common), train_dataset=Dataset.from_dict(unread),
            processing_class=tokenizer, **more,
        )  # fmt: skip
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise EngineError(f"{recipe.objective} cannot train this model: {error}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return made


def _classes(objective: str) -> tuple[Any, Any]:
    import transformers.utils.logging as their_logging

    their_logging.set_verbosity_error()
    their_logging.disable_progress_bar()
    if objective == "orpo":
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        return ORPOTrainer, ORPOConfig
    import trl

    return getattr(trl, f"{objective.upper()}Trainer"), getattr(trl, f"{objective.upper()}Config")


def ready(
    model: Any, data: AlignData, recipe: AlignRecipe, base: Path, device: torch.device, on_event: OnEvent = silent
) -> tuple[Any, Losses]:
    """The model with its fresh adapter on `device`, and its losses; the same bits every time on the processor. `base`
    is the tokenizer's folder.

    Raises ResourceMissing without TRL, InputError for what does not work with the method, EngineError.
    """
    require("trl", EXTRA)
    recipe.check()
    quantized.check_loaded(model, recipe)
    if parallel.size() > 1 or recipe.gradient_checkpointing:
        what = "several processes" if parallel.size() > 1 else "gradient checkpointing"
        raise InputError(f"{recipe.objective} does not work with {what} yet.", "Run it without.")
    torch.manual_seed(recipe.seed)
    adapted = lora.add(model, recipe)
    settle(model, device, narrow=False)
    losses = Losses(adapted, recipe, data, base, on_event)
    torch.manual_seed(recipe.seed)
    return adapted, losses


def make_job(losses: Losses, data: AlignData, recipe: AlignRecipe, digest: str) -> Job:
    """The job for the loop."""
    train, held = data.rows
    lengths = [row.width for row in train]
    held = held[:HELD_PROMPTS] if recipe.objective == "grpo" else held

    def loss_of(batch: list[int]) -> Tensor:
        if recipe.objective != "dpo":
            return losses.of([train[i] for i in batch])
        total = torch.zeros((), device=devices.of(losses.model))  # a mean over rows may be cut anywhere
        for chosen in parts([2 * length for length in lengths], batch, PART_TOKENS):
            value = losses.of([train[i] for i in chosen]) * (len(chosen) / len(batch))
            value.backward()
            total += value.detach()
        return total

    return Job(
        groups=[Group([p for p in losses.model.parameters() if p.requires_grad], recipe.learning_rate, 0.0)],
        epoch_batches=lambda epoch: epoch_batches(lengths, recipe.batch_size, recipe.seed, epoch),
        loss_of=loss_of,
        score=lambda: _score(losses, held, recipe),
        name_of=lambda batch: ", ".join(str(train[i].choice.row) for i in batch),
        digest=digest,
    )


@torch.no_grad()
def _score(losses: Losses, held: Sequence[AlignRow], recipe: AlignRecipe) -> dict[str, float]:
    """The loss on held-out rows; for grpo the mean reward of an answer to each, sampled alike after every epoch."""
    total, right, count = 0.0, 0.0, 0
    place = devices.of(losses.model)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        for start in range(0, len(held), recipe.batch_size):
            rows = held[start : start + recipe.batch_size]
            value = float(losses.of(rows, train=False))
            right += (losses.accuracy() or 0.0) * len(rows)
            total += (0.0 - losses.reward if recipe.objective == "grpo" else value) * len(rows)
            count += len(rows)
    known = {} if losses.accuracy() is None else {"accuracy": right / count}
    return {"loss": total / count, "metric": 0.0 - total / count, **known}


def train_aligned(
    model: Any,
    data: AlignData,
    recipe: AlignRecipe,
    *,
    folder: Path,
    base: Path,
    base_name: str,
    base_digest: str,
    device: torch.device = devices.CPU,
    on_event: OnEvent = silent,
) -> dict[str, Any]:
    """Train an adapter on `model`, which is of the folder `base`; it is in `folder/adapter`, from step 0 on.

    Gives the facts of the run. Raises ResourceMissing without TRL, InputError for a recipe that does not fit,
    EngineError, GuardStopped, Interrupted, GateFailed, DiskFull.
    """
    torch.set_num_threads(threads())
    adapted, losses = ready(model, data, recipe, base, device, on_event)
    if not (folder / ADAPTER).exists():
        lora.save(adapted, base_name, folder / ADAPTER)
    lines = [sha256_bytes(choice_lines([row.choice for row in side])) for side in data.rows]
    here = [torch.__version__, *devices.identity(device)]
    job = make_job(losses, data, recipe, recipe.digest(base_digest, *lines, data.template.source, *here))
    with large_blocks():
        progress = Trainer(job, recipe, folder / CHECKPOINTS, on_event).run()
    lora.save(adapted, base_name, folder / ADAPTER)
    facts = _facts(losses, job, data, progress)
    return {**facts, **_proved(base, folder, Rows(data.targets[1].examples))}


def _facts(losses: Losses, job: Job, data: AlignData, progress: Progress) -> dict[str, Any]:
    sides = [{"examples": len(side), "answer_tokens": sum(row.answer_tokens for row in side)} for side in data.rows]
    epochs = progress.examples / len(data.rows[0])
    seconds = max(progress.seconds, 1e-9)
    found: dict[str, Any] = {
        "seconds": round(progress.seconds, 3),
        "trained_parameters": sum(p.numel() for group in job.groups for p in group.parameters),
        "device": devices.name(devices.of(losses.model)),
        "device_memory_bytes": devices.peak_bytes(devices.of(losses.model)),
        "best_epoch": progress.best_epoch + 1,
        "epochs": progress.history,
        "train": sides[0],
        "validation": sides[1],
        "target_tokens_per_second": round(sides[0]["answer_tokens"] * epochs / seconds, 1),
    }
    if losses.recipe.objective == "grpo":
        speed = 0.0 if progress.step > losses.steps else losses.sampled_tokens / seconds  # of a part: not known
        found |= {"answers_without_reward": losses.unscored, "target_tokens_per_second": round(speed, 1)}
    return found


@torch.no_grad()
def _proved(base: Path, folder: Path, held: Rows) -> dict[str, float]:
    """The largest difference of a logit that merging makes, into the base's own weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT looks for the base at the place where its name would be
        adapted = lora.attach(decoder_folder.load(base), folder / ADAPTER)
    probe = held.part(parts(held.lengths, range(len(held)), PART_TOKENS)[-1][:8])
    hint = f"The adapter is in {folder / ADAPTER}. Lower the learning rate."
    return {"merge_difference": added(adapted, [probe], hint)[2]}
