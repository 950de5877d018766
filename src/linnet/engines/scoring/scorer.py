"""Log-probabilities, perplexity, divergence and embeddings of a GGUF, in this process, through the llama.cpp C API.

A served model answers with text; this answers with numbers over the whole vocabulary. Native code runs in this
process: the file is checked first, and a caller who must outlive a crash runs this in a process of its own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import EngineError, InputError
from linnet.core.settings import threads as default_threads
from linnet.engines.scoring.continuations import Followed, Ids
from linnet.engines.scoring.groves import SEQUENCES, follow
from linnet.engines.scoring.llama_context import BATCH, Cache, Context, Model, shared_start
from linnet.metrics import divergence as divergences
from linnet.metrics import likelihood
from linnet.metrics.divergence import Divergence
from linnet.metrics.likelihood import Normalization, Perplexity

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Pooling = Literal["mean", "last", "first"]

LAST_WORD = re.compile(r"\s\S+\s*\Z")
DEFAULT_CONTEXT = 2048


class Scorer:
    """A GGUF opened for scoring; use it in a `with` block.

    context: the longest prompt with its continuation, in tokens; by default the model's own, at most 2048.
    adapter: a LoRA adapter (GGUF) to apply. cache: how keys and values are kept. With "f32" a continuation scores
    the same alone and among others (1e-5); "f16" takes half the memory and rounds (1e-3). Threads take turns.

    Raises EngineError when the library or the model does not fit, NotFound or the check's error for the file,
    InputError for a context the model was not trained for, ResourceMissing when memory is short.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int | None = None,
        threads: int | None = None,
        adapter: Path | None = None,
        cache: Cache = "f32",
    ) -> None:
        _check(path, adapter)
        self._lock, self._threads = threading.RLock(), threads or default_threads()
        self._encoders: Context | None = None
        self._adapter, self._cache = adapter, cache
        self._model = Model(path)
        self._context: Context | None = None
        try:
            self.context = self._choose_context(context)
            cells = self.context + BATCH  # room for prompts side by side beyond a full one
            self._context = Context(self._model, cells, SEQUENCES, self._threads, cache)
            if adapter:
                self._context.adapt(adapter)
        except BaseException:
            self.close()
            raise

    def _choose_context(self, asked: int | None) -> int:
        trained = self._model.trained_context
        chosen = min(trained, DEFAULT_CONTEXT) if asked is None else asked
        if not 2 <= chosen <= trained:
            raise InputError(
                f"a context of {chosen} tokens was asked for; {self._model.path.name} was trained with {trained}.",
                f"Choose between 2 and {trained}.",
            )
        return chosen

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back. Closing twice is fine."""
        with self._lock:
            for part in (self._encoders, self._context, self._model):
                if part:
                    part.close()
            self._encoders = self._context = None

    @property
    def vocabulary_size(self) -> int:
        return self._model.vocabulary_size

    @contextmanager
    def _turn(self) -> Iterator[Context]:
        with self._lock:
            if not self._context:
                raise EngineError(f"{self._model.path.name}: this scorer is closed.")
            yield self._context

    @contextmanager
    def _decoder(self) -> Iterator[Context]:
        with self._turn() as context:
            if not context.memory:
                raise EngineError(
                    f"{self._model.path.name} is an encoder: it predicts no next token.", "It can embed texts."
                )
            yield context

    # Tokens

    @property
    def bos(self) -> int:
        """The token that begins a text; negative where there is none."""
        return self._model.bos

    def ends_answer(self, token: int) -> bool:
        """Whether the engine stops at this token."""
        return self._model.ends_answer(token)

    def token_text(self, token: int) -> str:
        return self._model.token_text(token).decode(errors="replace")

    def tokenize(self, text: str, special: bool = False, bos: bool | None = None) -> list[int]:
        """Token ids. `special` reads control tokens written in the text; `bos` begins with it, by default as the
        model wants. Raises InputError for a `bos` that the vocabulary does not have."""
        with self._turn():
            ids = self._model.tokenize(text, add_special=False, parse_special=special)
            if not (self._model.adds_bos if bos is None else bos):
                return ids
            if self._model.bos < 0:
                raise InputError(f"{self._model.path.name} has no token for the beginning of a text.")
            return [self._model.bos, *ids]

    def detokenize(self, ids: Ids, special: bool = False) -> str:
        """The text of `ids`, with control tokens written out where `special`; a cut character becomes U+FFFD."""
        with self._turn():
            return self._model.detokenize(ids, special).decode("utf-8", "replace")

    # Scores

    def score(self, prefix_ids: Ids, continuations: Sequence[Ids]) -> list[list[float]]:
        """Natural log-probability of each token of each continuation after `prefix_ids`.

        The prefix is computed once and kept: the next call computes only what differs. Continuations are decoded
        side by side, their common starts once. Raises InputError for an empty prefix or continuation, unknown ids,
        or more tokens than the context holds.
        """
        return self.score_many([prefix_ids], continuations)[0]

    def score_many(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> list[list[list[float]]]:
        """`score` for many prompts: result[prompt][continuation][token].

        What all prompts share is computed once; then several prompts, with their continuations, in one decode.
        """
        found = self.follow_many(prompts, continuations)
        return [[[value for value, _ in tokens] for tokens in one] for one in found]

    def follow_many(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> list[list[list[Followed]]]:
        """`score_many`, and with each log-probability whether no other token was likelier there."""
        with self._decoder() as context:
            self._check_prompts(prompts, continuations)
            if not prompts or not continuations:
                return [[] for _ in prompts]
            return follow(context, self.context, prompts, continuations)

    def _check_prompts(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> None:
        for name, all_ids in (("prompt", prompts), ("continuation", continuations)):
            for place, ids in enumerate(all_ids):
                if not ids:
                    raise InputError(f"{name} {place} has no tokens.", "Begin an empty prompt with the model's BOS.")
                self._model.check_ids(ids)
        longest = max(map(len, prompts), default=0) + max(map(len, continuations), default=0)
        self._check_length(longest, "prompt and continuation")

    def _check_length(self, tokens: int, what: str) -> None:
        if tokens > self.context:
            raise InputError(
                f"{what} take {tokens} tokens; the context holds {self.context}.",
                "Shorten the text, or open the scorer with a larger context. Nothing is cut silently.",
            )

    def label_scores(
        self,
        prompts: Sequence[str],
        labels: Sequence[str],
        *,
        normalization: Normalization = "none",
        special: bool = False,
    ) -> Doubles:
        """Probabilities over `labels` for each prompt, shape (prompts, labels); each row sums to 1.

        p(label) = softmax over labels of s(label), with s(label) = sum of log p(token | prompt, tokens before),
        divided by the label's number of tokens ("tokens") or of UTF-8 bytes ("bytes", the `acc_norm` of
        lm-evaluation-harness), or not at all ("none"): then p is the model's own, kept to these labels.
        A label follows its prompt directly: where a space belongs between them, one of them must have it.
        """
        if not labels or len(set(labels)) < len(labels) or "" in labels:
            raise InputError(f"labels must be different and not empty; they are {list(labels)!r}.")
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        heads: list[list[int]] = []
        borders: dict[str, tuple[int, tuple[tuple[int, ...], ...]]] = {}
        for place, prompt in enumerate(prompts):
            ids = self.tokenize(prompt, special)
            # What happens at the border depends on the prompt's last word; most prompts end alike.
            word = LAST_WORD.search(prompt)
            ending = word.group() if word else prompt
            if ending not in borders:
                head, tails = self._split(prompt, labels, special)
                borders[ending] = len(ids) - len(head), tails
            dropped, tails = borders[ending]
            heads.append(ids[: len(ids) - dropped])
            groups.setdefault(tails, []).append(place)
        scores = np.empty((len(prompts), len(labels)), dtype=np.float64)
        for tails, places in groups.items():
            for place, found in zip(places, self.score_many([heads[i] for i in places], tails), strict=True):
                scores[place] = [sum(values) for values in found]
                if normalization == "tokens":
                    scores[place] /= [len(values) for values in found]
        if normalization == "bytes":
            scores /= [len(label.encode()) for label in labels]
        return likelihood.label_probabilities(scores)

    def _split(
        self, prompt: str, labels: Sequence[str], special: bool
    ) -> tuple[list[int], tuple[tuple[int, ...], ...]]:
        """The prompt's tokens and each label's, as the tokenizer cuts them when they stand together.

        Where it would join the end of the prompt with a label, the joined token counts to the label.
        """
        alone = self.tokenize(prompt, special)
        joined = [self.tokenize(prompt + label, special) for label in labels]
        shared = min([len(alone), *(min(shared_start(alone, ids), len(ids) - 1) for ids in joined)])
        if not shared:
            raise InputError("the prompt is empty.", "A model without BOS needs a word before it can predict one.")
        return alone[:shared], tuple(tuple(ids[shared:]) for ids in joined)

    # Logits

    def next_logits(self, ids: Ids) -> Floats:
        """Logits of the token after `ids`, shape (vocabulary,). What `ids` share with the last call is kept."""
        with self._decoder() as context:
            self._check_prompts([ids], [])
            return np.array(context.trunk(ids, last=True)[0])

    def logits(self, ids: Ids) -> Floats:
        """Logits after each token, shape (tokens, vocabulary). Raises EngineError when one is not finite."""
        with self._decoder() as context:
            self._check_prompts([ids], [])
            return np.concatenate([rows.copy() for rows in context.read(ids, 0)])

    def perplexity(self, text: str | Ids, *, window: int | None = None, stride: int | None = None) -> Perplexity:
        """Perplexity of a text of any length, with a window that slides by `stride` tokens (default: half of it).

        Every token is predicted once, from at most `window` tokens (default: the context) before it: all of the
        first window, then the last `stride` of each (as in transformers' "Perplexity of fixed-length models" and in
        the rolling windows of lm-evaluation-harness). Where the model wants BOS, it stands first in every window,
        as in llama.cpp, and the text's first token is predicted too. Memory does not grow with the text, its token
        ids aside. Raises InputError for fewer than two tokens.
        """
        ids, window, stride = self._stream(text, window, stride)
        whole = text if isinstance(text, str) else self.detokenize(text)
        unscored = 0 if self._model.adds_bos else len(self.detokenize(ids[:1]).encode())
        nll = likelihood.Running()
        with self._decoder() as context:
            for part, first, targets in likelihood.windows(ids, window, stride, self._model.adds_bos):
                done = 0
                for rows in context.read(part, first):
                    wanted = np.asarray(targets[done : done + len(rows)])
                    done += len(rows)
                    nll.add(likelihood.log_normalizers(rows) - rows[np.arange(len(rows)), wanted])
        return likelihood.perplexity(nll, len(whole.encode()) - unscored, len(whole.split()))

    def kl_divergence(
        self, other: Scorer, text: str | Ids, *, window: int | None = None, stride: int | None = None
    ) -> Divergence:
        """How far `other` (say, a quantised model) is from this one over a text; windows as in `perplexity`.

        Raises InputError when their vocabularies differ: their numbers would not be of the same tokens.
        """
        self._check_vocabulary(other)
        limit = min(self.context, other.context)
        ids, window, stride = self._stream(text, min(window or limit, limit), stride)
        found: list[Doubles] = []
        same: list[NDArray[np.bool_]] = []
        with self._decoder() as one, other._decoder() as two:
            piece = min(one.rows, two.rows, one.batch, two.batch)
            for part, first, _ in likelihood.windows(ids, window, stride, self._model.adds_bos):
                for base, model in zip(one.read(part, first, piece), two.read(part, first, piece), strict=True):
                    found.append(divergences.kl_divergences(base, model))
                    same.append(base.argmax(axis=1) == model.argmax(axis=1))
        return divergences.divergence(np.concatenate(found), np.concatenate(same))

    def _check_vocabulary(self, other: Scorer) -> None:
        sizes = self.vocabulary_size, other.vocabulary_size
        texts = ((self._model.token_text(i), other._model.token_text(i)) for i in range(min(sizes)))
        place = next((i for i, (one, two) in enumerate(texts) if one != two), None)
        if sizes[0] != sizes[1] or place is not None:
            why = f"they have {sizes[0]} and {sizes[1]} tokens" if place is None else f"token {place} differs"
            raise InputError(
                f"{self._model.path.name} and {other._model.path.name} have different vocabularies: {why}."
            )

    def _stream(self, text: str | Ids, window: int | None, stride: int | None) -> tuple[list[int], int, int]:
        ids = self.tokenize(text, bos=False) if isinstance(text, str) else list(text)
        self._model.check_ids(ids)
        window = self.context if window is None else window
        stride = max(1, window // 2) if stride is None else stride
        if not 2 <= window <= self.context or not 1 <= stride <= window:
            raise InputError(
                f"window {window} and stride {stride}: 2 <= window <= {self.context}, 1 <= stride <= window."
            )
        bos = [self._model.bos] if self._model.adds_bos else []
        if len(bos) + len(ids) < 2:
            raise InputError(f"a text of {len(ids)} tokens has none to predict.")
        return bos + ids, window, stride

    def embed(self, texts: Sequence[str], pooling: Pooling = "mean", *, normalize: bool = True) -> Floats:
        """Embeddings of texts, shape (texts, width): the mean of the last layer's states, or the last or first one.

        `normalize` makes each of length 1. Raises InputError for a text that is empty or longer than the context.
        """
        with self._turn():
            ids = [self._model.tokenize(text, add_special=True, parse_special=False) for text in texts]
            for place, one in enumerate(ids):
                self._check_length(len(one), f"text {place}")
                if not one:
                    raise InputError(f"text {place} has no tokens.")
            context = self._embedder()
            rows = [
                _pool(np.concatenate([r.copy() for r in context.read(one, 0, context.batch)]), pooling) for one in ids
            ]
        found = np.array(rows, dtype=np.float32).reshape(len(texts), self._model.width)
        return found / np.linalg.norm(found, axis=1, keepdims=True) if normalize else found

    def _embedder(self) -> Context:
        if not self._encoders:
            self._encoders = Context(self._model, self.context, 1, self._threads, self._cache, embeddings=True)
            if self._adapter:
                self._encoders.adapt(self._adapter)
        return self._encoders


def _check(path: Path, adapter: Path | None) -> None:
    """Native code must not see a file that was not checked."""
    from linnet.formats.gguf_adapter import check_adapter
    from linnet.formats.model_check import check_model

    if check_model(path).format != "gguf":
        raise InputError(f"{path}: scoring needs a GGUF file.")
    if adapter:
        check_model(adapter)
        check_adapter(adapter, path)


def _pool(states: Floats, pooling: Pooling) -> Floats:
    if pooling == "mean":
        return np.asarray(states.mean(axis=0), dtype=np.float32)
    return np.asarray(states[-1 if pooling == "last" else 0], dtype=np.float32)
