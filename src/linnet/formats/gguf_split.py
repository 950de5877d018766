"""The parts of one GGUF: `name-00001-of-00003.gguf` and its siblings, checked to belong together."""

from __future__ import annotations

import re
from pathlib import Path

from linnet.core.errors import ModelFileError
from linnet.formats.gguf import GgufHeader, read_gguf

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
TOGETHER = "Fetch all parts of one model into one folder, and give the first."


def read_parts(path: Path) -> list[GgufHeader]:
    """The headers of a file, or of every part of its set. Raises ModelFileError for parts that are not one model."""
    first = read_gguf(path)
    count = _number(first, "split.count") if "split.count" in first.metadata else 1
    match = _PART.fullmatch(path.name)
    if count <= 1 and not (match and int(match["count"]) > 1):
        return [first]
    if not match or int(match["count"]) != count:
        message = f"the file says it is one of {count} parts, its name says otherwise"
        first.refuse("split.count", message, "Give it back its name: NAME-00001-of-0000N.gguf.")
    if int(match["number"]) != 1:
        hint = f"Give {match['stem']}-00001-of-{match['count']}.gguf."
        first.refuse("split.no", f"this is part {int(match['number'])} of {count}, not the first", hint)
    parts = [first]
    for number in range(2, count + 1):
        other = path.with_name(f"{match['stem']}-{number:05}-of-{match['count']}.gguf")
        if not other.is_file():
            raise ModelFileError("split.count", f"{path}: needs {count} parts, {other.name} is missing.", TOGETHER)
        parts.append(read_gguf(other))
    _check(parts, count)
    return parts


def _number(part: GgufHeader, key: str) -> int:
    value = part.metadata.get(key)
    if type(value) is not int or not 0 <= value <= 1 << 17:
        part.refuse(key, f"need a number, have {repr(value)[:80]}", TOGETHER)
    return value


def _check(parts: list[GgufHeader], count: int) -> None:
    first = parts[0]
    total = _number(first, "split.tensors.count")
    owner: dict[str, str] = {}
    for number, part in enumerate(parts):
        if (have := _number(part, "split.no")) != number:
            part.refuse("split.no", f"need {number}, have {have}: the part is another one", TOGETHER)
        if (have := _number(part, "split.count")) != count:
            part.refuse("split.count", f"need {count}, have {have}: the part is of another set", TOGETHER)
        if (have := _number(part, "split.tensors.count")) != total:
            part.refuse("split.tensors.count", f"need {total}, have {have}: the part is of another model", TOGETHER)
        for key in ("general.architecture", "general.uuid", "general.name"):
            if key in part.metadata and part.metadata[key] != first.metadata.get(key):
                part.refuse(key, f"need {first.metadata.get(key)!r}, have {part.metadata[key]!r}"[:300], TOGETHER)
        for tensor in part.tensors:
            if tensor.name in owner:
                part.refuse(tensor.name, f"the tensor is in {owner[tensor.name]} too", TOGETHER)
            owner[tensor.name] = part.path.name
    if len(owner) != total:
        first.refuse("split.tensors.count", f"need {total} tensors in all parts, have {len(owner)}", TOGETHER)
