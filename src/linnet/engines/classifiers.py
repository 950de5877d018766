"""Opens what reads texts: a classifier or tagger in ONNX, or a decoder that scores labels. The folder says which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from linnet.engines.base import Classifier


def open_classifier(folder: Path) -> Classifier:
    """The classifier in a folder. Raises EngineError when it cannot be loaded, and what `LabelScorer` raises."""
    from linnet.engines.scoring.label_scoring import CLASSIFIER, DecoderClassifier

    if (folder / CLASSIFIER).is_file():
        return DecoderClassifier(folder)
    from linnet.engines.onnx_runtime.onnx import OnnxClassifier

    return OnnxClassifier(folder)


def open_reader(folder: Path) -> Callable[[Sequence[str]], object]:
    """What answers texts, whatever its answers are: for measuring. Raises as `open_classifier`."""
    from linnet.core.files import read_json
    from linnet.engines.onnx_runtime.onnx import ENGINE

    if (folder / ENGINE).is_file() and "labels" in read_json(folder / ENGINE):
        from linnet.engines.onnx_runtime.onnx_tagger import OnnxTagger

        return OnnxTagger(folder).tag
    return open_classifier(folder).logits
