"""An adapter added into its base, in the base's own precision, and the proof that it says the same as before.

Three steps are measured at held-out targets: adding in fp32, rounding to what the base is stored as, and conversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from linnet.core.errors import GateFailed
from linnet.core.settings import threads
from linnet.engines.conversion.convert import Precision, hf_to_gguf
from linnet.engines.conversion.prompt_gate import check_asked, check_prompts
from linnet.training import decoder_folder, lora
from linnet.training.answers import Decoder, Part, Rows, parts, target_logits
from linnet.training.recipe import PART_TOKENS
from linnet.training.targets import TargetExample, Targets

if TYPE_CHECKING:
    from linnet.engines.scoring.scorer import Scorer

ADD_BOUND = 1e-3  # largest difference of any logit in fp32
GGUF_TYPES: dict[Any, Precision] = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
# The least share of held-out targets at which adapter and merged model give the same likeliest token.
AGREEMENT = {torch.float32: 0.999, torch.bfloat16: 0.95, torch.float16: 0.98}
GGUF_AGREEMENT = 0.95  # the same between torch and the engine, in one precision
PROBES = 32


@dataclass(frozen=True, slots=True)
class Probe:
    """A held-out row: its ids, the positions whose next token was learned, and the merged model's logits there.

    `logits` has shape (positions, vocabulary). `asked` is the text before the first answer, with as many of the ids as
    `asked_tokens` says; "" where a message spells a control token. `end` is the token that ends the last answer.
    """

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    logits: NDArray[np.float32]
    asked: str = ""
    asked_tokens: int = 0
    end: int = -1


@dataclass(frozen=True, slots=True)
class Merged:
    """What merging measured: its gates, and probes for whoever converts the model next."""

    gates: list[dict[str, Any]]
    probes: list[Probe]


def merge_adapter(base: Path, adapter: Path, held: Targets, target: Path, template: str) -> Merged:
    """Write base plus adapter as the folder `target`, in the base's precision, with `template`.

    Raises EngineError for an adapter of another model, NotFound, GateFailed, DiskFull.
    """
    torch.set_num_threads(threads())
    made = _probes(held)
    adapted: Any = lora.attach(decoder_folder.load(base), adapter)
    merged, before, difference = added(
        adapted, made, f"The adapter in {adapter} is unchanged and can be used as it is."
    )
    decoder_folder.save(merged, base, target, template)
    del adapted, merged
    model = decoder_folder.load(target)
    after = _logits(model, made)
    gates = [
        gate("adapter = merged, fp32", f"largest logit difference <= {ADD_BOUND:g}", f"{difference:.1e}"),
        _rounded(before, after, decoder_folder.precision(base)),
    ]
    return Merged(gates, _cut(held, model))


@torch.no_grad()
def added(adapted: Any, probes: list[Part], hint: str) -> tuple[Any, torch.Tensor, float]:
    """The model with its adapter added in fp32, the logits before, and the largest change of one.

    Raises GateFailed with `hint`.
    """
    before = _logits(adapted.get_base_model(), probes)
    merged = lora.merge(adapted)
    difference = float((_logits(merged, probes) - before).abs().max())
    if not difference <= ADD_BOUND:
        raise GateFailed(f"Merging changed a logit by {difference:.3g}; at most {ADD_BOUND:g} is allowed.", hint)
    return merged, before, difference


def copied(model: Path, held: Targets) -> Merged:
    """Probes of a model that needs no merging."""
    torch.set_num_threads(threads())
    return Merged([], _cut(held, decoder_folder.load(model)))


def to_gguf(model: Path, target: Path, probes: list[Probe]) -> dict[str, Any]:
    """The folder `model` as the GGUF `target` in the same precision, and the gate: the engine says the same as torch.

    It also begins, reads and ends a chat as training did. Raises GateFailed, EngineError and ModelFileError for what
    cannot be converted, DiskFull, ResourceMissing.
    """
    from linnet.engines.scoring.scorer import Scorer

    kind = GGUF_TYPES[decoder_folder.precision(model)]
    hf_to_gguf(model, target, kind)
    same, largest = [], 0.0
    with Scorer(target, context=max(16, *(len(probe.ids) for probe in probes))) as scorer:
        check_prompts(model, target, scorer)
        check_asked(target.name, [(one.asked, one.ids[: one.asked_tokens]) for one in probes], scorer)
        _check_ends(target.name, {probe.end for probe in probes}, scorer)
        for probe in probes:
            ours = scorer.logits(list(probe.ids))[list(probe.positions)]
            same.append(ours.argmax(1) == probe.logits.argmax(1))
            largest = max(largest, float(np.abs(ours - probe.logits).max()))
    agreement = float(np.concatenate(same).mean())
    if not agreement >= GGUF_AGREEMENT:
        raise GateFailed(
            f"The engine gives another likeliest token than torch at {1 - agreement:.1%} of {sum(map(len, same))} "
            f"held-out places; at most {1 - GGUF_AGREEMENT:.0%} is allowed.",
            f"{model} is right, its conversion is not. Report it with `linnet doctor --json`.",
        )
    measured = f"{agreement:.1%} of {sum(map(len, same))} tokens the same, largest logit difference {largest:.2g}"
    return gate(f"merged = GGUF {kind} in the engine", f">= {GGUF_AGREEMENT:.0%} of tokens the same", measured)


def _check_ends(name: str, ends: set[int], scorer: Scorer) -> None:
    """Raise GateFailed for a token that ended the answers of training and ends none in the engine."""
    for token in sorted(ends - {-1}):
        if not scorer.ends_answer(token):
            raise GateFailed(
                f"{name}: the culprit is the stop ids: training ended its answers with {scorer.token_text(token)!r} "
                f"(token {token}), which does not end one in the engine: it would write on.",
                "Name it in eos_token_id of the base's generation_config.json, or tune with the model's own template.",
            )


def gate(name: str, bound: str, measured: str) -> dict[str, Any]:
    """A passed gate, as reports show it."""
    return {"name": name, "bound": bound, "measured": measured, "passed": True}


def _rounded(before: torch.Tensor, after: torch.Tensor, dtype: torch.dtype) -> dict[str, Any]:
    name, least = str(dtype).removeprefix("torch."), AGREEMENT[dtype]
    agreement = float((before.argmax(1) == after.argmax(1)).float().mean())
    difference = float((before - after).abs().max())
    if not agreement >= least:
        raise GateFailed(
            f"Stored as {name}, the merged model gives another likeliest token at {1 - agreement:.1%} of "
            f"{len(before)} held-out places; at most {1 - least:.1%} is allowed.",
            "The adapter is fine, the base's precision is too coarse for it. Use the adapter as it is.",
        )
    measured = f"{agreement:.1%} of {len(before)} tokens the same, largest logit difference {difference:.2g}"
    return gate(f"adapter = merged, stored as {name}", f">= {least:.1%} of tokens the same", measured)


def _probes(held: Targets) -> list[Part]:
    rows = Rows(held.examples[:PROBES])
    return [rows.part(chosen) for chosen in parts(rows.lengths, range(len(rows)), PART_TOKENS)]


def _logits(model: Any, made: list[Part]) -> torch.Tensor:
    decoder = Decoder(model)
    return torch.cat([target_logits(decoder, part) for part in made])


def _cut(held: Targets, model: Any) -> list[Probe]:
    """Row by row, as an engine reads them."""
    rows = Rows(held.examples[:PROBES])
    decoder = Decoder(model)
    found = []
    for index in range(len(rows)):
        positions = tuple(i - 1 for i in rows.targets[index])
        logits = target_logits(decoder, rows.part([index])).numpy()
        found.append(Probe(tuple(rows.ids[index][:-1]), positions, logits, *_around(held.examples[index])))
    return found


def _around(example: TargetExample) -> tuple[str, int, int]:
    """The text before the first answer, its tokens, and the token that ends the last answer."""
    first = next(i for i, piece in enumerate(example.pieces) if piece.is_target)
    before = example.pieces[:first]
    last = next(piece for piece in reversed(example.pieces) if piece.is_target)
    asked = "" if example.guarded else "".join(piece.text for piece in before)
    return asked, sum(len(piece.ids) for piece in before), last.ids[-1] if last.is_control else -1
