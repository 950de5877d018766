"""Extracted answers against true ones: exact match and token F1 of texts, field F1 and validity of JSON records."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, InputError, require
from linnet.metrics.alignment import best_pairs

VERSION = "1"
Floats = NDArray[np.float64]
MAX_PROBLEMS = 20
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_FENCE = re.compile(r"\A\s*```[\w-]*\n(.*?)\n?```\s*\Z", re.DOTALL)
Path = tuple[str, ...]
Fold = Callable[[str], str]


def normalize_answer(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces (Rajpurkar et al. 2016, SQuAD 1.1)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 when the normalised prediction equals one of the normalised references, else 0."""
    answer = normalize_answer(prediction)
    return float(any(answer == normalize_answer(reference) for reference in references))


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """The best F1 of normalised words, counted with repetition, over the references.

    Where either side has no words, 1 if both have none, else 0 (SQuAD 2.0: the question without an answer).
    """
    answer = normalize_answer(prediction).split()
    return max((_word_f1(answer, normalize_answer(reference).split()) for reference in references), default=0.0)


def _word_f1(answer: list[str], wanted: list[str]) -> float:
    if not answer or not wanted:
        return float(answer == wanted)
    common = sum((Counter(answer) & Counter(wanted)).values())
    # Precision and recall first: the order of operations of the reference, so that printed digits agree.
    precision, recall = common / len(answer), common / len(wanted)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def read_answer(text: str) -> Any:
    """The JSON value in a model's answer: the whole of it, or the one fenced block it consists of.

    Raises DataError in words for what is no JSON, a key given twice, NaN and infinities.
    """
    fenced = _FENCE.match(text)
    body = fenced[1] if fenced else text
    if not body.strip():
        raise DataError("The answer is empty.")
    try:
        return json.loads(body, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise DataError(f"The answer is not JSON: {error.msg}, line {error.lineno}, character {error.colno}.") from None
    except RecursionError:
        raise DataError("The answer is nested too deeply.") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise DataError(f"The answer is not JSON: {str(error)[:200]}.") from None


def equal_answer(prediction: str, references: Sequence[str]) -> float:
    """1 when the answer is one of the references: as JSON values where that is an object or a list, else as texts
    after SQuAD's normalisation."""
    return max((_equal(prediction, reference) for reference in references), default=0.0)


def _equal(prediction: str, reference: str) -> float:
    if reference.lstrip()[:1] in ("{", "["):
        try:
            wanted = read_answer(reference)
        except DataError:
            return exact_match(prediction, [reference])
        try:
            return float(_typed(read_answer(prediction)) == _typed(wanted))
        except DataError:
            return 0.0
    return exact_match(prediction, [reference])


def _typed(value: Any) -> Any:
    """JSON values that are equal only when JSON says so: true is not 1."""
    if isinstance(value, dict):
        return {key: _typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_typed(part) for part in value]
    return (isinstance(value, bool), value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise DataError(f"The answer gives the key {twice[:80]!r} more than once.")
    return found


def _refuse_constant(name: str) -> float:
    raise DataError(f"The answer holds {name}, which is no JSON value.")


def trimmed(text: str) -> str:
    """Without white space at the ends, and single spaces inside: how field texts are compared unless told otherwise."""
    return " ".join(text.split())


def field_counts(prediction: Any, truth: Any, fold: Fold = trimmed) -> dict[Path, tuple[int, int, int]]:
    """For each field of a nested record how many values matched, were predicted, are true.

    A field is the path of keys to a value that is no object and no list; `[]` stands for any place in a list. Order in
    a list does not count: its elements are paired one to one so that the most values match (Kuhn 1955). null, {} and
    [] are no value. Numbers are compared as numbers, texts after `fold`, and true is not 1. Raises DataError for
    nesting deeper than Python recurses.
    """
    counts: dict[Path, list[int]] = {}
    try:
        _count(_plain(prediction, fold), _plain(truth, fold), (), counts)
    except RecursionError:
        raise DataError("The record is nested too deeply to compare.") from None
    return {path: (row[0], row[1], row[2]) for path, row in sorted(counts.items())}


def _plain(value: Any, fold: Fold) -> Any:
    """The value without what is no value; leaves become (type, value) pairs that compare as they should."""
    if isinstance(value, dict):
        inside = {str(key): _plain(part, fold) for key, part in value.items()}
        return {key: part for key, part in inside.items() if part is not None} or None
    if isinstance(value, list | tuple):
        return [part for part in (_plain(part, fold) for part in value) if part is not None] or None
    if value is None:
        return None
    if isinstance(value, bool):
        return ("boolean", value)
    return ("number", value) if isinstance(value, int | float) else ("text", fold(str(value)))


def _count(answer: Any, truth: Any, path: Path, counts: dict[Path, list[int]]) -> None:
    if isinstance(answer, dict) and isinstance(truth, dict):
        for key in {*answer, *truth}:
            _count(answer.get(key), truth.get(key), (*path, key), counts)
    elif isinstance(answer, list) and isinstance(truth, list):
        for one, other in best_pairs(answer, truth, _common):
            _count(one, other, (*path, "[]"), counts)
    elif isinstance(answer, tuple) and isinstance(truth, tuple):
        row = counts.setdefault(path, [0, 0, 0])
        row[0], row[1], row[2] = row[0] + (answer == truth), row[1] + 1, row[2] + 1
    else:
        _leaves(answer, path, counts, 1)
        _leaves(truth, path, counts, 2)


def _leaves(value: Any, path: Path, counts: dict[Path, list[int]], column: int) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _leaves(part, (*path, key), counts, column)
    elif isinstance(value, list):
        for part in value:
            _leaves(part, (*path, "[]"), counts, column)
    elif value is not None:
        counts.setdefault(path, [0, 0, 0])[column] += 1


def _common(answer: Any, truth: Any) -> int:
    """How many values would match if these two were a pair."""
    counts: dict[Path, list[int]] = {}
    _count(answer, truth, (), counts)
    return sum(row[0] for row in counts.values())


def field_sums(predictions: Sequence[Any], truths: Sequence[Any], fold: Fold = trimmed) -> Floats:
    """Matched, predicted and true values of each record, shape (records, 3): for `spans.f_beta` and a bootstrap."""
    rows = [list(field_counts(*pair, fold).values()) for pair in zip(predictions, truths, strict=True)]
    return np.array([[sum(part) for part in zip(*row, strict=True)] or [0, 0, 0] for row in rows], dtype=np.float64)


def field_f1(prediction: Any, truth: Any, fold: Fold = trimmed) -> float:
    """F1 of one record's values, 0 to 1; 1 where neither side has any."""
    matched, predicted, true = (float(part) for part in field_sums([prediction], [truth], fold)[0])
    return 2 * matched / (predicted + true) if predicted + true else 1.0


def answer_field_f1(prediction: str, references: Sequence[str]) -> float:
    """`field_f1` of a model's answer against the best of the true records, all as JSON texts; 0 for no JSON.

    Raises DataError when a reference is no JSON.
    """
    truths = [read_answer(reference) for reference in references]
    try:
        answer = read_answer(prediction)
    except DataError:
        return 0.0
    return max(field_f1(answer, truth) for truth in truths)


def schema_problems(value: Any, schema: Any) -> list[str]:
    """What in `value` breaks the JSON schema (draft 2020-12 unless `$schema` says another); empty when it is valid.

    At most 20, each with the place. The formats date, time, date-time and uuid are checked. Nothing is fetched: a
    reference to another document is an error. Raises InputError for a bad schema, ResourceMissing without jsonschema.
    """
    return schema_checker(schema)(value)


def schema_checker(schema: Any) -> Callable[[Any], list[str]]:
    """`schema_problems` for many values: the schema is checked and made ready once. Raises as it does."""
    require("jsonschema", "evaluate")
    import jsonschema
    from jsonschema_specifications import REGISTRY
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, dict | bool):
        raise InputError(f"The schema is not valid: it is {type(schema).__name__}, need an object.")
    try:
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
        # The registry is given, because the library's own fetches what it does not know.
        validator = kind(schema, registry=REGISTRY, format_checker=_formats(jsonschema.FormatChecker))
    except jsonschema.SchemaError as error:
        raise InputError(f"The schema is not valid at {error.json_path}: {error.message[:200]}.") from None
    except RecursionError:
        raise InputError("The schema is nested too deeply.") from None

    def problems(value: Any) -> list[str]:
        try:
            found = sorted(validator.iter_errors(value), key=lambda error: error.json_path)
        except Unresolvable as error:
            raise InputError(f"The schema refers to {str(error.ref)[:200]!r}, which is not in it.") from None
        except RecursionError:
            raise InputError("The schema or the value is nested too deeply.") from None
        return [f"{error.json_path}: {error.message[:200]}" for error in found[:MAX_PROBLEMS]]

    return problems


_READERS: dict[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "date-time": datetime.fromisoformat,
    "uuid": UUID,
}


def _formats(make: Any) -> Any:
    checker = make(formats=())
    for name, read in _READERS.items():
        checker.checks(name, raises=ValueError)(partial(_reads, read))
    return checker


def _reads(read: Callable[[str], object], value: object) -> bool:
    """True, or ValueError: a format says nothing of a value that is no text."""
    if isinstance(value, str):
        read(value)
    return True
