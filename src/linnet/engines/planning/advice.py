"""Which sizes of models, in which types, this machine holds and runs fast enough. From what was measured; no file."""

from __future__ import annotations

from linnet.core.records import Record
from linnet.engines.llama.load_plan import LIBRARY_BYTES, usable_bytes
from linnet.engines.planning.machine_speed import MachineSpeed

# Bits a weight of whole files, and the measured type whose speed they have.
KINDS = {"F16": (16.0, "F16"), "Q8_0": (8.5, "Q8_0"), "Q4_K_M": (4.85, "Q4_K")}
LAYERS_OF_A_BILLION, GROWTH = 20, 1 / 3  # deeper models are wider too: layers grow as the cube root of the size
CACHE_SHARE = 0.15  # of the weights' size in Q8_0: a cache of some thousand tokens and scratch


class Suits(Record):
    """Weights at most, by type: what memory holds, and what of that is fast enough. `rate` in tokens per second."""

    kind: str
    holds: float
    fast_enough: float
    rate: float

    def in_words(self) -> str:
        held = f"memory holds {in_billions(self.holds)}"
        if self.fast_enough < 1e7:
            return f"{self.kind:<7} none is fast enough; {held}"
        return f"{self.kind:<7} up to {in_billions(min(self.fast_enough, self.holds))}; {held}"


def in_billions(weights: float) -> str:
    return f"{weights / 1e9:.2g}B" if weights >= 1e9 else f"{weights / 1e6:.0f}M"


def sizes_that_suit(machine: MachineSpeed, rate: float, free_bytes: int | None = None) -> list[Suits]:
    """For each kind the largest dense model. `free_bytes` is what may be used; None: what is free now."""
    room = max(0, (usable_bytes() if free_bytes is None else free_bytes) - LIBRARY_BYTES)
    found = []
    for kind, (bits, like) in KINDS.items():
        holds = room / (bits / 8 + CACHE_SHARE)
        found.append(Suits(kind=kind, holds=holds, fast_enough=_fast(machine, bits, like, rate), rate=rate))
    return found


def _fast(machine: MachineSpeed, bits: float, like: str, rate: float) -> float:
    """The size whose tokens take 1 / rate seconds: bisected, as layers grow with it."""
    low, high = 0.0, 1e13
    for _ in range(80):
        middle = (low + high) / 2
        layers = LAYERS_OF_A_BILLION * (middle / 1e9) ** GROWTH
        takes = machine.token_seconds + layers * machine.layer_seconds + middle * bits / 8 / machine.decode_bytes[like]
        low, high = (middle, high) if takes <= 1 / rate else (low, middle)
    return low
