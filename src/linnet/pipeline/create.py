"""Create: a name for a model together with what it is told and how it samples, as Ollama's Modelfiles say it.

No weight is changed, unless `quantize` is asked for. What a request says itself goes before what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from linnet.core.blobs import blob_file, blob_path, link_blob, make_view, writing_blobs
from linnet.core.errors import InputError, did_you_mean
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import sha256_file
from linnet.core.models import check_free, model_names, read_manifest, stamp, write_manifest
from linnet.core.names import check_file_name, split_tag, to_name
from linnet.core.records import Manifest, Model, ModelFile, Preset, Provenance
from linnet.core.store import Store
from linnet.core.uploads import claim, take_file
from linnet.engines.requests.generation import (
    MAX_MESSAGES,
    MAX_STOP_CHARACTERS,
    MAX_STOPS,
    RANGES,
    Message,
    Sampling,
    check_range,
    check_text,
)
from linnet.formats.builtin import RUNNABLE
from linnet.formats.chat_template import check_template
from linnet.formats.gguf_adapter import check_adapter
from linnet.formats.model_check import check_model
from linnet.formats.model_facts import facts_of, plain_licence
from linnet.formats.model_report import ModelReport
from linnet.formats.resolve import file_path, open_manifest, resolve_model, stated_licence

SAMPLING = (
    "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "presence_penalty",
    "frequency_penalty", "seed",
)  # fmt: skip
PARAMETERS = (*SAMPLING, "stop", "num_predict", "num_ctx")
MAX_SYSTEM = 1 << 18  # characters
UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to make a model of: a name (`base`), or blobs that were sent (`files`, sha256 by name). None: as the base.

    `adapters` are blobs too, `licence` is a name or a text, `quantize` a type of `linnet quantize`.
    """

    base: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None
    system: str | None = None
    parameters: Mapping[str, Any] | None = None
    messages: tuple[tuple[str, str], ...] | None = None
    licence: str = ""
    quantize: str = ""


def create(store: Store, name: str, recipe: Recipe, on_event: OnEvent = silent) -> Manifest:
    """Make `name[:tag]` of a recipe, in the place of one that was created before under this name.

    Raises InputError for what cannot be obeyed and for a name that something else has, NameInvalid, NotFound,
    ModelFileError for blobs that are no sound model, and what quantising raises.
    """
    bare, tag = split_tag(name)
    full_name = f"{bare}:{tag or 'latest'}"
    if bool(recipe.base) == bool(recipe.files):
        raise InputError("A model is made from a name or from files: exactly one of both is needed.")
    said = _checked(recipe)
    with writing_blobs(store):
        on_event(Event("progress", "create", "reading the model"))
        base = _from_files(store, recipe, full_name) if recipe.files else _from_name(store, recipe.base)
        if recipe.quantize:
            base = _quantized(store, base, recipe, on_event)
        if base.format != "gguf" or base.kind != "decoder":
            hint = "Say a type to quantise it to, or make one with: linnet convert"
            raise InputError(f"{recipe.base} is {base.format}, {base.kind}: only decoders in GGUF are served.", hint)
        made = _made(store, base, said, full_name)
        with store.locked(f"models/{made.name}", full_name, on_event):
            _check_replaces(store, made)
            write_manifest(store, made)
    open_manifest(store, made)
    on_event(Event("done", "create", made.full_name))
    return made


def _checked(recipe: Recipe) -> Recipe:
    """The recipe with its values checked, before any file is looked at."""
    if recipe.template:
        found = check_template(recipe.template)
        if not found.ok:
            hint = "Templates are Jinja, as in the model's file; Ollama's own kind is not read."
            raise InputError(f"template: {found.refusal}", hint)
    for what, text in (("system", recipe.system), ("license", recipe.licence)):
        check_text(what, text or "")
        if len(text or "") > MAX_SYSTEM:
            raise InputError(f"{what} has more than {MAX_SYSTEM} characters.")
    messages = recipe.messages or ()
    if len(messages) > MAX_MESSAGES or sum(len(content) for _, content in messages) > MAX_SYSTEM:
        raise InputError(f"messages has more than {MAX_MESSAGES} entries or {MAX_SYSTEM} characters.")
    for role, content in messages:
        if Message(role, content).role == "tool":
            raise InputError("messages has the role tool: it must be one of system, user, assistant.")
    if len(recipe.adapters) > 1:
        raise InputError("adapters has more than one entry: one adapter can be put on a model.")
    return replace(recipe, parameters=None if recipe.parameters is None else check_parameters(recipe.parameters))


