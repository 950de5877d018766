"""A model in a ladder of types, each measured by one ruler, and which to take. Files are made and thrown away.

The ladder goes down in bits and ends early: after two types in a row that lose more than allowed, smaller ones lose
more still.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from linnet.core.errors import EngineError, GateFailed, InputError, LinnetError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, make_folder, sha256_bytes
from linnet.core.models import lease
from linnet.core.records import Record
from linnet.core.store import Store
from linnet.engines.planning.hardware import machine
from linnet.engines.scoring.ruler import Cost, Measured, measure_gguf, tokenized
from linnet.formats.resolve import resolve_model
from linnet.metrics.judging import check_metric
from linnet.pipeline.compare import Compared, compare
from linnet.pipeline.evaluate import EvaluateOptions, evaluate
from linnet.pipeline.gguf import own_precision
from linnet.stages.convert import Options, convert

LADDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K")
GUIDED = ("IQ3_XXS", "IQ2_M", "IQ2_XXS")  # only with an importance matrix
BOUND = 0.05  # nats a token
STEADY = 0.25  # of decoding speed, from one answer to the next
PATIENCE = 2  # types in a row over the bound


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What to try. `types`: by default the ladder; `texts`: their contents by name, the first one decides, by default
    what the model writes itself. bound: the mean KL divergence, in nats a token, that may be lost. data, metric: a file
    of questions as `linnet evaluate` takes them, which the source and every type answer."""

    types: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    imatrix: Path | None = None
    bound: float = BOUND
    threads: int = 0
    data: Path | None = None
    metric: str = ""


class Rung(Record):
    """One type. on_front: no other type is smaller and loses less, or is better in one and equal in the other.

    task: its answers to the user's questions against the source's, paired; p-values adjusted over the types.
    """

    type: str
    measured: Measured
    within_bound: bool
    on_front: bool = False
    fallbacks: int = 0
    task: Compared | None = None

    @property
    def is_worse(self) -> bool:
        """Whether it answers the user's questions worse than the source, beyond chance."""
        return self.task is not None and self.task.better == self.task.first


class Sweep(Record):
    """What was tried. `take` is empty where no type stays within the bound; `skipped`: types that were not made."""

    source: str
    reference: Measured
    rungs: tuple[Rung, ...]
    bound: float
    take: str
    why: str
    stopped: str = ""
    skipped: dict[str, str] = Field(default_factory=dict)
    machine: dict[str, Any] = Field(default_factory=dict)
    seconds: float = 0.0


