"""Metrics by their names: from predictions and references to a value for each example, sums to draw, and intervals.

Every metric leaves one short row of sums for each example and the name of a function of their sum. So a result that
was kept can be drawn again, and paired with another, without the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from linnet.core.errors import DataError, InputError, did_you_mean
from linnet.core.records import Interval, Record
from linnet.metrics import extraction, text_overlap
from linnet.metrics.bootstrap import PLAIN, Difference, Drawing, bootstrap, paired_bootstrap
from linnet.metrics.extraction import read_answer
from linnet.metrics.grading import Graded
from linnet.metrics.numeric import VERSION as NUMERIC_VERSION
from linnet.metrics.numeric import gsm8k_match, numeric_match
from linnet.metrics.power import detectable_mean, detectable_unpaired
from linnet.metrics.scores import NO_PREDICTION, NO_REFERENCE, Score, Scores, collect, same_length, score_each
from linnet.metrics.significance import share_interval
from linnet.metrics.statistic import statistic_of
from linnet.metrics.tagged import SPAN_METRICS, read_spans, span_sums

Floats = NDArray[np.float64]
Texts = Sequence[str | None]
References = Sequence[Sequence[str]]
ROUGES = text_overlap.ROUGES
LABEL_METRICS = ("accuracy", "macro_f1")
LIKELIHOOD_METRICS = ("perplexity", "bits_per_byte")
# Less is better, and no share: not told in points.
LOWER = frozenset(LIKELIHOOD_METRICS)
HUNDREDS = ("bleu", "chrf")  # 0 to 100 already
SLICE_EXAMPLES = 10  # with fewer a slice has no interval


class Judgement(Record):
    """One metric over a set. `rows` are what `statistic` sums; an example that is not counted has an empty row.

    `values` is each example's own value, None where it has none; `problems` are by place in the set. `judge` is the
    identity of a model that gave the values.
    """

    metric: str
    version: str
    statistic: str
    rows: list[list[float]]
    values: list[float | None]
    problems: dict[int, str] = Field(default={})
    judge: dict[str, str] = Field(default={})

    @property
    def counted(self) -> list[int]:
        """The places that count."""
        return [place for place, row in enumerate(self.rows) if row]

    @property
    def is_share(self) -> bool:
        """Whether each example is right or wrong and nothing between."""
        return self.statistic == "mean" and all(row[0] in (0.0, 1.0) for row in self.rows if row)


class Slice(Record):
    """The metric on a part of the examples. Without `low` and `high` there were too few for an interval."""

    by: str
    name: str
    examples: int
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What some metrics need besides texts: a JSON schema, the labels, each example's own fields, a judge's grades."""

    schema: Any = None
    labels: tuple[str, ...] = ()
    examples: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    grades: Graded | None = None


def points(metric: str, value: float) -> float:
    """The value in points of a hundred, as it is told in words."""
    return value if metric in (*HUNDREDS, *LIKELIHOOD_METRICS) else 100 * value


_TEXT: dict[str, tuple[str, Callable[[str, Sequence[str]], float]]] = {
    "exact_match": (f"JSON values, else SQuAD texts; {extraction.VERSION}", extraction.equal_answer),
    "token_f1": (f"SQuAD {extraction.VERSION}", extraction.token_f1),
    "numeric_match": (NUMERIC_VERSION, numeric_match),
    "gsm8k_match": (NUMERIC_VERSION, gsm8k_match),
}
NAMES = (
    *_TEXT,
    "field_f1",
    "schema_valid",
    *SPAN_METRICS,
    "bleu",
    "chrf",
    *ROUGES,
    *LABEL_METRICS,
    *LIKELIHOOD_METRICS,
    "pass_at_1",
    "judge",
)


def check_metric(name: str) -> str:
    """The name, when there is such a metric or it is FILE.py. Raises InputError with the nearest."""
    if name in NAMES or ".py" in name:
        return name
    raise InputError(
        f"No metric is called {name!r}.{did_you_mean(name, list(NAMES))}", f"Known: {', '.join(NAMES)}, or FILE.py."
    )


