"""Models of our own that travel in the package: `builtin:nano`, and `builtin:nano-tiny` for tests.

Each folder holds a Hugging Face model, the same model as GGUF in Q8_0, a card and `sha256.json`. How they were made
is in recipes/nano.
"""

from __future__ import annotations

from pathlib import Path

from linnet.core.errors import CorruptFile, NotFound
from linnet.core.files import read_json, sha256_file
from linnet.core.records import FileEntry, Model
from linnet.formats.model_check import check_model

FOLDER = Path(__file__).parents[1] / "builtin"
SUMS, GGUF, CARD = "sha256.json", "model-Q8_0.gguf", "README.md"
OURS = ("builtin:nano", "builtin:nano-tiny")
# What an engine runs: the same weights in one GGUF file.
RUNNABLE = {name: f"{name}:Q8_0" for name in OURS}
LICENCE = "Apache-2.0"


def our_model(name: str) -> Model:
    """`builtin:nano` (safetensors, to be tuned) or `builtin:nano:Q8_0` (GGUF, to be run); its files compared first.

    Raises NotFound for another name or a missing file, CorruptFile for one whose sha256 differs.
    """
    base = next((known for known in OURS if name in (known, RUNNABLE[known])), None)
    if base is None:
        raise NotFound(f"There is no built-in model {name!r}.", f"Known: {', '.join((*OURS, *RUNNABLE.values()))}.")
    folder = FOLDER / base.removeprefix("builtin:")
    files = verified(folder, name)
    runs = name != base
    opened = folder / GGUF if runs else folder
    report = check_model(opened)
    return Model(
        name=name,
        kind="decoder",
        format="gguf" if runs else "safetensors",
        path=str(opened),
        files={file: entry for file, entry in files.items() if (file == GGUF) == runs and file != CARD},
        licence=LICENCE,
        source="recipes/nano",
        max_tokens=report.hyper_parameters.context_length or 0,
        report=report.to_json(),
    )


def verified(folder: Path, name: str) -> dict[str, FileEntry]:
    """Every listed file with its hash. Raises NotFound or CorruptFile, naming the first that is missing or altered."""
    again = "Install Linnet again: its files were changed."
    if not (folder / SUMS).is_file():
        raise NotFound(f"{name}: {folder / SUMS} is missing.", again)
    found = {}
    for file, expected in read_json(folder / SUMS).items():
        path = folder / file
        if not path.is_file():
            raise NotFound(f"{name}: {path} is missing.", again)
        if (actual := sha256_file(path)) != expected:
            raise CorruptFile(f"{name}: {path} is not the published file: its sha256 differs.", again)
        found[file] = FileEntry(sha256=actual, size_bytes=path.stat().st_size)
    return found


def card(name: str) -> str:
    """The model card, in Markdown."""
    return (FOLDER / name.removeprefix("builtin:").partition(":")[0] / CARD).read_text(encoding="utf-8")
