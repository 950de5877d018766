"""The child that converts: runs llama.cpp's own conversion code on one checked folder. See engines.convert.

Reads one JSON object from stdin: {"tools", "folder", "target", "precision"}; writes the GGUF, or fails on stderr.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# Splitting rules by what tokenizer.json says, under llama.cpp's names: for vocabularies that llama.cpp has no hash of.
BYTE_PATTERNS = {
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
    "|\\s+(?!\\S)|\\s+": "qwen2",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+": "llama-bpe",
}


def splitting_rule(tokenizer_json: dict[str, Any]) -> str | None:
    """llama.cpp's name for how this tokenizer cuts text before BPE; None when it is not one of those known here."""
    pre = tokenizer_json.get("pre_tokenizer") or {}
    steps = pre.get("pretokenizers", [pre])
    kinds = [step.get("type") for step in steps]
    plain = [not step.get("add_prefix_space", False) for step in steps if step.get("type") == "ByteLevel"]
    if tokenizer_json.get("normalizer") is not None or not all(plain):
        return None
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and steps[1].get("use_regex", True):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        return BYTE_PATTERNS.get(str(steps[0].get("pattern", {}).get("Regex")))
    return None


def without_remote_code(auto: Any) -> None:
    """The conversion asks for a repository's own code; nothing of that runs here."""
    original = auto.from_pretrained

    def from_pretrained(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **{**kwargs, "trust_remote_code": False, "local_files_only": True})

    auto.from_pretrained = from_pretrained


def conversion_class(tools: str, folder: Path) -> Any:
    """llama.cpp's conversion class for a checked folder, which also knows the splitting rules above.

    Raises what the conversion raises: NotImplementedError for an unknown architecture.
    """
    sys.path.insert(0, tools)
    import conversion
    import transformers

    without_remote_code(transformers.AutoTokenizer)
    without_remote_code(transformers.AutoConfig)
    hparams = conversion.ModelBase.load_hparams(folder, False)
    kind = conversion.get_model_class(conversion.get_model_architecture(hparams, conversion.ModelType.TEXT))
    tokenizer_json = folder / "tokenizer.json"
    known = tokenizer_json.is_file()
    rule = splitting_rule(json.loads(tokenizer_json.read_text(encoding="utf-8"))) if known else None
    named = kind.get_vocab_base_pre

    def base_pre(self: Any, tokenizer: Any) -> str:
        try:
            return str(named(self, tokenizer))
        except NotImplementedError:
            if rule is None:
                raise
            return rule

    kind.get_vocab_base_pre = base_pre
    return kind


def convert(tools: str, folder: Path, target: Path, precision: str) -> None:
    kind = conversion_class(tools, folder)
    import gguf

    types = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16", "Q8_0": "MOSTLY_Q8_0"}
    kind(folder, gguf.LlamaFileType[types[precision]], target).write()


def main() -> None:
    job = json.loads(sys.stdin.read())
    convert(job["tools"], Path(job["folder"]), Path(job["target"]), job["precision"])


if __name__ == "__main__":
    main()
