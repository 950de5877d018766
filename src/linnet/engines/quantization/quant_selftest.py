"""Do the quantisers answer as the version they are pinned to? A stored input, and the hash and error of its bytes.

The hashes are of the x86-64 wheel. Elsewhere the compiler may contract multiplications and additions, which moves a
few roundings: there the error after a round trip is compared instead.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

ROWS, WIDTH = 2, 512
SLACK = 1.02  # how much larger the error may be where bytes are not compared
# type -> (first 16 hex digits of the sha256 of the bytes, root mean square error over that of the input)
EXPECTED: dict[str, tuple[str, float]] = {
    "F32": ("c1da4065bea74dc0", 0.0),
    "F16": ("06011feda91aadfe", 0.00019),
    "BF16": ("62dd1719f20b921f", 0.00148),
    "Q8_0": ("153d75049d400ce8", 0.00538),
    "Q6_K": ("b297ec305da83bb3", 0.01753),
    "Q5_K": ("7f902480419bc022", 0.03713),
    "Q4_K": ("46d8e64000bb1b0a", 0.07242),
    "Q3_K": ("048d7c3ed2b46f38", 0.1379),
    "Q2_K": ("68880fd5d3fccc70", 0.27961),
    "Q4_0": ("d6c4776832ca3fad", 0.07472),
    "Q4_1": ("91c095721f00a525", 0.07155),
    "Q5_0": ("63c9669962f5e922", 0.0382),
    "Q5_1": ("2e7b2071204062ce", 0.03573),
    "IQ4_XS": ("b696564f8a3a340d", 0.07047),
    "IQ4_NL": ("240a5f89b4c14859", 0.07013),
    "IQ3_S": ("b4c485eae12c9123", 0.15488),
    "IQ3_XXS": ("a4bd7f5a78ebd1a9", 0.19487),
    "IQ2_S": ("ace5cc4103919d18", 0.3127),
    "IQ2_XS": ("3a20ef5c1e554ea4", 0.33484),
    "IQ2_XXS": ("69511188f05a5601", 0.37309),
    "IQ1_S": ("337daa14ec50aec6", 0.47321),
    "IQ1_M": ("906e00f13a95c68d", 0.42934),
    "TQ1_0": ("fe3dcde95a0f9d4c", 0.56203),
    "TQ2_0": ("96f6403ca87a5df8", 0.56203),
    "MXFP4": ("4dee122e4c448f46", 0.14348),
}


def vectors() -> tuple[Floats, Floats]:
    """Rows (2, 512) with a few large values among small ones, and an importance of each column. Exact everywhere."""
    state, found = 12345, []
    for _ in range(ROWS * WIDTH):
        state = (state * 1103515245 + 12345) % 2**31
        found.append((state >> 15) / 32768 - 1.0)  # 16 bits: exact in float32
    values = np.array(found, dtype=np.float64)
    rows = (values**3).astype(np.float32).reshape(ROWS, WIDTH)
    importance = np.array([1.0 + i % 7 for i in range(WIDTH)], dtype=np.float32)
    return rows, importance


def measured(
    kind: str, quantize: Callable[[Floats, str, Floats], Bytes], dequantize: Callable[[Bytes, str, int], Floats]
) -> tuple[str, float]:
    """What EXPECTED stores for a type."""
    rows, importance = vectors()
    data = quantize(rows, kind, importance)
    back = dequantize(data, kind, WIDTH).astype(np.float64)
    error = float(np.sqrt(((back - rows) ** 2).mean() / (rows.astype(np.float64) ** 2).mean()))
    return hashlib.sha256(data.tobytes()).hexdigest()[:16], round(error, 5)


def check(
    kind: str, quantize: Callable[[Floats, str, Floats], Bytes], dequantize: Callable[[Bytes, str, int], Floats]
) -> str:
    """What is wrong with the kernels of a type; empty where nothing is."""
    (digest, error), (wanted, bound) = measured(kind, quantize, dequantize), EXPECTED[kind]
    if platform.machine().lower() in ("x86_64", "amd64"):
        return "" if digest == wanted else f"gave other bytes for the stored input (hash {digest}, not {wanted})"
    return "" if error <= bound * SLACK + 1e-5 else f"lost {error:.4f} of the stored input, {bound:.4f} is expected"
