"""llama.cpp's importance matrix, gathered in the engine: the mean squared input of each column of each matrix.

The text is the user's (`text.calibration`), or what the model itself writes: drawn at temperature 1 from its own
predictions, so it needs no data and has no licence but the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linnet.core.errors import InputError
from linnet.core.files import canonical, sha256_bytes
from linnet.engines.scoring.llama_context import Context, Model, Run
from linnet.engines.scoring.llama_watch import Watched
from linnet.formats.gguf import GgufHeader, read_gguf
from linnet.formats.imatrix import Imatrix
from linnet.formats.template_render import ChatTemplate
from linnet.text.calibration import Calibration
from linnet.text.conversations import Chat

WINDOW = 512  # tokens, as llama-imatrix cuts
LEAST, MOST, OWN = 4096, 32768, 8192  # tokens of calibration text; most of what a model writes itself
WORK = 3e13  # weights times tokens of one pass: about ten minutes of two cores
SEQUENCES, WRITTEN = 16, 256  # texts that a model writes side by side, and the tokens of each
OWN_TEXT = "the model's own text"


@dataclass(frozen=True, slots=True)
class Text:
    """Calibration text in tokens: windows that are computed one by one, and the name and hash of where it is from."""

    name: str
    sha256: str
    windows: tuple[tuple[int, ...], ...]

    @property
    def tokens(self) -> int:
        return sum(map(len, self.windows))


def tokens_for(weights: int) -> int:
    """How many tokens of calibration text a model of so many weights gets."""
    return int(np.clip(WORK / (2 * max(weights, 1)), LEAST, MOST))


def text_of(model: Model, path: Path, calibration: Calibration | None, limit: int, threads: int) -> Text:
    """At most `limit` tokens of the user's text, or of what the model in `path` writes itself.

    Chats are written with the model's own template, without one as bare lines. Raises InputError for a text too short.
    """
    size = min(WINDOW, model.trained_context or WINDOW)
    start = [model.bos] if model.adds_bos and model.bos >= 0 else []
    if calibration is None:
        ids, name = own_text(model, min(limit, OWN), threads), OWN_TEXT
    else:
        ids, name = _user_text(model, path, calibration, limit), calibration.name
    step = size - len(start)
    windows = tuple((*start, *ids[at : at + step]) for at in range(0, len(ids), step))
    if len(windows) > 1 and len(windows[-1]) < size // 4:
        windows = windows[:-1]  # too short to say much
    if len(ids) < 16:
        raise InputError(f"{name}: {len(ids)} tokens are too few to calibrate with.", "Give a text of 1,000 or more.")
    return Text(name, sha256_bytes(canonical([list(window) for window in windows])), windows)


def _user_text(model: Model, path: Path, calibration: Calibration, limit: int) -> list[int]:
    template = _template(read_gguf(path), model)
    chats = list(calibration.chats)
    np.random.default_rng(0).shuffle(chats)  # files are often sorted by label
    ids: list[int] = []
    for chat in chats:
        ids += model.tokenize(_written(chat, template), add_special=False, parse_special=not chat.passage)
        if len(ids) >= limit:
            break
    return ids[:limit]


def _template(header: GgufHeader, model: Model) -> ChatTemplate | None:
    source = header.metadata.get("tokenizer.chat_template")
    if not isinstance(source, str) or not source:
        return None
    eos = int(model.c.llama_vocab_eos(model.vocabulary))
    named = {"bos_token": model.bos, "eos_token": eos}
    return ChatTemplate(source, {name: model.token_text(i).decode() for name, i in named.items() if i >= 0})


def _written(chat: Chat, template: ChatTemplate | None) -> str:
    if chat.passage:
        return chat.passage + "\n"
    if template is None:
        return "\n".join(turn.content for turn in chat.turns) + "\n"
    return template.render_messages([turn.message() for turn in chat.turns], chat.tools)


def own_text(model: Model, limit: int, threads: int, seed: int = 0) -> list[int]:
    """Tokens drawn from the model's own predictions: texts that begin with nothing, one after the other."""
    first = next((i for i in (model.bos, int(model.c.llama_vocab_eos(model.vocabulary))) if i >= 0), 0)
    length = min(WRITTEN, model.trained_context or WRITTEN)
    done: list[int] = []
    noise = np.random.default_rng(seed)
    context = Context(model, SEQUENCES * length, SEQUENCES, threads, "f16")
    try:
        texts = [[first] for _ in range(SEQUENCES)]
        while len(done) + sum(map(len, texts)) - SEQUENCES < limit:
            run = Run(
                [text[-1] for text in texts], [len(text) - 1 for text in texts],
                [(i,) for i in range(SEQUENCES)], [True] * SEQUENCES,
            )  # fmt: skip
            rows = np.concatenate([found.copy() for _, found in context.run(run)])
            # The largest of logit plus Gumbel noise is a draw from the softmax (Gumbel 1954).
            drawn = (rows + noise.gumbel(size=rows.shape)).argmax(axis=1)
            for i, token in enumerate(map(int, drawn)):
                texts[i].append(token)
                if len(texts[i]) >= length or model.c.llama_vocab_is_eog(model.vocabulary, token):
                    done += texts[i][1:]
                    texts[i] = [first]
                    context.drop(range(i, i + 1))
    finally:
        context.close()
    return [*done, *(token for text in texts for token in text[1:])][:limit]


def gather(watched: Watched, text: Text) -> Imatrix:
    """The importance matrix on a text, as `llama-imatrix` counts it; for a tied output also of the embedding table."""
    found = watched.gather(text.windows)
    names = sorted(found.squares)
    return Imatrix(
        {name: found.squares[name].astype(np.float32) for name in names},
        {name: found.counts[name].astype(np.float32) for name in names},
        (text.name,),
        len(text.windows),
        len(text.windows[0]),
    )


def same_model(importance: Imatrix, names: Sequence[str]) -> bool:
    """Whether the matrix names at least half of these matrices."""
    return 2 * sum(name in importance.sums for name in names) >= len(names)
