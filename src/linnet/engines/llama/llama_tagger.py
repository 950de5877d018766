"""A decoder as a tagger: it writes labels and words as JSON, held to a schema, and the words are found in the text.

A folder holds `model.gguf` and `tagger.json` ({"labels", "instruction", "context", "max_tokens", "part"}).
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from linnet.core.errors import ContextExceeded, EngineError
from linnet.core.files import read_json
from linnet.engines.base import GGUF
from linnet.engines.llama.engine import LlamaEngine, open_llama, with_fitting_slots
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation, Message, Piece
from linnet.engines.tags import Entity, Tagged
from linnet.text.span_answers import parts_of, read_span_answer, span_schema

TAGGER = "tagger.json"
SLOTS = 4
SPLIT = 8  # an answer that is cut is asked again in halves, down to this share of a part


class DecoderTagger:
    """A loaded tagger. A text of any length is read whole, part by part. Threads may share it.

    Raises EngineError when a text cannot be answered, and what `open_llama` raises.
    """

    def __init__(self, folder: Path) -> None:
        told = read_json(folder / TAGGER)
        self.labels: list[str] = told["labels"]
        self._instruction, self._most, self._part = told["instruction"], int(told["max_tokens"]), int(told["part"])
        self._schema = span_schema(self.labels)
        context = int(told["context"])

        def opened(slots: int) -> LlamaEngine:
            options = LoadOptions(context=context, slots=slots)
            return open_llama(folder / GGUF, options, label=folder.parent.name)

        self._engine = with_fitting_slots(SLOTS, opened)
        # Who is forgotten while a request runs on it ends with that request.
        self._close = weakref.finalize(self, self._engine.close)

    @property
    def worker_bytes(self) -> int:
        """What the worker holds, beside this process."""
        return self._engine.measured_bytes

    def tag(self, texts: Sequence[str]) -> list[Tagged]:
        """The spans of each text, in its order; `tokens` counts the instruction with each part."""
        parts = [(place, begin, part) for place, text in enumerate(texts) for begin, part in parts_of(text, self._part)]
        with ThreadPoolExecutor(min(self._engine.slots, len(parts) or 1)) as threads:
            answers = list(threads.map(lambda one: self._asked(one[1], one[2]), parts))
        found: list[Tagged] = [Tagged([], 0) for _ in texts]
        for (place, _, _), answer in zip(parts, answers, strict=True):
            before = found[place]
            found[place] = Tagged([*before.spans, *answer.spans], before.tokens + answer.tokens)
        return found

    def _asked(self, begin: int, part: str) -> Tagged:
        """The spans of a part that begins there in its text; one that is too long, or whose answer is, in halves."""
        if not part.strip():
            return Tagged([], 0)
        request = GenerateRequest(
            messages=(Message("system", self._instruction), Message("user", part)),
            sampling=GREEDY, max_tokens=self._most, json_schema=self._schema, top_logprobs=0,
        )  # fmt: skip
        said, likely, end = "", [], None
        try:
            for event in self._engine.generate(request):
                if isinstance(event, Piece):
                    likely += [(len(said), one.logprob) for one in event.logprobs]
                    said += event.text
                elif isinstance(event, Generation):
                    end = event
        except ContextExceeded:
            if len(part) == 1:
                raise
            return self._in_halves(begin, part)
        if end is None:
            raise EngineError("The engine ended without an answer.")
        if end.finish_reason == "length" and len(part) > self._part // SPLIT:
            return self._in_halves(begin, part)
        spans = []
        for label, start, behind, said_from, said_to in read_span_answer(said, part):
            # As unsure as the least sure token that says so.
            least = min((value for place, value in likely if said_from <= place < said_to), default=0.0)
            sure = round(math.exp(min(0.0, least)), 6)
            spans.append(Entity(label, begin + start, begin + behind, part[start:behind], sure))
        return Tagged(spans, end.prompt_tokens)

    def _in_halves(self, begin: int, part: str) -> Tagged:
        found = [self._asked(begin + offset, half) for offset, half in parts_of(part, -(-len(part) // 2))]
        return Tagged([one for half in found for one in half.spans], sum(half.tokens for half in found))

    def close(self) -> None:
        self._close()
