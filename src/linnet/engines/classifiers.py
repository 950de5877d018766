"""Opens what reads texts: a classifier or tagger in ONNX, or a decoder in place of either. The folder says which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from linnet.engines.base import Classifier
from linnet.engines.tags import Tagger


def open_classifier(folder: Path) -> Classifier:
    """The classifier in a folder. Raises EngineError when it cannot be loaded, and what `LabelScorer` raises."""
    from linnet.engines.scoring.label_scoring import CLASSIFIER, DecoderClassifier

    if (folder / CLASSIFIER).is_file():
        return DecoderClassifier(folder)
    from linnet.engines.onnx_runtime.onnx import OnnxClassifier

    return OnnxClassifier(folder)


def open_tagger(folder: Path) -> Tagger:
    """The tagger in a folder. Raises EngineError when it cannot be loaded, and what `DecoderTagger` raises."""
    from linnet.engines.llama.llama_tagger import TAGGER, DecoderTagger

    if (folder / TAGGER).is_file():
        return DecoderTagger(folder)
    from linnet.engines.onnx_runtime.onnx_tagger import OnnxTagger

    return OnnxTagger(folder)


def open_reader(folder: Path) -> tuple[Callable[[Sequence[str]], object], Callable[[], int]]:
    """What answers texts, whatever its answers are, and the bytes that it holds outside of this process: for
    measuring. Raises as `open_classifier`."""
    from linnet.core.files import read_json
    from linnet.engines.llama.llama_tagger import TAGGER
    from linnet.engines.onnx_runtime.onnx import ENGINE

    tags = (folder / ENGINE).is_file() and "labels" in read_json(folder / ENGINE)
    if tags or (folder / TAGGER).is_file():
        tagger = open_tagger(folder)
        return tagger.tag, lambda: tagger.worker_bytes
    return open_classifier(folder).logits, lambda: 0
