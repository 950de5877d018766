"""Compare two or more evaluations by a judge: whose answers it prefers, how steady it is, whether people agree with it.

The answers are those that the evaluations kept; only evaluations of one identity are compared, whatever their metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import InputError, NotFound
from linnet.core.events import OnEvent, silent
from linnet.core.files import canonical, sha256_bytes, write_bytes, write_json
from linnet.core.runs import RunView, find_run
from linnet.core.store import Step, Store
from linnet.metrics.agreement import Agreement
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.grading import PairVerdict
from linnet.metrics.identity import EvaluationIdentity, dataset_hash, refuse_unless_comparable
from linnet.metrics.preference import Preference, preference, told
from linnet.metrics.significance import holm
from linnet.pipeline.compare import Side, identity_of, pairs_of, sides_of
from linnet.pipeline.evaluate import EvaluateOptions
from linnet.pipeline.judge import Exchange, Judge, JudgeOptions, compare_pairs, exchanges, open_judge, warn_of_itself
from linnet.pipeline.judge_human import pair_agreement, read_human
from linnet.stages.answer import read_asked, read_predictions
from linnet.version import code_version

VERDICTS = "verdicts.jsonl"


@dataclass(frozen=True, slots=True)
class Judged:
    """Comparisons by a judge, with the run of each that holds the verdicts one by one. `judge` is its identity."""

    name: str
    judge: dict[str, str]
    agreement: Agreement | None
    comparisons: list[Preference]
    runs: list[str]

    def summary(self) -> dict[str, Any]:
        """What `linnet compare --judge --json` prints."""
        agreed = self.agreement.to_json() if self.agreement else None
        found = [one.to_json() | {"run": run} for one, run in zip(self.comparisons, self.runs, strict=True)]
        return {"judge": {"name": self.name, **self.judge}, "agreement": agreed, "comparisons": found}


def compare_by_judge(
    names: Sequence[str],
    judging: JudgeOptions,
    data: str | Path = "",
    options: EvaluateOptions | None = None,
    *,
    pairs: bool = False,
    store: Store | None = None,
    on_event: OnEvent = silent,
) -> Judged:
    """Compare evaluations by their runs, or models that are evaluated on `data` first, by what a judge says.

    Each with the first, or with `pairs` every pair; of several the p-values are Holm's. Raises InputError when
    identities differ, naming the difference, NotFound for runs without answers, DataError when no verdict counts, and
    what asking the judge raises.
    """
    store = store or Store()
    judge = open_judge(store, judging, on_event)
    if judge.human:  # a mistake in it is told before anything is asked
        read_human(Path(judge.human).expanduser())
    sides = sides_of(store, names, (data, options), "", on_event)
    chosen = pairs_of(sides, pairs=pairs)
    for one, other in chosen:
        refuse_unless_comparable(_ruler(one), _ruler(other))
    asked = [_exchanges(store, one, other) for one, other in chosen]
    for side in sides:
        warn_of_itself(judge, side.name, _step(_answers(store, side)).run.inputs.get("model"), on_event)
    verdicts = [compare_pairs(store, judge, each, on_event) for each in asked]
    agreed = pair_agreement(store, judge, verdicts, on_event) if judge.human else None
    found = [
        preference((one.name, other.name), each, Drawing(seed=identity_of(one).seed, groups=_groups(one, other)))
        for (one, other), each in zip(chosen, verdicts, strict=True)
    ]
    adjusted = holm({str(place): one.p_value for place, one in enumerate(found)})
    found = [told(one, adjusted[str(place)], len(found)) for place, one in enumerate(found)]
    kept = [_keep(store, judge, pair, agreed, on_event) for pair in zip(found, verdicts, strict=True)]
    return Judged(judge.source.name, judge.identity(graded=False), agreed, found, [step.run.id for step in kept])


def _ruler(side: Side) -> EvaluationIdentity:
    """Without the metric, for the judge takes its place."""
    return identity_of(side).model_copy(update={"metric": "judge", "metric_version": "", "judge": {}})


def _groups(one: Side, other: Side) -> tuple[str, ...] | None:
    return one.groups if one.groups == other.groups else None


def _exchanges(store: Store, one: Side, other: Side) -> list[Exchange]:
    run = _answers(store, one)
    questions = read_asked(run.folder)
    if dataset_hash(each.identity() for each in questions) != identity_of(one).dataset:
        raise InputError(
            f"{one.name}: its answers are kept together with those to other questions, as a build keeps them.",
            "Evaluate it on a file: linnet evaluate MODEL --data FILE",
        )
    texts = [[each.text for each in read_predictions(_step(view))] for view in (run, _answers(store, other))]
    return exchanges(questions, str(_step(run).run.inputs.get("instruction", "")), *texts)


def _answers(store: Store, side: Side) -> RunView:
    if not side.evaluation.answers:
        raise InputError(f"{side.name} was measured by {side.evaluation.primary}: it gave no answers to compare.")
    return find_run(store, side.evaluation.answers, "answer")


def _step(view: RunView) -> Step:
    if view.run is None:
        raise NotFound(f"{view.id} is not finished.", "Evaluate again.")
    return Step(view.run, view.folder, reused=True)


def _keep(
    store: Store,
    judge: Judge,
    found: tuple[Preference, Sequence[PairVerdict]],
    agreed: Agreement | None,
    on_event: OnEvent,
) -> Step:
    """A run of stage `judge`: verdicts.jsonl, one a line, preference.json, and agreement.json where there is one."""
    made, verdicts = found
    told = agreed.to_json() if agreed else None
    lines = "".join(one.model_dump_json() + "\n" for one in verdicts).encode()
    inputs = {
        "judge": judge.identity(graded=False),
        "preference": sha256_bytes(canonical(made.to_json())),
        "verdicts": sha256_bytes(lines),
        "agreement": told,
        "code": code_version("pipeline"),
    }

    def work(folder: Path) -> dict[str, Any]:
        write_bytes(folder / VERDICTS, lines)
        write_json(folder / "preference.json", made.to_json())
        if told:
            write_json(folder / "agreement.json", told)
        return {"first": made.first, "second": made.second, "win_rate": made.win_rate.value, "better": made.better}

    label = f"{made.first} and {made.second} by {judge.source.name}"
    return store.step("judge", inputs, work, on_event, label=label)
