"""Whether a token is the likeliest one is told beside its log-probability, for shared and for recurrent decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnet.engines.scoring import groves
from linnet.engines.scoring.scorer import Scorer
from tests import gguf_models


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf_models.made(tmp_path_factory.mktemp("groves"), "llama")[1]


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_likeliest_token_is_marked(path: Path, recurrent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, count = [[1, 5, 9, 12], [1, 5, 7]], 90  # more continuations than sequences side by side
    rng = np.random.default_rng(0)
    with Scorer(path, threads=1) as scorer:
        greedy = []
        for prompt in prompts:
            ids: list[int] = []
            for _ in range(3):
                ids.append(int(scorer.next_logits([*prompt, *ids]).argmax()))
            greedy.append(ids)
        others = [rng.integers(3, gguf_models.BYTES, 3).tolist() for _ in range(count)]
        if recurrent:
            monkeypatch.setattr(scorer._model, "recurrent", True)
            others = others[:3]
        found = scorer.follow_many(prompts, [*greedy, *others])
        values = scorer.score_many(prompts, [*greedy, *others])
    assert count > groves.SEQUENCES
    for place, one in enumerate(found):
        assert [best for _, best in one[place]] == [True] * 3
        assert not all(best for tokens in one for _, best in tokens)
        assert [[value for value, _ in tokens] for tokens in one] == [pytest.approx(v, abs=1e-4) for v in values[place]]
