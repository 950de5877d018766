"""What stages leave in the store: frozen values that round-trip through JSON.

Equal content is an equal value. Nothing here opens a file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


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
    """A model as it lies on the disk, ready to be opened.

    `path` is the folder, or for GGUF the file (of a split set: its first part). `files` may be empty for a GGUF
    named by its path: hashing it takes as long as reading it. `max_tokens` is what is read of a text, or a decoder's
    context; 0 where unknown. `digest` names its place in the store, empty elsewhere; `report` is the check's.
    """

    name: str
    kind: Literal["encoder", "decoder"]
    format: Literal["safetensors", "onnx", "gguf"]
    path: str
    files: dict[str, FileEntry]
    licence: str
    source: str
    max_tokens: int
    pooling: Literal["mean", "cls"] = "mean"
    digest: str = ""
    report: dict[str, Any] = {}


class ModelFile(Record):
    """One file of a model in the store.

    place: "blob" lies in the store; "linked" too, as another name of somebody's file on the same disk;
    "reference" stays at `path`. `mtime_ns` is when it was last written: a change is looked into at the next load.
    """

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]
    mtime_ns: int
    place: Literal["blob", "linked", "reference"]
    path: str = ""


class Provenance(Record):
    """Where a model came from. `commit` is what `revision` meant on that day."""

    source: str
    url: str = ""
    repo: str = ""
    quant: str = ""
    revision: str = ""
    commit: str = ""


class Manifest(Record):
    """A model of the store: `models/<name>/<tag>.json`. Written last, so that every file it names is whole.

    `entry` is the file the engine opens; empty where it opens the folder. `report` is what the check said.
    """

    schema_version: Literal[1] = 1
    name: str
    tag: str
    kind: Literal["encoder", "decoder"]
    format: Literal["safetensors", "gguf"]
    entry: str
    files: dict[str, ModelFile]
    licence: str
    provenance: Provenance
    max_tokens: int
    pooling: Literal["mean", "cls"] = "mean"
    report: dict[str, Any]
    created: str

    @property
    def full_name(self) -> str:
        return f"{self.name}:{self.tag}"

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files.values())


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
