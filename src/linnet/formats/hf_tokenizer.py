"""The tokenizer and the chat template of a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.core.errors import ModelFileError, os_errors
from linnet.formats.chat_template import MAX_BYTES, check_template
from linnet.formats.json_object import read_object
from linnet.formats.model_report import TemplateReport, TokenizerReport

MAX_TOKENIZER = 64 << 20
MAX_CONFIG = 4 << 20
_IDS = ("bos", "eos", "pad", "unk", "sep", "cls", "mask")


def folder_tokenizer(
    files: dict[str, Path], config: dict[str, Any], vocabulary: int | None, odd: list[str]
) -> TokenizerReport | None:
    """The tokenizer, or None. Raises ModelFileError for ids that are none; more tokens than rows are odd."""
    settings = _read(files, "tokenizer_config.json", MAX_CONFIG)
    special = _special_ids(files, config, vocabulary)
    if "tokenizer.json" not in files:
        if not settings:
            return None
        odd.append("The folder holds no tokenizer.json.")
    found = _read(files, "tokenizer.json", MAX_TOKENIZER)
    model = found.get("model")
    kind = str(model.get("type") or "")[:40] if isinstance(model, dict) else ""
    size = _size(files, found)
    if vocabulary and size > vocabulary:
        odd.append(f"tokenizer.json holds {size} tokens, config.json says {vocabulary}.")
    flags = {name: settings.get(f"{name}_token") for name in ("add_bos", "add_eos")}
    return TokenizerReport(
        model=kind,
        size=size,
        special_ids=special,
        **{name: value if isinstance(value, bool) else None for name, value in flags.items()},
    )


def _special_ids(files: dict[str, Path], config: dict[str, Any], vocabulary: int | None) -> dict[str, int]:
    special: dict[str, int] = {}
    for name in _IDS:
        value = config.get(f"{name}_token_id")
        for number in value if isinstance(value, list) else [value]:
            if number is None or (number == -1 and name == "pad"):
                continue
            if type(number) is not int or number < 0 or (vocabulary and number >= vocabulary):
                have = f"need a token id of 0 to {(vocabulary or 0) - 1}, have {str(number)[:80]}"
                where = f"{name}_token_id"
                raise ModelFileError(where, f"{files['config.json']}: {where}: {have}.", "Correct config.json.")
            special.setdefault(name, number)
    return special


def _size(files: dict[str, Path], found: dict[str, Any]) -> int:
    """One more than the highest id."""
    model, added = found.get("model"), found.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    highest = -1
    if isinstance(vocabulary, dict):
        if not all(type(number) is int and 0 <= number < 1 << 24 for number in vocabulary.values()):
            where = "model.vocab"
            raise ModelFileError(
                where, f"{files['tokenizer.json']}: {where}: need ids of 0 to 2^24.", "Fetch it again."
            )
        highest = max(vocabulary.values(), default=-1)
    elif isinstance(vocabulary, list):
        highest = len(vocabulary) - 1
    for token in added if isinstance(added, list) else []:
        number = token.get("id") if isinstance(token, dict) else None
        if type(number) is not int or not 0 <= number < 1 << 24:
            where = "added_tokens"
            raise ModelFileError(
                where, f"{files['tokenizer.json']}: {where}: need ids of 0 to 2^24.", "Fetch it again."
            )
        highest = max(highest, number)
    return highest + 1


def folder_template(files: dict[str, Path], odd: list[str]) -> TemplateReport | None:
    """The template of the folder, from where transformers would take it; one bad variant spoils all."""
    sources = template_sources(files)
    found: TemplateReport | None = None
    for where, source in sources.items():
        report = check_template(source)
        if report.unknown_filters:
            odd.append(f"{where} uses filters that are not known: {', '.join(report.unknown_filters)[:200]}.")
        if not report.ok:
            odd.append(f"{where}: {report.refusal}")
        if found is None or (found.ok and not report.ok):
            found = report
    return found


def template_sources(files: dict[str, Path]) -> dict[str, str]:
    """Every chat template of a folder, unchecked, by where it stands; transformers takes the first."""
    if "chat_template.jinja" in files:
        path = files["chat_template.jinja"]
        with os_errors(path, "Reading"), path.open("rb") as handle:
            # One byte more than allowed, so that a longer one is seen to be longer.
            return {"chat_template.jinja": handle.read(MAX_BYTES + 1).decode(errors="replace")}
    for name in ("chat_template.json", "tokenizer_config.json"):
        value = _read(files, name, MAX_CONFIG).get("chat_template")
        if isinstance(value, str):
            return {name: value}
        if isinstance(value, list):
            return {
                f"{name} ({str(item.get('name'))[:40]})": item["template"]
                for item in value
                if isinstance(item, dict) and isinstance(item.get("template"), str)
            }
    return {}


def _read(files: dict[str, Path], name: str, most: int) -> dict[str, Any]:
    return read_object(files[name], most) if name in files else {}
