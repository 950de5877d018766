"""Export a specialist or a model for other tools, or as a kit for a machine without a network.

Finds the files and what is to be said about them; stages/export writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from linnet.core.errors import InputError, LinnetError, NotFound
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import read_json, sha256_file
from linnet.core.models import lease
from linnet.core.names import is_name
from linnet.core.records import FileEntry, Model, Record, Run, Specialist
from linnet.core.store import RECORD, Store
from linnet.engines.base import GGUF
from linnet.engines.llama.llama_tagger import TAGGER
from linnet.engines.onnx_runtime.onnx import ENGINE, ENGINE_FOLDER, MODEL, TOKENIZER
from linnet.engines.scoring.label_scoring import CLASSIFIER
from linnet.engines.tags import tag_names
from linnet.formats.modelfile import write_modelfile
from linnet.formats.resolve import resolve_model
from linnet.pipeline import export_ollama
from linnet.pipeline.export_card import Told, licence_of_made, plain_card, specialist_card
from linnet.pipeline.export_kit import SUFFIX, Kit, write_kit
from linnet.pipeline.export_licence import Part, combined
from linnet.pipeline.gguf import as_source
from linnet.stages.export import Piece, export_file
from linnet.stages.export import export as write_folder
from linnet.text.span_answers import span_schema

FORMS = ("dir", "gguf", "ollama", "hf", "kit")
NOTHING_TOLD = Told()
CARD, REPORT, CONFIG, SETTINGS = "README.md", "report.json", "config.json", "tokenizer_config.json"


class Exported(Record):
    """What was written. `sha256` is the file's; of a folder it is empty, and `files` has them one by one."""

    name: str
    to: str
    path: str
    files: dict[str, FileEntry]
    size_bytes: int
    sha256: str = ""
    licence: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """What is exported: its files by their names, and who it is. `model` stands behind a name that is no specialist."""

    store: Store
    name: str
    files: dict[str, Piece]
    told: Told
    on_event: OnEvent
    specialist: Specialist | None = None
    model: Model | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def writes_text(self) -> bool:
        """Whether it has, or can be made, a GGUF."""
        if self.specialist is not None:
            return f"{ENGINE_FOLDER}/{GGUF}" in self.files
        return self.model is not None and self.model.kind == "decoder"

    @property
    def stem(self) -> str:
        return self.name.removeprefix("builtin:").replace(":", "-")

    def card(self, files: Mapping[str, Piece | bytes], *use: str) -> bytes:
        """README.md for these files."""
        listed = {name: one.entry for name, one in files.items() if isinstance(one, Piece)}
        if self.specialist is not None:
            return specialist_card(self.specialist, self.report, listed, use, self.told)
        assert self.model is not None  # noqa: S101 it is one of both
        return plain_card(self.model, listed, use, self.told)

    def licence(self) -> str:
        if self.specialist is not None:
            return licence_of_made(self.specialist, self.told).name
        return combined([Part("model", self.name, self.model.licence if self.model else "")]).name


def export(
    name: str,
    to: str,
    out: Path | str,
    *,
    force: bool = False,
    told: Told = NOTHING_TOLD,
    store: Store | None = None,
    on_event: OnEvent = silent,
) -> Exported:
    """Write the specialist or model `name` as one of FORMS at `out`.

    Raises InputError for a form that it cannot have or a place that is taken, NotFound, CorruptFile for files that
    changed, DiskFull, and what converting raises where a GGUF must be made first.
    """
    if to not in FORMS:
        raise InputError(f"No form is called {to[:40]!r}.", f"Known: {', '.join(FORMS)}.")
    told.check()
    store, place = store or Store(), Path(out).expanduser().absolute()
    on_event(Event("start", "export", f"{name} as {to}"))
    with _subject(store, name, told, on_event) as subject:
        if to == "kit":
            found = _kit(subject, place, force)
        elif to == "gguf":
            found = _gguf(subject, place, force)
        else:
            contents = {"dir": _as_is, "ollama": _ollama, "hf": _hugging_face}[to](subject)
            facts = {"name": subject.name, "to": to, "licence": subject.licence()}
            found = write_folder(store, contents, place, facts, on_event, force=force), ""
    on_event(Event("done", "export", str(place)))
    for note in subject.notes:
        on_event(Event("note", "export", note))
    return Exported(
        name=subject.name,
        to=to,
        path=str(place),
        files=found[0],
        size_bytes=sum(entry.size_bytes for entry in found[0].values()),
        sha256=found[1],
        licence=subject.licence(),
        notes=tuple(subject.notes),
    )


