"""The OpenAI dialect's raw completions: many prompts, the best of choices, log-probabilities in the old shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linnet.engines.llama.pool_entries import PoolEngine
from linnet.engines.requests.generation import GenerateRequest, Generation, Piece, TokenLogprob
from linnet.http.errors import Problem, Refused, about
from linnet.http.generations import Answering
from linnet.http.openai_bodies import MAX_PROMPTS, CompletionBody
from linnet.http.openai_generate import Chunks, Head, sampling, times, usage
from linnet.http.replies import Choice

COMPLETION_TOKENS = 16  # the dialect's own default


def completion_requests(body: CompletionBody) -> list[GenerateRequest]:
    """One request for each prompt and choice, choices of one prompt side by side. Raises Refused."""
    _check_counts(body)
    texts = all(isinstance(one, str) for one in body.prompt)
    if body.echo and body.logprobs is not None:
        message = '"echo" is not supported with "logprobs": the engine gives none for a prompt.'
        raise Refused(Problem(400, message, param="echo"))
    if body.suffix and not texts:
        raise Refused(Problem(400, '"suffix" needs prompts that are texts.', param="suffix"))
    ranked = _made(body) > (body.n or 1)
    found: list[GenerateRequest] = []
    for prompt in body.prompt:
        with about("prompt"):
            request = GenerateRequest(
                prompt=prompt if isinstance(prompt, str) else None,
                token_ids=None if isinstance(prompt, str) else tuple(prompt),
                sampling=sampling(body),
                max_tokens=body.max_tokens or COMPLETION_TOKENS,
                stop=tuple(body.stop or ()),
                top_logprobs=0 if ranked and body.logprobs is None else body.logprobs,
                control_tokens=True,
                suffix=body.suffix or None,
                logit_bias=tuple((body.logit_bias or {}).items()),
            )
        found += times(request, _made(body))
    return found


def _made(body: CompletionBody) -> int:
    """How many answers are written for each prompt."""
    return body.best_of or body.n or 1


def _check_counts(body: CompletionBody) -> None:
    if _made(body) < (body.n or 1):
        raise Refused(Problem(400, f'"best_of" must be "n" ({body.n}) or more.', param="best_of"))
    if body.stream and _made(body) > (body.n or 1):
        raise Refused(Problem(400, '"best_of" beyond "n" cannot be streamed.', param="best_of"))
    if len(body.prompt) * _made(body) > MAX_PROMPTS:
        raise Refused(Problem(400, f"Prompts times their choices is more than {MAX_PROMPTS}.", param="n"))


def _mean_logprob(choice: Choice) -> float:
    """Of an answer, the mean log-probability of its tokens: what "best" means."""
    found = [one.logprob for one in choice.logprobs]
    return sum(found) / len(found) if found else float("-inf")


class CompletionRendering(Chunks):
    """Raw completions, with log-probabilities in the old shape."""

    def __init__(self, head: Head, body: CompletionBody) -> None:
        super().__init__(head.to_json("text_completion"), body.stream_options, _made(body))
        self.stream = bool(body.stream)
        self._logprobs = body.logprobs is not None
        self._prompts, self._count = body.prompt, body.n or 1
        self._echo = [""] * (len(body.prompt) * self._count)
        self._offsets: dict[int, int] = {}

    def echo(self, engine: PoolEngine) -> None:
        """Begin every choice with its prompt; ids are written as their text."""
        texts = [one if isinstance(one, str) else engine.detokenize(one) for one in self._prompts]
        self._echo = [text for text in texts for _ in range(self._count)]

    def _choice(self, index: int, text: str, logprobs: Any, finish: str | None) -> dict[str, Any]:
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}

    def _old_logprobs(self, index: int, found: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not self._logprobs:
            return None
        offsets, at = [], self._offsets.get(index, 0)
        for one in found:
            offsets.append(at)
            at += len(one.text)
        self._offsets[index] = at
        return {
            "tokens": [one.text for one in found],
            "token_logprobs": [one.logprob for one in found],
            "top_logprobs": [{other.text: other.logprob for other in one.top} for one in found],
            "text_offset": offsets,
        }

    def event(self, index: int, event: Piece | Generation) -> str:
        echo, self._echo[index] = self._echo[index], ""
        if isinstance(event, Generation):
            self._ends.append(event)
            return self.chunk(self._choice(index, echo, None, event.finish_reason))
        if not (event.text or echo or (self._logprobs and event.logprobs)):
            return ""
        logprobs = self._old_logprobs(index, event.logprobs)
        return self.chunk(self._choice(index, echo + event.text, logprobs, None))

    def _best(self, choices: list[Choice]) -> list[Choice]:
        """Of the answers to each prompt the wished number, the best first."""
        made, found = self._choices, []
        for start in range(0, len(choices), made):
            group = choices[start : start + made]
            ranked = sorted(group, key=_mean_logprob, reverse=True) if made > self._count else group
            found += ranked[: self._count]
        return found

    def whole(self, choices: list[Choice], answering: Answering) -> dict[str, Any]:
        found = [
            self._choice(
                index,
                self._echo[index] + choice.end.text,
                self._old_logprobs(index, choice.logprobs),
                choice.end.finish_reason,
            )
            for index, choice in enumerate(self._best(choices))
        ]
        told = usage(answering.prompt_tokens, [choice.end for choice in choices], self._choices)
        return {**self._head, "choices": found, "usage": told}
