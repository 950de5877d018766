"""Make ONNX files smaller and faster: fuse the transformer's operators, quantise its weights to int8."""

from __future__ import annotations

import logging
from pathlib import Path

from linnet.core.errors import require
from linnet.engines.planning.hardware import has_int8_dot_product


def quantize_int8(source: Path, target: Path) -> None:
    """Dynamic int8: weights per channel ahead of time, activations per batch.

    Where the processor multiplies int8 pairs into int16 (AVX2 without VNNI), sums of two full products overflow;
    then weights keep seven bits (`reduce_range`), as ONNX Runtime advises.
    """
    require("onnx", "train")
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # it advises a preprocessing that changes nothing here
    quantize_dynamic(
        str(source),
        str(target),
        per_channel=True,
        reduce_range=not has_int8_dot_product(),
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )
