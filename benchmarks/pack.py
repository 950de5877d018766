"""Make a specialist of a bare ONNX folder, so that the server can be measured without a whole build."""

from __future__ import annotations

from pathlib import Path

from linnet.core.events import silent
from linnet.core.records import Decision, Footprint, Specialist
from linnet.core.store import Store
from linnet.stages.pack import pack


def pack_engine(store: Store, engine: Path, labels: list[str]) -> Specialist:
    """A specialist called `bank`, with no evaluation."""
    cost = Footprint(
        size_bytes=sum(p.stat().st_size for p in engine.iterdir()), latency_ms_p50=0, latency_ms_p95=0,
        documents_per_second=0, peak_memory_bytes=0, energy_joules_per_1000=None, energy_note="not measured",
    )  # fmt: skip
    draft = Specialist(
        name="bank", version=0, kind="classify", candidate="full-int8", decision=Decision(labels=labels),
        metric={}, baseline={}, footprint=cost, licence="Apache-2.0", files={}, lineage={"benchmark": str(engine)},
        created="",
    )  # fmt: skip
    return pack(store, draft, engine, lambda _: {}, silent)[0]
