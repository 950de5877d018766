"""What a file is, by its first bytes. Its name is not asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NoReturn

from linnet.core.errors import ModelFileError, os_errors
from linnet.formats.regular import open_regular

Kind = Literal["gguf", "safetensors", "json"]
HEAD = 512

PICKLE_HINT = "Such a file runs code when it is opened. Fetch the model as .safetensors or .gguf."
DOWNLOAD_HINT = "The download went wrong: fetch the file again."
CONVERT_HINT = "Fetch the model as .gguf or .safetensors, or convert it."

# pattern at the first byte -> what it is, and the next step
_REFUSED: tuple[tuple[bytes, str, str], ...] = (
    (rb"FUGG", "a big-endian GGUF", "Convert it to little endian: gguf_convert_endian.py."),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a ZIP archive, as torch.save writes it, with pickles inside", PICKLE_HINT),
    (rb"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", "an old torch file (.bin, .pt), which is pickles", PICKLE_HINT),
    (rb"\x80[\x02-\x05][^\x00]", "a pickle", PICKLE_HINT),
    (rb"c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n|\((lp|dp|i[\w.]+\n)", "a pickle of the oldest kind", PICKLE_HINT),
    (rb"(lmgg|fmgg|tjgg|algg)", "a GGML file of before GGUF", CONVERT_HINT),
    (rb"version https://git-lfs", "a git-LFS pointer, not the file it points to", "Fetch the file: git lfs pull."),
    (rb"\s*<(!doctype|html|head|\?xml|body)", "an HTML or XML page, such as an error page", DOWNLOAD_HINT),
    (rb"\x1f\x8b|\x28\xb5\x2f\xfd|7z\xbc\xaf|BZh|\xfd7zXZ", "a compressed archive", "Unpack it first."),
    (rb".{257}ustar", "a tar archive", "Unpack it first."),
    (rb"\x89HDF", "an HDF5 file (Keras, TensorFlow)", CONVERT_HINT),
    (rb".{4}TFL3", "a TensorFlow Lite file", CONVERT_HINT),
    (rb"\x93NUMPY", "a NumPy file", CONVERT_HINT),
    (rb"\x08[\x01-\x20]\x12", "an ONNX file", CONVERT_HINT),
)


def sniff(path: Path) -> Kind:
    """Which reader a file is for. Raises ModelFileError that names what it is instead, NotFound, ResourceMissing."""
    with os_errors(path, "Reading"):
        handle, size = open_regular(path)
        with handle:
            head = handle.read(HEAD)
    if size == 0:
        _refuse(path, "the file is empty", DOWNLOAD_HINT)
    if head.startswith(b"GGUF"):
        return "gguf"
    # A safetensors file begins with the length of its header, then the header's brace. A length may itself look
    # like a brace (123 does); read as a length, eight characters of JSON are far beyond any file.
    fits = int.from_bytes(head[:8], "little") <= size
    if head[8:9] == b"{" and (fits or head[:1] != b"{"):
        return "safetensors"
    for pattern, name, hint in _REFUSED:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE if b"doctype" in pattern else re.DOTALL):
            _refuse(path, f"this is {name}", hint)
    if head.lstrip()[:1] == b"{":
        return "json"
    if not fits:
        _refuse(path, f"neither GGUF nor safetensors, it begins with {head[:8]!r}", CONVERT_HINT)
    return "safetensors"


def _refuse(path: Path, message: str, hint: str) -> NoReturn:
    raise ModelFileError("magic", f"{path}: {message}.", hint)
