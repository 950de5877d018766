"""The child that converts: runs llama.cpp's own conversion code on one checked folder. See engines.convert.

Reads one JSON object from stdin: {"tools", "folder", "target", "precision"}; writes the GGUF, or fails on stderr.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from linnet.engines.conversion.conversion_proof import UNKNOWN, pieces

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


def conversion_class(tools: str, folder: Path, *, guess: bool = False) -> Any:
    """llama.cpp's conversion class for a checked folder, which also knows the splitting rules above.

    guess: a vocabulary without a known rule gets UNKNOWN and the class `is_named = False`; the caller tries further.
    Raises what the conversion raises: NotImplementedError for an unknown architecture.
    """
    sys.path.insert(0, tools)
    import conversion
    import transformers

    from linnet.engines.conversion.conversion_names import CLASSES, teach

    without_remote_code(transformers.AutoTokenizer)
    without_remote_code(transformers.AutoConfig)
    teach(conversion.ModelBase)
    hparams = conversion.ModelBase.load_hparams(folder, False)
    name = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
    kind = conversion.get_model_class(CLASSES.get(name, name))
    of_pieces = None if (folder / "tokenizer.model").is_file() else pieces(folder)
    _name_splitting(kind, folder, guess and of_pieces is None)
    if of_pieces is not None:
        _read_pieces(kind, of_pieces)
    return kind


def _name_splitting(kind: Any, folder: Path, guess: bool) -> None:
    tokenizer_json = folder / "tokenizer.json"
    known = tokenizer_json.is_file()
    rule = splitting_rule(json.loads(tokenizer_json.read_text(encoding="utf-8"))) if known else None
    named, kind.is_named = kind.get_vocab_base_pre, True

    def base_pre(self: Any, tokenizer: Any) -> str:
        try:
            return str(named(self, tokenizer))
        except NotImplementedError:
            if rule is None and not guess:
                raise
            kind.is_named = rule is not None
            return rule or UNKNOWN

    kind.get_vocab_base_pre = base_pre


def _read_pieces(kind: Any, found: dict[str, Any]) -> None:
    """Let a vocabulary of SentencePiece's kind be read from tokenizer.json: its own file is not there."""
    by_class = kind.set_vocab

    def create(self: Any) -> tuple[list[bytes], list[float], list[int]]:
        more = int(self.hparams.get("vocab_size") or 0) - len(found["tokens"])
        pads = [f"[PAD{len(found['tokens']) + i}]".encode() for i in range(more)]
        return [*found["tokens"], *pads], [*found["scores"], *[-1e4] * len(pads)], [*found["kinds"], *[5] * len(pads)]

    def set_vocab(self: Any) -> None:
        try:
            by_class(self)
        except (FileNotFoundError, ValueError, NotImplementedError):  # it asks for the file itself
            self._set_vocab_sentencepiece()
        self.gguf_writer.kv_data[0].pop("tokenizer.ggml.add_space_prefix", None)
        self.gguf_writer.add_add_space_prefix(found["prefix"])

    kind._create_vocab_sentencepiece, kind.set_vocab = create, set_vocab


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
