"""Convert: a decoder from a Hugging Face folder or a GGUF to a GGUF of any type, proven before it gets its name.

One pass, no file on the way. Also says beforehand whether a model will convert, and why not.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from linnet.core import settings
from linnet.core.blobs import blob_file, publish_blob, writing_blobs
from linnet.core.errors import EngineError, InputError, LinnetError, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.failpoints import failpoint
from linnet.core.files import fsync_folder, make_folder, sha256_bytes, sha256_file
from linnet.core.models import check_free, lease, stamp, write_manifest
from linnet.core.names import split_tag, to_name
from linnet.core.records import Manifest, Model, Provenance, Record
from linnet.core.store import Store
from linnet.engines.base import GGUF
from linnet.engines.measure import forget_peak_memory, peak_memory_bytes
from linnet.engines.quantization.gguf_quantize import Quantized
from linnet.engines.quantization.quantize_gate import Gate
from linnet.engines.quantization.quantize_guided import Searched, Target
from linnet.formats.builtin import RUNNABLE
from linnet.formats.model_check import check_model
from linnet.formats.model_facts import bare_stem, facts_of
from linnet.formats.resolve import looks_like_path, resolve_model, stated_licence

if TYPE_CHECKING:
    from linnet.engines.quantization.quantize_file import Wish


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may say besides the model and the type. `out`: a file ending in .gguf, or a name for the store.

    pure: every matrix this one type. requantize: accept a source that is quantised already. threads: 0 for all.
    gather: make an importance matrix, or take the one kept, from `calibration` (a text, a table, a task; else from
    what the model writes itself). target: choose the type of each tensor for a size or a loss, instead of a mixture.
    types: take them from a GGUF, or from the record of an earlier run. method: "autoround" trains how each weight of a
    folder is rounded, on the calibration text.
    """

    out: str = ""
    imatrix: Path | None = None
    pure: bool = False
    requantize: bool = False
    threads: int = 0
    gather: bool = False
    calibration: Path | None = None
    target: Target | None = None
    types: Path | None = None
    method: str = ""


class Converted(Record):
    """What was made: `name` in the store, or `path` of the file; the types in it, and what the gate measured.

    search: how types were chosen for a target.
    """

    source: str
    name: str = ""
    path: str
    sha256: str = ""
    quantized: Quantized
    gate: Gate
    search: Searched | None = None
    seconds: float


