"""Before anything long: will the engine load what is to be written, and read text as the folder's tokenizer does?

No weight is read: the engine opens a vocabulary without tensors, and a file of the right length with nothing in it.
Where the conversion knows no name for how a tokenizer cuts text before BPE, each way of llama.cpp is tried, and one
that reads every text alike is taken. Runs in the child.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from linnet.core.errors import EngineError, GateFailed
from linnet.engines.quantization.gguf_quantize import Plan
from linnet.engines.quantization.quantize_gate import HARD, TEXT
from linnet.formats.gguf import read_gguf
from linnet.formats.gguf_write import copied, head, text

if TYPE_CHECKING:
    from linnet.engines.scoring.scorer import Scorer

PRE = "tokenizer.ggml.pre"
UNKNOWN = "default"  # what a file says until a way is found
# One name for each way of cutting that the pinned llama.cpp has (src/llama-vocab.cpp), the common ones first.
WAYS = (
    "gpt-2", "llama-bpe", "qwen2", "gpt-4o", "smollm", "tekken", "starcoder", "olmo", "dbrx", "falcon", "mpt",
    "deepseek-llm", "deepseek-coder", "deepseek-v3", "command-r", "refact", "stablelm2", "smaug-bpe", "poro-chat",
    "chatglm-bpe", "viking", "jais", "bloom", "gpt3-finnish", "codeshell", "exaone", "minerva-7b", "trillion",
    "bailingmoe", "seed-coder", "hunyuan", "kimi-k2", "superbpe", "grok-2", "afmoe", "minimax-m2", "solar-open",
    "exaone-moe", "qwen35", "youtu", "tiny_aya", "granite-docling", "jais-2", "llada-moe", "hunyuan-dense",
)  # fmt: skip
# What the ways differ in: runs of digits and of blanks, marks beside letters, capitals after apostrophes.
SHARP = (
    "1 12 123 1234 12345 123456 1234567", "abc123def 12ab34", "x=1;y=22;z=333", "Don'T WE'RE they’re o'clock",
    "tab\t\ttab  \n \n\n  end   ", "    four\n        eight\n", "a_b __init__ $var @name #tag", "!!! ??? ... --- ===",
    "word,word;word:word.word", " ,leading .marks (in) [all] {ways}", "日本語abc한국어123中文，。", "ÀÉÎ àéî ÇçŞş",
    "שלום123 سلام١٢٣", "HTTPServer camelCase SNAKE_CASE", "e\u0301e\u0301 \u00a0\u2003x", "🙂🙂 👍🏽x", "\r\n\r\nx\r",
)  # fmt: skip
SAMPLES, SEED = 120, 5


def texts_for(tokenizer: Any) -> list[str]:
    """Hard texts, and pairs of the tokenizer's own tokens: where a cut between two of them would be seen."""
    ids = np.random.default_rng(SEED).integers(0, tokenizer.get_vocab_size(), 2 * SAMPLES)
    own = [found for one in ids if "\ufffd" not in (found := tokenizer.decode([int(one)], skip_special_tokens=True))]
    pairs = [a + b for a, b in zip(own[::2], own[1::2], strict=False)]
    return [*HARD, TEXT, *SHARP, *pairs]


def prove_load(made: Plan, path: Path) -> None:
    """Write the head of what is planned to `path`, as long as the whole and empty, and let the engine open it.

    Raises EngineError, with the engine's words, for an architecture it does not know, a tensor that is missing or has
    another shape, a key it asks for.
    """
    from linnet.engines.scoring.llama_context import Model

    with path.open("wb") as handle:
        handle.write(made.head)
        handle.truncate(made.size_bytes)
    try:
        Model(path, no_weights=True).close()
    except EngineError as error:
        raise EngineError(
            error.message.replace(str(path), made.source.where), "This engine may not know the architecture yet."
        ) from error


class _Beginning:
    """What check_prompts asks of a scorer: the tokens of an empty text."""

    def __init__(self, ids: list[int]) -> None:
        self._ids = ids

    def tokenize(self, text: str) -> list[int]:
        return [] if text else self._ids


def prove_prompts(folder: Path, planned: Path) -> None:
    """Compare template, BOS, stop ids and context of what is planned with the folder's. Raises GateFailed."""
    from linnet.engines.conversion.prompt_gate import check_prompts
    from linnet.engines.scoring.llama_context import Model

    model = Model(planned, vocabulary_only=True)
    begins = [model.bos] if model.adds_bos and model.bos >= 0 else []
    model.close()
    try:
        check_prompts(folder, planned, cast("Scorer", _Beginning(begins)))
    except GateFailed as error:
        hint = "Nothing was converted: it would be asked, or end, otherwise."
        raise GateFailed(error.message.replace(planned.name, folder.name, 1), hint) from error


