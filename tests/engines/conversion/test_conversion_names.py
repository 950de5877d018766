"""Names of settings that the conversion asks for and transformers no longer gives."""

from __future__ import annotations

from typing import Any

import pytest

from linnet.engines.conversion.conversion_names import older_names

LONG = {"rope_type": "longrope", "rope_theta": 1e4, "long_factor": [2.0], "original_max_position_embeddings": 4096}


@pytest.mark.parametrize(
    ("config", "stored", "expected"),
    [
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, {}, {"partial_rotary_factor": 0.5}),
        ({"rope_parameters": LONG}, {}, {"rope_scaling": LONG, "original_max_position_embeddings": 4096}),
        ({"rope_parameters": {"full_attention": {"rope_theta": 5e5}}}, {}, {"rope_theta": 5e5}),
        ({"model_type": "gpt_neox", "rope_parameters": {"partial_rotary_factor": 0.25}}, {}, {"rotary_pct": 0.25}),
        ({"model_type": "gpt2", "n_positions": 64}, {}, {"n_ctx": 64}),
        ({"model_type": "falcon", "multi_query": True, "num_kv_heads": 71}, {}, {"num_kv_heads": 1}),
        ({"model_type": "deepseek_v3"}, {}, {"scoring_func": "sigmoid"}),
        ({"model_type": "deepseek_v3"}, {"scoring_func": "softmax"}, {"scoring_func": "softmax"}),
        ({"text_config": {"rope_parameters": {"rope_theta": 7.0}}}, {"text_config": {}}, {}),
        ({}, {"only_in_the_file": 3}, {"only_in_the_file": 3}),
    ],
)
def test_older_names_are_there(config: dict[str, Any], stored: dict[str, Any], expected: dict[str, Any]) -> None:
    found = older_names(config, stored)
    assert expected.items() <= found.items()
    if "text_config" in config:
        assert found["text_config"]["rope_theta"] == 7.0


def test_what_is_given_stays_as_it_is() -> None:
    config = {"model_type": "falcon", "new_decoder_architecture": True, "multi_query": True, "num_kv_heads": 8}
    plain = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}, "rope_theta": 2e4, "vocab_size": 9}
    assert older_names(config, {"num_kv_heads": 3}) == config
    assert older_names(plain, {"vocab_size": 4}) == plain
