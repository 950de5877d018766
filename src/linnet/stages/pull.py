"""Pull: a model by name, fetched from a hub where it is not here, checked, and said what it is. Loads no weights.

A hub is asked only for names that begin with `hf:`. What it sends is looked at in this order: listing, header or
config, fit, body, hash, format; a name in the store comes last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from linnet.core.blobs import blob_file, blob_path, make_view, writing_blobs
from linnet.core.errors import InputError, ModelFileError, NotFound, ResourceMissing
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import check_space
from linnet.core.models import check_free, from_hub, stamp, write_manifest
from linnet.core.names import HubName, parse_hub_name, split_tag, to_name
from linnet.core.records import Manifest, Model, Provenance, Record
from linnet.core.store import Step, Store
from linnet.engines.llama.fit import Fit, fit, rough_memory
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.formats.architectures import KNOWN
from linnet.formats.gguf import GgufHeader, read_gguf
from linnet.formats.gguf_rules import architecture_of, hyper_parameters
from linnet.formats.model_check import check_model
from linnet.formats.model_facts import ENCODERS, facts_of
from linnet.formats.model_report import ModelReport
from linnet.formats.resolve import NEEDED, hashed, open_manifest, resolve_model, stated_licence
from linnet.hub.choice import Chosen, choose_files
from linnet.hub.client import Hub
from linnet.hub.download import Wanted, is_here, opened
from linnet.hub.endpoint import Limits, endpoint
from linnet.hub.listing import Listing, list_repo
from linnet.hub.preview import named, read_header

MB = 1_000_000
UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions:
    """How to pull.

    `store_name` is `name[:tag]` instead of one made from the repository. `kind` refuses other models before their
    bytes come. `refresh` asks the hub also for a name that is here. `anyway` fetches what does not fit or run here.
    `architectures` is what the engine can run.
    """

    store_name: str = ""
    kind: Literal["encoder", "decoder"] | None = None
    refresh: bool = False
    anyway: bool = False
    architectures: Collection[str] = field(default=KNOWN)
    limits: Limits = field(default_factory=Limits)


class Offer(Record):
    """What a pull would bring, before it does. Sizes in bytes; `missing_bytes` is what is still to come.

    `problems` are why it would be refused, `warnings` what to know.
    """

    name: str
    stored_as: str
    url: str
    commit: str
    licence: str
    format: str
    files: tuple[str, ...]
    size_bytes: int
    missing_bytes: int
    architecture: str
    parameters: int
    quantisation: str
    fit: Fit
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What the hub has under a name, its head looked at."""

    name: HubName
    listing: Listing
    chosen: Chosen
    offer: Offer


def pull(
    store: Store, name: str, on_event: OnEvent = silent, options: PullOptions = PullOptions()
) -> tuple[Model, Step]:
    """A model by name: `builtin:minilm`, `hf:org/repo[:QUANT][@revision]`, a name of the store, or a path.

    Raises NotFound and NameInvalid, InputError for another kind than asked for, HubError for what a hub does wrong,
    ResourceMissing and DiskFull for what does not fit, CorruptFile and ModelFileError for files that are not right.
    """
    if name.startswith("hf:"):
        model = _pulled(store, parse_hub_name(name), on_event, options)
    else:
        model = resolve_model(store, name)
    if options.kind and model.kind != options.kind:
        raise _other_kind(name, str(model.report.get("architecture", "")), options.kind)
    if options.kind == "encoder":
        _check_encoder(name, model.files)
    if not model.files:
        parts = model.report["parts"]
        model = model.model_copy(update={"files": {part: hashed(Path(model.path).with_name(part)) for part in parts}})
    inputs = {"name": name, "files": {file: entry.sha256 for file, entry in model.files.items()}}
    step = store.step("pull", inputs, lambda _: model.to_json(), on_event, label=name)
    return model, step


def pull_offer(store: Store, name: str, options: PullOptions = PullOptions()) -> Offer:
    """What pulling this hub name would bring: size, licence, fit, and why it would be refused.

    Fetches the first bytes of a GGUF file, which a pull then has. Raises HubError, NotFound, ModelFileError.
    """
    with _hub(options) as hub:
        return _look(store, hub, parse_hub_name(name), options).offer


def _other_kind(name: str, architecture: str, kind: str) -> InputError:
    if kind == "encoder":
        known = ", ".join(ENCODERS)
        return InputError(f"{name}: {architecture!r} is not an encoder this version trains.", f"Known: {known}.")
    return InputError(f"{name}: {architecture!r} is an encoder: it gives no text.", "Choose a decoder.")


def _check_encoder(name: str, files: Collection[str]) -> None:
    missing = [file for file in NEEDED if file not in files]
    if missing:
        raise NotFound(f"{name} has no {missing[0]}.", f"A base encoder needs {', '.join(NEEDED)}.")


