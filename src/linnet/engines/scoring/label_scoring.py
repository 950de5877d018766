"""A decoder as a classifier: the probability of each label as the whole answer to a chat.

The chat is rendered by the model's own template, a label is followed by the end of the answer, and what a user wrote
never becomes a control token. No process is started: see `engines.scoring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import InputError, require
from linnet.core.files import read_json
from linnet.engines.base import GGUF, Array
from linnet.engines.llama.llama_prompt import chat_ids, control_tokens
from linnet.engines.requests.generation import Message
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.gguf import GgufHeader, read_gguf

CLASSIFIER = "classifier.json"
BATCH = 32


class LabelScorer:
    """A GGUF opened to score labels; use it in a `with` block. Raises what `Scorer` raises, InputError for a model
    without a chat template, ResourceMissing without jinja2."""

    def __init__(self, path: Path, labels: Sequence[str], *, context: int | None = None) -> None:
        require("jinja2", "train")
        from linnet.formats.template_render import ChatTemplate

        header = read_gguf(path)
        self._control = control_tokens(header)
        if not self._control.template:
            raise InputError(
                f"{path.name} has no chat template: it cannot be asked.", "Tune it, or take an instructed model."
            )
        names = {name: _token_text(header, f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")}
        self._template = ChatTemplate(
            self._control.template, {f"{name}_token": text for name, text in names.items() if text}
        )
        self._scorer = Scorer(path, context=context)
        end = _end_of_answer(header)
        self.labels = [tuple(self._scorer.tokenize(label, bos=False)) + end for label in labels]

    @property
    def context(self) -> int:
        """Tokens of a chat and its longest label together."""
        return self._scorer.context

    def __enter__(self) -> LabelScorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._scorer.close()

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, ready for the answer. Raises InputError with the template's complaint."""

        def render(chat: Sequence[Message]) -> str:
            return self._template.render([(turn.role, turn.content) for turn in chat], add_generation_prompt=True)

        def tokenize(text: str, add_special: bool, control: bool) -> list[int]:
            return self._scorer.tokenize(text, special=control, bos=None if add_special else False)

        ids = chat_ids(messages, self._control, render, tokenize)
        first = self._scorer.tokenize("")
        # A template that writes the beginning itself, and a tokenizer that adds it: once is right.
        return ids[1:] if len(first) == 1 and ids[:2] == first * 2 else ids

    def scores(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """log p(label and the end | prompt), natural log, shape (prompts, labels). Raises InputError for a prompt
        that is too long: nothing is cut."""
        found = self._scorer.score_many([list(prompt) for prompt in prompts], self.labels)
        return np.array([[sum(tokens) for tokens in row] for row in found], dtype=np.float64).reshape(
            len(prompts), len(self.labels)
        )

    def logits(self, ids: Sequence[int]) -> Array:
        """Logits after each token, shape (tokens, vocabulary)."""
        return self._scorer.logits(ids)


def _token_text(header: GgufHeader, key: str) -> str:
    found, tokens = header.metadata.get(key), header.strings("tokenizer.ggml.tokens")
    return tokens[found].decode(errors="replace") if isinstance(found, int) and 0 <= found < len(tokens) else ""


def _end_of_answer(header: GgufHeader) -> tuple[int, ...]:
    """The token that ends an answer: without it a label that begins another one would always win."""
    for key in ("tokenizer.ggml.eot_token_id", "tokenizer.ggml.eos_token_id"):
        if isinstance(found := header.metadata.get(key), int):
            return (found,)
    return ()


class DecoderClassifier:
    """A folder with `model.gguf` and `classifier.json` as a Classifier; see engines.base. Threads take turns."""

    def __init__(self, folder: Path) -> None:
        told = read_json(folder / CLASSIFIER)
        self._instruction = str(told["instruction"])
        self._scorer = LabelScorer(folder / GGUF, told["labels"], context=int(told["context"]))
        self.max_tokens = self._scorer.context - max(len(ids) for ids in self._scorer.labels)

    def _ids(self, text: str) -> list[int]:
        head = [Message("system", self._instruction)] if self._instruction else []
        return self._scorer.prompt_ids([*head, Message("user", text)])

    def _fitting(self, text: str) -> list[int]:
        """The prompt of as much of the text's beginning as fits."""
        while len(ids := self._ids(text)) > self.max_tokens:
            if not text:
                raise InputError(
                    f"The instruction alone takes {len(ids)} tokens; {self.max_tokens} fit.", "Shorten it."
                )
            text = text[: min(len(text) - 1, len(text) * self.max_tokens // len(ids))]
        return ids

    def logits(self, texts: Sequence[str]) -> Array:
        """Log-probabilities of the labels, shape (texts, labels); a softmax makes them probabilities among labels."""
        rows = [
            self._scorer.scores([self._fitting(text) for text in texts[start : start + BATCH]])
            for start in range(0, len(texts), BATCH)
        ]
        return np.asarray(np.concatenate(rows), dtype=np.float32)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text with its instruction and template."""
        return [len(self._ids(text)) for text in texts]

    def close(self) -> None:
        self._scorer.close()
