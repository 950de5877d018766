"""A GGUF as a model of lm-evaluation-harness: log-likelihoods by the scorer, texts by the engine that serves it.

Knows no task and no store. It can be imported only where lm_eval is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from linnet.core.errors import ContextExceeded, DataError, EngineError, InputError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.settings import get_number
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.llama_prompt import control_tokens
from linnet.engines.requests.asking import Decoding, Prompting, Source, open_engine
from linnet.engines.requests.generation import (
    GREEDY,
    MAX_STOP_CHARACTERS,
    MAX_STOPS,
    GenerateRequest,
    Generation,
)
from linnet.engines.scoring.scorer import DEFAULT_CONTEXT, Scorer
from linnet.formats.gguf import read_gguf
from linnet.formats.model_check import check_text_model
from linnet.formats.template_render import ChatTemplate
from linnet.text.conversations import Turn
from linnet.text.questions import Question

ANSWER = 256  # tokens, where a task does not say; as the harness's own back ends
BATCH = 32  # prompts between two reports of progress

Ids = tuple[int, ...]
Pair = tuple[Ids, Ids]  # context, continuation
Likelihood = tuple[float, bool]


class HarnessModel(TemplateLM):
    """Answers the harness's three kinds of requests. Loads at the first of a kind; `close` gives the memory back.

    Tokens are made as by the harness's own `hf` back end: control tokens that stand in a text are control tokens, and
    one BOS begins it where the model wants one. A context that is too long loses its start; `cut` counts those.
    """

    def __init__(self, source: Source, on_event: OnEvent = silent) -> None:
        super().__init__()
        if source.path is None:
            raise InputError(f"{source.name} is no file: an endpoint gives no log-likelihoods.")
        report, header = check_text_model(source.path), read_gguf(source.path)
        trained = report.hyper_parameters.context_length or DEFAULT_CONTEXT
        self.context = min(trained, int(get_number("LINNET_CONTEXT")))
        self.cut = 0
        self._source, self._path, self._on_event = source, source.path, on_event
        self._scorer: Scorer | None = None
        texts = header.strings("tokenizer.ggml.tokens")
        found = {name: header.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")}
        self._ids = {name: one for name, one in found.items() if isinstance(one, int) and 0 <= one < len(texts)}
        self._names = {f"{name}_token": texts[one].decode(errors="replace") for name, one in self._ids.items()}
        self._template = control_tokens(header).template

    def close(self) -> None:
        if self._scorer:
            self._scorer.close()
            self._scorer = None

    @property
    def eot_token_id(self) -> int:
        return self._ids.get("eos", self.prefix_token_id)

    @property
    def prefix_token_id(self) -> int:
        """The token that stands before a text without a context: BOS, or EOS where there is none."""
        for name in ("bos", "eos"):
            if name in self._ids:
                return self._ids[name]
        raise InputError(f"{self._source.name} has neither BOS nor EOS: a text without context cannot be scored.")

    @property
    def max_length(self) -> int:
        """Tokens that are read to predict the next one."""
        return self.context - 1

    @property
    def tokenizer_name(self) -> str:
        return self._source.sha256

    def scorer(self) -> Scorer:
        """The opened scorer. Raises what `Scorer` raises."""
        if not self._scorer:
            self._scorer = Scorer(self._path, context=self.context)
        return self._scorer

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids; without `add_special_tokens` BOS as the model wants it, and never twice."""
        ids = self.scorer().tokenize(string, special=True, bos=False if add_special_tokens is False else None)
        return self._one_bos(ids)

    def _one_bos(self, ids: list[int]) -> list[int]:
        bos = self._ids.get("bos")
        return ids[1:] if ids[:2] == [bos, bos] else ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The chat by the model's own template. Without `add_generation_prompt` its last message is left open."""
        if not self._template:
            raise InputError(f"{self._source.name} has no chat template: it is a base model.", "Leave --chat out.")
        turns = [(turn["role"], turn["content"]) for turn in chat_history]
        chat = ChatTemplate(self._template, dict(self._names))
        text = chat.render(turns, add_generation_prompt=add_generation_prompt)
        last = turns[-1][1].strip()
        return text if add_generation_prompt else text[: text.rindex(last) + len(last)] if last in text else text

    # Log-likelihoods

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[Likelihood]:
        found: list[Likelihood] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return found

    def _loglikelihood_tokens(self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: Any) -> list[Likelihood]:
        pairs = [self._fitting(context, continuation) for _, context, continuation in requests]
        wanted: dict[Ids, dict[Ids, None]] = {}
        for context, continuation in pairs:
            wanted.setdefault(context, {})[continuation] = None
        groups: dict[tuple[Ids, ...], list[Ids]] = {}
        # Sorted, so that neighbours have the longest common start, which is then computed once.
        for context in sorted(wanted):
            groups.setdefault(tuple(wanted[context]), []).append(context)
        found: dict[Pair, Likelihood] = {}
        for continuations, contexts in groups.items():
            for start in range(0, len(contexts), BATCH):
                part = contexts[start : start + BATCH]
                for context, scores in zip(part, self.scorer().follow_many(part, continuations), strict=True):
                    for continuation, tokens in zip(continuations, scores, strict=True):
                        likeliest = all(best for _, best in tokens)
                        found[context, continuation] = sum(value for value, _ in tokens), likeliest
                self._tell(len(found), sum(map(len, wanted.values())))
        return [found[pair] for pair in pairs]

    def _fitting(self, context: Sequence[int], continuation: Sequence[int]) -> Pair:
        if not continuation:
            raise DataError("An answer to be scored has no tokens.", "Mend doc_to_choice or doc_to_target of the task.")
        if len(continuation) > self.max_length:
            raise ContextExceeded(len(continuation), self.context)
        context = context or [self.prefix_token_id]
        over = max(0, len(context) + len(continuation) - self.context)
        self.cut += over > 0
        return tuple(context[over:]), tuple(continuation)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """Log-probability of whole texts: every token once, in windows of the context, each text alone."""
        del disable_tqdm
        windows: list[tuple[None, list[int], list[int]]] = []
        owners: list[int] = []
        for place, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            for window in get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, 1):
                windows.append((None, *make_disjoint_window(window)))
                owners.append(place)
        totals = [0.0] * len(requests)
        for place, (value, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[place] += value
        return totals

    # Texts

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Greedy texts up to the first of `until`, through every slot of the engine."""
        del disable_tqdm
        asked = [_Asked(request) for request in requests]
        self.close()  # the engine plans with the memory that is free
        questions = [
            Question(row=place, turns=(Turn(role="user", content=one.text),), references=())
            for place, one in enumerate(asked)
        ]
        longest = max(one.max_tokens for one in asked)
        engine = open_engine(self._source, questions, Prompting(), Decoding(max_tokens=longest, raw=True))
        found: list[str] = []
        try:
            engine.start()
            with ThreadPoolExecutor(engine.slots, "linnet-harness") as threads:
                running = [threads.submit(self._write, engine, one) for one in asked]
                try:
                    for future in running:
                        text, cut = future.result()
                        found.append(text)
                        self.cut += cut
                        self._tell(len(found), len(asked))
                except BaseException:
                    threads.shutdown(wait=False, cancel_futures=True)
                    engine.close()  # ends what still runs
                    raise
        finally:
            engine.close()
        return found

    def _write(self, engine: LlamaEngine, asked: _Asked) -> tuple[str, bool]:
        """The text, and whether the start of its prompt was cut."""
        ids = self._one_bos(engine.tokenize(asked.text, add_special=True, control_tokens=True))
        room = engine.context - asked.max_tokens
        if room < 1:
            raise InputError(
                f"{asked.task} writes up to {asked.max_tokens} tokens; the context holds {engine.context}.",
                "Set max_gen_toks in the task, or LINNET_CONTEXT.",
            )
        kept = ids[-room:] or [self.prefix_token_id]
        request = GenerateRequest(
            token_ids=tuple(kept), sampling=GREEDY, max_tokens=asked.max_tokens, stop=asked.stop[:MAX_STOPS]
        )
        last = [event for event in engine.generate(request) if isinstance(event, Generation)]
        if not last:
            raise EngineError("The engine ended without an answer.")
        text = last[-1].text
        for end in asked.until:
            text = text.split(end)[0]
        return text, len(ids) > room

    def _tell(self, done: int, total: int) -> None:
        self._on_event(Event("progress", "evaluate", self._source.name, done=done, total=total))


class _Asked:
    """One request for a text. Raises InputError where the task wants samples: those are not comparable."""

    def __init__(self, request: Instance) -> None:
        self.text, told = request.args[0], normalize_gen_kwargs(request.args[1], ANSWER)
        self.task = request.task_name or "The task"
        if told.get("do_sample") and float(told.get("temperature", 1.0)) > 0:
            raise InputError(
                f"{self.task} draws its answers (do_sample): only greedy ones are measured here.",
                "Take a task that sets do_sample: false.",
            )
        self.max_tokens = int(told["max_gen_toks"])
        self.until = tuple(text for text in told["until"] if text)
        # The engine takes so many; the others are cut afterwards.
        self.stop = tuple(text for text in self.until if len(text) <= MAX_STOP_CHARACTERS)
