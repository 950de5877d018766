"""Tune a decoder: from a file of conversations to a run in the store, and on to a model with a name.

Reads, plans, reports, trains; with a name it merges too. What is trained and how is decided by the stages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from linnet.core.errors import InputError, StoreError, require
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import read_json
from linnet.core.models import model_names, read_manifest
from linnet.core.names import split_tag
from linnet.core.records import Model
from linnet.core.runs import RunView, find_run
from linnet.core.settings import is_follower, processes
from linnet.core.store import Step, Store
from linnet.core.tune_task import read_tune_task
from linnet.formats.resolve import looks_like_path, resolve_model
from linnet.pipeline import align
from linnet.pipeline.merge import MergeResult, merge
from linnet.pipeline.rehearsal import after_training, before_training
from linnet.stages.tune import (
    REPORT,
    TEMPLATE,
    TRAIN,
    VALIDATION,
    DecoderJob,
    check_base,
    follow_decoder,
    tune_decoder,
)
from linnet.text.conversation_formats import read_conversations
from linnet.text.conversation_splits import hold_out_chats
from linnet.text.conversations import Columns, read_chat_lines
from linnet.version import code_version

if TYPE_CHECKING:
    from linnet.training.decoder_data import DecoderData, NamedTemplate
    from linnet.training.recipe import Recipe

DEFAULT_MODEL = "builtin:nano"
OnReport = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions:
    """How to tune. 0 and "" leave it to Linnet, which prints its reasons.

    `input` and `output` name the columns of question and answer, `instruction` becomes the system turn. `format` is
    messages, sharegpt, alpaca, prompt-completion or text. `rate` is the peak learning rate. `quantize` holds
    the base in nf4 or int8 while an adapter is trained, `dora` learns lengths by themselves, `neftune` is the strength
    of noise on the embeddings. `max_length` is the longest row in tokens: longer ones are refused, or with `drop_long`
    left out and counted. `validation` is a file of rows to stop by; without it a tenth is held out. `out` names the
    finished model. `checkpointing` computes layers twice and `part_tokens` fewer tokens at once, both to save memory.
    `shard` spreads the weights over the processes of torchrun, each of which holds a part (FSDP).
    `rehearse` walks through it all on a few rows first: None does so before a run predicted to take over five minutes.
    `split` is one of a saved dataset. The methods dpo, kto, orpo and grpo have `beta`, the pull towards the base; grpo
    has a `reward` (exact, json or FILE.py), and `samples` answers of at most `answer_tokens` for each prompt.
    """

    method: str = ""
    rank: int = 0
    alpha: int = 0
    epochs: int = 0
    rate: float = 0.0
    batch: int = 0
    quantize: str = ""
    dora: bool = False
    neftune: float = 0.0
    max_length: int = 0
    seed: int = 0
    format: str = ""
    input: str = ""
    output: str = ""
    instruction: str = ""
    template: str = ""
    validation: str = ""
    drop_long: bool = False
    out: str = ""
    checkpointing: bool = False
    part_tokens: int = 0
    shard: bool = False
    rehearse: bool | None = None
    split: str = ""
    beta: float = 0.0
    reward: str = ""
    samples: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class TuneResult:
    """A finished run, and the model that was made of it when a name was given."""

    step: Step
    merged: MergeResult | None

    def summary(self) -> dict[str, Any]:
        """The one line of `--json`."""
        result = self.step.result
        kept = ("base", "method", "artefact", "epochs", "best_epoch", "seconds", "target_tokens_per_second")
        return {
            "run": self.step.run.id,
            "folder": str(self.step.folder),
            "reused": self.step.reused,
            **{key: result[key] for key in kept},
            "model": self.merged.summary() if self.merged else None,
        }


def from_task(path: Path, model: str, options: TuneOptions) -> tuple[str, str, TuneOptions, tuple[str, ...]]:
    """Model, data, options and notes of a task.toml; what is given beside it counts more. Raises TaskError."""
    task = read_tune_task(path)
    if options.input or options.output or options.format:
        raise InputError("task.toml names the columns; --input, --output and --format do too.", "Leave one out.")
    taken = {"input": task.input, "output": task.output, "instruction": task.instruction}
    taken |= {"validation": options.validation or task.validation}
    changed = TuneOptions(**{**asdict(options), **taken, "seed": options.seed or task.seed})
    return model or task.model or DEFAULT_MODEL, task.train, changed, task.notes


def prepare_tuning(
    model: str, data: str | Path, options: TuneOptions = TuneOptions(), *, store: Store, notes: tuple[str, ...] = ()
) -> tuple[Model, DecoderJob]:
    """Everything before step 1: the base, the rows with their masks and report, the recipe with its reasons.

    Raises NotFound, InputError, DataError, ModelFileError.
    """
    require("tokenizers", "train")
    from linnet.training.decoder_data import choose_template

    base = resolve_model(store, model)
    folder = check_base(base)
    if options.out and split_tag(options.out)[1] is not None:
        raise InputError(f"--out {options.out}: a name without a tag is needed.", "It names the model and its forms.")
    _check_shard(options)
    template = choose_template(folder, options.template)
    made: DecoderData
    recipe: Recipe
    if options.method in align.METHODS:
        sizes = _parameters(base), base.max_tokens
        made, recipe, reasons, source = align.prepare(
            folder, Path(data).expanduser(), options, template, _chosen(options), sizes
        )
    else:
        made, recipe, reasons, source = _imitated(folder, base, Path(data).expanduser(), options, template)
    request = {
        "base": str(Path(model).expanduser().absolute()) if looks_like_path(model) else model,
        "base_files": {name: entry.sha256 for name, entry in base.files.items()},
        "data": str(Path(data).expanduser().absolute()),
        "options": asdict(options),
        "recipe": recipe.to_json(),
        "template": {"name": template.name, "reason": template.reason},
        "code_version": code_version(),
        "torch": version("torch"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    made.report.update(source=source, reasons=reasons, notes=list(notes))
    return base, DecoderJob(made, recipe, request, lambda: _check_name(store, options.out))


def _imitated(
    folder: Path, base: Model, data: Path, options: TuneOptions, template: NamedTemplate
) -> tuple[DecoderData, Recipe, list[str], dict[str, Any]]:
    """Rows, recipe, its reasons and the facts of the file, for a training on answers."""
    from linnet.training.decoder_data import prepare_data
    from linnet.training.tune_plan import plan_recipe, plan_tokens

    _refuse_preferences(options)
    columns = _columns(options)
    read = read_conversations(data, format_=options.format, columns=columns, split=options.split)
    held = None
    if options.validation:
        held = read_conversations(Path(options.validation).expanduser(), format_=options.format, columns=columns)
    train, validation = (read.chats, held.chats) if held else hold_out_chats(read.chats, options.seed)
    limit = plan_tokens(options.max_length, base.max_tokens)
    names = (data.name, Path(options.validation or data).name)
    made = prepare_data(folder, train, validation, template, limit, drop_long=options.drop_long, names=names)
    recipe, reasons = plan_recipe(_chosen(options), len(made.train), _parameters(base), base.max_tokens)
    return made, recipe, reasons, {"name": data.name, **read.facts()}


def _refuse_preferences(options: TuneOptions) -> None:
    for name in ("beta", "reward", "samples", "answer_tokens"):
        if getattr(options, name):
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} is of the methods {', '.join(align.METHODS)}.", "Choose one with --method.")


def _check_shard(options: TuneOptions) -> None:
    if options.shard and processes() < 2:
        hint = "Start several: torchrun --nproc-per-node 2 -m linnet tune --shard ..."
        raise InputError("--shard spreads the weights over processes, and there is one.", hint)
    if options.shard and options.quantize:
        raise InputError("--shard spreads weights as they are stored, not quantised ones.", "Leave one of them out.")


def _columns(options: TuneOptions) -> Columns | None:
    if bool(options.input) != bool(options.output):
        raise InputError("--input and --output belong together: question and answer.", "Give both, or neither.")
    if options.input and options.format:
        raise InputError("--format and --input say the same thing in two ways.", "Leave one out.")
    if options.instruction and not options.input:
        raise InputError("--instruction is asked before --input, which is not given.", "Name --input and --output.")
    return Columns(options.input, options.output, options.instruction) if options.input else None


def _chosen(options: TuneOptions) -> Any:
    from linnet.training.tune_plan import Chosen

    return Chosen(
        method=options.method, lora_rank=options.rank, lora_alpha=options.alpha, epochs=options.epochs,
        batch_size=options.batch, learning_rate=options.rate, max_tokens=options.max_length, seed=options.seed,
        quantization=options.quantize, use_dora=options.dora, neftune_alpha=options.neftune,
        gradient_checkpointing=options.checkpointing, part_tokens=options.part_tokens,
    )  # fmt: skip


def _parameters(base: Model) -> int:
    return int(base.report.get("parameters") or 0)


def _check_name(store: Store, out: str) -> None:
    """Raise InputError before the long part when the name that is asked for is taken."""
    if not out:
        return
    if store.versions(out):
        raise InputError(f"{out} is the name of a specialist.", "Choose another with --out.")
    if taken := [name for name in model_names(store) if name.partition(":")[0] == out]:
        source = read_manifest(store, taken[0]).provenance.source
        raise InputError(f"{out} is in the store already, from {source}.", f"Choose another, or: linnet rm {out}")


def tune(
    model: str,
    data: str | Path,
    options: TuneOptions = TuneOptions(),
    *,
    store: Store | None = None,
    on_event: OnEvent = silent,
    on_report: OnReport = lambda _: None,
) -> TuneResult:
    """Tune a decoder on a file of conversations; with `options.out` also merge it and give it that name.

    `on_report` gets the report on the data before the first step. The same call goes on with an interrupted run, and
    gives back a finished one. Raises any error of the tree.
    """
    store = store or Store()
    base, job = prepare_tuning(model, data, options, store=store)
    on_report(job.data.report)
    return run_tuning(store, base, job, on_event)


def run_tuning(store: Store, base: Model, job: DecoderJob, on_event: OnEvent = silent) -> TuneResult:
    """Train what `prepare_tuning` made ready, after a rehearsal where one is due. Raises GuardStopped."""

    def before() -> None:
        job.before()
        before_training(store, base, job, job.request["options"].get("rehearse"), on_event)

    return _trained(store, base, replace(job, before=before), on_event)


def _trained(store: Store, base: Model, job: DecoderJob, on_event: OnEvent) -> TuneResult:
    if is_follower():
        follow_decoder(store, base, job)
        _part()
        return TuneResult(tune_decoder(store, base, job), None)
    step = tune_decoder(store, base, job, on_event)
    after_training(store, job, step)
    if processes() > 1:
        _part()
    return _finished(store, step, job.request, on_event)


def _part() -> None:
    from linnet.training import parallel

    parallel.leave()


def _finished(store: Store, step: Step, request: dict[str, Any], on_event: OnEvent) -> TuneResult:
    out = str(request["options"].get("out", ""))
    return TuneResult(step, merge(step.run.id, out, store=store, on_event=on_event) if out else None)


def resume(run: str, *, store: Store | None = None, on_event: OnEvent = silent) -> TuneResult:
    """Go on with an interrupted run from its own rows, whatever became of the file they came from.

    Under another version of the code it goes on too, with a warning, and the run records it. Raises NotFound,
    InputError for a run that cannot be gone on with, StoreError when the base or torch changed since.
    """
    store = store or Store()
    found = find_run(store, run, "tune")
    if not found.request:
        raise InputError(f"{found.id} is no run of `linnet tune`.", "Run the command again that made it.")
    if found.run is not None:
        on_event(Event("reused", "tune", f"{found.id} is finished"))
        return _finished(store, Step(found.run, found.folder, reused=True), found.request, on_event)
    return _trained(store, *_job_of(store, found, on_event), on_event)


def _job_of(store: Store, found: RunView, on_event: OnEvent) -> tuple[Model, DecoderJob]:
    from linnet.training.decoder_data import NamedTemplate, prepare_data
    from linnet.training.recipe import Recipe

    request = found.request
    if found.state == "running" and not is_follower():
        raise InputError(f"{found.id} is running.", f"Watch it with: linnet runs show {found.id}")
    base = resolve_model(store, request["base"])
    if request["base_files"] != {name: entry.sha256 for name, entry in base.files.items()}:
        raise StoreError(
            f"{request['base']} is not the model that {found.id} was begun with: its files changed.",
            "Its state is not continued on other weights. Run its `linnet tune` command again: it starts anew.",
        )
    _check_torch(found)
    request = _told_of_code(found, on_event)
    folder = check_base(base)
    source = (found.folder / TEMPLATE).read_text(encoding="utf-8")
    template = NamedTemplate(source=source, **request["template"])
    recipe: Recipe
    data: DecoderData
    try:
        if request["options"]["method"] in align.METHODS:
            data, recipe = align.again(folder, found, template)
        else:
            recipe = Recipe.model_validate(request["recipe"])
            train, validation = (read_chat_lines(found.folder / name) for name in (TRAIN, VALIDATION))
            data = prepare_data(folder, train, validation, template, recipe.max_tokens)
    except ValidationError as error:
        raise StoreError(
            f"{found.id} has a recipe that this version does not read: {error.errors()[0]['loc'][0]}.",
            "Run its `linnet tune` command again: it starts anew.",
        ) from error
    data.report.update(read_json(found.folder / REPORT))
    return base, DecoderJob(data, recipe, request, run=found.id, begun_by=request["code_version"])


def _check_torch(found: RunView) -> None:
    if (begun := found.request.get("torch", "")) != (here := version("torch")):
        raise StoreError(
            f"{found.id} was begun with torch {begun or 'of an unknown version'}; here is {here}.",
            "Other kernels compute other numbers. Install that version, or run its `linnet tune` command again.",
        )


def _told_of_code(found: RunView, on_event: OnEvent) -> dict[str, Any]:
    """The request, with this version of the code in it when another one began the run; then it also warns."""
    begun, here = found.request["code_version"], code_version()
    known = found.request.get("resumed_by", [])
    if here == begun:
        return found.request
    text = f"{found.id} was begun by other code ({begun}); it goes on with {here}, and its record says so"
    on_event(Event("warning", "tune", text))
    return found.request | {"resumed_by": known if here in known else [*known, here]}
