"""What must be equal before two evaluations may be compared: examples, prompts, decoding, metric, seed.

The model is no part of it: that is what is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, JsonValue, StringConstraints

from linnet.core.errors import InputError
from linnet.core.files import canonical, sha256_bytes
from linnet.core.records import Record

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
NAMES = {
    "dataset": "the examples differ",
    "split": "the split differs",
    "examples": "the number of examples differs",
    "prompt": "the prompt template differs",
    "decoding": "the decoding setting {0} differs",
    "metric": "the metric differs",
    "metric_version": "the metric's version differs",
    "seed": "the seed differs",
    "judge": "the judge's {0} differs",
}
MISSING = "not set"


class EvaluationIdentity(Record):
    """One ruler. dataset: hash of the examples in order; prompt: hash of the template that renders them.

    decoding: everything that decides the answer besides the prompt (temperature, max_new_tokens, stop, grammar ...).
    metric_version: definition and library, as `Scores.version`; of a user's function the hash of its file.
    judge: of a metric that a model gives, its bytes, rubric and scale; empty for all others.
    """

    dataset: Sha256
    split: str
    examples: int
    prompt: Sha256
    decoding: dict[str, JsonValue]
    metric: str
    metric_version: str
    seed: int
    judge: dict[str, JsonValue] = Field(default={})

    @property
    def digest(self) -> str:
        """One hash for the whole: equal where every field is."""
        return sha256_bytes(canonical(self.to_json()))


def dataset_hash(examples: Iterable[Mapping[str, Any]]) -> str:
    """Hash of examples as JSON objects, in order. Raises InputError for what is no JSON."""
    try:
        return sha256_bytes(b"\n".join(canonical(dict(example)) for example in examples))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"An example cannot be hashed: {error}.", "Give text, numbers, lists and objects only."
        ) from None


def prompt_hash(template: str, instruction: str = "", shots: Iterable[Mapping[str, Any]] = ()) -> str:
    """Hash of all that surrounds the input: chat template, instruction, examples shown in the prompt."""
    return sha256_bytes(canonical([template, instruction, [dict(shot) for shot in shots]]))


def first_difference(first: EvaluationIdentity, second: EvaluationIdentity) -> str:
    """The first field that differs, with both values, in words; empty when the two are one ruler."""
    for field, words in NAMES.items():
        one, other = getattr(first, field), getattr(second, field)
        if not isinstance(one, dict):
            if one != other:
                return f"{words}: {_short(one)} and {_short(other)}"
            continue
        for key in sorted({*one, *other}):
            a, b = one.get(key, MISSING), other.get(key, MISSING)
            if canonical(a) != canonical(b) and a != b:
                return f"{words.format(key)}: {_short(a)} and {_short(b)}"
    return ""


def refuse_unless_comparable(first: EvaluationIdentity, second: EvaluationIdentity) -> None:
    """Raise InputError, naming the first difference, unless both evaluations were made with one ruler."""
    if found := first_difference(first, second):
        raise InputError(
            f"These evaluations cannot be compared: {found}.", "Evaluate both again with the same task and settings."
        )


def _short(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:
        return value[:12]
    shown = value if isinstance(value, str) else canonical(value).decode()
    return shown[:80]
