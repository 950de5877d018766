"""The decoders that a server offers: which names there are, what each means now, and the pool that loads them.

Models of the store, and files named at the start. Knows no request and no dialect.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from linnet.core.blobs import digest_of
from linnet.core.errors import InputError, NotFound, did_you_mean
from linnet.core.files import sha256_bytes
from linnet.core.models import from_hub, lease, read_manifest, scan_models
from linnet.core.names import check_name, parse_hub_name, split_tag, to_name
from linnet.core.records import Manifest, Model, Preset
from linnet.core.settings import get
from linnet.core.store import Store
from linnet.engines.llama.engine import open_llama
from linnet.engines.llama.llama_prompt import FILL_IN_MARKS, control_tokens
from linnet.engines.llama.load_plan import LoadOptions, usable_bytes
from linnet.engines.llama.pool import EnginePool
from linnet.engines.llama.pool_entries import PoolEngine, Source
from linnet.engines.llama.speed_options import speed_options
from linnet.formats.builtin import RUNNABLE, our_model
from linnet.formats.gguf import GgufHeader, read_gguf
from linnet.formats.model_report import ModelReport
from linnet.formats.resolve import open_manifest, path_model
from linnet.http.task_models import find_writer, writer_model
from linnet.pipeline.create import preset_options

# A model, the bytes it may take, whether it is to embed, and where the settings' context is not enough, that.
OpenEngine = Callable[..., PoolEngine]
# How Ollama's clients write a name of the hub.
HUB_PREFIXES = ("hf.co/", "huggingface.co/")
LOAD_SETTINGS = (
    *("LINNET_CONTEXT", "LINNET_SLOTS", "LINNET_THREADS", "LINNET_ENGINE"),
    *("LINNET_SPECULATION", "LINNET_CACHE_TYPE", "LINNET_GPU_LAYERS"),
)
_EMBEDDING = " (embedding)"  # no name holds a space: this one is ours


def embedding_name(full_name: str) -> str:
    """What the pool calls a model that was loaded to embed."""
    return full_name + _EMBEDDING


@dataclass(frozen=True, slots=True)
class DecoderInfo:
    """What is told of a decoder. `digest` names its bytes and place; `created` is RFC 3339 or empty."""

    full_name: str
    digest: str
    size_bytes: int
    created: str
    max_tokens: int
    licence: str
    report: ModelReport = field(default_factory=lambda: ModelReport(format="gguf"))
    preset: Preset | None = None

    @property
    def fingerprint(self) -> str:
        return f"fp_{self.digest[:12]}"


def open_gguf(store: Store, model: Model, free_bytes: int, embedding: bool, context: int | None = None) -> PoolEngine:
    """The real engine of a model. A draft is looked for by its name in `store`."""
    free = min(free_bytes, usable_bytes())
    more = {} if embedding else {**speed_options(store), **preset_options(model)}
    options = LoadOptions(embedding=embedding, context=context or 0, **more)
    return open_llama(Path(model.path), options, label=model.name, free_bytes=free)


class Decoders:
    """Every GGUF decoder of a store, and `named` files beside them. Safe to share between threads.

    `budget_bytes` is what all loaded models may take together by plan; None: what the machine has free now.
    """

    def __init__(
        self,
        store: Store,
        named: Sequence[tuple[str, Model]] = (),
        *,
        budget_bytes: int | None = None,
        open_engine: OpenEngine | None = None,
    ) -> None:
        self.store = store
        self._named = dict(named)
        self._open_engine = open_engine or partial(open_gguf, store)
        self._presets: dict[str, Preset | None] = {}  # as the names were last resolved
        self._contexts: dict[str, int] = {}  # of models that were asked to be wider than the settings say
        self._widening = threading.Lock()
        self.pool = EnginePool(usable_bytes() if budget_bytes is None else budget_bytes, self._source)

    def all(self) -> list[DecoderInfo]:
        """Every decoder, the named files first. One whose manifest is damaged is left out."""
        found = [_of_file(name, model) for name, model in self._named.items()]
        return found + [_of_manifest(one) for one in scan_models(self.store)[0] if _is_served(one)]

    def find(self, name: str) -> DecoderInfo:
        """What a name means now. Raises NotFound, NameInvalid, CorruptFile, and InputError for what gives no text."""
        if (known := self._file_name(name)) is not None:
            return _of_file(known, self._file(known))
        return _of_manifest(self._manifest(name))

    def preset(self, name: str) -> Preset | None:
        """What a created model says beside its weights, as of the last time when its name was leased."""
        return self._presets.get(name)

    def rename(self, named: Sequence[tuple[str, Model]]) -> None:
        """Serve these files beside the store's models instead of those before. Requests that run go on."""
        self._named = dict(named)

    def is_file(self, name: str) -> bool:
        """Whether a name means a file that was named at the start, and no model of the store."""
        return self._file_name(name) is not None

    def template(self, name: str) -> str:
        """The chat template of a decoder; empty where it has none. Raises what `find` and opening raise."""
        if (preset := self.find(name).preset) is not None and preset.template:
            return preset.template
        found = self._header(name).metadata.get("tokenizer.chat_template")
        return found if isinstance(found, str) else ""

    def fills_in(self, name: str) -> bool:
        """Whether a decoder has the tokens for filling in between two texts. Raises what `template` raises."""
        tokens = control_tokens(self._header(name))
        known = {*tokens.control, *tokens.user_defined}
        return any(known.issuperset(marks) for marks in FILL_IN_MARKS)

    def _header(self, name: str) -> GgufHeader:
        known = self._file_name(name)
        model = open_manifest(self.store, self._manifest(name)) if known is None else self._file(known)
        return read_gguf(Path(model.path))

    def stop(self, name: str, *, force: bool = False) -> None:
        """Unload a model, loaded to write or to embed. Raises ModelBusy, and NotFound when it is not loaded."""
        try:
            self.pool.stop(name, force=force)
        except NotFound:
            self.pool.stop(embedding_name(name), force=force)
        else:
            with suppress(NotFound):
                self.pool.stop(embedding_name(name), force=force)

    @contextmanager
    def widen(self, name: str, context: int) -> Iterator[None]:
        """Inside the block a full name means its model with at least this context, and afterwards too, unless the
        block raises. One at a time. Raises InputError for more than the model reads, ResourceMissing where it does
        not fit; both before anybody else meets it."""
        most = self.find(name.removesuffix(_EMBEDDING)).max_tokens
        if most and context > most:
            raise InputError(f"The model was made for a context of {most}.")
        with self._widening:
            planned = self._source(name, context).open(self.pool.budget_bytes)
            try:
                if planned.context < context:
                    raise InputError(f"The model reads at most {planned.context}.")
            finally:
                planned.close()
            before = self._contexts.get(name)
            self._contexts[name] = max(context, before or 0)
            try:
                yield
            except BaseException:
                self._contexts.pop(name)
                if before is not None:
                    self._contexts[name] = before
                raise

    def close(self) -> None:
        self.pool.close()

    def _file_name(self, name: str) -> str | None:
        full_name = name if ":" in name else f"{name}:latest"
        if full_name in self._named:
            return full_name
        writer = find_writer(self.store, name)
        return writer[0].full_name if writer else None

    def _file(self, full_name: str) -> Model:
        """A named file, or the model of a specialist that writes text."""
        found = self._named.get(full_name) or writer_model(self.store, full_name)
        if found is None:
            raise NotFound(f"No model is called {full_name!r}.")
        return found

    def _manifest(self, name: str) -> Manifest:
        name = hub_name(name)
        if name.startswith("hf:"):
            found = from_hub(self.store, parse_hub_name(name))
            if found is None:
                raise NotFound(f"{name} is not in the store.", f"Fetch it with: linnet pull {name}")
        else:
            split_tag(name)  # the grammar first: what breaks it is not looked for
            found = self._from_store(name)
        if not _is_served(found):
            raise InputError(f"{name} is {found.format}, {found.kind}: only decoders in GGUF files are served.")
        return found

    def _from_store(self, name: str) -> Manifest:
        try:
            return read_manifest(self.store, name)
        except NotFound as error:
            known = [info.full_name for info in self.all()]
            if near := did_you_mean(name, [*known, *(one.partition(":")[0] for one in known)]):
                raise NotFound(f"No model is called {name!r}.{near}") from error
            raise

    def _source(self, name: str, context: int | None = None) -> Source:
        """For the pool, under its lock: only the manifest is read here, the files are checked when it loads."""
        plain = name.removesuffix(_EMBEDDING)
        embedding = plain != name
        known = self._file_name(plain)
        manifest = self._manifest(plain) if known is None else None
        preset = manifest.preset if manifest else None
        self._presets[plain] = preset
        more = f"{_EMBEDDING if embedding else ''} {_load_settings()}"
        wide: tuple[int, ...] = ()
        if context := context or self._contexts.get(name) or _context_of(preset):
            more, wide = f"{more} {context}", (context,)
        if manifest is None:
            model = self._file(str(known))
            return Source(f"path {model.path}{more}", lambda free: self._open_engine(model, free, embedding, *wide))
        adapter = ""
        if preset is not None and not embedding:
            adapter = preset.adapter
            more += f" {sha256_bytes(preset.template.encode())}" if preset.template else ""
        return Source(
            digest_of(manifest.files) + more, lambda free: self._open_stored(manifest, free, embedding, *wide), adapter
        )

    def _open_stored(self, manifest: Manifest, free: int, embedding: bool, *wide: int) -> PoolEngine:
        model = open_manifest(self.store, manifest)
        with ExitStack() as held:
            held.enter_context(lease(self.store, model))
            engine = self._open_engine(model, free, embedding, *wide)
            return cast(PoolEngine, _Held(engine, held.pop_all()))


