"""What `linnet quantize` is told about a target and an importance matrix, made into the stage's values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linnet.core.errors import InputError

if TYPE_CHECKING:
    from linnet.engines.quantization.quantize_guided import Target


def target_of(size: str, bits: float, max_loss: str) -> Target | None:
    """The one target that is given, or None. Raises InputError for two of them, or for one that cannot be."""
    from linnet.core.task import parse_size
    from linnet.engines.quantization.quantize_guided import Target

    if (bool(size), bool(bits), bool(max_loss)).count(True) > 1:
        raise InputError("--size, --bits and --max-loss are different targets.", "Give one of them.")
    if size:
        try:
            found = parse_size(size)
        except ValueError as error:
            raise InputError(f"--size {size[:40]}: {error}.") from error
        if found <= 0:
            raise InputError(f"--size {size[:40]}: a file needs more than that.")
        return Target(size_bytes=found, label=f"size {size.replace(' ', '')}")
    if bits:
        return Target(bits=bits, label=f"{bits:g} bits")
    return Target(max_loss=_share(max_loss), label=f"loss {max_loss.strip()}") if max_loss else None


def check_one(kind: str, target: Target | None, like: Path | None) -> None:
    """Raise InputError unless exactly one thing says which types the file gets."""
    if (bool(kind), bool(target), bool(like)).count(True) != 1:
        raise InputError("Which type?", "One of --type Q4_K_M, --size, --bits, --max-loss and --like; or --sweep.")


def _share(text: str) -> float:
    """0.01 from '1%' or '0.01'."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        found = float(number) / (100 if percent else 1)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise InputError(f"--max-loss {text[:40]}: a share such as 1% or 0.01 is needed.")
    return found


def imatrix_of(said: str, calibration: Path | None, searched: bool) -> tuple[Path | None, bool]:
    """The importance matrix to read, and whether to make one: for a target and for a calibration text by default.

    Raises InputError for a calibration text that nothing would read.
    """
    if said in ("auto", "") and (said or calibration or searched):
        return None, True
    if calibration and not searched:
        raise InputError("--calibration is read to make an importance matrix.", "Leave --imatrix out, or say auto.")
    return (Path(said), False) if said not in ("", "none") else (None, False)