Written = tuple[dict[str, FileEntry], str]


@contextmanager
def _subject(store: Store, name: str, told: Told, on_event: OnEvent) -> Iterator[Subject]:
    """The specialist or model of this name; a model is kept from being removed meanwhile."""
    bare = name.partition(":")[0]
    if is_name(bare) and store.versions(bare):
        specialist, folder = store.find(name)
        record = FileEntry(sha256=sha256_file(folder / RECORD), size_bytes=(folder / RECORD).stat().st_size)
        files = {file: Piece(folder / file, entry) for file, entry in specialist.files.items()}
        report = read_json(folder / REPORT) if REPORT in files else {}
        subject = Subject(store, specialist.full_name, files, told, on_event, specialist)
        yield replace(
            subject,
            files={**files, RECORD: Piece(folder / RECORD, record)},
            report=report if isinstance(report, dict) else {},
        )
        return
    model = resolve_model(store, name, paths=False)
    model = model.model_copy(update={"source": _public(model.source)})
    with lease(store, model):
        folder = Path(model.path) if model.format != "gguf" else Path(model.path).parent
        files = {file: Piece(folder / file, entry) for file, entry in model.files.items()}
        yield Subject(store, model.name, files, told, on_event, model=model)


def _public(source: str) -> str:
    """Where a model came from, without the folders of this machine."""
    return source if "://" in source else re.sub(r"(?<!\S)[~/]\S*/", "", source)


def _as_is(subject: Subject) -> dict[str, Piece | bytes]:
    """The bundle or the model's files, with a card."""
    contents: dict[str, Piece | bytes] = dict(subject.files)
    if (model := subject.model) is not None and model.preset is not None:
        entry = Path(model.path).name if model.format == "gguf" else "."
        adapter = f"./{model.preset.adapter}" if model.preset.adapter else ""
        preset = model.preset.model_copy(update={"base": f"./{entry}", "adapter": adapter})
        contents[export_ollama.FILE] = write_modelfile(model.name, preset).encode()
    if CARD not in contents:
        contents[CARD] = subject.card(
            contents, "These are the files as Linnet keeps them; `--to kit` moves them to another machine."
        )
    return contents


def _kit(subject: Subject, out: Path, force: bool) -> Written:
    model = subject.model
    if out.suffix != SUFFIX:
        raise InputError(f"{out.name}: a kit's name ends in {SUFFIX}.")
    if model is None:
        facts: dict[str, Any] = {"kind": "specialist"}
    elif not model.digest:
        raise InputError(f"{model.name} comes with Linnet: every machine with Linnet has it.")
    elif model.preset is not None:
        hint = (
            f"Carry what it was made from, {model.preset.base}, and the Modelfile: linnet show --json, linnet create."
        )
        raise InputError(f"{model.name} was made with create: a kit does not hold that.", hint)
    else:
        entry = Path(model.path).name if model.format == "gguf" else ""
        facts = {"kind": "model", "entry": entry, "licence": model.licence, "source": model.source}
    kit = Kit(name=subject.name, files={name: piece.entry for name, piece in subject.files.items()}, **facts)
    sha256 = write_kit(subject.store, kit, subject.files, out, subject.on_event, force=force)
    return {out.name: FileEntry(sha256=sha256, size_bytes=out.stat().st_size)}, sha256


def _gguf_piece(subject: Subject) -> Piece:
    """The one GGUF of a decoder, made first where the store has none. Raises InputError where it cannot be one."""
    if not subject.writes_text:
        tags = subject.specialist is not None and subject.specialist.kind == "tag"
        what = f"{'tags spans' if tags else 'labels texts'} with an encoder" if subject.specialist else "is an encoder"
        raise InputError(f"{subject.name} {what}: GGUF and Ollama are for models that write text.", "Take --to hf.")
    if subject.specialist is not None:
        return subject.files[f"{ENGINE_FOLDER}/{GGUF}"]
    assert subject.model is not None  # noqa: S101 it is one of both
    if subject.model.format == "gguf":
        weights = [name for name in subject.files if name.endswith(".gguf")]
        adapter = subject.model.preset.adapter if subject.model.preset else ""
        if len(set(weights) - {adapter}) > 1:
            raise InputError(f"{subject.name} is a set of {len(weights)} files.", "Take --to dir.")
        return subject.files[Path(subject.model.path).name]
    source, _ = as_source(subject.store, subject.name, subject.on_event)
    assert source.path is not None  # noqa: S101 it lies here
    return Piece(source.path, FileEntry(sha256=sha256_file(source.path), size_bytes=source.path.stat().st_size))


