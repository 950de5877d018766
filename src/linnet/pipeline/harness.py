"""Run tasks of lm-evaluation-harness (lm_eval) in this process on a GGUF: the very weights that are served.

Each TASK is a step of the store, judged by the task's own metrics. Without `online` nothing is fetched.
"""

from __future__ import annotations

import difflib
import json
import logging
import math
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.core.errors import InputError, LinnetError, NotFound, ResourceMissing, require
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, sha256_bytes, write_bytes, write_json
from linnet.core.records import TaskEvaluation
from linnet.core.settings import offline
from linnet.core.store import Step, Store
from linnet.engines.requests.asking import Source
from linnet.metrics import judging
from linnet.metrics.identity import EvaluationIdentity, prompt_hash
from linnet.pipeline.gguf import as_source
from linnet.pipeline.harness_results import Measured, measured
from linnet.stages.evaluate import task_evaluation
from linnet.version import code_version

if TYPE_CHECKING:
    from linnet.pipeline.harness_model import HarnessModel

SEED, PYTHON_SEED = 1234, 0  # the harness's own
CUT = "the start of a prompt was cut to fit the context"
QUIET = {"TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
SILENT = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessOptions:
    """How tasks are run. `shots` None: as each task says; `limit` 0: every example. `include_path`: a folder of task
    files. `chat`: by the model's template. `online`: data sets that are not here may be fetched by lm_eval."""

    include_path: str = ""
    limit: int = 0
    shots: int | None = None
    chat: bool = False
    online: bool = False


@dataclass(frozen=True, slots=True)
class Harnessed:
    """One TASK with the run that holds evaluation.json, harness.json and samples.jsonl."""

    step: Step
    evaluation: TaskEvaluation

    def summary(self) -> dict[str, Any]:
        """One entry of `--json`."""
        return {**self.evaluation.to_json(), **self.step.result, "run": self.step.run.id}


def run_harness(
    model: str,
    tasks: Sequence[str],
    options: HarnessOptions | None = None,
    *,
    store: Store | None = None,
    on_event: OnEvent = silent,
) -> list[Harnessed]:
    """Measure a model on tasks, by name or by the path of a task's YAML file. A task file may run Python of its own.

    Raises InputError for an unknown task or one that cannot be run here, ResourceMissing for data that are not here
    or a library that is not, NotFound, and what the scorer and the engine raise.
    """
    require("lm_eval", "harness")
    store, options = store or Store(), options or HarnessOptions()
    if options.limit < 0 or (options.shots or 0) < 0:
        raise InputError("--limit and --shots are 0 or more.")
    with _surroundings(options.online):
        loaded = _load(tasks, options)
        source = as_source(store, model, on_event)[0]
        from linnet.pipeline.harness_model import HarnessModel

        lm = HarnessModel(source, on_event)
        try:
            steps = [_measure(store, source, lm, (name, one, options), on_event) for name, one in loaded.items()]
        finally:
            lm.close()
    return [Harnessed(step, task_evaluation(step)) for step in steps]


@contextmanager
def _surroundings(online: bool) -> Iterator[None]:
    """No telemetry, no progress bars of others, and unless `online` no network: libraries read these when imported."""
    if online and offline():
        raise InputError("--online was asked for, but LINNET_OFFLINE or HF_HUB_OFFLINE is set.", "Unset it.")
    wanted = {**QUIET, **SILENT, **({} if online else OFFLINE)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    logger = logging.getLogger("lm_eval")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        hub = sys.modules.get("huggingface_hub.constants")
        if not online and hub is not None and not getattr(hub, "HF_HUB_OFFLINE", False):
            raise InputError(
                "huggingface_hub was imported before, with the network on.",
                "Set HF_HUB_OFFLINE=1 before Python starts, or say online.",
            )
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _load(names: Sequence[str], options: HarnessOptions) -> dict[str, dict[str, Any]]:
    """Tasks and groups by what they are called, their data read."""
    folder = Path(options.include_path).expanduser() if options.include_path else None
    if folder is not None and not folder.is_dir():
        raise NotFound(f"{folder} is no folder.", "--include-path names a folder with task files (YAML).")
    paths = [str(folder)] if folder else []
    wanted = dict.fromkeys(name.strip() for name in names if name.strip())
    if not wanted:
        raise InputError("No task was named.", "Write: --harness TASK")
    from lm_eval.tasks import TaskManager

    made: dict[str, dict[str, Any]] = {}
    try:
        manager = TaskManager(include_path=paths, include_defaults=False)
        if any(name not in manager.task_index and not Path(name).is_file() for name in wanted):
            manager = TaskManager(include_path=paths)  # reads every file of the harness: seconds
    except Exception as error:
        raise InputError(f"The task files cannot be read: {_words(error)}.", "Mend or remove the file.") from error
    for name in wanted:
        one = _load_one(manager, name)
        made[_title(name, one)] = one
    return made


def _load_one(manager: Any, name: str) -> dict[str, Any]:
    if name not in manager.task_index and not Path(name).is_file():
        near = difflib.get_close_matches(name, manager.all_tasks, 3)
        hint = f"Near: {', '.join(near)}. " if near else ""
        raise InputError(f"No task is called {name!r}.", f"{hint}Tasks of your own: --include-path DIR.")
    try:
        found: dict[str, Any] = manager.load([name])
    except ModuleNotFoundError as error:
        raise ResourceMissing(f"Task {name} needs the library {error.name!r}.", f"pip install {error.name}") from error
    except (OSError, ConnectionError) as error:
        raise ResourceMissing(
            f"The data of task {name} are not on this machine: {_words(error)}.",
            "Name a task file whose data are local (--harness FILE.yaml), or add --online to fetch them.",
        ) from error
    except Exception as error:
        raise InputError(f"Task {name} cannot be read: {_words(error)}.", "Mend its file.") from error
    for task, held in found["tasks"].items():
        if getattr(held, "UNSAFE_CODE", False):
            raise InputError(
                f"Task {task} runs code that the model wrote, without a sandbox.", "Use --metric pass_at_1 for code."
            )
        if getattr(held, "MULTIMODAL", False):
            raise InputError(f"Task {task} asks with images: this model reads text.")
    return found


def _title(name: str, loaded: Mapping[str, Any]) -> str:
    """A task's own name where a file was given."""
    known = [*loaded["groups"], *loaded["tasks"]]
    return name if name in known or len(loaded["tasks"]) != 1 else str(known[0])


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.')}" if lines else type(error).__name__


Wanted = tuple[str, dict[str, Any], HarnessOptions]


def _measure(store: Store, source: Source, lm: HarnessModel, wanted: Wanted, on_event: OnEvent) -> Step:
    name, loaded, options = wanted
    shots = {task: _set_shots(task, held, options, on_event) for task, held in loaded["tasks"].items()}
    examples = {task: _documents(held, options) for task, held in loaded["tasks"].items()}
    versions = {task: str(held.VERSION) for task, held in loaded["tasks"].items()}
    facts = {
        "task": name,
        "version": versions,
        "shots": shots,
        "limit": options.limit,
        "chat": options.chat,
        "harness": f"lm-eval {installed('lm_eval')}",
    }
    tasks = sha256_bytes(_text({task: held.dump_config() for task, held in loaded["tasks"].items()}))
    shown = sha256_bytes(_text({task: _shown(held) for task, held in loaded["tasks"].items() if shots[task]}))
    inputs = {"model": source.sha256, "name": source.name, **facts, "tasks": tasks, "examples": examples}
    inputs |= {"shown": shown, "seed": SEED, "context": lm.context, "code": code_version("pipeline")}

    def work(folder: Path) -> dict[str, Any]:
        lm.cut = 0
        found = _run(lm, name, loaded, options)
        tables = measured(name, found, loaded["tasks"], f"{facts['harness']}; {_short(versions)}")
        ruler = {"dataset": sha256_bytes(canonical(examples)), "split": name, "seed": SEED}
        ruler |= {"prompt": prompt_hash("lm-eval chat" if options.chat else "lm-eval", tasks + shown)}
        ruler |= {"decoding": {"method": "lm-eval"}}
        made = _evaluation(source.name, tables, ruler, sum(count for count, _ in examples.values()))
        made = made.model_copy(update={"problems": {CUT: lm.cut} if lm.cut else {}})
        judged = [one.judgement for one in tables if one.judgement and one.higher_is_better]
        for number, one in enumerate(judged):
            write_bytes(folder / f"judgement-{number}.json", canonical(one.to_json()))
        samples = [_text({"task": task, **one}) for task, rows in found.pop("samples").items() for one in rows]
        write_bytes(folder / "samples.jsonl", b"".join(line + b"\n" for line in samples))
        write_json(folder / "harness.json", json.loads(_text(found)))
        write_json(folder / "evaluation.json", made.to_json())
        return {**facts, "metric": made.primary, "value": made.metrics[made.primary].value}

    return store.step("evaluate", inputs, work, on_event, label=f"{source.name}, {name}")


def _short(versions: Mapping[str, str]) -> str:
    return f"task version {', '.join(sorted(set(versions.values())))}"


def _set_shots(name: str, task: Any, options: HarnessOptions, on_event: OnEvent) -> int:
    """Few-shot examples as the harness sets them: a task that says 0 itself keeps 0."""
    own = task.get_config("num_fewshot")
    if options.shots is not None and own == 0 and options.shots:
        on_event(Event("warning", "evaluate", f"{name} says itself that it shows no examples: --shots is passed over"))
    elif options.shots is not None or own is None:
        task.set_config(key="num_fewshot", value=options.shots or 0)
    task.set_fewshot_seed(seed=SEED)
    return int(task.get_config("num_fewshot"))


def _documents(task: Any, options: HarnessOptions) -> tuple[int, str]:
    """How many examples, and the hash of them in order."""
    rows = [_text(row) for _, row in task.doc_iterator(rank=0, limit=options.limit or None, world_size=1)]
    return len(rows), sha256_bytes(b"\n".join(rows))


def _shown(task: Any) -> str:
    """Hash of the examples that shots are drawn from."""
    return sha256_bytes(b"\n".join(_text(row) for row in task.fewshot_docs() or ()))


def _run(lm: HarnessModel, name: str, loaded: dict[str, Any], options: HarnessOptions) -> dict[str, Any]:
    from lm_eval.evaluator import evaluate

    # The harness draws from these two in places; its own command sets them in the same way.
    random.seed(PYTHON_SEED)
    np.random.seed(SEED)
    try:
        found = evaluate(
            lm=lm,
            task_dict=loaded,
            limit=options.limit or None,
            bootstrap_iters=0,
            apply_chat_template=options.chat,
            fewshot_as_multiturn=True,
        )
    except LinnetError:
        raise
    except ModuleNotFoundError as error:
        raise ResourceMissing(f"Task {name} needs the library {error.name!r}.", f"pip install {error.name}") from error
    except Exception as error:
        raise InputError(f"Task {name} failed while it was run: {_words(error)}.", "Look at its file.") from error
    return dict(found or {})


def _evaluation(candidate: str, tables: Sequence[Measured], ruler: dict[str, Any], examples: int) -> TaskEvaluation:
    judged = [one for one in tables if one.judgement and one.judgement.statistic == "mean"]
    version = next((one.judgement.version for one in tables if one.judgement), "")
    identity = {**ruler, "examples": examples}
    return TaskEvaluation(
        candidate=candidate,
        split=ruler["split"],
        examples=examples,
        counted=len(tables[0].judgement.counted) if tables[0].judgement else examples,
        failed=0,
        primary=tables[0].name,
        metrics={one.name: one.interval for one in tables},
        identities={
            one.name: EvaluationIdentity(**identity, metric=one.name, metric_version=version).to_json()
            for one in tables
        },
        detectable={one.name: judging.detectable(one.judgement, one.interval) for one in judged if one.judgement},
        slices=[],
        problems={},
        answers="",
    )


def _text(value: Any) -> bytes:
    """Any value of a task as one JSON text; what is no JSON by its name."""
    return json.dumps(_finite(value), default=str, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
