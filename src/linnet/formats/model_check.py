"""The door every model file passes before native code sees it. Decides by magic bytes, never by the name.

No file is executed, unpickled or unpacked, and no weight is read.
"""

from __future__ import annotations

from pathlib import Path

from linnet.core.errors import ModelFileError
from linnet.formats.model_report import ModelReport
from linnet.formats.sniff import CONVERT_HINT, sniff


def check_model(path: Path) -> ModelReport:
    """Read and check a GGUF (of a split set its first part), a safetensors file or index, or a Hugging Face folder.

    A bad chat template does not stop here, because another can be chosen: see `require_template`.
    Raises ModelFileError, which names the field, what it needs and what it has; NotFound when nothing is there.
    """
    if path.is_dir():
        from linnet.formats.hf_folder import check_folder

        return check_folder(path)
    kind = sniff(path)
    if kind == "gguf":
        from linnet.formats.gguf_report import check_gguf

        return check_gguf(path)
    from linnet.formats import safetensors
    from linnet.formats.json_object import read_object

    if kind == "safetensors":
        return safetensors.safetensors_report([safetensors.read_safetensors(path)])
    found = read_object(path, safetensors.MAX_INDEX)
    if "weight_map" not in found:
        have = f"a JSON file with the keys {', '.join(map(repr, list(found)[:5]))[:200] or 'none'}"
        raise ModelFileError("magic", f"{path}: neither GGUF nor safetensors, but {have}.", CONVERT_HINT)
    return safetensors.safetensors_report(safetensors.read_index(path))


def check_text_model(path: Path) -> ModelReport:
    """As `check_model`, and refuses what cannot answer alone: an adapter, an image projector, a vocabulary."""
    report = check_model(path)
    if report.kind != "model" or not report.parameters:
        have = "a vocabulary" if report.kind == "model" else report.kind
        hint = "Give the model itself: adapters and projectors are put on one."
        raise ModelFileError("general.type", f"{path}: need a text model, have: {have}.", hint)
    return report


def require_template(report: ModelReport, name: str) -> None:
    """Raise ModelFileError when the model's own chat template may not be used; `name` is the model's."""
    if report.template and not report.template.ok:
        hint = "Give another template, such as --template builtin:chatml, or take another model."
        raise ModelFileError("tokenizer.chat_template", f"{name}: {report.template.refusal}", hint)