def _gguf(subject: Subject, out: Path, force: bool) -> Written:
    piece = _gguf_piece(subject)
    if out.suffix != ".gguf":
        raise InputError(f"{out.name}: a GGUF file's name ends in .gguf.")
    preset = subject.model.preset if subject.model else None
    if preset is not None and (preset.adapter or preset.template):
        what = "adapter" if preset.adapter else "chat template"
        raise InputError(f"{subject.name} has a {what} of its own, which its GGUF does not hold.", "Take --to ollama.")
    if preset is not None or (subject.specialist and subject.specialist.asked):
        subject.notes.append("The file has weights, tokenizer and chat template; the instruction goes with each chat.")
    export_file(subject.store, piece, out, subject.on_event, force=force)
    return {out.name: piece.entry}, piece.entry.sha256


def _ollama(subject: Subject) -> dict[str, Piece | bytes]:
    """The GGUF, its Modelfile and a card."""
    piece = _gguf_piece(subject)
    contents: dict[str, Piece | bytes] = {GGUF: piece}
    preset = subject.model.preset if subject.model else None
    if preset is not None and preset.adapter:
        contents["adapter.gguf"] = subject.files[preset.adapter]
    ask = export_ollama.Ask(preset=preset)
    specialist = subject.specialist
    if specialist is not None and specialist.asked is not None:
        asked = specialist.asked
        ask = export_ollama.Ask(
            system=asked.instruction,
            shots=asked.shots,
            schema=asked.answer_schema,
            max_tokens=asked.max_tokens,
            greedy=True,
        )
        if "{" in asked.input:
            subject.notes.append(f"Each user message is the input in its template: {asked.input[:200]!r}.")
    elif specialist is not None:
        tags = specialist.kind == "tag"
        told = read_json(subject.files[f"{ENGINE_FOLDER}/{TAGGER if tags else CLASSIFIER}"].path)
        schema = json.dumps(span_schema(told["labels"])) if tags else ""
        ask = export_ollama.Ask(system=str(told["instruction"]), schema=schema, greedy=True)
        note = "scores each label; Ollama writes an answer, without calibration or threshold."
        subject.notes.append(f"Linnet {'finds the words in the text; Ollama writes them alone.' if tags else note}")
    text, notes = export_ollama.modelfile(piece.path, GGUF, "adapter.gguf" if "adapter.gguf" in contents else "", ask)
    subject.notes.extend(notes)
    contents[export_ollama.FILE] = text.encode()
    use = [f"`ollama create {subject.stem} -f {export_ollama.FILE}` in this folder, then `ollama run {subject.stem}`."]
    contents[CARD] = subject.card(contents, *use, *subject.notes)
    return contents


def _hugging_face(subject: Subject) -> dict[str, Piece | bytes]:
    """A folder that the Hugging Face tools load."""
    if subject.specialist is None:
        contents: dict[str, Piece | bytes] = dict(subject.files)
        if subject.model and subject.model.preset:
            raise InputError(f"{subject.name} was made with create: Hugging Face has no form for it.", "Take --to dir.")
        if CARD not in contents:
            contents[CARD] = subject.card(contents)
        return contents
    return _decoder(subject) if subject.writes_text else _encoder(subject, subject.specialist)