def check_parameters(given: Mapping[str, Any]) -> dict[str, int | float | tuple[str, ...]]:
    """Parameters by Ollama's names, in range. Raises InputError, which names the one that is not."""
    found: dict[str, int | float | tuple[str, ...]] = {}
    for name, value in given.items():
        if name not in PARAMETERS:
            hint = f"Known: {', '.join(PARAMETERS)}. How a model is loaded is a setting of the server."
            raise InputError(f"parameters: unknown {name[:80]!r}.{did_you_mean(name, list(PARAMETERS))}", hint)
        if name == "stop":
            found[name] = _stops(value)
            continue
        if name == "seed" and type(value) is int:
            value %= (1 << 32) - 1
        if name in RANGES:
            check_range(name, value)
        elif type(value) is not int or not (1 <= value <= 1 << 24 or (name == "num_predict" and value in (-1, -2))):
            raise InputError(f"{name} is {value!r}: it must be a whole number of 1 or more.")
        found[name] = value
    Sampling(**{name: value for name, value in found.items() if name in SAMPLING})  # type: ignore[arg-type]
    return found


def _stops(value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise InputError("stop must be a text, or a list of them.")
    if len(texts) > MAX_STOPS or not all(1 <= len(text) <= MAX_STOP_CHARACTERS for text in texts):
        raise InputError(f"stop takes up to {MAX_STOPS} texts of 1 to {MAX_STOP_CHARACTERS} characters.")
    return tuple(texts)


def _from_name(store: Store, name: str) -> Manifest:
    if name.startswith("builtin:"):
        return _from_builtin(store, RUNNABLE.get(name, name))
    return read_manifest(store, resolve_model(store, name, paths=False).name)


def _from_builtin(store: Store, name: str) -> Manifest:
    """One of ours, with its file linked into the store."""
    model = resolve_model(store, name)
    path = Path(model.path)
    if path.is_dir():
        raise InputError(f"{name} is {model.format}: only decoders in GGUF files are served.")
    sha256 = sha256_file(path)
    if link_blob(store, path, sha256):
        file = blob_file(store, sha256, "linked", str(path))
    else:
        file = claim(store, take_file(store, path))
    entry = f"{to_name(name.replace(':', '-'))}.gguf"
    return _manifest(model.name, entry, {entry: file}, model.licence, check_model(path))


def _manifest(source: str, entry: str, files: dict[str, ModelFile], licence: str, report: ModelReport) -> Manifest:
    """What has no name of its own yet."""
    return Manifest(
        name=UNNAMED,
        tag="latest",
        entry=entry,
        files=files,
        licence=licence,
        provenance=Provenance(source=source),
        created=stamp(),
        **facts_of(report, None, source),
    )


def _from_files(store: Store, recipe: Recipe, full_name: str) -> Manifest:
    """A model of blobs that were sent; nothing native sees them before the check has."""
    if wrong := [name for name in recipe.files if not name.endswith(".gguf")]:
        hint = "Convert safetensors first, with linnet convert or on the machine that has them."
        raise InputError(f"files: {wrong[0][:80]!r} is no .gguf file: only GGUF is served.", hint)
    files = {check_file_name(name): claim(store, sha256) for name, sha256 in sorted(recipe.files.items())}
    entry = next(iter(files))
    opened = make_view(store, files) / entry
    report = check_model(opened)
    if report.kind != "model" or report.format != "gguf":
        raise InputError(f"files: {entry} is a {report.kind}, not a model.")
    if len(files) > 1 and {Path(part).name for part in report.parts} != set(files):
        raise InputError("files: these are not the parts of one model.")
    return _manifest(f"files for {full_name}", entry, files, stated_licence(report, opened), report)


def _quantized(store: Store, base: Manifest, recipe: Recipe, on_event: OnEvent) -> Manifest:
    """The base in fewer bits, under a name of its own in the store; made once."""
    from linnet.engines.quantization.mixtures import parse
    from linnet.stages.convert import Options, convert

    if base.preset and base.preset.adapter:
        raise InputError(f"{recipe.base} has an adapter: it cannot be quantised.", "Merge it first.")
    mixture = parse(recipe.quantize)
    named = recipe.base.startswith("builtin:")
    source = recipe.base if named else str(_path(store, base)) if recipe.files else base.full_name
    stem = recipe.base.removeprefix("builtin:") if named else base.name
    if stem == UNNAMED:
        stem = Path(base.entry).stem
    target = f"{to_name(stem.partition(':')[0])}:{to_name(mixture)}"
    if target not in model_names(store):
        convert(store, source, mixture, Options(out=target), on_event)
    return read_manifest(store, target).model_copy(update={"preset": base.preset})


def _path(store: Store, manifest: Manifest) -> Path:
    view = make_view(store, manifest.files)
    return file_path(view, manifest.entry, manifest.files[manifest.entry]) if manifest.entry else view


def _made(store: Store, base: Manifest, recipe: Recipe, full_name: str) -> Manifest:
    before = base.preset or Preset(base=recipe.base or base.provenance.source)
    name, _, tag = full_name.partition(":")
    files, adapter = dict(base.files), before.adapter
    for given, sha256 in recipe.adapters.items():
        if adapter:
            raise InputError(f"{recipe.base} has an adapter already: one can be put on a model.")
        adapter = check_file_name(given if given not in files else f"adapter-{given}")
        files[adapter] = claim(store, sha256)
        check_model(blob_path(store, sha256))
        check_adapter(blob_path(store, sha256), _path(store, base))
    preset = Preset(
        base=recipe.base or before.base,
        template=before.template if recipe.template is None else recipe.template,
        system=before.system if recipe.system is None else recipe.system,
        messages=before.messages if recipe.messages is None else recipe.messages,
        parameters={**before.parameters, **(recipe.parameters or {})},
        adapter=adapter,
    )
    _check_fits(base, preset)
    return base.model_copy(
        update={
            "name": name,
            "tag": tag,
            "files": files,
            "preset": preset,
            "licence": plain_licence(recipe.licence) or base.licence,
            "provenance": Provenance(source=base.provenance.source, quant=base.provenance.quant),
            "created": stamp(),
        }
    )


def _check_fits(base: Manifest, preset: Preset) -> None:
    """Refuse what would be passed over in silence with this model."""
    if (preset.system or preset.messages) and not preset.template:
        report = ModelReport.model_validate(base.report)
        if report.template is None or not report.template.ok:
            hint = "Give a template too."
            raise InputError("The model has no chat template: a system text and messages have no place.", hint)
    wished = preset.parameters.get("num_ctx", 0)
    if base.max_tokens and isinstance(wished, int) and wished > base.max_tokens:
        raise InputError(f"num_ctx is {wished}; the model was made for a context of {base.max_tokens}.")


def _check_replaces(store: Store, made: Manifest) -> None:
    """Only a name that is free, or that was created before, is given to something else."""
    if made.full_name in model_names(store) and read_manifest(store, made.full_name).preset is not None:
        return
    check_free(store, made)


def preset_options(model: Model) -> dict[str, Any]:
    """What of a model's preset is about loading it: LoadOptions' template and adapters."""
    preset = model.preset
    if preset is None:
        return {}
    found: dict[str, Any] = {"template": preset.template} if preset.template else {}
    if model.adapter:
        found["adapters"] = ((preset.adapter, Path(model.adapter)),)
    return found
