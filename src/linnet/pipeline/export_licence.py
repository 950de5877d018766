"""Which licence a made thing has: the most restrictive of what it was made of, by a small table.

A help for a person who decides, no legal advice: what the table does not know, and what may not fit together, is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OWN = "own"  # the user's own data: no licence of somebody else's

# Hugging Face's names of licences, the freest first. Within a rank the terms ask for much the same.
_RANKS: tuple[tuple[str, ...], ...] = (
    (OWN, "cc0-1.0", "unlicense", "pddl", "0bsd"),
    ("mit", "bsd-2-clause", "bsd-3-clause", "isc", "bsl-1.0", "zlib", "cdla-permissive-2.0"),
    ("apache-2.0", "cc-by-3.0", "cc-by-4.0", "odc-by", "ms-pl"),
    ("mpl-2.0", "lgpl-2.1", "lgpl-3.0", "epl-2.0", "cdla-sharing-1.0"),
    ("cc-by-sa-3.0", "cc-by-sa-4.0", "odbl", "gpl-2.0", "gpl-3.0", "agpl-3.0"),
    ("openrail", "openrail++", "bigscience-openrail-m", "bigcode-openrail-m", "bigscience-bloom-rail-1.0",
     "creativeml-openrail-m", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma"),
    ("cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    ("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
)  # fmt: skip
_RANK = {name: rank for rank, names in enumerate(_RANKS) for name in names}
_COPYLEFT, _NO_DERIVATIVES = 4, 7
_OTHER_NAMES = {
    "apache": "apache-2.0", "apache2": "apache-2.0", "apache-license-2.0": "apache-2.0", "apache-2": "apache-2.0",
    "apache-license-version-2.0": "apache-2.0", "mit-license": "mit", "the-mit-license": "mit", "cc0": "cc0-1.0",
    "cc-by": "cc-by-4.0", "cc-by-sa": "cc-by-sa-4.0", "cc-by-nc": "cc-by-nc-4.0", "bsd-3": "bsd-3-clause",
    "gpl-3.0-only": "gpl-3.0", "gpl-3.0-or-later": "gpl-3.0", "gplv3": "gpl-3.0", "gpl-2.0-only": "gpl-2.0",
    "agpl-3.0-only": "agpl-3.0", "agpl-3.0-or-later": "agpl-3.0", "lgpl-3.0-only": "lgpl-3.0", "odc-by-1.0": "odc-by",
    "llama-2": "llama2", "llama-3": "llama3", "llama-3.1": "llama3.1", "llama-3.2": "llama3.2",
    "llama-3.3": "llama3.3",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """Something that went in: `what` (base model, training data, teacher), its name, and its licence as stated."""

    what: str
    name: str
    licence: str


@dataclass(frozen=True, slots=True)
class Licence:
    """`name` is Hugging Face's word, or "other" where a part's is unknown. `sentences` say what a person must check."""

    name: str
    unknown: tuple[Part, ...]
    sentences: tuple[str, ...]


def known_licence(stated: str) -> str | None:
    """Hugging Face's word for a licence as somebody wrote it; None for one that the table does not hold."""
    word = re.sub(r"[\s_,]+", "-", stated.strip().lower())
    word = _OTHER_NAMES.get(word, word)
    return word if word in _RANK else None


def combined(parts: list[Part]) -> Licence:
    """The most restrictive licence among these parts; "other" as long as one of them is unknown."""
    found = [(part, known_licence(part.licence)) for part in parts]
    unknown = tuple(part for part, name in found if name is None)
    known = sorted({name for _, name in found if name is not None}, key=lambda name: (-_RANK[name], name))
    sentences = [
        f"The licence of the {part.what} `{part.name}` is {_stated(part)}: check it before you pass this on."
        for part in unknown
    ]
    strict = [name for name in known if _RANK[name] >= _COPYLEFT]
    if len(strict) > 1:
        sentences.append(
            f"{' and '.join(f'`{name}`' for name in strict)} each have terms of their own for what is made from them: "
            "check whether they can be kept together."
        )
    if known and _RANK[known[0]] >= _NO_DERIVATIVES:
        sentences.append(f"`{known[0]}` does not allow that changed works are passed on.")
    if unknown or not known:
        return Licence("other", unknown, tuple(sentences))
    return Licence("other" if known[0] == OWN else known[0], (), tuple(sentences))


def _stated(part: Part) -> str:
    stated = part.licence.strip()
    return (
        "not known" if stated.lower() in ("", "unknown", "none") else f"stated as `{stated}`, which is not in the table"
    )