class _Held:
    """An engine whose files cannot be removed from the store before it is closed."""

    def __init__(self, engine: PoolEngine, held: ExitStack) -> None:
        self._engine, self._held = engine, held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def close(self) -> None:
        try:
            self._engine.close()
        finally:
            self._held.close()


def hub_name(name: str) -> str:
    """The name of ours for `hf.co/org/repo[:QUANT]`; every other name as it is."""
    prefix = next((prefix for prefix in HUB_PREFIXES if name.startswith(prefix)), "")
    return f"hf:{name.removeprefix(prefix)}" if prefix else name


def _context_of(preset: Preset | None) -> int:
    wished = preset.parameters.get("num_ctx", 0) if preset else 0
    return wished if isinstance(wished, int) else 0


def _load_settings() -> str:
    """The settings that a model is loaded with: where they change, requests after that get another engine."""
    return " ".join(get(name) for name in LOAD_SETTINGS)


def named_files(given: Iterable[str]) -> list[tuple[str, Model]]:
    """`PATH`, `NAME=PATH` or `builtin:NAME` as given on the command line, checked.

    Raises InputError, NotFound, CorruptFile, ModelFileError.
    """
    found: dict[str, Model] = {}
    for text in given:
        if text in RUNNABLE:
            found[text] = our_model(RUNNABLE[text])
            continue
        name, equals, path = text.partition("=")
        if not equals:
            name, path = to_name(Path(text).stem), text
        check_name(name, "model name")
        model = path_model(Path(path).expanduser().absolute(), path)
        if model.format != "gguf" or model.kind != "decoder":
            raise InputError(f"{path} is {model.format}, {model.kind}: only decoders in GGUF files are served.")
        full_name = f"{name}:latest"
        if full_name in found:
            raise InputError(f"Two files are to be served as {name}.", "Say --model NAME=PATH.")
        found[full_name] = model.model_copy(update={"name": full_name})
    return list(found.items())


def _is_served(manifest: Manifest) -> bool:
    return manifest.format == "gguf" and manifest.kind == "decoder"


def _of_manifest(found: Manifest) -> DecoderInfo:
    return DecoderInfo(
        full_name=found.full_name,
        digest=digest_of(found.files),
        size_bytes=found.size_bytes,
        created=found.created,
        max_tokens=found.max_tokens,
        licence=found.licence,
        report=_report(found.report),
        preset=found.preset,
    )


def _of_file(full_name: str, model: Model) -> DecoderInfo:
    report = _report(model.report or {})
    digest = report.hashes.get("header", "") or "0" * 12
    return DecoderInfo(full_name, digest, report.file_bytes, "", model.max_tokens, model.licence, report)


def _report(found: dict[str, Any]) -> ModelReport:
    try:
        return ModelReport.model_validate(found)
    except ValueError:
        return ModelReport(format="gguf")
