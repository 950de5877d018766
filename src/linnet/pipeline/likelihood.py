"""How well a model predicts texts: perplexity and bits per byte, text by text, as an evaluation of the store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError, InputError, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, sha256_bytes, write_bytes, write_json
from linnet.core.records import Interval, TaskEvaluation
from linnet.core.store import Step, Store
from linnet.engines.requests.asking import Source
from linnet.engines.scoring.scorer import Scorer
from linnet.metrics.identity import EvaluationIdentity, prompt_hash
from linnet.metrics.judging import Judgement, interval
from linnet.metrics.likelihood import Perplexity
from linnet.text.conversation_formats import read_conversations
from linnet.version import code_version

TEXT_FILES = (".txt", ".md")
VERSION = "sliding window by half the context; 1"


def likelihood(store: Store, source: Source, path: Path, metrics: Sequence[str], on_event: OnEvent = silent) -> Step:
    """Measure a GGUF on texts: a .txt file is one text, other files hold rows of texts.

    The interval is over the texts; of a single one it is that of the mean over its tokens, taken as independent.
    Raises DataError for no text, InputError for an endpoint, what `Scorer` raises.
    """
    if source.path is None:
        raise InputError("An endpoint gives no likelihoods of texts.")
    gguf, texts = source.path, read_texts(path)
    dataset = sha256_bytes(canonical(texts))
    inputs = {"model": source.sha256, "texts": dataset, "metrics": list(metrics), "name": source.name}
    inputs["code"] = code_version("pipeline")

    def work(folder: Path) -> dict[str, Any]:
        found: list[Perplexity | None] = []
        with Scorer(gguf) as scorer:
            window = scorer.context
            for text in texts:
                found.append(scorer.perplexity(text) if len(scorer.tokenize(text)) > 1 else None)
                on_event(Event("progress", "evaluate", source.name, done=len(found), total=len(texts)))
        judged = [_judgement(metric, found) for metric in metrics]
        for number, one in enumerate(judged):
            write_bytes(folder / f"judgement-{number}.json", canonical(one.to_json()))
        measured = {one.metric: _interval(one, found) for one in judged}
        identity = {
            "dataset": dataset, "split": path.stem, "examples": len(texts), "prompt": prompt_hash("none"),
            "decoding": {"method": "likelihood", "window": window}, "metric_version": VERSION, "seed": 0,
        }  # fmt: skip
        made = TaskEvaluation(
            candidate=source.name,
            split=path.stem,
            examples=len(texts),
            counted=len(judged[0].counted),
            failed=0,
            primary=metrics[0],
            metrics=measured,
            identities={m: EvaluationIdentity(**identity, metric=m).to_json() for m in metrics},
            detectable={},
            slices=[],
            problems={SHORT: len(judged[0].problems)} if judged[0].problems else {},
            answers="",
        )
        write_json(folder / "evaluation.json", made.to_json())
        return {"metric": metrics[0], "value": measured[metrics[0]].value}

    return store.step("evaluate", inputs, work, on_event, label=source.name)


SHORT = "the text has no second token: not counted"


def _judgement(metric: str, found: Sequence[Perplexity | None]) -> Judgement:
    rows: list[list[float]] = []
    values: list[float | None] = []
    for one in found:
        if one is None:
            rows.append([])
            values.append(None)
        elif metric == "perplexity":
            rows.append([one.mean_nll * one.tokens, float(one.tokens)])
            values.append(one.perplexity)
        else:
            rows.append([one.bits_per_byte * one.bytes, float(one.bytes)])
            values.append(one.bits_per_byte)
    return Judgement(
        metric=metric,
        version=VERSION,
        statistic="perplexity" if metric == "perplexity" else "ratio",
        rows=rows,
        values=values,
        problems={place: SHORT for place, one in enumerate(found) if one is None},
    )


def _interval(judged: Judgement, found: Sequence[Perplexity | None]) -> Interval:
    if len(judged.counted) != 1:
        return interval(judged)
    one = next(each for each in found if each is not None)
    error = 1.959964 * one.standard_error / one.perplexity  # of the mean log-probability
    if judged.metric == "perplexity":
        return Interval(
            value=one.perplexity, low=one.perplexity * math.exp(-error), high=one.perplexity * math.exp(error)
        )
    half = error * one.bits_per_byte / max(one.mean_nll, 1e-12)
    return Interval(value=one.bits_per_byte, low=one.bits_per_byte - half, high=one.bits_per_byte + half)


def read_texts(path: Path) -> list[str]:
    """A .txt file as one text; the rows of any other file. Raises DataError for conversations and for no text."""
    if path.suffix.lower() in TEXT_FILES:
        with os_errors(path, "Reading"):
            data = path.read_bytes()
        try:
            texts = [data.decode("utf-8-sig")]
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not valid UTF-8: {error.reason} at byte {error.start}.") from error
    else:
        texts = [chat.passage for chat in read_conversations(path, format_="text").chats]
    if not any(text.strip() for text in texts):
        raise DataError(f"{path}: there is no text to measure.", "Perplexity is measured on texts: a .txt file.")
    return texts
