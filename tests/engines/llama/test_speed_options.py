"""What flags and settings say about guessing ahead and the cache's type reaches the engine, or is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError, NotFound
from linnet.core.store import Store
from linnet.engines.llama.load_plan import LoadOptions, plan_load, worker_options
from linnet.engines.llama.speed_options import speed_options
from tests.engines.made_llama import STORIES, needs_stories


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {"cache_type": "f16"}),
        ({"speculate": "off", "cache_type": "q8_0"}, {"cache_type": "q8_0"}),
        ({"speculate": "ngram"}, {"cache_type": "f16", "speculation": "ngram"}),
    ],
)
def test_what_is_given_becomes_options(given: dict[str, str], found: dict[str, Any], tmp_path: Path) -> None:
    assert speed_options(Store(tmp_path), **given) == found
    LoadOptions(**found)


def test_settings_stand_where_nothing_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_SPECULATION", "ngram")
    monkeypatch.setenv("LINNET_CACHE_TYPE", "bf16")
    assert speed_options(Store(tmp_path)) == {"speculation": "ngram", "cache_type": "bf16"}
    assert speed_options(Store(tmp_path), "off", "f16") == {"cache_type": "f16"}


@needs_stories
def test_a_smaller_model_guesses(tmp_path: Path) -> None:
    found = speed_options(Store(tmp_path), str(STORIES))
    told = worker_options(plan_load(STORIES, LoadOptions(slots=1, **found)))
    assert (told["speculation"], told["draft_model"]) == ("draft", str(STORIES))


def test_what_cannot_guess_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nobody"):
        speed_options(Store(tmp_path), "nobody")
    with pytest.raises(InputError, match="q9"):
        speed_options(Store(tmp_path), cache_type="q9")
    with pytest.raises(InputError, match="only a GGUF can guess"):
        speed_options(Store(tmp_path), "builtin:minilm")
