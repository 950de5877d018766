"""`linnet evaluate --harness`: tasks of lm-evaluation-harness, as a table or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from linnet.core.errors import InputError

if TYPE_CHECKING:
    from linnet.pipeline.harness import Harnessed

OWN = ("include_path", "chat", "online")
# A task brings these itself.
FOREIGN = (
    *("file", "data", "metric", "input_", "output", "format_", "group", "instruction", "schema", "labels"),
    *("shots_from", "stop", "raw", "endpoint", "judge", "rubric", "judge_endpoint", "human", "seed"),
)


def run_tasks(given: Mapping[str, Any]) -> bool:
    """Run and print what --harness names; False without it. `given`: the flags of `linnet evaluate` by their names.

    Raises InputError for flags that do not go together, and what `run_harness` raises.
    """
    if not given["harness"]:
        if alone := [name for name in OWN if given[name]]:
            raise InputError(f"{_flag(alone[0])} is for --harness.", "Add: --harness TASK")
        return False
    if extra := [name for name in FOREIGN if given.get(name)]:
        raise InputError(f"--harness and {_flag(extra[0])} do not go together: a task brings its own.", "Leave it out.")
    from linnet.cli.printing import listener, print_json
    from linnet.pipeline.harness import HarnessOptions, run_harness

    options = HarnessOptions(
        include_path=str(given["include_path"] or ""),
        limit=given["limit"],
        shots=given["shots"],
        chat=given["chat"],
        online=given["online"],
    )
    tasks = [name for text in given["harness"] for name in text.split(",")]
    found = run_harness(given["name"], tasks, options, on_event=listener(given["quiet"] or given["as_json"]))
    if given["as_json"]:
        print_json({"model": given["name"], "tasks": [one.summary() for one in found]})
    else:
        for one in found:
            _show(one)
    return True


def _flag(name: str) -> str:
    return {"file": "a file of examples"}.get(name) or f"--{name.rstrip('_').replace('_', '-')}"


def _show(found: Harnessed) -> None:
    from linnet.cli.printing import plain

    made, facts = found.evaluation, found.step.result
    told = _by_task(facts["shots"], "shots"), _by_task(facts["version"], "version")
    limit = f"the first {facts['limit']} of each task, " if facts["limit"] else ""
    print(f"{plain(made.candidate)} on {plain(made.split)}: {made.examples} examples, {limit}{', '.join(told)}")
    width = max(len(name) for name in made.metrics) + 2
    for name, one in sorted(made.metrics.items(), key=lambda item: (":" in item[0], item[0] != made.primary)):
        print(f"  {plain(name):<{width}}{one.value:.4f}  [{one.low:.4f}, {one.high:.4f}]")
    for text, count in made.problems.items():
        print(f"  {count:>5} x {plain(text)}")
    print(f"  {facts['harness']}{', chat template' if facts['chat'] else ''}")
    print(f"  run        {found.step.run.id}")


def _by_task(values: Mapping[str, Any], what: str) -> str:
    different = sorted({str(value) for value in values.values()})
    return f"{what} {different[0] if len(different) == 1 else 'differ'}"
