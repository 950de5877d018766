"""How much of a reference's wording is in a text: BLEU and chrF by sacrebleu, ROUGE by rouge-score, and lengths.

The libraries are the reference implementations; neither goes to the network for what is used of it here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, require
from linnet.core.records import Record
from linnet.metrics.scores import EMPTY, NO_PREDICTION, NO_REFERENCE, Score, Scores, collect, same_length

EXTRA = "evaluate"
ROUGES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
Floats = NDArray[np.float64]
Texts = Sequence[str | None]
References = Sequence[Sequence[str]]


class CorpusScore(Record):
    """A score of a whole set, 0 to 100, with sacrebleu's signature of it. `problems` are by place in the set."""

    value: float
    signature: str
    examples: int
    problems: dict[int, str]


class Lengths(Record):
    """Words of the predictions over words of the references, of the set and per example; None without a reference.

    Words are what stands between white space. Of several references the one nearest in length counts, as in BLEU.
    """

    ratio: float | None
    per_example: list[float | None]


def _usable(predictions: Texts, references: References) -> tuple[list[int], dict[int, str]]:
    """The places that have a reference, and what was wrong elsewhere or with the prediction."""
    same_length(predictions, references)
    problems = {
        place: NO_REFERENCE
        for place, wanted in enumerate(references)
        if isinstance(wanted, str) or not any(isinstance(r, str) and r.strip() for r in wanted)
    }
    usable = [place for place in range(len(predictions)) if place not in problems]
    for place in usable:
        if (text := predictions[place]) is None:
            problems[place] = NO_PREDICTION
        elif not text.strip():
            problems[place] = EMPTY
    if not usable:
        raise DataError("No example has a reference.", "Give at least one non-empty reference text for each example.")
    return usable, problems


def _corpus(metric: Any, predictions: Texts, references: References) -> CorpusScore:
    usable, problems = _usable(predictions, references)
    texts = [predictions[place] or "" for place in usable]
    most = max(len(references[place]) for place in usable)
    # sacrebleu wants one list for the first references, one for the second, ...; None where there are fewer.
    streams = [[_at(references[place], which) for place in usable] for which in range(most)]
    found = metric.corpus_score(texts, streams)
    return CorpusScore(
        value=float(found.score), signature=str(metric.get_signature()), examples=len(usable), problems=problems
    )


def _at(texts: Sequence[str], which: int) -> str | None:
    return texts[which] if which < len(texts) and texts[which] else None


def bleu(predictions: Texts, references: References, tokenize: str = "13a") -> CorpusScore:
    """Corpus BLEU, 0 to 100 (Papineni et al. 2002; Post 2018), exponential smoothing, against all references.

    A missing prediction counts as an empty text; an example without references is left out, and named. Raises
    DataError for lists of different length or without any reference, ResourceMissing without sacrebleu.
    """
    require("sacrebleu", EXTRA)
    from sacrebleu.metrics.bleu import BLEU

    return _corpus(BLEU(tokenize=tokenize), predictions, references)


def chrf(predictions: Texts, references: References, word_order: int = 0) -> CorpusScore:
    """Corpus chrF, 0 to 100 (Popovic 2015): F2 of character 6-grams; `word_order=2` is chrF++. Raises as `bleu`."""
    require("sacrebleu", EXTRA)
    from sacrebleu.metrics.chrf import CHRF

    return _corpus(CHRF(word_order=word_order), predictions, references)


def bleu_sums(predictions: Texts, references: References) -> Floats:
    """What corpus BLEU is made of, for each example, shape (examples, 10): rows to draw in a bootstrap.

    Matched 1- to 4-grams, all of them, words predicted, words of the nearest reference. Zeros without a reference.
    """
    require("sacrebleu", EXTRA)
    from sacrebleu.metrics.bleu import BLEU

    usable, _ = _usable(predictions, references)
    metric = BLEU(effective_order=True)
    sums = np.zeros((len(predictions), 10), dtype=np.float64)
    for place in usable:
        wanted = [text for text in references[place] if text]
        found = metric.sentence_score(predictions[place] or "", wanted)
        sums[place] = [*found.counts, *found.totals, found.sys_len, found.ref_len]
    return sums


