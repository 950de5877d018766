"""What stages leave in the store: frozen values that round-trip through JSON.

Equal content is an equal value. Nothing here opens a file.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Record(BaseModel):
    """The base of every record: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)

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


class Preset(Record):
    """What a model that was made with `create` says beside its weights. A request's own words go before it.

    `base` is the name it was made from, `template` a chat template instead of the file's. `system` begins every chat
    that has no system message, `messages` (role, content) stand before its turns. `parameters` have Ollama's names.
    `adapter` is the one of the model's files that is a LoRA adapter.
    """

    base: str
    template: str = ""
    system: str = ""
    messages: tuple[tuple[str, str], ...] = ()
    parameters: dict[str, int | float | tuple[str, ...]] = {}
    adapter: str = ""


class Model(Record):
    """A model as it lies on the disk, ready to be opened.

    `path` is the folder, or for GGUF the file (of a split set: its first part). `files` may be empty for a GGUF
    named by its path: hashing it takes as long as reading it. `max_tokens` is what is read of a text, or a decoder's
    context; 0 where unknown. `digest` names its place in the store, empty elsewhere; `report` is the check's.
    `adapter` is the path of the preset's adapter.
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
    preset: Preset | None = None
    adapter: str = ""


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
    preset: Preset | None = None

    def to_json(self) -> dict[str, Any]:
        found = super().to_json()
        if self.preset is None:
            del found["preset"]  # what earlier versions wrote, they can read again
        return found

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
    """What a candidate costs on this machine. Latency is for one request, throughput for a batch.

    `tokens_per_second` is what one request at a time writes, its prompt included; None where no text is written.
    """

    size_bytes: int
    latency_ms_p50: float
    latency_ms_p95: float
    documents_per_second: float
    peak_memory_bytes: int
    energy_joules_per_1000: float | None
    energy_note: str
    tokens_per_second: float | None = None


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

    def metric(self, name: str) -> Interval:
        """The metric of this name. Raises KeyError."""
        return {"macro_f1": self.macro_f1, "accuracy": self.accuracy}[name]


class TaskEvaluation(Record):
    """A decoder's answers under one ruler: `metrics` by name, the first asked for is `primary`.

    `identities` hold, for each metric, what must be equal in another evaluation before the two are compared (see
    metrics.identity); `versions` and `detectable` are by metric too. `failed` questions got no answer, `problems`
    count what was wrong by its words. `answers` is the run that holds the predictions.
    """

    candidate: str
    split: str
    examples: int
    counted: int
    failed: int
    primary: str
    metrics: dict[str, Interval]
    identities: dict[str, dict[str, Any]]
    detectable: dict[str, str]
    slices: list[dict[str, Any]]
    problems: dict[str, int]
    answers: str

    def metric(self, name: str) -> Interval:
        """The metric of this name. Raises KeyError."""
        return self.metrics[name]


class Choice(Record):
    """Which candidate, and why. `rejected` says for each other one what spoke against it.

    `front` names those that no other one beats in score, size and latency at once; `reasons` is one paragraph.
    """

    candidate: str
    reason: str
    rejected: dict[str, str]
    recommends_baseline: bool = False
    warnings: list[str] = []
    front: list[str] = []
    reasons: str = ""


class Asked(Record):
    """How a specialist that writes text is asked: the template of its input, the instruction before it, the JSON
    schema its answers are held to (empty: free text), and the longest answer in tokens.

    `shots` are the turns of examples, (role, content), that stand before every question; the last is an answer.
    The schema is kept as text: answers have their properties in its order, and a record's keys are sorted.
    """

    input: str
    instruction: str = ""
    answer_schema: str = ""
    max_tokens: int = 512
    shots: tuple[tuple[str, str], ...] = ()

    def schema_object(self) -> dict[str, Any] | None:
        """The schema as the engine takes it."""
        found: dict[str, Any] | None = json.loads(self.answer_schema) if self.answer_schema else None
        return found


class Specialist(Record):
    """What is deployed: a bundle folder's `record.json`. `asked` is set for those that write text."""

    name: str
    version: int
    kind: Literal["classify", "tag", "extract", "generate", "chat"]
    candidate: str
    decision: Decision
    metric: dict[str, Any]
    baseline: dict[str, Any]
    footprint: Footprint
    licence: str
    files: dict[str, FileEntry]
    lineage: dict[str, Any]
    created: str
    asked: Asked | None = None

    @property
    def full_name(self) -> str:
        return f"{self.name}:{self.version}"
