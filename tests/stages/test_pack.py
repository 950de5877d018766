"""A version is a whole bundle that answers by itself, or it does not exist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.core.errors import DiskFull
from linnet.core.events import Event
from linnet.core.records import Decision, Footprint, Specialist
from linnet.core.store import Store, verify_files
from linnet.engines.onnx_runtime.onnx import OnnxClassifier
from linnet.stages.pack import pack
from tests.tiny import tiny_engine

LABELS = ["billing", "shipping"]
DRAFT = Specialist(
    name="mail",
    version=0,
    kind="classify",
    candidate="full-fp32",
    decision=Decision(labels=LABELS, temperature=0.5),
    metric={"name": "macro_f1", "value": 0.9, "ci95": [0.85, 0.95]},
    baseline={"name": "tfidf_logistic", "value": 0.8, "ci95": [0.7, 0.9]},
    footprint=Footprint(
        size_bytes=2_500_000,
        latency_ms_p50=1,
        latency_ms_p95=2,
        documents_per_second=10,
        peak_memory_bytes=10,
        energy_joules_per_1000=None,
        energy_note="no counter",
    ),
    licence="Apache-2.0",
    files={},
    lineage={"dataset": "abc"},
    created="",
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    tiny_engine(tmp_path / "engine", LABELS)
    return tmp_path / "engine"


def documents(full_name: str) -> dict[str, bytes]:
    return {"MODEL_CARD.md": f"# {full_name}\n".encode(), "report.json": b"{}\n"}


def test_a_bundle_is_whole_and_stands_alone(store: Store, engine: Path) -> None:
    specialist, folder, reused = pack(store, DRAFT, engine, documents)
    assert (specialist.full_name, reused) == ("mail:1", False)
    assert store.find("mail") == (specialist, folder)
    assert set(specialist.files) == {
        "MODEL_CARD.md", "report.json", "engine/model.onnx", "engine/tokenizer.json", "engine/engine.json"
    }  # fmt: skip
    verify_files(folder, specialist.files)
    assert (folder / "MODEL_CARD.md").read_text() == "# mail:1\n"
    assert specialist.created
    assert [p.name for p in folder.parent.iterdir()] == ["1"]
    for path in engine.iterdir():
        path.unlink()
    assert OnnxClassifier(folder / "engine").logits(["billing please"]).argmax() == 0


def test_the_same_is_reused_and_a_change_is_a_new_version(store: Store, engine: Path) -> None:
    first = pack(store, DRAFT, engine, documents)
    assert pack(store, DRAFT, engine, documents) == (*first[:2], True)
    fitted = DRAFT.model_copy(update={"decision": Decision(labels=LABELS, temperature=0.6)})
    assert pack(store, fitted, engine, documents)[0].full_name == "mail:2"
    other = DRAFT.model_copy(update={"lineage": {"dataset": "def"}})
    assert pack(store, other, engine, documents)[0].full_name == "mail:3"
    assert store.versions("mail") == [1, 2, 3]
    verify_files(first[1], first[0].files)


def test_only_the_newest_version_is_reused(store: Store, engine: Path) -> None:
    """Going back to an earlier state makes it the newest again, so that the bare name means it."""
    other = DRAFT.model_copy(update={"lineage": {"dataset": "def"}})
    for draft in (DRAFT, other):
        pack(store, draft, engine, documents)
    again, _, reused = pack(store, DRAFT, engine, documents)
    assert (again.full_name, reused) == ("mail:3", False)


@pytest.mark.parametrize("name", ["engine/model.onnx", "MODEL_CARD.md", "record.json"])
def test_a_corrupt_bundle_is_warned_of_and_packed_anew(store: Store, engine: Path, name: str) -> None:
    _, folder, _ = pack(store, DRAFT, engine, documents)
    (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"?")
    events: list[Event] = []
    specialist, again, reused = pack(store, DRAFT, engine, documents, events.append)
    assert (specialist.full_name, reused) == ("mail:2", False)
    verify_files(again, specialist.files)
    warnings = [e.message for e in events if e.kind == "warning"]
    assert len(warnings) == 1
    assert name in warnings[0]
    assert "A new version is packed" in warnings[0]


@pytest.mark.parametrize(
    "point", ["files.write", "files.write:2", "files.write:3", "files.fsync:3", "files.rename:3", "files.dirsync:4"]
)
def test_a_full_disk_leaves_no_version(store: Store, engine: Path, arm: Callable[[str], None], point: str) -> None:
    arm(f"{point}=enospc")
    with pytest.raises(DiskFull, match="run the same command again"):
        pack(store, DRAFT, engine, documents)
    assert store.versions("mail") == []
    assert store.names() == []
    specialist, folder, _ = pack(store, DRAFT, engine, documents)
    assert specialist.full_name == "mail:1"
    verify_files(folder, specialist.files)
    assert [p.name for p in folder.parent.iterdir()] == ["1"]


def test_what_an_interrupted_packing_left_gets_into_no_bundle(store: Store, engine: Path) -> None:
    left = store.path("specialists", "mail") / ".1.partial"
    left.mkdir(parents=True)
    (left / "stray.txt").write_text("half")
    specialist, folder, _ = pack(store, DRAFT, engine, documents)
    assert "stray.txt" not in specialist.files
    assert not (folder / "stray.txt").exists()
    assert not left.exists()
