"""A Hugging Face folder as tensors under their GGUF names, read as they are needed. Runs in a child: see quantize_main.

llama.cpp's conversion code says the names, the metadata and what happens to a tensor. Most it leaves as they are: those
are read straight from the safetensors file by rows. The others it computes, one at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.engines.conversion.conversion_proof import prove_tokens
from linnet.engines.conversion.convert_main import conversion_class
from linnet.engines.quantization import mixtures
from linnet.engines.quantization.gguf_quantize import Source, file_matrix
from linnet.engines.quantization.quant_kernels import Matrix, row_bytes
from linnet.formats.gguf import read_gguf
from linnet.formats.gguf_write import copied

# How the checkpoint keeps its matrices -> how the conversion keeps what no mixture touches: nothing is lost.
FILE_TYPES = {"BF16": "MOSTLY_BF16", "F16": "MOSTLY_F16"}


def opened(tools: str, folder: Path) -> Any:
    """llama.cpp's conversion object for a checked folder. Indexes the weights and reads none of them.

    Raises what the conversion raises: NotImplementedError for an unknown architecture or tokenizer.
    """
    kind = conversion_class(tools, folder, guess=True)
    import gguf

    model = kind(folder, gguf.LlamaFileType.ALL_F32, Path("never-written.gguf"))
    model.ftype = gguf.LlamaFileType[FILE_TYPES.get(_most(model), "ALL_F32")]
    return model


def _most(model: Any) -> str:
    """The type of most weights of the checkpoint."""
    sizes: dict[str, int] = {}
    for make in model.model_tensors.values():
        if (local := _local(make())) is not None and len(local.shape) > 1:
            sizes[local.dtype] = sizes.get(local.dtype, 0) + int(np.prod(local.shape))
    return max(sizes, key=lambda name: sizes[name], default="F32")


def _local(tensor: Any) -> Any:
    """Where a tensor lies in a file, None for one that is computed."""
    given: tuple[Any, ...] = getattr(tensor, "_args", ())
    return given[0] if len(given) == 1 and hasattr(given[0], "data_range") else None


@contextmanager
def hf_source(tools: str, folder: Path, scratch: Path) -> Iterator[Source]:
    """The folder, open for reading. `scratch` takes a small file for the metadata.

    Raises GateFailed where llama.cpp would read text otherwise, EngineError for an architecture it does not know.
    """
    model = opened(tools, folder)
    plain = _watch(model)
    model.prepare_tensors()
    model.prepare_metadata(vocab_only=False)
    tensors = {name: info for part in model.gguf_writer.tensors for name, info in part.items()}
    metadata = _metadata(model.gguf_writer, scratch / "metadata.gguf")
    prove_tokens(folder, metadata, is_named=type(model).is_named)
    header = read_gguf(metadata)
    files: dict[str, int] = {}
    try:
        matrices = {}
        for name, info in tensors.items():
            shape = tuple(int(n) for n in reversed(info.shape)) or (1,)
            local = plain.get(name)
            if local is not None and tuple(reversed(local.shape)) == shape and local.dtype in mixtures.FLOATS:
                path = str(local.data_range.filename)
                if path not in files:
                    files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                place = (files[path], int(local.data_range.offset))
                matrices[name] = file_matrix(f"{path}: {name}", local.dtype, shape, place)
            else:
                matrices[name] = _computed(f"{folder}: {name}", info, shape)
        stored = {name: info.dtype.name for name, info in tensors.items()}
        yield Source(str(folder), mixtures.facts(header), copied(header), matrices, header.alignment, stored)
    finally:
        for descriptor in files.values():
            os.close(descriptor)


def _watch(model: Any) -> dict[str, Any]:
    """Learn which tensors the conversion passes on untouched: GGUF name -> where the tensor lies."""
    plain: dict[str, Any] = {}
    original = model.modify_tensors

    def modify(data: Any, name: str, block: int | None) -> Iterator[tuple[str, Any]]:
        for new_name, made in original(data, name, block):
            if made is data and name in model.model_tensors:
                plain[new_name] = _local(model.model_tensors[name]())
            yield new_name, made

    model.modify_tensors = modify
    return plain


def _metadata(writer: Any, path: Path) -> Path:
    """What the conversion says of the model, as a GGUF without tensors."""
    writer.tensors = [{}]
    writer.write_header_to_file(path=path)
    writer.write_kv_data_to_file()
    writer.close()
    return path


def _computed(where: str, info: Any, shape: tuple[int, ...]) -> Matrix:
    """A tensor that the conversion computes, when its first row is read; forgotten after its last."""
    kind, lock = info.dtype.name, threading.Lock()
    state: dict[str, Any] = {"lazy": info.tensor, "left": int(np.prod(shape[1:], dtype=np.int64))}
    info.tensor = None

    def read(first: int, count: int) -> NDArray[np.uint8]:
        with lock:
            if "rows" not in state:
                import gguf

                value = np.ascontiguousarray(gguf.LazyNumpyTensor.to_eager(state.pop("lazy")))
                state["rows"] = value.reshape(-1).view(np.uint8).reshape(-1, row_bytes(kind, shape[0]))
            found: NDArray[np.uint8] = state["rows"][first : first + count]
            state["left"] -= count
            if state["left"] <= 0:
                del state["rows"]
        return found

    return Matrix(where, kind, shape, read)