@contextmanager
def _hub(options: PullOptions) -> Iterator[Hub]:
    with Hub(endpoint(), options.limits) as hub:
        yield hub


def _pulled(store: Store, name: HubName, on_event: OnEvent, options: PullOptions) -> Model:
    present = from_hub(store, name)
    if present and not options.refresh:
        return open_manifest(store, present)
    with _hub(options) as hub:
        found = _look(store, hub, name, options)
        offer = found.offer
        on_event(Event("note", "pull", in_words(offer), data={"offer": offer.to_json()}))
        for warning in offer.warnings:
            on_event(Event("warning", "pull", warning))
        if offer.problems and not options.anyway:
            raise ResourceMissing(f"{name}: {' '.join(offer.problems)}", "Choose another, or fetch it with --anyway.")
        same = present and present.provenance.commit == offer.commit and present.full_name == offer.stored_as
        if present and same and {*present.files} == {*offer.files}:
            on_event(Event("reused", "pull", offer.stored_as))
            return open_manifest(store, present)
        return _fetched(store, hub, found, on_event)


def _look(store: Store, hub: Hub, name: HubName, options: PullOptions) -> _Found:
    """Listing, files, and the head of the first file; nothing of the rest."""
    listing = list_repo(hub, name)
    chosen = choose_files(listing, name)
    stored_as = _stored_as(name, chosen, options.store_name)
    missing = sum(file.size_bytes for file in chosen.files if not is_here(store, file))
    report, memory = _head(store, hub, _wanted(name, listing, chosen), chosen)
    if options.kind == "encoder" and (chosen.format != "safetensors" or report.architecture not in ENCODERS):
        raise _other_kind(str(name), report.architecture, "encoder")
    if options.kind == "encoder":
        _check_encoder(str(name), [file.name for file in chosen.files])
    forecast = fit(chosen.size_bytes, memory, report.hyper_parameters)
    problems, warnings = _judged(report, chosen, forecast, options)
    offer = Offer(
        name=str(name),
        stored_as=stored_as,
        url=f"{hub.endpoint.url}/{name.repo_id}",
        commit=listing.commit,
        licence=listing.licence if listing.licence != "unknown" else report.licence or "unknown",
        format=chosen.format,
        files=tuple(file.name for file in chosen.files),
        size_bytes=chosen.size_bytes,
        missing_bytes=missing,
        architecture=report.architecture,
        parameters=report.parameters,
        quantisation=report.quantisation_name or (chosen.tag if chosen.format == "gguf" else ""),
        fit=forecast,
        problems=problems,
        warnings=warnings,
    )
    return _Found(name, listing, chosen, offer)


def _stored_as(name: HubName, chosen: Chosen, store_name: str) -> str:
    bare, tag = split_tag(store_name) if store_name else (to_name(name.repo), None)
    return f"{bare}:{tag or (to_name(chosen.tag) if chosen.format == 'gguf' else 'latest')}"


def _wanted(name: HubName, listing: Listing, chosen: Chosen) -> list[Wanted]:
    """The files to fetch, the one with the head first."""
    head = chosen.entry or "config.json"
    return [Wanted(name, listing.commit, file) for file in sorted(chosen.files, key=lambda f: (f.name != head, f.name))]


def _head(store: Store, hub: Hub, wanted: list[Wanted], chosen: Chosen) -> tuple[ModelReport, int]:
    """What the first bytes say, as far as they go, and how much memory the model will take."""
    first = wanted[0]
    if chosen.format != "gguf":
        config = hub.get_json(hub.file_path(first.repo.repo_id, first.commit, first.file.name), first.label)
        kind = config.get("model_type") if isinstance(config, dict) else None
        report = ModelReport(format="huggingface", architecture=kind if isinstance(kind, str) else "")
        return report, chosen.size_bytes
    if is_here(store, first.file):
        blob = blob_path(store, first.file.sha256)
        return _weighed(read_gguf(blob), blob, chosen)
    with opened(hub, store, first, lambda _: None) as download:
        try:
            return _weighed(read_header(download), download.partial.path, chosen)
        except ModelFileError as error:
            download.partial.remove()
            raise named(error, str(download.partial.path), first.label) from error


def _weighed(header: GgufHeader, path: Path, chosen: Chosen) -> tuple[ModelReport, int]:
    """The report of a GGUF file whose header is here, and its memory; of a split set, from its first part alone."""
    if len(chosen.files) == 1:
        plan = plan_load(path, LoadOptions(slots=1, threads=1), free_bytes=UNBOUNDED)
        return check_model(path), plan.total_bytes
    architecture = architecture_of(header)
    sizes, _ = hyper_parameters(header, architecture)
    return ModelReport(format="gguf", architecture=architecture, hyper_parameters=sizes), rough_memory(
        chosen.size_bytes, sizes
    )