def prove_tokens(folder: Path, metadata: Path, *, is_named: bool) -> None:
    """Compare `metadata`, a GGUF without tensors, with tokenizer.json of `folder`; nothing where there is none.

    is_named: the conversion knew the way of cutting. Else the first that fits is written into the file.
    Raises GateFailed, with a text that is read otherwise, EngineError for an architecture the engine does not know.
    """
    if not (folder / "tokenizer.json").is_file():
        return
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = texts_for(tokenizer)
    expected = [tokenizer.encode(one, add_special_tokens=False).ids for one in texts]
    missed = _missed(metadata, texts, expected)
    if not missed:
        return
    fewest, nearest = missed, _way(metadata)
    for way in () if is_named else WAYS:
        _write(metadata, way)
        missed = _missed(metadata, texts, expected)
        if not missed:
            return
        if len(missed) < len(fewest):
            fewest, nearest = missed, way
    problem = "" if is_named else f"no way of llama.cpp's to cut text is this tokenizer's (nearest: {nearest}); "
    raise GateFailed(
        f"{folder.name}: {problem}llama.cpp reads {fewest[0][:40]!r} otherwise than the model's own tokenizer, and "
        f"{len(fewest)} of {len(texts)} texts in all.",
        "Nothing was converted: such a model would see other text than it was trained on.",
    )


def _missed(metadata: Path, texts: Sequence[str], expected: Sequence[list[int]]) -> list[str]:
    from linnet.engines.scoring.llama_context import Model

    model = Model(metadata, vocabulary_only=True)
    try:
        read = [model.tokenize(one, add_special=False, parse_special=False) for one in texts]
    finally:
        model.close()
    return [one for one, ids, right in zip(texts, read, expected, strict=True) if ids != right]


def _way(metadata: Path) -> str:
    return str(read_gguf(metadata).metadata.get(PRE, ""))


def _write(metadata: Path, way: str) -> None:
    found = copied(read_gguf(metadata))
    metadata.write_bytes(head({**found, PRE: text(way)}, []))


def pieces(folder: Path) -> dict[str, Any] | None:
    """The vocabulary of a tokenizer.json of SentencePiece's kind (BPE over letters, bytes to fall back to), else None.

    {"tokens": bytes, "scores", "kinds", "prefix"}: as a GGUF of the model "llama" wants them. A merge's rank is the
    score of the piece it makes: llama.cpp joins the pair whose piece has the highest score first, as BPE joins the
    pair of the lowest rank.
    """
    place = folder / "tokenizer.json"
    if not place.is_file():
        return None
    state = json.loads(place.read_text(encoding="utf-8"))
    model = state.get("model") or {}
    if model.get("type") != "BPE" or not model.get("byte_fallback"):
        return None
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(model.get("merges", [])):
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        ranks.setdefault(left + right, rank)
    size = 1 + max((*model["vocab"].values(), *(one["id"] for one in state.get("added_tokens", []))))
    tokens, scores, kinds = [f"[PAD{i}]".encode() for i in range(size)], [-1e4] * size, [5] * size  # unused
    for token, number in model["vocab"].items():
        is_byte = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
        tokens[number], kinds[number] = token.encode(), 6 if is_byte else 1
        scores[number] = 0.0 if is_byte else -float(ranks.get(token, len(ranks)))
    for one in state.get("added_tokens", []):
        control = 2 if one["content"] == model.get("unk_token") else 3 if one.get("special") else 4
        content = one["content"] if control < 4 else one["content"].replace("▁", " ")
        tokens[one["id"]], scores[one["id"]], kinds[one["id"]] = content.encode(), -1000.0, control
    return {"tokens": tokens, "scores": scores, "kinds": kinds, "prefix": _prefix(state)}


def _prefix(state: dict[str, Any]) -> bool:
    """Whether a blank is put before the first word."""
    normalizer, pre = state.get("normalizer") or {}, state.get("pre_tokenizer") or {}
    steps = [*normalizer.get("normalizers", [normalizer]), *pre.get("pretokenizers", [pre])]
    return any(one.get("type") == "Prepend" or one.get("prepend_scheme") in ("first", "always") for one in steps)