def sweep(store: Store, model: str, options: SweepOptions = SweepOptions(), on_event: OnEvent = silent) -> Sweep:
    """Convert, measure and compare each type with the source. Leaves no file.

    Raises InputError for an unknown type, an encoder, a source that is quantised already, and where no type could be
    made what the first one raised.
    """
    from linnet.engines.quantization.mixtures import parse

    wanted = options.types or LADDER + (GUIDED if options.imatrix else ())
    types = tuple(dict.fromkeys(parse(name) for name in wanted))
    if (options.data is None) != (not options.metric):
        raise InputError("data and metric go together.", "For example: --data test.jsonl --metric exact_match")
    if options.metric:
        check_metric(options.metric)
    if not options.bound > 0:
        raise InputError(f"the bound is {options.bound:g} nats: it must be above 0.")
    started = time.monotonic()
    found = resolve_model(store, model)
    key = sha256_bytes(canonical([found.name, list(types)]))[:32]
    scratch = store.path("scratch", f"sweep-{key}")
    with lease(store, found), store.locked(f"sweep/{key}", f"the sweep of {found.name}", on_event):
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
        make_folder(scratch)
        try:
            work = _Work(store, options, scratch, on_event)
            source = Path(found.path)
            if found.format != "gguf":
                source = work.made(model, own_precision(source))[0]
            on_event(Event("progress", "sweep", f"measuring {found.name}"))
            texts = tokenized(source, options.texts, options.threads)
            reference = measure_gguf(source, texts, name=found.name, threads=options.threads)
            work.judge("", source)
            rungs, stopped, skipped = work.ladder(source, types, texts)
            rungs = work.compared(rungs)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    rungs = with_front(rungs)
    take, why = choose(reference, rungs, options.bound)
    return Sweep(
        source=found.name,
        reference=reference,
        rungs=tuple(rungs),
        bound=options.bound,
        take=take,
        why=why,
        stopped=stopped,
        skipped=skipped,
        machine=machine(store.root).to_json(),
        seconds=round(time.monotonic() - started, 1),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    store: Store
    options: SweepOptions
    scratch: Path
    on_event: OnEvent
    judged: dict[str, str] = field(default_factory=dict)  # type, "" for the source -> the run of its evaluation

    def made(self, model: str, kind: str) -> tuple[Path, int]:
        """A file of this type, and how many of its tensors got a larger one."""
        path = self.scratch / f"{kind}.gguf"
        options = Options(str(path), self.options.imatrix, threads=self.options.threads)
        return path, len(convert(self.store, model, kind, options, self._quiet).quantized.fallbacks)

    def _quiet(self, event: Event) -> None:
        if event.kind == "progress":
            self.on_event(Event("progress", "sweep", event.message, done=event.done, total=event.total))

    def ladder(
        self, source: Path, types: Sequence[str], texts: Mapping[str, Sequence[int]]
    ) -> tuple[list[Rung], str, dict[str, str]]:
        rungs: list[Rung] = []
        skipped: dict[str, str] = {}
        over, first = 0, LinnetError("")
        for number, kind in enumerate(types):
            started = time.monotonic()
            try:
                path, fallbacks = self.made(str(source), kind)
                measured = measure_gguf(path, texts, name=kind, source=source, threads=self.options.threads)
            except (InputError, GateFailed, EngineError) as error:
                first = first if first.message else error
                skipped[kind] = error.message
                self.on_event(Event("warning", "sweep", f"{kind}: {error.message}"))
                continue
            self.judge(kind, path)
            path.unlink()
            loss = _mean(measured)
            rungs.append(
                Rung(type=kind, measured=measured, within_bound=loss <= self.options.bound, fallbacks=fallbacks)
            )
            said = f"{kind}: {measured.size_bytes / 1e6:,.1f} MB, {loss:.4f} nats"
            self.on_event(Event("done", "sweep", said, data={"seconds": time.monotonic() - started}))
            over = over + 1 if loss > self.options.bound else 0
            if over == PATIENCE and (left := types[number + 1 :]):
                why = f"two types in a row lose more than {self.options.bound:g} nats: {', '.join(left)} not tried"
                return rungs, why, skipped
        if not rungs:
            raise first  # it is the source that does not do
        return rungs, "", skipped

    def judge(self, kind: str, path: Path) -> None:
        """Let a file answer the user's questions, where there are any."""
        if self.options.data is None:
            return
        options = EvaluateOptions(metrics=(self.options.metric,))
        found = evaluate(str(path), self.options.data, options, store=self.store, on_event=self._quiet)
        self.judged[kind] = found.step.run.id

    def compared(self, rungs: list[Rung]) -> list[Rung]:
        if len(self.judged) < 2:
            return rungs
        kinds = [rung.type for rung in rungs]
        names = [self.judged[""], *(self.judged[kind] for kind in kinds)]
        found = compare(names, metric=self.options.metric, store=self.store)
        return [rung.model_copy(update={"task": one}) for rung, one in zip(rungs, found, strict=True)]


def _mean(measured: Measured) -> float:
    divergence = measured.loss.divergence
    return divergence.mean if divergence else 0.0


def with_front(rungs: Sequence[Rung]) -> list[Rung]:
    """The rungs with those marked that no other beats in size and loss at once (Pareto)."""
    places = [(rung.measured.size_bytes, _mean(rung.measured)) for rung in rungs]
    return [
        rung.model_copy(update={"on_front": not any(a <= x and b <= y and (a, b) != (x, y) for a, b in places)})
        for rung, (x, y) in zip(rungs, places, strict=True)
    ]


def choose(reference: Measured, rungs: Sequence[Rung], bound: float) -> tuple[str, str]:
    """The type to take and a sentence that says why: the smallest file on the front that loses at most `bound`."""
    front = sorted((rung for rung in rungs if rung.on_front), key=lambda rung: rung.measured.size_bytes)
    best = next((rung for rung in front if rung.within_bound and not rung.is_worse), None)
    if best is None:
        if not front:
            return "", "No type could be made."
        least = front[-1]
        if any(rung.within_bound for rung in front):
            return "", "Every type within the bound answers your questions worse than the source: keep the source."
        return "", (
            f"No type keeps the loss within {bound:g} nats a token: the nearest, {least.type}, loses "
            f"{_mean(least.measured):.3g}. Keep the source, use an importance matrix, or allow more."
        )
    text, found = next(iter(best.measured.texts.items()))
    assert found.divergence is not None  # noqa: S101 every rung was compared
    said = (
        f"Take {best.type}: the smallest file that loses at most {bound:g} nats a token. It loses "
        f"{found.divergence.mean:.3g} ± {2 * found.divergence.standard_error:.1g} on {found.tokens:,} "
        f"tokens of {text}, picks the same token {found.divergence.same_top_share:.1%} of the time, and is "
        f"{best.measured.size_bytes / reference.size_bytes:.0%} of the source's size"
    )
    said += _faster(reference.cost, best.measured.cost)
    smaller = next((rung for rung in reversed(front) if rung.measured.size_bytes < best.measured.size_bytes), None)
    if best.task:
        one = best.task
        said += (
            f" Its {one.metric} on your questions is {one.second_value:.3f}, the source's {one.first_value:.3f} "
            f"(difference {one.difference.value:+.3f} [{one.difference.low:+.3f}, {one.difference.high:+.3f}])."
        )
    if smaller:
        saved = 1 - smaller.measured.size_bytes / best.measured.size_bytes
        said += f" {smaller.type} would save another {saved:.0%}, and lose {_mean(smaller.measured):.3g}."
    return best.type, said


def _faster(before: Cost, after: Cost) -> str:
    """How much faster it writes, where the measurements agree with themselves."""
    if not before.decode_tokens_per_s or not after.decode_tokens_per_s:
        return "."
    if max(before.decode_spread, after.decode_spread) > STEADY:
        return " (speeds differ too much from one answer to the next here to be compared: measure on a quiet machine)."
    return f" at {after.decode_tokens_per_s / before.decode_tokens_per_s:.2f} times its decoding speed."
