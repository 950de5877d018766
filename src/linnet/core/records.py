"""What stages leave in the store: frozen values that round-trip through JSON.

Equal content is an equal value. Nothing here opens a file.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """The base of every record: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class FileEntry(Record):
    """One file of a run or bundle."""

    sha256: str
    size_bytes: int


class Run(Record):
    """One finished stage. Written last, so that its presence means that every file named here is whole.

    `key` is the hash of stage, inputs and code version; `result` is the stage's own small answer.
    """

    id: str
    stage: str
    key: str
    inputs: dict[str, Any]
    code_version: str
    files: dict[str, FileEntry]
    result: dict[str, Any]
    seconds: float
    created: str


class Model(Record):
    """A base model as it lies on the disk. `path` is where; the rest is what."""

    name: str
    kind: Literal["encoder", "decoder"]
    format: Literal["safetensors", "onnx", "gguf"]
    path: str
    files: dict[str, FileEntry]
    licence: str
    source: str
    max_tokens: int
    pooling: Literal["mean", "cls"]


class Example(Record):
    """One labelled text. `row` is its line in the file it came from."""

    text: str
    label: str
    row: int
    group: str = ""


class Interval(Record):
    """A point estimate with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class Decision(Record):
    """How logits become an answer: divide by `temperature`, softmax, and below `threshold` say out of scope.

    `threshold` is compared with the highest probability among the in-scope labels.
    """

    labels: list[str]
    temperature: float = 1.0
    out_of_scope: str | None = None
    threshold: float = 0.0


class Footprint(Record):
    """What a candidate costs on this machine. Latency is for one request, throughput for a batch."""

    size_bytes: int
    latency_ms_p50: float
    latency_ms_p95: float
    documents_per_second: float
    peak_memory_bytes: int
    energy_joules_per_1000: float | None
    energy_note: str


class Evaluation(Record):
    """One candidate under the one ruler. Metrics are on `split`; `confusion[true][predicted]` are counts."""

    candidate: str
    split: Literal["validation", "test"]
    examples: int
    macro_f1: Interval
    accuracy: Interval
    expected_calibration_error: float | None
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    labels: list[str]


class Choice(Record):
    """Which candidate, and why. `rejected` says for each other one what spoke against it."""

    candidate: str
    reason: str
    rejected: dict[str, str]
    recommends_baseline: bool = False
    warnings: list[str] = []


class Specialist(Record):
    """What is deployed: a bundle folder's `record.json`."""

    name: str
    version: int
    kind: Literal["classify"]
    candidate: str
    decision: Decision
    metric: dict[str, Any]
    baseline: dict[str, Any]
    footprint: Footprint
    licence: str
    files: dict[str, FileEntry]
    lineage: dict[str, Any]
    created: str

    @property
    def full_name(self) -> str:
        return f"{self.name}:{self.version}"