def judge(metric: str, predictions: Texts, references: References, given: Given | None = None) -> Judgement:
    """Judge every prediction by the metric of this name.

    A missing prediction counts as 0, an example without references is not counted; both say so. Raises InputError for
    an unknown metric or a schema that is missing, DataError when there is nothing to judge, ResourceMissing.
    """
    given = given or Given()
    check_metric(metric)
    same_length(predictions, references)
    if metric in _TEXT:
        version, score = _TEXT[metric]
        return _of_scores(score_each((metric, version), score, predictions, references))
    if ".py" in metric:
        from linnet.metrics.user_metric import user_metric

        return _of_scores(user_metric(metric, predictions, references, given.examples or None))
    if metric == "judge":
        if given.grades is None:
            raise InputError("The metric judge needs a model that judges.", "Name it with --judge MODEL.")
        return _of_scores(given.grades.scores).model_copy(update={"judge": given.grades.judge})
    if metric == "field_f1":
        return _fields(predictions, references)
    if metric in SPAN_METRICS:
        return _tagged(metric, predictions, references)
    if metric in LABEL_METRICS:
        return _labels(metric, predictions, references, given.labels)
    if metric == "schema_valid":
        return _of_scores(_valid(predictions, given.schema))
    if metric == "pass_at_1":
        return _of_scores(_programs(predictions, given.examples))
    if metric == "bleu":
        return _bleu(predictions, references)
    if metric == "chrf":
        return _of_scores(text_overlap.chrf_each(predictions, references), "chrf")
    if metric in ROUGES:
        return _of_scores(text_overlap.rouge(predictions, references)[metric])
    raise InputError(f"{metric} is measured on texts, not on answers.", "Give a text file with --data.")


def _of_scores(scores: Scores, name: str = "") -> Judgement:
    values = [one.value for one in scores.per_example]
    return Judgement(
        metric=name or scores.metric,
        version=scores.version,
        statistic="mean",
        rows=[[] if value is None else [value] for value in values],
        values=values,
        problems=scores.problems,
    )


def _fields(predictions: Texts, references: References) -> Judgement:
    """Of several true records the one that fits best is taken."""
    rows: list[list[float]] = []
    values: list[float | None] = []
    problems: dict[int, str] = {}
    for place, (text, wanted) in enumerate(zip(predictions, references, strict=True)):
        if not wanted:
            rows.append([])
            values.append(None)
            problems[place] = NO_REFERENCE
            continue
        try:
            truths = [read_answer(one) for one in wanted]
        except DataError as error:
            rows.append([])
            values.append(None)
            problems[place] = f"a reference is no record: {error.message} Not counted"
            continue
        try:
            answer = read_answer(text or "")
        except DataError as error:
            answer = None
            problems[place] = NO_PREDICTION if text is None else error.message
        found = [[float(x) for x in extraction.field_sums([answer], [truth])[0]] for truth in truths]
        best = max(found, key=_record_f1)
        rows.append(best)
        values.append(_record_f1(best))
    version = f"micro {extraction.VERSION}"
    return Judgement(
        metric="field_f1", version=version, statistic="micro_f1", rows=rows, values=values, problems=problems
    )


def _tagged(metric: str, predictions: Texts, references: References) -> Judgement:
    """Spans against the true ones. An answer that is no list of spans counts as one without any, and says so."""
    match, beta = SPAN_METRICS[metric]
    rows: list[list[float]] = []
    problems: dict[int, str] = {}
    for place, (text, wanted) in enumerate(zip(predictions, references, strict=True)):
        if not wanted:
            rows.append([])
            problems[place] = NO_REFERENCE
            continue
        try:
            found = read_spans(text or "")
        except DataError as error:
            found, problems[place] = [], NO_PREDICTION if text is None else error.message
        rows.append(span_sums(read_spans(wanted[0]), found, match))
    values = [None if not row else _f_beta(row, beta) for row in rows]
    statistic = f"micro_f{beta}"
    return Judgement(metric=metric, version="1", statistic=statistic, rows=rows, values=values, problems=problems)


