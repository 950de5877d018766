"""From the checked header of a GGUF to the report: what it is, what it holds, what is odd about it."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from linnet.formats.architectures import KNOWN, REGULAR
from linnet.formats.chat_template import check_template
from linnet.formats.ggml_types import FILE_TYPES, GUESSED
from linnet.formats.gguf import STRING, GgufArray, GgufHeader
from linnet.formats.gguf_adapter import check_pairs
from linnet.formats.gguf_rules import (
    SOURCE_HINT,
    architecture_of,
    check_shapes,
    hyper_parameters,
    missing_blocks,
    tokenizer_report,
)
from linnet.formats.gguf_split import TOGETHER, read_parts
from linnet.formats.model_report import HyperParameters, ModelKind, ModelReport, QuantShare, TemplateReport

_KINDS: dict[str, ModelKind] = {"adapter": "adapter", "mmproj": "projector", "model": "model", "": "model"}


def check_gguf(path: Path) -> ModelReport:
    """Read and check a GGUF, with all its parts. Raises ModelFileError."""
    parts = read_parts(path)
    first = parts[0]
    architecture = architecture_of(first)
    kind = _kind(first, architecture)
    odd = [sentence for part in parts for sentence in part.suspicious]
    sizes, template = HyperParameters(), None
    tokenizer = tokenizer_report(first)
    if kind == "model":
        sizes, more = hyper_parameters(first, architecture)
        odd += more + _check_model(parts, architecture, sizes, len(tokenizer.special_ids) if tokenizer else None)
        sizes = _with_vocabulary(sizes, tokenizer.size if tokenizer else 0, odd)
        if architecture in REGULAR:
            check_shapes({t.name: t.shape for part in parts for t in part.tensors}, first, sizes)
        template = _template(first, odd)
    elif kind == "adapter":
        check_pairs(first)
    mix = _mix(parts)
    return ModelReport(
        format="gguf",
        kind=kind,
        architecture=architecture,
        name=_text(first, "general.name"),
        licence=_licence(first, odd),
        parameters=sum(tensor.elements for part in parts for tensor in part.tensors),
        file_bytes=sum(part.file_bytes for part in parts),
        parts=tuple(part.path.name for part in parts),
        quantisation=mix,
        quantisation_name=_quantisation_name(first, mix, odd),
        hyper_parameters=sizes,
        tokenizer=tokenizer,
        template=template,
        hashes=_hashes(parts, template),
        suspicious=tuple(odd),
    )


def _kind(header: GgufHeader, architecture: str) -> ModelKind:
    stated = _text(header, "general.type")
    if architecture == "clip":
        return "projector"
    return _KINDS.get(stated, "other")


def _check_model(parts: list[GgufHeader], architecture: str, sizes: HyperParameters, special: int | None) -> list[str]:
    """Sentences on what an engine may refuse; of a set of parts, a missing block is refused here."""
    odd = []
    names = {tensor.name: tensor.shape for part in parts for tensor in part.tensors}
    if architecture not in KNOWN:
        odd.append(f"The architecture {architecture} is not known here, so its sizes were not compared.")
    if not names:
        odd.append("The file holds no tensors: a vocabulary alone.")
    if gone := missing_blocks(names, sizes.block_count):
        message = f"{len(gone)} of {sizes.block_count} blocks have no tensors, the first is {gone[0]}"
        if len(parts) > 1:
            parts[0].refuse(f"blk.{gone[0]}", message, TOGETHER)
        odd.append(f"{message}.")
    if special is None:
        odd.append("The file holds no tokenizer.")
    return odd


def _with_vocabulary(sizes: HyperParameters, tokens: int, odd: list[str]) -> HyperParameters:
    """The number of tokens counts: it is what the engine sizes its tables by."""
    stated = sizes.vocabulary_size
    if stated and tokens and stated != tokens:
        odd.append(f"The file states {stated} tokens and lists {tokens}.")
    return sizes.model_copy(update={"vocabulary_size": tokens or stated})


def _text(header: GgufHeader, key: str) -> str:
    value = header.metadata.get(key, "")
    if not isinstance(value, str):
        header.refuse(key, f"need a text, have {repr(value)[:80]}", SOURCE_HINT)
    return value[:1000]


def _licence(header: GgufHeader, odd: list[str]) -> str:
    value = header.metadata.get("general.license")
    if isinstance(value, GgufArray) and value.kind == STRING:
        return ", ".join(part.decode(errors="replace") for part in header.strings("general.license"))[:1000]
    licence = _text(header, "general.license") or _text(header, "general.license.name")
    if not licence:
        odd.append("The file states no licence.")
    return licence


def _template(header: GgufHeader, odd: list[str]) -> TemplateReport | None:
    """The main template's report. A further one that may not be used spoils it, because tool calls choose that one."""
    keys = [key for key in sorted(header.metadata) if key.split(".")[:2] == ["tokenizer", "chat_template"]]
    found: TemplateReport | None = None
    for key in keys:
        if not isinstance(source := header.metadata[key], str):
            header.refuse(key, f"need a text, have {repr(source)[:80]}", SOURCE_HINT)
        report = check_template(source)
        if report.unknown_filters:
            odd.append(f"{key} uses filters that are not known: {', '.join(report.unknown_filters)[:200]}.")
        if not report.ok:
            odd.append(f"{key}: {report.refusal}")
        if found is None:
            found = report
        elif found.ok and not report.ok:
            found = found.model_copy(update={"ok": False, "refusal": f"{key}: {report.refusal}"})
    return found


def _mix(parts: list[GgufHeader]) -> dict[str, QuantShare]:
    tensors: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for part in parts:
        for tensor in part.tensors:
            tensors[tensor.type] += 1
            sizes[tensor.type] += tensor.size_bytes
    return {name: QuantShare(tensors=tensors[name], bytes=size) for name, size in sizes.most_common()}


def _quantisation_name(header: GgufHeader, mix: dict[str, QuantShare], odd: list[str]) -> str:
    """What the file says, else the type that holds most bytes."""
    most = next(iter(mix), "")
    stated: Any = header.metadata.get("general.file_type")
    if stated is None:
        return most
    if type(stated) is not int:
        header.refuse("general.file_type", f"need a number, have {repr(stated)[:80]}", SOURCE_HINT)
    name, base = FILE_TYPES.get(stated & ~GUESSED, ("", ""))
    if not name:
        odd.append(f"general.file_type {stated} is not known here.")
        return most
    if mix and base not in mix:
        odd.append(f"The file says it is {name} and holds no tensor of type {base}.")
    return name


def _hashes(parts: list[GgufHeader], template: TemplateReport | None) -> dict[str, str]:
    """sha256 of all headers, of the template, and of the tokenizer's keys in the order of their names."""
    header = hashlib.sha256()
    for part in parts:
        header.update(part.raw)
    found = {"header": header.hexdigest()}
    first, tokens = parts[0], hashlib.sha256()
    view = memoryview(first.raw)
    keys = [key for key in sorted(first.spans) if key.startswith("tokenizer.") and "chat_template" not in key]
    for key in keys:
        start, end = first.spans[key]
        # Lengths first, so that no two sets of keys run into the same bytes.
        tokens.update(f"{key}\n{end - start}\n".encode())
        tokens.update(view[start:end])
    if keys:
        found["tokenizer"] = tokens.hexdigest()
    if template:
        found["template"] = template.sha256
    return found
