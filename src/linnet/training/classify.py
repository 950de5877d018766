"""Train a text classifier: the head starts at the class centres, the encoder moves by LoRA or as a whole.

The table of token embeddings stays as it is in both methods: it is half of a small encoder's weights, and
moving it cost a sixth of the time for nothing measurable (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from linnet.core.errors import GateFailed, InputError
from linnet.core.events import OnEvent, silent
from linnet.core.records import Example, Model
from linnet.core.settings import threads
from linnet.engines.pytorch.torch_encoder import TextClassifier, from_base
from linnet.training import lora
from linnet.training.batching import epoch_batches, padding_share
from linnet.training.loop import Group, Job, Progress, Trainer
from linnet.training.recipe import Recipe

SCORE_TOKENS = 4096
MOST_UNKNOWN = 0.5
CHECKPOINTS = ".checkpoints"


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples as token ids, never longer than the recipe allows, and the index of each label."""

    ids: list[list[int]]
    labels: Tensor
    rows: list[int]
    cut: int

    @property
    def lengths(self) -> list[int]:
        return [len(ids) for ids in self.ids]


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished classifier and how it came to be."""

    classifier: TextClassifier
    progress: Progress
    facts: dict[str, Any]


def encode(examples: Sequence[Example], labels: Sequence[str], tokenizer_file: Path, max_tokens: int) -> Encoded:
    """Token ids of examples; longer ones are cut at `max_tokens` and counted in `cut`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    whole = [found.ids for found in tokenizer.encode_batch([example.text for example in examples])]
    ids = [row if len(row) <= max_tokens else [*row[: max_tokens - 1], row[-1]] for row in whole]
    place = {label: index for index, label in enumerate(labels)}
    targets = torch.tensor([place[example.label] for example in examples])
    return Encoded(ids, targets, [e.row for e in examples], sum(len(row) > max_tokens for row in whole))


def pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask, both (rows, longest row). The padding id does not matter: the mask hides it."""
    width = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    return ids, mask


@torch.no_grad()
def _over_all(encoded: Encoded, function: Any, width: int) -> Tensor:
    """`function(ids, mask)` for every example, in batches of like length; shape (examples, width)."""
    order = sorted(range(len(encoded.ids)), key=lambda i: len(encoded.ids[i]))
    out = torch.zeros(len(order), width)
    while order:
        size = max(1, SCORE_TOKENS // max(1, len(encoded.ids[order[-1]])))
        chosen, order = order[-size:], order[:-size]
        out[chosen] = function(*pad([encoded.ids[i] for i in chosen]))
    return out


def all_logits(classifier: TextClassifier, encoded: Encoded) -> NDArray[np.float32]:
    """Logits of every example, shape (examples, labels)."""
    classifier.eval()
    return np.asarray(_over_all(encoded, classifier, classifier.head.out_features).numpy(), dtype=np.float32)


def class_centres(classifier: TextClassifier, encoded: Encoded, label_count: int) -> Tensor:
    """The mean unit vector of each class, shape (labels, hidden)."""
    vectors = _over_all(encoded, classifier.embed, classifier.head.in_features)
    return torch.zeros(label_count, vectors.shape[1]).index_add_(0, encoded.labels, vectors)


def layer_groups(model: Any, recipe: Recipe) -> list[Group]:
    """Of `backbone` and `head`: the head at its own rate, each layer at one that falls from the top down."""
    named = [(n, p) for n, p in model.backbone.named_parameters() if p.requires_grad]
    depth = int(getattr(model.backbone.config, "num_hidden_layers", 1))
    by_level: dict[int, list[Tensor]] = {}
    for name, parameter in named:
        numbers = [int(part) for part in name.split(".") if part.isdigit()]
        by_level.setdefault(numbers[0] if numbers else depth - 1, []).append(parameter)
    groups = [
        Group(tensors, recipe.learning_rate * recipe.layer_decay ** (depth - 1 - level), recipe.weight_decay)
        for level, tensors in sorted(by_level.items())
    ]
    return [*groups, Group(list(model.head.parameters()), recipe.head_learning_rate, 0.0)]


def _make_job(classifier: TextClassifier, train: Encoded, validation: Encoded, recipe: Recipe, digest: str) -> Job:
    from sklearn.metrics import f1_score

    def loss_of(batch: list[int]) -> Tensor:
        classifier.train()
        logits = classifier(*pad([train.ids[i] for i in batch]))
        return functional.cross_entropy(logits, train.labels[batch], label_smoothing=recipe.label_smoothing)

    def score() -> dict[str, float]:
        logits = all_logits(classifier, validation)
        loss = functional.cross_entropy(torch.from_numpy(logits), validation.labels)
        found = f1_score(validation.labels.numpy(), logits.argmax(1), average="macro", zero_division=0)
        return {"loss": float(loss), "metric": float(found)}

    return Job(
        groups=layer_groups(classifier, recipe),
        epoch_batches=lambda epoch: epoch_batches(train.lengths, recipe.batch_size, recipe.seed, epoch),
        loss_of=loss_of,
        score=score,
        name_of=lambda batch: ", ".join(str(train.rows[i]) for i in batch),
        digest=digest,
    )


def check_tokens(base: Model, rows: Sequence[Sequence[int]], size: int) -> None:
    """Raise GateFailed for tokens that the base does not have, or when most of the text is unknown to it."""
    from tokenizers import Tokenizer

    hint = "Nothing was trained. Take tokenizer.json from where the weights came from, or a base for this language."
    if (largest := max(map(max, rows))) >= size:
        raise GateFailed(
            f"{base.name}: the culprit is the tokenizer: it gives the token {largest}, the model has {size}.", hint
        )
    tokenizer: Any = Tokenizer.from_file(str(Path(base.path) / "tokenizer.json"))
    unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")
    around = tokenizer.num_special_tokens_to_add(is_pair=False)
    count = sum(len(ids) - around for ids in rows)
    share = sum(ids.count(unknown) for ids in rows) / max(1, count)
    if unknown is not None and share > MOST_UNKNOWN:
        raise GateFailed(
            f"{base.name}: the culprit is the tokenizer: {share:.0%} of the tokens of the training texts are unknown "
            "to it. It looks like another model's, or another language's.",
            hint,
        )


def train_classifier(
    base: Model,
    labels: Sequence[str],
    train: Encoded,
    validation: Encoded,
    recipe: Recipe,
    *,
    folder: Path,
    digest: str,
    on_event: OnEvent = silent,
) -> Trained:
    """Train, save and merge. With LoRA the adapters are left in `folder/adapter`.

    `facts` holds speed, padding, history and, for LoRA, the largest difference between the logits of
    adapter and merged model. Raises GateFailed for another model's tokenizer, EngineError, GuardStopped,
    Interrupted, DiskFull.
    """
    if recipe.quantization != "none" or recipe.neftune_alpha:
        raise InputError("quantization and neftune_alpha are for decoders; this trains an encoder.", "Leave them out.")
    torch.set_num_threads(threads())
    torch.manual_seed(recipe.seed)
    classifier = from_base(base, len(labels), recipe.seed)
    check_tokens(base, train.ids, int(classifier.backbone.get_input_embeddings().num_embeddings))
    classifier.start_head_at(class_centres(classifier.eval(), train, len(labels)))
    if recipe.method == "lora":
        classifier.backbone = lora.add(classifier.backbone, recipe)
    else:
        classifier.backbone.get_input_embeddings().requires_grad_(False)
    job = _make_job(classifier, train, validation, recipe, digest)
    progress = Trainer(job, recipe, folder / CHECKPOINTS, on_event).run()
    batches = job.epoch_batches(0)
    facts = {
        "seconds": round(progress.seconds, 3),
        "examples_per_second": round(progress.examples / max(progress.seconds, 1e-9), 2),
        "padding_share": round(padding_share(train.lengths, batches), 4),
        "trained_parameters": sum(p.numel() for group in job.groups for p in group.parameters),
        "best_epoch": progress.best_epoch + 1,
        "epochs": progress.history,
        "cut_examples": train.cut + validation.cut,
    }
    if recipe.method == "lora":
        before = all_logits(classifier, validation)
        lora.save(classifier.backbone, base.name, folder / "adapter")
        classifier.backbone = lora.merge(classifier.backbone)
        facts["merge_difference"] = float(np.abs(all_logits(classifier, validation) - before).max())
    return Trained(classifier.eval(), progress, facts)