def _judged(report: ModelReport, chosen: Chosen, forecast: Fit, options: PullOptions) -> tuple[tuple[str, ...], ...]:
    problems, warnings = [], list(report.suspicious)
    if report.kind != "model":
        problems.append(f"It is a {report.kind}, not a model.")
    if chosen.format == "gguf" and report.architecture and report.architecture not in options.architectures:
        problems.append(f"The engine cannot run its architecture {report.architecture[:80]!r}.")
    if not forecast.is_possible:
        need, have = forecast.memory_bytes / MB, forecast.memory_total_bytes / MB
        problems.append(f"It takes about {need:.0f} MB of memory; this machine has {have:.0f} MB.")
    elif not forecast.fits_now:
        need, have = forecast.memory_bytes / MB, forecast.memory_free_bytes / MB
        warnings.append(f"It takes about {need:.0f} MB of memory; {have:.0f} MB are free now.")
    if report.template and not report.template.ok:
        warnings.append(f"Its chat template is refused: {report.template.refusal}")
    return tuple(problems), tuple(warnings)


def in_words(offer: Offer) -> str:
    """One line for a person: what, how large, whose licence, what it takes."""
    what = ", ".join(filter(None, [offer.architecture, offer.quantisation, offer.format]))
    count = f"{len(offer.files)} files" if len(offer.files) > 1 else "1 file"
    speed = f", roughly {offer.fit.tokens_per_second:g} tokens/s" if offer.format == "gguf" else ""
    return (
        f"{offer.name}: {what}; {offer.size_bytes / MB:.1f} MB in {count}, {offer.missing_bytes / MB:.1f} MB to fetch; "
        f"licence {offer.licence}; takes about {offer.fit.memory_bytes / MB:.0f} MB of memory{speed}"
    )


def _fetched(store: Store, hub: Hub, found: _Found, on_event: OnEvent) -> Model:
    check_space(store.root, found.offer.missing_bytes, f"Pulling {found.name}")
    counter = _Counter(found.offer, on_event)
    on_event(Event("start", "pull", str(found.name)))
    started = time.monotonic()
    with writing_blobs(store):
        files = {}
        for wanted in _wanted(found.name, found.listing, found.chosen):
            files[wanted.file.name] = blob_file(store, _one(store, hub, wanted, counter))
        manifest = _manifest(store, found, files)
        with store.locked(f"models/{manifest.name}", manifest.full_name, on_event):
            check_free(store, manifest)
            write_manifest(store, manifest)
    seconds = round(time.monotonic() - started, 3)
    on_event(Event("done", "pull", f"{manifest.full_name} from {found.name}", data={"seconds": seconds}))
    return open_manifest(store, manifest)


def _one(store: Store, hub: Hub, wanted: Wanted, counter: _Counter) -> str:
    """One file's blob: there already, or fetched. Two processes that want the same file fetch it once."""
    with opened(hub, store, wanted, counter) as download:
        if is_here(store, wanted.file):
            download.partial.remove()
            return wanted.file.sha256
        counter(download.partial.resumed_bytes)
        return download.finish()


def _manifest(store: Store, found: _Found, files: dict[str, Any]) -> Manifest:
    offer, view = found.offer, make_view(store, files)
    opened_path = view / found.chosen.entry if found.chosen.entry else view
    try:
        report = check_model(opened_path)
    except ModelFileError as error:
        raise named(error, str(view), str(found.name)) from error
    name, _, tag = offer.stored_as.partition(":")
    return Manifest(
        name=name,
        tag=tag,
        entry=found.chosen.entry,
        files=files,
        licence=offer.licence if offer.licence != "unknown" else stated_licence(report, opened_path),
        provenance=Provenance(
            source=offer.name,
            url=offer.url,
            repo=found.name.repo_id,
            quant=found.chosen.tag,
            revision=found.name.revision or "main",
            commit=offer.commit,
        ),
        created=stamp(),
        **facts_of(report, view if not found.chosen.entry else None, offer.name),
    )


class _Counter:
    """Adds up the bytes of all threads and says so, at most ten times a second."""

    def __init__(self, offer: Offer, on_event: OnEvent) -> None:
        self._lock = threading.Lock()
        self._total, self._done, self._told = offer.missing_bytes, 0, 0.0
        self._on_event: Callable[[Event], None] = on_event
        self._started, self._name = time.monotonic(), offer.name

    def __call__(self, count: int) -> None:
        with self._lock:
            self._done = min(self._total, self._done + count)
            now = time.monotonic()
            if now - self._told < 0.1:
                return
            self._told, done = now, self._done
            speed = done / MB / max(now - self._started, 0.001)
            text = f"{self._name} {done / MB:.1f} of {self._total / MB:.1f} MB, {speed:.1f} MB/s"
            self._on_event(Event("progress", "pull", text, data={"done_bytes": done, "total_bytes": self._total}))