class Possible(Record):
    """Whether a model can be converted. `problem` is empty where it can; each step that was gone through is named."""

    source: str
    possible: bool
    architecture: str = ""
    passed: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""
    quantized: Quantized | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the result goes: a file, or a name of the store; and the folder in which it grows."""

    file: Path | None
    name: str
    scratch: Path

    @property
    def shown(self) -> str:
        return str(self.file) if self.file else self.name


def convert(store: Store, model: str, kind: str, options: Options = Options(), on_event: OnEvent = silent) -> Converted:
    """Write the model as `kind`: a mixture of llama.cpp's such as Q4_K_M, or a plain type such as F16.

    With a target or a list of types in `options`, `kind` is empty.
    Before the file gets its name it is loaded, its tokens are compared with the source's tokenizer, and its
    predictions with the source's. Raises InputError, ModelFileError for a weight that is NaN or infinite (named),
    GateFailed, EngineError for what llama.cpp does not know, DiskFull before writing, StoreBusy.
    """
    wish, label = _wish(kind, options)
    source = _source(store, model, label)
    _check_method(options, wish, source)
    place = _place(store, source, model, re.sub(r"[^\w.]+", "-", label).rstrip("-"), options.out)
    started, counted = time.monotonic(), forget_peak_memory()
    with lease(store, source), _alone(store, place, on_event):
        on_event(Event("start", "convert", f"{source.name} to {label}"))
        partial = place.scratch / GGUF
        wish, search = _guided(store, source, wish, options, place.scratch, on_event)
        made = _written(source, partial, wish, options, on_event)
        _tell(made, on_event)
        on_event(Event("progress", "convert", "comparing with the source"))
        gate = _gate(source, partial, wish)
        if gate.note:
            on_event(Event("warning", "convert", gate.note))
        path, sha256 = _named(store, source, place, partial)
    seconds = time.monotonic() - started
    on_event(Event("done", "convert", place.shown, data={"seconds": seconds}))
    if not (options.gather or options.target or options.method):  # whose time no plan predicts
        with suppress(LinnetError):  # of a store that is busy
            _remember(store, source, (made, path), wish.threads, seconds, counted)
    return Converted(
        source=source.name,
        name="" if place.file else place.name,
        path=str(path),
        sha256=sha256,
        quantized=made,
        gate=gate,
        search=search,
        seconds=round(seconds, 3),
    )


def _wish(kind: str, options: Options) -> tuple[Wish, str]:
    """What is asked for, and a word for it. Raises InputError unless it is one of a type, a target and a list."""
    from linnet.engines.quantization.mixtures import nearest, parse
    from linnet.engines.quantization.quantize_file import Wish
    from linnet.engines.quantization.quantize_guided import read_types

    if (bool(kind), options.target is not None, options.types is not None).count(True) != 1:
        raise InputError("Say one of a type, a size, bits a weight, a loss or a list of types.")
    if options.pure and not kind:
        raise InputError("--pure needs --type.")
    types = read_types(options.types) if options.types else {}
    mixture = parse(kind, pure=options.pure) if kind else nearest(types) if types else "F16"
    label = options.target.label if options.target else "listed" if types else mixture
    threads = options.threads or settings.threads()
    return Wish(mixture, options.pure, options.imatrix, options.requantize, threads, types), label


def _guided(
    store: Store, source: Model, wish: Wish, options: Options, scratch: Path, on_event: OnEvent
) -> tuple[Wish, Searched | None]:
    """The wish with what running the model first finds out, where something of it is asked for."""
    if not (options.gather or options.target):
        return wish, None
    from linnet.engines.quantization.quantize_guided import Ask, guided, key_of
    from linnet.text.calibration import read_calibration

    calibration = read_calibration(options.calibration) if options.calibration else None
    path = Path(source.path)
    files = {name: file.sha256 for name, file in source.files.items()} or {path.name: sha256_file(path)}
    kept = store.path("importance")
    with os_errors(kept, "Making"):
        make_folder(kept)
    ask = Ask(options.target, options.gather, calibration, kept, key_of(files, calibration))
    with store.locked(f"importance/{ask.key}", f"the importance matrix of {source.name}", on_event):
        return guided((path, source.format), wish, ask, scratch, on_event)


def _remember(
    store: Store, source: Model, result: tuple[Quantized, Path], threads: int, seconds: float, counted: bool
) -> None:
    """Keep what it took beside what a plan predicts of it. Nothing where this machine was not measured."""
    from linnet.core import history
    from linnet.engines.llama.load_plan import read_shape
    from linnet.engines.planning.machine_speed import kept_speed
    from linnet.engines.quantization import quantize_cost

    machine, folder, made, shape = kept_speed(store), source.format != "gguf", result[0], read_shape(result[1])
    if machine is None:
        return
    prefill, key = min(machine.prefill_weights.values()), f"{source.name} {made.file_type}"
    predicted = quantize_cost.seconds(shape.weights, made.source_bytes, threads, prefill=prefill, folder=folder)
    history.append(store, "quantize-seconds", key, predicted, seconds)
    if counted and not folder:
        held = quantize_cost.memory_bytes(made.source_bytes, shape, folder=False)
        history.append(store, "quantize-memory", key, held, peak_memory_bytes())


def check_convert(store: Store, model: str, kind: str = "F16", options: Options = Options()) -> Possible:
    """Whether `convert` would get to the gate: files, architecture, tensors, tokenizer, types. Writes nothing.

    What only weights can tell (NaN, the gate) is not known before. Raises InputError and NotFound for the name itself.
    """
    from linnet.engines.conversion.conversion_proof import prove_load
    from linnet.engines.quantization.gguf_quantize import Recipe, gguf_source, plan
    from linnet.engines.quantization.mixtures import parse
    from linnet.engines.quantization.quant_kernels import ready
    from linnet.engines.quantization.quantize_file import Wish, from_folder
    from linnet.formats.imatrix import read_imatrix

    mixture = parse(kind, pure=options.pure)
    passed, architecture = ["type"], ""
    try:
        source = _source(store, model, mixture)
        passed.append("files")
        if source.format == "gguf":
            importance = read_imatrix(options.imatrix) if options.imatrix else None
            with gguf_source(Path(source.path)) as opened:
                recipe = Recipe(mixture, options.pure, importance, requantize=options.requantize)
                made = plan(opened, recipe)
                with tempfile.TemporaryDirectory(prefix="linnet-check-") as scratch:
                    prove_load(made, Path(scratch) / "planned.gguf")
                summary, architecture = made.summary(), opened.facts.architecture
        else:
            wish = Wish(mixture, options.pure, options.imatrix)
            with tempfile.TemporaryDirectory(prefix="linnet-check-") as scratch:
                summary, architecture = from_folder(Path(source.path), None, wish, Path(scratch))
        passed += ["architecture", "tensors", "tokenizer", "types", "engine"]
        for name in summary.types:
            if name not in ("F32", "F16", "BF16") and not name.startswith("IQ"):  # whose tables take a minute
                ready(name)
        passed.append("kernels")
    except LinnetError as error:
        return Possible(
            source=model,
            possible=False,
            architecture=architecture,
            passed=tuple(passed),
            problem=error.message,
            hint=error.hint,
        )
    return Possible(source=model, possible=True, architecture=architecture, passed=tuple(passed), quantized=summary)


def _source(store: Store, model: str, mixture: str) -> Model:
    name = model
    if model in RUNNABLE.values():
        raise InputError(f"{model} is quantised already.", f"Start from its weights: {model.rpartition(':')[0]}")
    found = resolve_model(store, name)
    if found.kind == "encoder":
        hint = "`linnet build` makes its int8 form; GGUF is for models that write text."
        raise InputError(f"{model} is an encoder; {mixture} is a type of GGUF decoders.", hint)
    return found


def _place(store: Store, source: Model, model: str, mixture: str, out: str) -> _Place:
    """The file or name that `out` means; by default a tag of the source's name, or a file in this folder."""
    if not out:
        stem = bare_stem(Path(source.path).name) if looks_like_path(model) or not source.digest else ""
        out = f"{stem}-{mixture}.gguf" if stem else f"{source.name.partition(':')[0]}:{to_name(mixture)}"
    if out.endswith(".gguf") or looks_like_path(out):
        file = Path(out).expanduser().absolute()
        if file.suffix != ".gguf":
            raise InputError(f"{out}: a file's name ends in .gguf.", "Or give a name for the store, without a slash.")
        if not file.parent.is_dir():
            raise InputError(f"{file.parent} is no folder.", "Make it first, or choose another place with --out.")
        return _Place(file, "", file.parent / f".{file.name}.partial")
    name, tag = split_tag(out)
    full = f"{name}:{tag or to_name(mixture)}"
    return _Place(None, full, store.path("scratch", sha256_bytes(full.encode())[:32]))