def bleu_of_sums(sums: Floats) -> Floats:
    """Corpus BLEU of rows of summed `bleu_sums`, shape (rows, 10) to (rows,): 100 exp(mean log p_n) x brevity."""
    matched, every, ours, theirs = sums[:, :4], sums[:, 4:8], sums[:, 8], sums[:, 9]
    values = np.zeros(len(sums), dtype=np.float64)
    for row in np.flatnonzero(matched[:, 0] > 0):
        smooth, logs = 1.0, 0.0
        if not every[row].all():
            continue
        for order in range(4):
            precision = matched[row, order] / every[row, order]
            if not matched[row, order]:  # halved for each order without a match, as sacrebleu's "exp"
                smooth *= 2
                precision = 1 / (smooth * every[row, order])
            logs += math.log(precision) / 4
        values[row] = 100 * math.exp(logs + min(0.0, 1 - theirs[row] / ours[row]))
    return values


def chrf_each(predictions: Texts, references: References, word_order: int = 0) -> Scores:
    """Sentence chrF, 0 to 100, against the best reference. Its mean is not corpus chrF: use it to pair and to draw."""
    require("sacrebleu", EXTRA)
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF(word_order=word_order)
    name = "chrf_each" if not word_order else f"chrf_each_word{word_order}"
    found = _each(
        predictions, references, lambda text, wanted: {name: float(metric.sentence_score(text, wanted).score)}
    )
    return _as_scores(name, f"sacrebleu {version('sacrebleu')}", found)


def rouge(predictions: Texts, references: References, *, stem: bool = False) -> dict[str, Scores]:
    """ROUGE-1, -2, -L and -Lsum F1 (Lin 2004), 0 to 1, each against the reference that is best for it.

    `stem`: Porter stems, as `-m` of ROUGE-1.5.5. For Lsum the sentences stand on lines of their own. Raises DataError
    as `bleu`, ResourceMissing without rouge-score.
    """
    require("rouge_score", EXTRA)
    from rouge_score import rouge_scorer

    scorer = rouge_scorer.RougeScorer(list(ROUGES), use_stemmer=stem)
    found = _each(
        predictions,
        references,
        lambda text, wanted: {name: float(part.fmeasure) for name, part in scorer.score_multi(wanted, text).items()},
    )
    named = f"rouge-score {version('rouge-score')}, {'Porter stems' if stem else 'no stems'}, best reference"
    return {name: _as_scores(name, named, found) for name in ROUGES}


Found = list[tuple[dict[str, float] | None, str]]


def _each(predictions: Texts, references: References, score: Any) -> Found:
    usable, problems = _usable(predictions, references)
    wanted = set(usable)
    return [
        (score(predictions[place] or "", [t for t in references[place] if t]), problems.get(place, ""))
        if place in wanted
        else (None, problems[place])
        for place in range(len(predictions))
    ]


def _as_scores(name: str, named: str, found: Found) -> Scores:
    rows = [Score(value=None if values is None else values[name], problem=problem) for values, problem in found]
    return collect(name, named, rows)


def lengths(predictions: Texts, references: References) -> Lengths:
    """How long the predictions are beside the references. Raises DataError as `bleu`."""
    usable, _ = _usable(predictions, references)
    ours = {place: len((predictions[place] or "").split()) for place in usable}
    theirs = {
        place: min((len(t.split()) for t in references[place] if t.strip()), key=lambda n: (abs(n - ours[place]), n))
        for place in usable
    }
    return Lengths(
        ratio=sum(ours.values()) / sum(theirs.values()),
        per_example=[ours[place] / theirs[place] if place in ours else None for place in range(len(predictions))],
    )
