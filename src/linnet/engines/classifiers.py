"""Opens what labels texts: an encoder in ONNX, or a decoder that scores labels. The folder says which."""

from __future__ import annotations

from pathlib import Path

from linnet.engines.base import Classifier


def open_classifier(folder: Path) -> Classifier:
    """The classifier in a folder. Raises EngineError when it cannot be loaded, and what `LabelScorer` raises."""
    from linnet.engines.scoring.label_scoring import CLASSIFIER, DecoderClassifier

    if (folder / CLASSIFIER).is_file():
        return DecoderClassifier(folder)
    from linnet.engines.onnx_runtime.onnx import OnnxClassifier

    return OnnxClassifier(folder)
