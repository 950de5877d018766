"""Choose: the smallest candidate that gives away no more than allowed, and the reason in words.

The choice is made on the validation split. The test split stays untouched until the report, so that the number
printed there was not selected for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from linnet.core.errors import InputError
from linnet.core.events import OnEvent, silent
from linnet.core.records import Choice, Evaluation, Footprint, TaskEvaluation
from linnet.core.store import Step, Store
from linnet.core.task import BudgetPart, QualityPart

Judged = Evaluation | TaskEvaluation
LINEAR = "tfidf_logistic"


@dataclass(frozen=True, slots=True)
class Contender:
    """A candidate as `choose` sees it. `broken` names a failed gate, else is empty."""

    name: str
    validation: Judged
    footprint: Footprint
    broken: str = ""

    def score(self, metric: str) -> float:
        return self.validation.metric(metric).value


def over_budget(footprint: Footprint, budget: BudgetPart) -> str:
    """What speaks against a footprint under a budget, or an empty string."""
    if budget.size is not None and footprint.size_bytes > budget.size:
        return f"its {footprint.size_bytes / 1e6:.1f} MB exceed the size limit of {budget.size / 1e6:.1f} MB"
    if budget.memory is not None and footprint.peak_memory_bytes > budget.memory:
        peak = footprint.peak_memory_bytes
        return f"its peak memory of {peak / 1e6:.0f} MB exceeds the limit of {budget.memory / 1e6:.0f} MB"
    limit = budget.latency_p95_ms
    if limit is not None and footprint.latency_ms_p95 > limit:
        return f"its p95 latency of {footprint.latency_ms_p95:.2f} ms exceeds the limit of {limit:g} ms"
    least, speed = budget.tokens_per_second, footprint.tokens_per_second
    if least is not None and speed is not None and speed < least:
        return f"its {speed:.1f} tokens per second are below the {least:g} that are asked for"
    return ""


def front(contenders: Sequence[Contender], metric: str) -> list[str]:
    """The names of those that no other one beats or equals in score, size and p95 latency and beats in one of them."""

    def cost(c: Contender) -> tuple[float, float, float]:
        return -c.score(metric), c.footprint.size_bytes, c.footprint.latency_ms_p95

    def beaten(c: Contender) -> bool:
        mine = cost(c)
        others = (cost(other) for other in contenders)
        return any(theirs != mine and all(t <= m for t, m in zip(theirs, mine, strict=True)) for theirs in others)

    return [c.name for c in contenders if not beaten(c)]


def decide(
    contenders: list[Contender], baseline: tuple[str, Judged] | None, budget: BudgetPart, quality: QualityPart
) -> Choice:
    """The choice among contenders, by the rules of `[budget]` and `[quality]`. `baseline`: the simplest way, if any.

    1. A failed gate or a broken limit rejects. 2. Of the rest the best score is the reference. 3. What loses more
    than `max_loss` against it, or lies below `floor`, is rejected. 4. Of what is left the smallest wins; at equal
    size the faster. Raises InputError when nothing is left.
    """
    metric = quality.metric
    rejected = {c.name: c.broken or over_budget(c.footprint, budget) for c in contenders}
    fitting = [c for c in contenders if not rejected[c.name]]
    if not fitting:
        reasons = "; ".join(f"{name}: {why}" for name, why in rejected.items())
        raise InputError(f"No candidate fits. {reasons}.", "Relax [budget], or add smaller candidates.")
    best = max(fitting, key=lambda c: c.score(metric))
    for c in fitting:
        loss = best.score(metric) - c.score(metric)
        if loss > quality.max_loss + 1e-12:
            rejected[c.name] = f"loses {loss:.4f} {metric} against {best.name}; {quality.max_loss:g} is allowed"
        elif c.score(metric) < quality.floor:
            rejected[c.name] = f"its {metric} of {c.score(metric):.4f} is below the floor of {quality.floor:g}"
    left = [c for c in fitting if not rejected[c.name]]
    if not left:
        raise InputError(
            f"No candidate meets the floor of {quality.floor:g}; the nearest is {best.name} with {metric} "
            f"{best.score(metric):.4f} on the validation examples.",
            "Add examples, look at the report's suspected labels, or lower [quality] floor.",
        )
    chosen = min(left, key=lambda c: (c.footprint.size_bytes, c.footprint.latency_ms_p95, c.name))
    for c in left:
        if c is not chosen:
            rejected[c.name] = _larger(c, chosen)
    base = ("", -1.0) if baseline is None else (baseline[0], baseline[1].metric(metric).value)
    enough = base[1] >= chosen.score(metric)
    best_of = front(fitting, metric)
    reason = _reason(chosen, best, left, fitting, quality)
    return Choice(
        candidate=chosen.name,
        reason=reason,
        rejected={name: why for name, why in rejected.items() if name != chosen.name},
        recommends_baseline=enough,
        warnings=[_enough(*base, chosen.score(metric))] if enough else [],
        front=best_of,
        reasons=_paragraph(chosen, reason, best_of, base, metric),
    )


def _enough(name: str, score: float, chosen: float) -> str:
    linear = "A linear model is enough: " if name == LINEAR else ""
    return (
        f"{linear}{'the' if linear else 'The'} simple baseline {name} is as good on the validation examples "
        f"({score:.4f} against {chosen:.4f}): use that instead, or give more examples."
    )


def _paragraph(chosen: Contender, reason: str, best_of: list[str], baseline: tuple[str, float], metric: str) -> str:
    """Everything that decided, in plain words."""
    said = [f"{chosen.name} was chosen. {reason}"]
    if len(best_of) > 1:
        said.append(f"On the front of score, size and latency, where none beats another: {', '.join(best_of)}.")
    name, score = baseline
    if name:
        gain = chosen.score(metric) - score
        said.append(
            f"It scores {gain:.4f} more than {name} does." if gain > 0 else _enough(name, score, chosen.score(metric))
        )
    return " ".join(said)


def _larger(c: Contender, chosen: Contender) -> str:
    if c.footprint.size_bytes == chosen.footprint.size_bytes:
        return f"as good within the allowed loss and as small, but slower than {chosen.name}"
    times = c.footprint.size_bytes / chosen.footprint.size_bytes
    return f"good enough, but {times:.1f} times the size of {chosen.name}"


def _reason(
    chosen: Contender, best: Contender, left: list[Contender], fitting: list[Contender], quality: QualityPart
) -> str:
    metric, smallest = quality.metric, min(c.footprint.size_bytes for c in fitting)
    size = f"{chosen.footprint.size_bytes / 1e6:.1f} MB, p95 {chosen.footprint.latency_ms_p95:.2f} ms"
    score = f"{metric} {chosen.score(metric):.4f} on the validation examples"
    if chosen is best and chosen.footprint.size_bytes == smallest:
        return f"Best of all that fit, with {score} ({size}), and none is smaller."
    if chosen is best:
        return (
            f"Best of all that fit, with {score} ({size}); none of the smaller ones stays within {quality.max_loss:g}."
        )
    loss = best.score(metric) - chosen.score(metric)
    return (
        f"The smallest of {len(left)} that lose at most {quality.max_loss:g}: {score}, {loss:.4f} below {best.name}, "
        f"at {size} instead of {best.footprint.size_bytes / 1e6:.1f} MB, {best.footprint.latency_ms_p95:.2f} ms."
    )


def choose(
    store: Store,
    contenders: list[Contender],
    baseline: tuple[str, Judged] | None,
    budget: BudgetPart,
    quality: QualityPart,
    on_event: OnEvent = silent,
) -> tuple[Choice, Step]:
    """`decide`, kept in the store. Raises InputError when no candidate fits the budget or reaches the floor."""
    inputs = {
        "contenders": [
            [c.name, c.validation.to_json(), c.footprint.to_json(), c.broken]
            for c in sorted(contenders, key=lambda c: c.name)
        ],
        "baseline": None if baseline is None else [baseline[0], baseline[1].to_json()],
        "budget": budget.to_json(),
        "quality": quality.to_json(),
    }

    def work(_: Any) -> dict[str, Any]:
        return decide(contenders, baseline, budget, quality).to_json()

    step = store.step("choose", inputs, work, on_event, label="candidates")
    return Choice.model_validate(step.result), step
