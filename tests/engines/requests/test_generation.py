"""Requests to a decoder: every range is checked, and the error names the field and its limits."""

from __future__ import annotations

from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.engines.requests.generation import MAX_MESSAGES, RANGES, Cancel, GenerateRequest, Message, Sampling

NUMBERS = [float("nan"), float("inf"), 1e308, -1e308, True, "2", None, [1]]


@pytest.mark.parametrize(
    "field", [name for name in RANGES if name not in ("max_tokens", "top_logprobs", "token_id", "scale", "bias")]
)
def test_18_sampling_is_checked_at_its_limits(field: str) -> None:
    whole, low, high = RANGES[field]
    kind = int if whole else float
    for value in (low, high):
        Sampling(**{field: kind(value)})
    step = 1 if whole else 0.001
    for wrong in [kind(low - step), kind(high + step), *NUMBERS]:
        if field == "seed" and wrong is None:
            continue
        with pytest.raises(InputError, match=f"^{field} is .*from {low:g} to "):
            Sampling(**{field: wrong})


@pytest.mark.parametrize("value", [0, -1, 10**9, "2", 1.5, True])
def test_17_max_tokens_is_checked(value: Any) -> None:
    with pytest.raises(InputError, match="max_tokens"):
        GenerateRequest(prompt="a", max_tokens=value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "exactly one of"),
        ({"prompt": "a", "token_ids": (1,)}, "exactly one of"),
        ({"messages": ()}, "messages has 0"),
        ({"messages": (Message("user", "a"),) * (MAX_MESSAGES + 1)}, "messages has 1001"),
        ({"prompt": "\ud800"}, "surrogate"),
        ({"token_ids": ()}, "empty"),
        ({"token_ids": (1, -2)}, "token id"),
        ({"prompt": "a", "stop": ("",)}, "stop text has 0"),
        ({"prompt": "a", "stop": ("a",) * 17}, "stop has 17"),
        ({"prompt": "a", "top_logprobs": 21}, "top_logprobs"),
        ({"prompt": "a", "json_schema": {}, "grammar": 'root ::= "a"'}, "both given"),
        ({"prompt": "a", "logit_bias": ((5, 100.5),)}, "bias of token 5"),
        ({"prompt": "a", "logit_bias": ((-5, 1.0),)}, "token id of logit_bias"),
        ({"prompt": "a", "logit_bias": ((5, 1.0),) * 1025}, "at most 1024"),
        ({"token_ids": (1,), "suffix": "a"}, "without prompt"),
        ({"prompt": "a", "adapters": (("x", float("nan")),)}, "scale of adapter 'x'"),
        ({"prompt": "a", "thinking": 1}, "thinking"),
    ],
)
def test_a_request_is_checked(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        GenerateRequest(**fields)


def test_21_there_is_no_way_to_pass_anything_else() -> None:
    for name in ("chat_template", "n_discard", "id_slot", "lora", "chat_template_kwargs", "cache_prompt"):
        with pytest.raises(TypeError):
            GenerateRequest(prompt="a", **{name: 1})


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(InputError, match="role is 'root'"):
        Message("root", "a")


def test_a_late_cancel_still_counts() -> None:
    calls: list[int] = []
    cancel = Cancel()
    cancel.on_cancel(lambda: calls.append(1))
    cancel.cancel()
    cancel.cancel()
    cancel.on_cancel(lambda: calls.append(2))
    assert calls == [1, 2]
    assert cancel.cancelled