@contextmanager
def _alone(store: Store, place: _Place, on_event: OnEvent) -> Iterator[None]:
    """Be the one that writes this result, in an empty folder; what a killed run left there goes first."""
    key = sha256_bytes(place.shown.encode())[:32]
    with store.locked(f"convert/{key}", place.shown, on_event), os_errors(place.scratch, "Writing"):
        if place.file and place.file.exists():
            raise InputError(f"{place.file} exists.", "Remove it, or choose another name with --out.")
        shutil.rmtree(place.scratch, ignore_errors=True)
        make_folder(place.scratch)
        try:
            yield
        finally:
            shutil.rmtree(place.scratch, ignore_errors=True)


def _check_method(options: Options, wish: Wish, source: Model) -> None:
    if not options.method:
        return
    from linnet.engines.quantization.autoround import check

    if options.method != "autoround":
        raise InputError(f"No method is called {options.method[:40]!r}.", "Known: autoround.")
    if options.target or options.types or options.pure or source.format == "gguf":
        raise InputError("autoround takes a Hugging Face folder and one --type, without --pure.")
    check(wish.mixture)


def _written(source: Model, partial: Path, wish: Wish, options: Options, on_event: OnEvent) -> Quantized:
    from linnet.engines.quantization.quantize_file import from_folder, from_gguf

    if options.method:
        from linnet.engines.quantization.autoround import from_folder_tuned
        from linnet.text.calibration import read_calibration

        calibration = read_calibration(options.calibration) if options.calibration else None
        return from_folder_tuned(Path(source.path), partial, wish, calibration, on_event)
    if source.format == "gguf":
        return from_gguf(Path(source.path), partial, wish, on_event)
    return from_folder(Path(source.path), partial, wish, partial.parent)[0]


def _tell(made: Quantized, on_event: OnEvent) -> None:
    """What is not as the type's name promises."""
    if made.fallbacks:
        first = made.fallbacks[0]
        text = f"{len(made.fallbacks)} tensors got a larger type, as blocks of 256 do not divide their rows: {first}"
        on_event(Event("warning", "convert", text, data={"fallbacks": made.fallbacks}))
    if made.unguided:
        text = f"the importance matrix does not name {len(made.unguided)} matrices, such as {made.unguided[0]}"
        on_event(Event("warning", "convert", text, data={"unguided": made.unguided}))


def _gate(source: Model, partial: Path, wish: Wish) -> Gate:
    from linnet.engines.quantization.quantize_gate import against_folder, against_gguf

    check_model(partial)
    # A choice of types is named after the most frequent one, whose bound it need not hold.
    kind = wish.target or "a list of types" if wish.types else wish.mixture
    if source.format == "gguf":
        return against_gguf(Path(source.path), partial, kind, wish.threads)
    try:
        return against_folder(Path(source.path), partial, kind, wish.threads)
    except EngineError as error:
        raise EngineError(f"{source.name} was converted, but cannot be proven: {error.message}", error.hint) from error


def _named(store: Store, source: Model, place: _Place, partial: Path) -> tuple[Path, str]:
    """Give the finished file its name: renamed, or made a model of the store."""
    if place.file:
        failpoint("convert.publish")
        partial.replace(place.file)
        fsync_folder(place.file.parent)
        return place.file, ""
    sha256 = sha256_file(partial)
    report = check_model(partial)
    name, tag = split_tag(place.name)
    entry = f"{name}-{tag}.gguf"
    with writing_blobs(store):
        blob = publish_blob(store, partial, sha256)
        manifest = Manifest(
            name=name,
            tag=tag or "latest",
            entry=entry,
            files={entry: blob_file(store, sha256)},
            licence=source.licence if source.licence != "unknown" else stated_licence(report, blob),
            provenance=Provenance(source=f"converted from {source.name}", quant=report.quantisation_name or ""),
            created=stamp(),
            **facts_of(report, None, source.name),
        )
        with store.locked(f"models/{name}", place.name):
            check_free(store, manifest)
            write_manifest(store, manifest)
    return blob, sha256
