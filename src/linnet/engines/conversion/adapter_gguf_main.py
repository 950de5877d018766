"""The child that writes a GGUF adapter: llama.cpp's conversion code says how each matrix is named and reordered.

Reads one JSON object from stdin: {"tools", "base", "weights", "target", "precision", "alpha", "pairs"}. A pair is
{"name", "a", "b", "factor"}: the base's weight, the two halves of its adapter, and what the second is multiplied by.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from linnet.engines.conversion.convert_main import without_remote_code

NEVER = "the conversion does more to it than to reorder its rows and columns; serve the merged model"


def conversion_of(tools: str, base: Path) -> Any:
    """llama.cpp's conversion object for the base. It indexes the weights and reads none of them."""
    sys.path.insert(0, tools)
    import conversion
    import gguf
    import transformers

    without_remote_code(transformers.AutoTokenizer)
    without_remote_code(transformers.AutoConfig)
    hparams = conversion.ModelBase.load_hparams(base, False)
    kind = conversion.get_model_class(conversion.get_model_architecture(hparams, conversion.ModelType.TEXT))
    return kind(base, gguf.LlamaFileType.ALL_F32, Path("never-written.gguf"))


def order(model: Any, name: str, rows: int, columns: int) -> tuple[str, Any, Any]:
    """A weight's name in GGUF and the order that its rows and columns get, found by converting their numbers.

    With W = B A, reordered rows are B's rows and reordered columns are A's columns: the pair follows exactly.
    """
    import torch

    down = torch.arange(rows, dtype=torch.float32)[:, None].expand(rows, columns)
    across = torch.arange(columns, dtype=torch.float32)[None].expand(rows, columns)
    new_name, row_order = _converted(model, name, down)
    _, column_order = _converted(model, name, across)
    by_row, by_column = row_order[:, 0], column_order[0]
    kept = torch.equal(row_order, by_row[:, None].expand(rows, columns)) and torch.equal(
        column_order, by_column[None].expand(rows, columns)
    )
    for found, count in ((by_row, rows), (by_column, columns)):
        if not kept or not torch.equal(found.sort().values, torch.arange(count, dtype=torch.float32)):
            sys.exit(f"{name}: {NEVER}")
    return new_name, by_row.long(), by_column.long()


def _converted(model: Any, name: str, probe: Any) -> tuple[str, Any]:
    kept = model.filter_tensors((name, lambda: probe))
    if kept is None:
        sys.exit(f"{name}: the conversion leaves this weight out")
    block = next((int(part) for part in kept[0].split(".") if part.isdecimal()), None)
    try:
        made = list(model.modify_tensors(probe, kept[0], block))
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        sys.exit(f"{name}: {error}")
    if len(made) != 1 or made[0][1].shape != probe.shape:
        sys.exit(f"{name}: {NEVER}")
    ((new_name, tensor),) = made
    return str(new_name), tensor


def write(job: dict[str, Any]) -> None:
    import gguf
    import torch
    from safetensors import safe_open

    model = conversion_of(job["tools"], Path(job["base"]))
    writer = gguf.GGUFWriter(job["target"], gguf.MODEL_ARCH_NAMES[model.model_arch])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, job["alpha"])
    dtype = torch.float16 if job["precision"] == "F16" else torch.float32
    with safe_open(job["weights"], framework="pt") as handle:
        for pair in job["pairs"]:
            a, b = (handle.get_tensor(pair[half]).float() for half in ("a", "b"))
            name, rows, columns = order(model, pair["name"], b.shape[0], a.shape[1])
            writer.add_tensor(f"{name}.lora_a", a[:, columns].to(dtype).contiguous().numpy())
            writer.add_tensor(f"{name}.lora_b", (b[rows] * pair["factor"]).to(dtype).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    write(json.loads(sys.stdin.read()))


if __name__ == "__main__":
    main()
