"""One form of a text for comparison. What is shown, stored and trained on stays as the user wrote it."""

from __future__ import annotations

import re
import unicodedata

# Invisible marks that are no control characters: combining grapheme joiner, Hangul filler, variation selectors.
_INVISIBLE = re.compile("[\u034f\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_ROUNDS = 4


def normalize(text: str) -> str:
    """The text folded for comparison: NFKC, no case, no control or zero-width characters, single spaces.

    Two texts that a person would call the same come out equal. Applying it twice changes nothing.
    The folding is NFKC_Casefold of The Unicode Standard, section 3.13, with the white space folded as well.
    """
    if text.isascii():
        return _fold_space(text.lower())
    # Removing a mark can bring two others together, which then compose: go on until nothing changes.
    for _ in range(_ROUNDS):
        folded = _fold_space(unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold()))
        if folded == text:
            break
        text = folded
    return text


def _fold_space(text: str) -> str:
    """Runs of white space become one space; what is left of control and format characters goes."""
    joined = " ".join(_INVISIBLE.sub("", text).split())
    if joined.isprintable():
        return joined
    kept = "".join(c for c in joined if unicodedata.category(c) not in ("Cc", "Cf"))
    return " ".join(kept.split())
