"""Tokens per second of a GGUF before it is loaded: its tensors over the speeds that were measured on this machine.

A token of an answer reads every weight that takes part and the cache so far; a token of a prompt shares the weights
with its batch and is bound by arithmetic. The smallest models are bound by the steps between tensors instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from linnet.core.records import Record
from linnet.engines.llama.load_plan import LoadPlan
from linnet.engines.planning.machine_speed import MachineSpeed
from linnet.engines.planning.model_shape import Shape

DEPTH = 512  # tokens of prompt before the answer, where nobody says
# Types that were not measured take the speed of the measured one that is unpacked alike.
_AS = {"F32": "F16", "BF16": "F16", "Q8_1": "Q8_0", "Q6_K": "Q8_0"}
_COARSE = "Q4_K"
# Types whose blocks are looked up in tables: slower than their bytes say. Rough, and said to be.
SLOW_TABLES = 0.5


class Speed(Record):
    """Tokens per second of one request: of its prompt, and of its answer at `depth` tokens.

    `unmeasured` are the types of weights whose speed was taken from another's.
    """

    prefill: float
    decode: float
    depth: int
    unmeasured: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rate:
    decode_bytes: float
    prefill_weights: float


def predict_speed(shape: Shape, plan: LoadPlan, machine: MachineSpeed, depth: int = DEPTH) -> Speed:
    """What one request at a time reaches. Not for layers on a GPU, whose speed was not measured."""
    kinds = sorted(shape.active)
    rates = {kind: _rate(kind, machine) for kind in kinds}
    layers = shape.layers * machine.layer_seconds
    write = machine.token_seconds + layers + sum(shape.active[k][1] / rates[k].decode_bytes for k in kinds)
    # Every head looks at the keys and values of every token before, also where heads share them.
    looked_at = shape.layers * shape.heads * (shape.key_length + shape.value_length) * depth
    write += looked_at / machine.attention_numbers["plain" if plan.options.attention == "plain" else "flash"]
    read = layers / plan.options.batch + sum(shape.active[k][0] / rates[k].prefill_weights for k in kinds)
    # Scores and sums of attention: 4 operations a number of a head, over half the prompt on average (2 a weight).
    read += looked_at / 2 / _arithmetic(machine)
    return Speed(
        prefill=1 / max(read, 1e-9),
        decode=1 / max(write, 1e-9),
        depth=depth,
        unmeasured=tuple(kind for kind in kinds if kind not in machine.decode_bytes and kind != "F32"),
    )


def _arithmetic(machine: MachineSpeed) -> float:
    """Multiplications and additions per second, in pairs."""
    return machine.prefill_weights["F16"]


def _rate(kind: str, machine: MachineSpeed) -> _Rate:
    other = kind if kind in machine.decode_bytes else _AS.get(kind, _COARSE)
    share = SLOW_TABLES if kind.startswith(("IQ1", "IQ2", "IQ3")) else 1.0
    return _Rate(share * machine.decode_bytes[other], share * machine.prefill_weights[other])
