"""An encoder with a classification head, in torch: the model that training changes and that ONNX files are made of.

text -> backbone -> mean (or [CLS]) pooling -> unit length -> linear head. Knows nothing of data or training.
"""

from __future__ import annotations

import errno
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from linnet.core.errors import EngineError, os_errors
from linnet.core.files import read_json, write_json
from linnet.core.records import Model

CLASSIFIER = "classifier.json"
WEIGHTS = "model.safetensors"
KEEP = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
HEAD_SCALE = 16.0  # logits of a unit vector against unit class centres; found on banking77, see docs/log.md


class TextClassifier(nn.Module):
    """Logits, shape (batch, labels), from `input_ids` and `attention_mask`, both (batch, tokens)."""

    def __init__(self, backbone: nn.Module, label_count: int, pooling: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.head = nn.Linear(int(backbone.config.hidden_size), label_count)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors, shape (batch, hidden)."""
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * weight).sum(1) / weight.sum(1)
        return functional.normalize(pooled, dim=-1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(input_ids, attention_mask))
        return logits

    @torch.no_grad()
    def start_head_at(self, centres: Tensor) -> None:
        """Start the head at the class centres, shape (labels, hidden): a nearest-centre classifier."""
        self.head.weight.copy_(functional.normalize(centres, dim=-1) * HEAD_SCALE)
        self.head.bias.zero_()


def quiet_backbone(folder: Path, **options: Any) -> nn.Module:
    """A transformers encoder from files alone: no network, no code of the model's own, no dropout."""
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    if config.model_type in ("bert", "roberta", "xlm-roberta"):
        options["add_pooling_layer"] = False
    backbone: nn.Module = AutoModel.from_pretrained(
        folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True, **options
    )
    return backbone


def from_base(model: Model, label_count: int, seed: int) -> TextClassifier:
    """A base encoder with a fresh head. Raises EngineError when its files cannot be loaded."""
    torch.manual_seed(seed)
    return TextClassifier(backbone_of(model), label_count, model.pooling)


def backbone_of(model: Model) -> nn.Module:
    """The encoder of a base, without a head. Raises EngineError when its files cannot be loaded."""
    try:
        return quiet_backbone(Path(model.path))
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        raise EngineError(f"{model.name} could not be loaded as an encoder: {error}.") from error


def save(classifier: TextClassifier, base: Model, folder: Path) -> None:
    """Write a classifier that `load` reads: weights in safetensors, everything else in JSON."""
    facts = {"labels": classifier.head.out_features, "pooling": classifier.pooling, "max_tokens": base.max_tokens}
    save_module(classifier, base, folder, CLASSIFIER, facts)


def save_module(module: nn.Module, base: Model, folder: Path, name: str, facts: dict[str, Any]) -> None:
    """Write a module's weights, the base's tokenizer and configuration, and `facts` under this name, last."""
    state = {key: tensor.detach().contiguous() for key, tensor in module.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    with os_errors(folder / WEIGHTS, "Writing"):
        try:
            save_file(state, folder / WEIGHTS)
        except SafetensorError as error:  # it hides the system's error in its text
            raise OSError(errno.ENOSPC if "os error 28" in str(error) else errno.EIO, str(error)) from error
    for kept in KEEP:
        if (Path(base.path) / kept).exists():
            shutil.copyfile(Path(base.path) / kept, folder / kept)
    write_json(folder / name, facts)


def load(folder: Path, *, for_export: bool = False) -> TextClassifier:
    """Read what `save` wrote. `for_export` picks attention written in plain operations.

    Raises EngineError when the files do not fit together.
    """
    facts = read_json(folder / CLASSIFIER)
    classifier = TextClassifier(empty_backbone(folder, for_export=for_export), facts["labels"], facts["pooling"])
    fill(classifier, folder)
    return classifier


def empty_backbone(folder: Path, *, for_export: bool = False) -> nn.Module:
    """The encoder that a folder's configuration describes, its weights still to come."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    options = {"add_pooling_layer": False} if config.model_type in ("bert", "roberta", "xlm-roberta") else {}
    implementation = "eager" if for_export else "sdpa"
    backbone: nn.Module = AutoModel.from_config(config, attn_implementation=implementation, **options)
    return backbone


def fill(module: nn.Module, folder: Path) -> None:
    """Put the weights of a folder into a module, ready to be asked. Raises EngineError when they do not fit."""
    try:
        module.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise EngineError(f"{folder} could not be loaded: {error}.") from error
    module.eval()


def export_onnx(module: nn.Module, path: Path, logits: dict[int, str] | None = None) -> None:
    """Write a module of ids and mask as one ONNX file, for any number of texts and tokens.

    `logits` names the axes of its result that vary: the texts, unless it says more.
    """
    ids = torch.randint(1, 100, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    axes = {"input_ids": {0: "batch", 1: "tokens"}, "attention_mask": {0: "batch", 1: "tokens"}}
    axes["logits"] = logits or {0: "batch"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        # The TorchScript exporter: five seconds instead of twenty-five, no onnxscript (decision 0004).
        torch.onnx.export(
            module.eval(),
            (ids, mask),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
