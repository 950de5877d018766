"""Train a tagger: a head on every token, the encoder moves by LoRA or as a whole. Long texts are read in windows.

The loss is on the first token of each word alone; the table of token embeddings stays as it is (see classify).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from linnet.core.errors import InputError
from linnet.core.events import OnEvent, silent
from linnet.core.records import Model
from linnet.core.settings import threads
from linnet.engines.base import Array
from linnet.engines.pytorch.torch_tagger import TextTagger, from_base
from linnet.engines.tags import Reader, Reading, best_tags, of_words, tag_spans, word_tags
from linnet.training import lora
from linnet.training.batching import epoch_batches, padding_share
from linnet.training.classify import CHECKPOINTS, SCORE_TOKENS, check_tokens, layer_groups, pad
from linnet.training.loop import Job, Progress, Trainer
from linnet.training.recipe import Recipe

IGNORED = -100
PROBE_WORDS, PROBE_STEPS = 20_000, 200
UNSEEN = -6.0  # bias of a tag that no word of the probe has
Spans = Sequence[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class TagRow:
    """One window: its ids, the tag of each token or IGNORED, and the row of the file."""

    ids: list[int]
    tags: list[int]
    row: int


@dataclass(frozen=True, slots=True)
class TagData:
    """Every window of some texts, and the texts with the tags of their words."""

    rows: list[TagRow]
    readings: list[Reading]
    tags: list[list[int]]

    @property
    def ids(self) -> list[list[int]]:
        return [row.ids for row in self.rows]

    @property
    def lengths(self) -> list[int]:
        return [len(row.ids) for row in self.rows]


@dataclass(frozen=True, slots=True)
class TrainedTagger:
    """A finished tagger and how it came to be."""

    tagger: TextTagger
    progress: Progress
    facts: dict[str, Any]


def encode_tagged(
    examples: Sequence[tuple[int, str, Spans]], labels: Sequence[str], tokenizer_file: Path, max_tokens: int
) -> TagData:
    """Windows of (row, text, spans); a text of more than `max_tokens` tokens gives several."""
    readings = Reader(tokenizer_file, max_tokens).read([text for _, text, _ in examples])
    rows, tags = [], []
    for (row, _, spans), reading in zip(examples, readings, strict=True):
        tags.append(word_tags(reading.words, spans, labels))
        at = {word.token: tag for word, tag in zip(reading.words, tags[-1], strict=True)}
        for window in reading.windows:
            named = [IGNORED] * len(window.ids)
            for place in range(window.count):
                named[window.lead + place] = at.get(window.begin + place, IGNORED)
            rows.append(TagRow(window.ids, named, row))
    return TagData(rows, readings, tags)


def word_logits(tagger: TextTagger, readings: Sequence[Reading]) -> list[Array]:
    """For each text the logits of its words, shape (words, tags)."""
    found: list[Array] = _of_words(tagger, readings, tagger, tagger.head.out_features)
    return found


@torch.no_grad()
def _of_words(tagger: TextTagger, readings: Sequence[Reading], function: Any, width: int) -> list[Array]:
    """`function(ids, mask)` for the first token of each word, in the window that shows most around it."""
    tagger.eval()
    windows = [window for reading in readings for window in reading.windows]
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].ids))
    found: dict[int, Array] = {}
    while order:
        size = max(1, SCORE_TOKENS // len(windows[order[-1]].ids))
        chosen, order = order[-size:], order[:-size]
        logits = function(*pad([windows[i].ids for i in chosen])).numpy()
        found |= {i: logits[row, windows[i].lead :] for row, i in enumerate(chosen)}
    return of_words(readings, (found[i] for i in range(len(windows))), width)


def start_head(tagger: TextTagger, train: TagData, seed: int) -> None:
    """Start the head as a logistic regression on the words as the encoder sees them now.

    So the encoder moves from a head that means something: linear probing, then fine-tuning (Kumar et al. 2022,
    arXiv:2202.10054).
    """
    from sklearn.linear_model import LogisticRegression

    chosen = list(range(len(train.readings)))
    np.random.Generator(np.random.Philox(seed)).shuffle(chosen)
    words = np.cumsum([len(train.tags[i]) for i in chosen])
    chosen = chosen[: int(np.searchsorted(words, PROBE_WORDS)) + 1]
    width = tagger.head.in_features
    hidden = _of_words(tagger, [train.readings[i] for i in chosen], tagger.embed, width)
    tags = np.array([tag for i in chosen for tag in train.tags[i]])
    if len(known := np.unique(tags)) < 2:
        return
    probe = LogisticRegression(max_iter=PROBE_STEPS).fit(np.concatenate(hidden), tags)
    weight, bias = torch.from_numpy(probe.coef_).float(), torch.from_numpy(probe.intercept_).float()
    if len(known) == 2:  # one row says both
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    with torch.no_grad():
        tagger.head.weight.zero_()
        tagger.head.bias.fill_(UNSEEN)
        tagger.head.weight[known] = weight
        tagger.head.bias[known] = bias


def _score(tagger: TextTagger, held: TagData) -> dict[str, float]:
    """Mean loss of a word, and micro F1 of whole spans in words."""
    loss, words, matched, made, wanted = 0.0, 0, 0, 0, 0
    for logits, true in zip(word_logits(tagger, held.readings), held.tags, strict=True):
        if not true:
            continue
        scores = torch.from_numpy(logits).log_softmax(-1)
        loss -= float(scores[range(len(true)), true].sum())
        words += len(true)
        right, said = (set(tag_spans(tags)) for tags in (true, best_tags(scores.numpy())))
        matched, made, wanted = matched + len(right & said), made + len(said), wanted + len(right)
    return {"loss": loss / max(1, words), "metric": 2 * matched / max(1, made + wanted)}


def _make_job(tagger: TextTagger, train: TagData, held: TagData, recipe: Recipe, digest: str) -> Job:
    def loss_of(batch: list[int]) -> Tensor:
        tagger.train()
        ids, mask = pad([train.rows[i].ids for i in batch])
        tags = torch.full(ids.shape, IGNORED)
        for place, i in enumerate(batch):
            tags[place, : len(train.rows[i].tags)] = torch.tensor(train.rows[i].tags)
        logits = tagger(ids, mask)
        return functional.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=IGNORED)

    return Job(
        groups=layer_groups(tagger, recipe),
        epoch_batches=lambda epoch: epoch_batches(train.lengths, recipe.batch_size, recipe.seed, epoch),
        loss_of=loss_of,
        score=lambda: _score(tagger, held),
        name_of=lambda batch: ", ".join(str(train.rows[i].row) for i in batch),
        digest=digest,
    )


def train_tagger(
    base: Model,
    labels: Sequence[str],
    train: TagData,
    validation: TagData,
    recipe: Recipe,
    *,
    folder: Path,
    digest: str,
    on_event: OnEvent = silent,
) -> TrainedTagger:
    """Train and merge; with LoRA the adapter is left in `folder/adapter`. Facts and errors as of `train_classifier`."""
    if recipe.quantization != "none" or recipe.neftune_alpha:
        raise InputError("quantization and neftune_alpha are for decoders; this trains an encoder.", "Leave them out.")
    torch.set_num_threads(threads())
    torch.manual_seed(recipe.seed)
    tagger = from_base(base, 1 + 2 * len(labels), recipe.seed)
    check_tokens(base, train.ids, int(tagger.backbone.get_input_embeddings().num_embeddings))
    start_head(tagger, train, recipe.seed)
    if recipe.method == "lora":
        tagger.backbone = lora.add(tagger.backbone, recipe)
    else:
        tagger.backbone.get_input_embeddings().requires_grad_(False)
    job = _make_job(tagger, train, validation, recipe, digest)
    progress = Trainer(job, recipe, folder / CHECKPOINTS, on_event).run()
    facts = {
        "seconds": round(progress.seconds, 3),
        "examples_per_second": round(progress.examples / max(progress.seconds, 1e-9), 2),
        "padding_share": round(padding_share(train.lengths, job.epoch_batches(0)), 4),
        "trained_parameters": sum(p.numel() for group in job.groups for p in group.parameters),
        "best_epoch": progress.best_epoch + 1,
        "epochs": progress.history,
        "windows": len(train.rows),
    }
    if recipe.method == "lora":
        before = word_logits(tagger, validation.readings)
        lora.save(tagger.backbone, base.name, folder / "adapter")
        tagger.backbone = lora.merge(tagger.backbone)
        after = word_logits(tagger, validation.readings)
        pairs = zip(before, after, strict=True)
        facts["merge_difference"] = max((float(np.abs(a - b).max()) for a, b in pairs if a.size), default=0.0)
    return TrainedTagger(tagger.eval(), progress, facts)
