"""A tagger of personal data on presidio's synthetic sentences: F2 of whole spans, on templates that training never saw.

    python -m benchmarks.tag              # needs the data folder pii_presidio, some minutes
    python -m benchmarks.tag --seeds 3    # three splits by template

Beside it the lexicon, and as orientation what presidio-research reports for its own split of such sentences:
0.618 for stock Presidio, 0.845 with a transformer of 110 million weights. Prints Markdown rows for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from linnet.core.store import Store
from linnet.core.task import parse_task
from linnet.pipeline.build import build

DATA = Path(os.environ.get("LINNET_DATA", Path(__file__).parents[2] / "shared" / "data")) / "pii_presidio"
FILE = "synth_dataset_v2.json"


def rows(target: Path) -> int:
    """The sentences as rows of text, spans and template; returns how many."""
    found = json.loads((DATA / FILE).read_text())
    made = [
        {"text": one["full_text"], "spans": one["spans"], "template": f"template {one['template_id']}"} for one in found
    ]
    target.write_text("".join(json.dumps(row) + "\n" for row in made))
    return len(made)


def measured(folder: Path, seed: int) -> str:
    """One row of the table."""
    task = {
        "task": {"name": "pii", "kind": "tag", "input": "text", "output": "spans"},
        "data": {"train": "rows.jsonl", "group": "template", "seed": seed},
        "quality": {"metric": "span_f2"},
    }
    started = time.monotonic()
    result = build(parse_task(task, folder), Store(folder / f"store-{seed}"))
    report = json.loads((result.folder / "report.json").read_text())
    test, made = report["test"], result.specialist
    scores = " | ".join(
        f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
        for one in (test["metrics"][name] for name in ("span_f2", "span_f1", "span_f1_partial"))
    )
    size, ms = made.footprint.size_bytes / 1e6, made.footprint.latency_ms_p50
    return (
        f"| {seed} | {test['examples']} | {made.candidate} | {scores} | {made.baseline['value']:.3f} | {size:.0f} MB"
        f" | {ms:.1f} | {time.monotonic() - started:.0f} s |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not there. Set LINNET_DATA to the folder that holds pii_presidio.")
    head = "| seed | test texts | chosen | F2 | F1 | F1, partial | lexicon F2 | size | ms a text | build |"
    print(f"{head}\n|{'---|' * 10}")
    with tempfile.TemporaryDirectory() as place:
        rows(Path(place) / "rows.jsonl")
        for seed in range(given.seeds):
            print(measured(Path(place), seed), flush=True)


if __name__ == "__main__":
    main()
