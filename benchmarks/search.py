"""The search of `build` against the exhaustive sweep: what its choice gives away, and what share of the time it takes.

    python -m benchmarks.search --quick                   300 rows, few types, no training: some minutes
    python -m benchmarks.search                           the whole of the three examples, 4 methods by 6 types: hours
    python -m benchmarks.search --tasks extract-tickets   one of them
    python -m benchmarks.search --shared ...              the sweep takes over what the search made, with the seconds
                                                          that it took then: half of the time

Both strategies start from an empty store, so that both train; which one goes first alternates from task to task. With
--shared the search goes first, and a training that both need is run once. Score
and size of both choices are those that the sweep measured. The goal: at most 1 point and 5 % of the size given away, in
at most 40 % of the time. Prints Markdown rows for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from linnet.core.events import Event
from linnet.core.store import Store
from linnet.core.task import CandidatesPart, SearchPart, Task, read_task
from linnet.metrics.judging import points
from linnet.pipeline.build import build

TASKS = ("extract-tickets", "smart-home", "support")
STRATEGIES = ("exhaustive", "halving")
METHODS, QUICK_METHODS = ("prompt", "few_shot", "lora", "full"), ("prompt", "few_shot")
TYPES, QUICK_TYPES = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M"), ("BF16", "Q8_0", "Q4_K_M")
QUICK_ROWS = {"train": 300, "test": 20}


def shortened(source: Path, folder: Path) -> Path:
    """The example with its first rows alone."""
    folder.mkdir(parents=True)
    for path in (one for one in source.iterdir() if one.is_file()):
        most = QUICK_ROWS.get(path.stem)
        if most is None or path.suffix not in (".jsonl", ".csv"):
            shutil.copyfile(path, folder / path.name)
            continue
        with path.open("rb") as lines:
            (folder / path.name).write_bytes(b"".join(islice(lines, most + (path.suffix == ".csv"))))
    return folder


def task_of(folder: Path, strategy: str, *, quick: bool) -> Task:
    """The example with what is to be searched, and without a floor: the search is measured, not the models."""
    task = read_task(folder)
    more: dict[str, Any] = {
        "search": SearchPart.model_validate({"strategy": strategy}),
        "quality": task.quality.model_copy(update={"floor": 0.0}),
    }
    if task.task.kind != "classify":
        tried = {"models": task.candidates.models, "methods": QUICK_METHODS if quick else METHODS}
        more["candidates"] = CandidatesPart.model_validate({**tried, "quantizations": QUICK_TYPES if quick else TYPES})
    return task.model_copy(update=more)


def built(task: Task, store: Path) -> dict[str, Any]:
    """One build: its seconds, its choice, every candidate's score and size, the seconds of training. What lay in the
    store before counts with the seconds that it took when it was made."""
    there = {one.name for one in (store / "runs").iterdir()} if store.is_dir() else set[str]()
    taken: dict[str, float] = {}

    def listen(event: Event) -> None:
        if event.kind == "reused" and event.data.get("run") in there:
            taken[event.data["run"]] = event.data["seconds"]

    started = time.perf_counter()
    result = build(task, Store(store), listen)
    seconds = time.perf_counter() - started + sum(taken.values())
    report = json.loads((result.folder / "report.json").read_text())
    metric = report.get("metric") or report["headline"]["metric"]
    rows = [one for one in report["candidates"] if one["kind"] == "candidate" and one["validation"]]
    return {
        "seconds": seconds,
        "training": sum(one["seconds"] or 0.0 for one in report["training"]),
        "rounds": (report.get("search") or {}).get("rounds"),
        "choice": result.choice.candidate,
        "score": {one["name"]: points(metric, one["validation"][metric]["value"]) for one in rows},
        "size": {one["name"]: one["footprint"]["size_bytes"] for one in rows if one["footprint"]},
        "tried": len(result.choice.rejected) + 1,
    }


def row(name: str, sweep: dict[str, Any], search: dict[str, Any]) -> str:
    best, chosen = sweep["choice"], search["choice"]
    regret = sweep["score"][best] - sweep["score"][chosen]
    cost = sweep["size"][chosen] / sweep["size"][best] - 1
    asking = (search["seconds"] - search["training"]) / max(sweep["seconds"] - sweep["training"], 1e-9)
    times = f"{sweep['seconds'] / 60:.1f} | {search['seconds'] / 60:.1f} | {search['seconds'] / sweep['seconds']:.0%}"
    return f"| {name} | {sweep['tried']} | {best} | {chosen} | {regret:+.2f} | {cost:+.1%} | {times} | {asking:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=None)
    parser.add_argument("--shared", action="store_true")
    given = parser.parse_args()
    names = given.tasks or (TASKS[:1] if given.quick else TASKS)
    print("| task | candidates | sweep chose | search chose | points lost | size | sweep, min | search, min | time | "
          "time without training |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for place, name in enumerate(names):
        with tempfile.TemporaryDirectory(prefix="linnet-search-") as scratch:
            folder = Path("examples") / name
            if given.quick:
                folder = shortened(folder, Path(scratch) / name)
            order = STRATEGIES if place % 2 == 0 and not given.shared else STRATEGIES[::-1]
            found = {}
            for one in order:
                store = Path(scratch) / ("store" if given.shared else f"store-{one}")
                found[one] = built(task_of(folder, one, quick=given.quick), store)
                print(json.dumps({"task": name, one: found[one]}), flush=True)
        print(row(name, found["exhaustive"], found["halving"]), flush=True)


if __name__ == "__main__":
    main()