def _f_beta(row: Sequence[float], beta: int) -> float:
    under = row[1] + beta**2 * row[2]
    return (1 + beta**2) * row[0] / under if under else 1.0


def _record_f1(row: Sequence[float]) -> float:
    return 2 * row[0] / (row[1] + row[2]) if row[1] + row[2] else 1.0


def _labels(metric: str, predictions: Texts, references: References, labels: Sequence[str]) -> Judgement:
    known = list(labels) or sorted({wanted[0].strip() for wanted in references if wanted})
    place = {label: index for index, label in enumerate(known)}
    rows: list[list[float]] = []
    values: list[float | None] = []
    problems: dict[int, str] = {}
    for index, (text, wanted) in enumerate(zip(predictions, references, strict=True)):
        truth = place.get(wanted[0].strip()) if wanted else None
        if truth is None:
            rows.append([])
            values.append(None)
            problems[index] = NO_REFERENCE if not wanted else f"its label {wanted[0][:80]!r} is not one of the labels"
            continue
        answer = place.get((text or "").strip(), -1)
        if answer < 0:
            problems[index] = NO_PREDICTION if text is None else "the answer is none of the labels: counted as wrong"
        right = float(answer == truth)
        rows.append([right] if metric == "accuracy" else [float(truth), float(answer)])
        values.append(right)
    statistic = "mean" if metric == "accuracy" else "macro_f1"
    return Judgement(metric=metric, version="1", statistic=statistic, rows=rows, values=values, problems=problems)


def _valid(predictions: Texts, schema: Any) -> Scores:
    if schema is None:
        raise InputError("schema_valid needs a schema.", "Name it with --schema FILE.")
    found, problems = [], extraction.schema_checker(schema)
    for text in predictions:
        try:
            wrong = problems(read_answer(text or ""))
        except DataError as error:
            wrong = [NO_PREDICTION if text is None else error.message]
        found.append(Score(value=float(not wrong), problem="; ".join(wrong)[:300]))
    return collect("schema_valid", extraction.VERSION, found)


def _programs(predictions: Texts, examples: Sequence[Mapping[str, Any]]) -> Scores:
    from linnet.metrics.pass_at_k import VERSION, Problem, code_of, judge_code

    problems = []
    for place, row in enumerate(examples):
        if not isinstance(row.get("test"), str):
            raise DataError("pass_at_1 needs a column test with the unit tests.", "See docs/guide/evaluate.md.")
        named = {key: str(row.get(key) or "") for key in ("prompt", "entry_point")}
        problems.append(Problem(name=str(place), test=row["test"], **named))
    answers = [[None if text is None else code_of(text)] for text in predictions]
    report = judge_code(problems, answers)
    found = []
    for place in range(len(problems)):
        ended = report.samples[str(place)][0]
        passed = ended.outcome == "passed"
        found.append(Score(value=float(passed), problem="" if passed else f"{ended.outcome}: {ended.reason}"[:300]))
    return collect("pass_at_1", VERSION, found)


def _bleu(predictions: Texts, references: References) -> Judgement:
    whole = text_overlap.bleu(predictions, references)
    sums = text_overlap.bleu_sums(predictions, references)
    rows = [
        [] if whole.problems.get(place) == NO_REFERENCE else list(map(float, row)) for place, row in enumerate(sums)
    ]
    values = [float(one) for one in text_overlap.bleu_of_sums(sums)]
    kept = [value if row else None for value, row in zip(values, rows, strict=True)]
    return Judgement(
        metric="bleu", version=whole.signature, statistic="bleu", rows=rows, values=kept, problems=whole.problems
    )


