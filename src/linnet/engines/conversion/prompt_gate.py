"""Does a GGUF begin, write and end a chat as the folder it came from? What logits on given tokens cannot show.

Chat template, BOS, the token that ends an answer, and the context it was trained for. Only what the folder states is
judged; where it states nothing, nothing is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linnet.core.errors import GateFailed
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.gguf import GgufHeader, read_gguf
from linnet.formats.hf_folder import HfFolder, read_folder
from linnet.formats.hf_tokenizer import template_sources

FIXED_CONTEXT = ("falcon", "plamo")  # their conversion states one number, whatever the folder says


def check_prompts(folder: Path, result: Path, scorer: Scorer) -> None:
    """Raise GateFailed, naming the template, BOS, stop ids or context, for the first that is not the folder's."""
    found, header = read_folder(folder), read_gguf(result)
    problems = (_template(found, header), _bos(found, scorer), _stop(found, header), _context(found, header))
    if problem := next(filter(None, problems), ""):
        raise GateFailed(f"{result.name}: {problem}", "No file was written: it would be asked, or end, otherwise.")


def check_asked(name: str, asked: Sequence[tuple[str, Sequence[int]]], scorer: Scorer) -> None:
    """Raise GateFailed when the engine begins these prompts with another BOS than training did, or reads other tokens.

    asked: rendered text, and the ids that were learned from; an empty text is passed over. Another cut of single words
    is no failure here: a tokenizer that shares less than half of the tokens in every prompt is another model's.
    """
    hint = "No file was written: it would be asked otherwise than it was trained."
    shares = []
    for text, ids in asked:
        if not text:
            continue
        found, learned = scorer.tokenize(text, special=True), list(ids)
        begins = scorer.bos
        if found[:2] == [begins] * 2:  # the engine takes BOS out of a text that begins with it
            found = found[1:]
        counts = [next((i for i, token in enumerate(one) if token != begins), len(one)) for one in (found, learned)]
        if begins >= 0 and counts[0] != counts[1]:
            raise GateFailed(
                f"{name}: the culprit is BOS: the engine begins a chat with {counts[0]} of them, training with "
                f"{counts[1]}.", hint,
            )  # fmt: skip
        shares.append(sum((Counter(found) & Counter(learned)).values()) / max(1, len(found), len(learned)))
    if shares and max(shares) < 0.5:
        raise GateFailed(
            f"{name}: the culprit is the tokenizer: of {len(shares)} prompts it gives at most {max(shares):.0%} of the "
            "tokens that training saw. It looks like another model's.", hint,
        )  # fmt: skip


def check_metadata(source: Path, result: Path) -> None:
    """Raise GateFailed for the first key of a GGUF's tokenizer or architecture that its copy has otherwise."""
    one, other = read_gguf(source), read_gguf(result)
    for key, span in one.spans.items():
        if key.startswith(("general.", "quantize.", "split.")):
            continue
        if key not in other.spans or other.raw[slice(*other.spans[key])] != one.raw[slice(*span)]:
            raise GateFailed(
                f"{result.name}: the culprit is {_part(key)}: {key} is not the source's.", "No file was written."
            )


def _part(key: str) -> str:
    ends = (".bos_token_id", ".add_bos_token", ".eos_token_id", ".eot_token_id", ".eom_token_id")
    if key.endswith(ends):
        return "BOS or a stop id"
    if "chat_template" in key:
        return "the chat template"
    if key.startswith("tokenizer."):
        return "the tokenizer"
    return "a rope or context setting" if ".rope." in key or "context" in key else "a setting"


def _template(folder: HfFolder, header: GgufHeader) -> str:
    sources = template_sources(folder.files)
    if not sources:
        return ""
    named = [text for where, text in sources.items() if where.endswith("(default)")]
    expected = (named or list(sources.values()))[0]
    found = header.metadata.get("tokenizer.chat_template")
    if not isinstance(found, str) or not found:
        return "the culprit is the chat template: the file has none, its source has one."
    if _lines(found) == _lines(expected):
        return ""
    pairs = zip(_lines(found), _lines(expected), strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(_lines(found)), len(_lines(expected))))
    return f"the culprit is the chat template: from line {place + 1} on it is not the source's."


def _lines(template: str) -> list[str]:
    return template.strip().splitlines()


def _bos(folder: HfFolder, scorer: Scorer) -> str:
    """BOS, where tokenizer_config.json says whether there is one, or tokenizer.json puts one in front."""
    if "tokenizer.json" not in folder.files:
        return ""
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(folder.files["tokenizer.json"]))
    settings = folder.json("tokenizer_config.json")
    name = settings.get("bos_token")
    token = tokenizer.token_to_id(_text(name)) if name else folder.config.get("bos_token_id")
    around = tokenizer.encode("", add_special_tokens=True).ids
    stated = settings.get("add_bos_token")
    found = scorer.tokenize("")[:1]
    shown = f"{found[0]}" if found else "none"
    if stated is False and found:
        return f"the culprit is BOS: the file begins every text with the token {shown}, its source with none."
    wanted = [token] if stated is True and token is not None else around[:1] if around[:1] == [token] else []
    if stated is not False and wanted and found != wanted:
        return f"the culprit is BOS: its source begins every text with the token {wanted[0]}, the file with {shown}."
    return ""


def _stop(folder: HfFolder, header: GgufHeader) -> str:
    stated = [folder.config.get("eos_token_id"), folder.json("generation_config.json").get("eos_token_id")]
    known = {token for one in stated for token in (one if isinstance(one, list) else [one]) if type(token) is int}
    name = _text(folder.json("tokenizer_config.json").get("eos_token"))
    texts = header.strings("tokenizer.ggml.tokens")
    if name and name.encode() in texts:
        known.add(texts.index(name.encode()))
    found = header.metadata.get("tokenizer.ggml.eos_token_id")
    if not known or found in known:
        return ""
    ends = ", ".join(map(str, sorted(known)))
    have = "names no token" if found is None else f"names the token {found}"
    return f"the culprit is the stop ids: the file {have}, its source's answers end with {ends}."


def _context(folder: HfFolder, header: GgufHeader) -> str:
    stated = folder.config.get("max_position_embeddings")
    architecture = header.metadata.get("general.architecture")
    found = header.metadata.get(f"{architecture}.context_length")
    # More is no fault: the conversion of some families states a round number that their state can reach.
    if type(stated) is not int or found is None or found >= stated or architecture in FIXED_CONTEXT:
        return ""
    return f"the culprit is the context setting: the file states {found} tokens, its source {stated}."


def _text(token: Any) -> str:
    """A token's text; some files write an object."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""