def _decoder(subject: Subject) -> dict[str, Piece | bytes]:
    """The merged weights that the specialist was made of, else its GGUF."""
    specialist = subject.specialist
    assert specialist is not None  # noqa: S101 called for one
    merged = _files_of_run(subject.store, specialist, "merge", "model/")
    packed = subject.files[f"{ENGINE_FOLDER}/{GGUF}"]
    if "model.safetensors" not in merged and "model.safetensors.index.json" not in merged:
        contents: dict[str, Piece | bytes] = {GGUF: packed}
        subject.notes.append("The store has no merged weights of it: the folder has the GGUF.")
        use = [f'`AutoModelForCausalLM.from_pretrained(FOLDER, gguf_file="{GGUF}")` reads it; so does llama.cpp.']
    else:
        contents = {name: piece for name, piece in merged.items() if name != CARD}
        subject.notes.append(
            f"These are the merged weights before quantisation; the numbers are of `{specialist.candidate}`, whose "
            f"file has sha256 {packed.entry.sha256}."
        )
        use = ["`AutoModelForCausalLM.from_pretrained(FOLDER)` and `AutoTokenizer.from_pretrained(FOLDER)` load it."]
    if specialist.asked is not None and specialist.asked.instruction:
        use.append("The instruction is the system message of each chat; answers were greedy.")
    contents[CARD] = subject.card(contents, *use, *subject.notes)
    return contents


def _files_of_run(store: Store, specialist: Specialist, stage: str, prefix: str) -> dict[str, Piece]:
    """The files below `prefix` of a run that the specialist came from; empty when it is gone or damaged."""
    run_id = str(specialist.lineage.get("runs", {}).get(stage, ""))
    if not is_name(run_id):
        return {}
    folder = store.path("runs", run_id)
    try:
        run = Run.model_validate(read_json(folder / RECORD))
    except (LinnetError, ValueError):
        return {}
    found = {n.removeprefix(prefix): Piece(folder / n, e) for n, e in run.files.items() if n.startswith(prefix)}
    return found if all(piece.path.is_file() for piece in found.values()) else {}


def _encoder(subject: Subject, specialist: Specialist) -> dict[str, Piece | bytes]:
    """model.onnx with config and tokenizer, as optimum's ORTModel for sequences or tokens reads them."""
    tuned = _files_of_run(subject.store, specialist, "tune", "model/")
    if CONFIG not in tuned:
        run = specialist.lineage.get("runs", {}).get("tune", "its training")
        raise NotFound(
            f"{subject.name}: config.json lies in the run {run}, which is not in this store.",
            "Build it again, or take --to dir: its ONNX file runs without.",
        )
    engine = {name: subject.files[f"{ENGINE_FOLDER}/{name}"] for name in (MODEL, TOKENIZER)}
    facts = read_json(subject.files[f"{ENGINE_FOLDER}/{ENGINE}"].path)
    decision, tags = specialist.decision, specialist.kind == "tag"
    labels = tag_names(decision.labels) if tags else decision.labels
    config = {key: value for key, value in _read(tuned[CONFIG]).items() if key not in ("architectures", "auto_map")}
    config |= {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        **({} if tags else {"problem_type": "single_label_classification"}),
        "linnet": decision.to_json(),
    }
    tokenizer = _read(engine[TOKENIZER])
    pad = next((word for word, number in _vocabulary(tokenizer).items() if number == facts["pad_id"]), None)
    settings = {
        **(_read(tuned[SETTINGS]) if SETTINGS in tuned else {}),
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": facts["max_tokens"],
        "model_input_names": ["input_ids", "attention_mask"],
        **({"pad_token": pad} if pad is not None else {}),
    }
    contents: dict[str, Piece | bytes] = {**engine, CONFIG: _json(config), SETTINGS: _json(settings)}
    what = "Token" if tags else "Sequence"
    use = [
        f"`ORTModelFor{what}Classification.from_pretrained(FOLDER)` of optimum loads it, and "
        "`AutoTokenizer.from_pretrained(FOLDER)`; cut texts with `truncation=True`.",
        "A word has the tag of its first token."
        if tags
        else f"Probabilities are the softmax of the logits divided by {decision.temperature:g}."
        + (
            f" Below {decision.threshold:g} for every other label the answer is `{decision.out_of_scope}`."
            if decision.out_of_scope
            else ""
        ),
    ]
    contents[CARD] = subject.card(contents, *use)
    return contents


def _read(piece: Piece) -> dict[str, Any]:
    found = read_json(piece.path)
    return found if isinstance(found, dict) else {}


def _vocabulary(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """Words and special tokens of a tokenizer.json by their numbers."""
    words = tokenizer.get("model", {}).get("vocab", {})
    added = {one["content"]: one["id"] for one in tokenizer.get("added_tokens", [])}
    return {**(words if isinstance(words, dict) else {}), **added}


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