def interval(found: Judgement, drawing: Drawing = PLAIN, places: Sequence[int] | None = None) -> Interval:
    """The metric with its 95 % interval, over all that count or over `places` among them: Wilson's for a share of
    right answers, else bootstrap.

    `drawing.groups` is one label for each example of the set. Raises DataError when nothing counts.
    """
    chosen = [place for place in (found.counted if places is None else places) if found.rows[place]]
    if not chosen:
        raise DataError(f"No example could be judged by {found.metric}.", _first_problem(found))
    if found.is_share and drawing.groups is None:
        return share_interval(int(sum(found.rows[p][0] for p in chosen)), len(chosen))
    made = bootstrap(statistic_of(found.statistic, [found.rows[p] for p in chosen]), len(chosen), _of(drawing, chosen))
    return Interval(value=made.value, low=made.low, high=made.high)


def _of(drawing: Drawing, places: Sequence[int]) -> Drawing:
    groups = None if drawing.groups is None else [drawing.groups[place] for place in places]
    return Drawing(drawing.seed, drawing.resamples, drawing.level, drawing.method, groups)


def _first_problem(found: Judgement) -> str:
    return f"The first says: {next(iter(found.problems.values()))}." if found.problems else ""


def difference(first: Judgement, second: Judgement, drawing: Drawing = PLAIN) -> tuple[Difference, list[int]]:
    """first - second on the examples that both count, paired, and which those are. Raises DataError without any."""
    both = [place for place in first.counted if second.rows[place]]
    if not both:
        raise DataError("No example counts in both evaluations.", _first_problem(first) or _first_problem(second))
    one, two = (statistic_of(each.statistic, [each.rows[p] for p in both]) for each in (first, second))
    return paired_bootstrap(one, two, len(both), _of(drawing, both)), both


def detectable(found: Judgement, measured: Interval) -> str:
    """What a comparison on so many examples would not see, in one sentence; empty for likelihoods."""
    count = len(found.counted)
    if found.metric in LOWER:
        return ""
    if found.is_share:
        return detectable_unpaired(count, measured.value).sentence
    scale = 100 if found.metric in HUNDREDS else 1
    deviation = (measured.high - measured.low) / scale / (2 * 1.959964) * count**0.5
    return detectable_mean(count, 2**0.5 * deviation).sentence


def slices(found: Judgement, by: Mapping[str, Sequence[str]], most: int = 50) -> list[Slice]:
    """The metric on each value of each of `by`, which gives one name an example; an empty one is in no slice."""
    made: list[Slice] = []
    for what, names in by.items():
        places: dict[str, list[int]] = {}
        for place in found.counted:
            if names[place]:
                places.setdefault(names[place], []).append(place)
        largest = sorted(places, key=lambda one, of=places: (-len(of[one]), one))[:most]  # type: ignore[misc]
        made += [_slice(found, what, name, places[name]) for name in largest]
    return made


def _slice(found: Judgement, what: str, name: str, places: list[int]) -> Slice:
    if len(places) >= SLICE_EXAMPLES:
        one = interval(found, Drawing(resamples=500), places)
        return Slice(by=what, name=name, examples=len(places), value=one.value, low=one.low, high=one.high)
    value = float(statistic_of(found.statistic, [found.rows[p] for p in places])(np.ones((1, len(places))))[0])
    return Slice(by=what, name=name, examples=len(places), value=value)


def length_names(lengths: Sequence[int]) -> list[str]:
    """Each example's third by length, in words with its bounds."""
    order = sorted(lengths)
    low, high = order[len(order) // 3], order[2 * len(order) // 3]
    if low == high or len(order) < 6:
        return [""] * len(lengths)
    words = {0: f"up to {low} characters", 1: f"{low + 1} to {high} characters", 2: f"over {high} characters"}
    return [words[(one > low) + (one > high)] for one in lengths]
