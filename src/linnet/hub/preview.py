"""A GGUF file's header before its body: the first bytes by Range, checked like a whole file.

What is fetched for it is the beginning of the download itself.
"""

from __future__ import annotations

from linnet.core.errors import ModelFileError
from linnet.formats.gguf import GgufHeader, read_gguf
from linnet.hub.download import Download

FIRST = 1 << 20


def read_header(download: Download) -> GgufHeader:
    """The checked header of a GGUF file, from as few bytes as it takes.

    Raises ModelFileError for a header that breaks a rule or is longer than the limit, and what a download raises.
    """
    label, path = download.wanted.label, download.partial.path
    size, most = download.wanted.file.size_bytes, download.hub.limits.header_bytes
    here = 0
    while True:
        here = min(size, most, max(FIRST, 4 * here))
        download.reach(here)
        with path.open("rb") as handle:
            magic = handle.read(4)
        if magic != b"GGUF":
            raise ModelFileError(
                "magic", f"{label}: this is no GGUF file: it begins with {magic!r}.", "Choose another file."
            )
        try:
            # The file has its full length; bytes that are still missing read as zero, and a zero is no valid tensor.
            header = read_gguf(path)
            if header.data_offset <= max(here, FIRST):
                return header
            if here == min(size, most):
                message = f"{label}: its header has {header.data_offset} bytes, at most {most} are read before a pull."
                raise ModelFileError("header", message, "Choose another file.")
        except ModelFileError as error:
            if here == min(size, most):
                raise named(error, str(path), label) from error


def named(error: ModelFileError, path: str, label: str) -> ModelFileError:
    """The same error about the file as the user knows it, not about where it grows."""
    return ModelFileError(error.field, error.message.replace(path, label), error.hint)
