"""The model of our own that travels in the package: found, compared with its hashes, the same in both forms."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from linnet.core.errors import CorruptFile, NotFound
from linnet.core.store import Store
from linnet.formats import builtin
from linnet.formats.model_check import check_model
from linnet.formats.resolve import resolve_model

STRINGS = 10_000 if os.environ.get("LINNET_NIGHTLY") == "1" else 2_000
LIMIT = 60_000_000  # bytes of weights in the repository


OURS = pytest.mark.parametrize("name", ["nano", "nano-tiny"])


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's folder of models, copied, so that it can be damaged."""
    shutil.copytree(builtin.FOLDER, tmp_path / "builtin")
    monkeypatch.setattr(builtin, "FOLDER", tmp_path / "builtin")
    return tmp_path / "builtin" / "nano"


@OURS
def test_one_name_to_tune_and_one_to_run(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    tuned, run = resolve_model(store, f"builtin:{name}"), resolve_model(store, f"builtin:{name}:Q8_0")
    assert (tuned.kind, tuned.format, run.format) == ("decoder", "safetensors", "gguf")
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja"} <= set(tuned.files)
    assert list(run.files) == [builtin.GGUF]
    assert tuned.max_tokens == run.max_tokens == 1024
    assert sum(p.stat().st_size for p in builtin.FOLDER.rglob("*.safetensors")) <= LIMIT


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", builtin.GGUF])
def test_altered_file_is_named(copied: Path, tmp_path: Path, file: str) -> None:
    data = bytearray((copied / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / file).write_bytes(data)
    with pytest.raises(CorruptFile, match=file):
        resolve_model(Store(tmp_path / "store"), "builtin:nano")


def test_missing_file_and_unknown_name_are_named(copied: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (copied / "model.safetensors").unlink()
    with pytest.raises(NotFound, match=r"model\.safetensors is missing"):
        resolve_model(store, "builtin:nano")
    with pytest.raises(NotFound, match=r"Known: .*builtin:nano"):
        resolve_model(store, "builtin:nano:Q2_K")
    with pytest.raises(NotFound, match=r"Known: .*builtin:nano"):
        resolve_model(store, "builtin:micro")


@OURS
def test_card_says_what_it_is(name: str) -> None:
    text = builtin.card(f"builtin:{name}")
    assert f"# builtin:{name}\n" in text
    for part in ("## Data", "## Training", "## Measured", "Energy", "licence"):
        assert part in text


def strings(count: int) -> list[str]:
    rng = random.Random(7)
    pool = [chr(c) for c in range(32, 127)] * 4
    pool += list("\n\t\r éüßñøжщ中文日本語か한국🙂👩\u200d½²³٤\u00a0\u2009\u3000\ufeff’“—…")
    words = ["don't", "I'LL", "3.14", "2026-11-22", '{"a": 1}', "foo_bar", "\n\n", "  ", "naïve", "''t"]
    found = []
    for _ in range(count):
        kind = rng.random()
        if kind < 0.5:
            found.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 60))))
        elif kind < 0.75:
            found.append(" ".join(rng.choice(words) for _ in range(rng.randint(1, 20))))
        else:
            codes = ((1, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x1FFFF))
            found.append("".join(chr(rng.randint(*rng.choice(codes))) for _ in range(rng.randint(1, 25))))
    return found


@OURS
def test_llama_cpp_reads_text_as_the_tokenizer_does(name: str) -> None:
    from tokenizers import Tokenizer

    from linnet.engines.scoring.scorer import Scorer

    folder = builtin.FOLDER / name
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with Scorer(folder / builtin.GGUF, context=256) as scorer:
        for text in strings(STRINGS):
            assert list(scorer.tokenize(text)) == tokenizer.encode(text).ids, repr(text)


@OURS
def test_gguf_is_the_conversion_of_the_weights(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch")
    from linnet.engines.conversion.convert import hf_to_gguf

    folder = builtin.FOLDER / name
    hf_to_gguf(folder, tmp_path / "again.gguf", "Q8_0")
    mine, again = (check_model(p) for p in (folder / builtin.GGUF, tmp_path / "again.gguf"))
    assert mine.quantisation == again.quantisation
    assert (tmp_path / "again.gguf").read_bytes()[-1_000_000:] == (folder / builtin.GGUF).read_bytes()[-1_000_000:]


def test_listed_hashes_cover_every_file() -> None:
    for folder in builtin.FOLDER.iterdir():
        listed = json.loads((folder / builtin.SUMS).read_text())
        assert set(listed) | {builtin.SUMS} == {p.name for p in folder.iterdir()}


def test_the_one_for_tests_is_small_and_tells_english_from_noise() -> None:
    """So that a test can tell a right model from a broken one."""
    from linnet.engines.scoring.scorer import Scorer

    assert 1_000_000 <= builtin.our_model("builtin:nano-tiny").report["parameters"] <= 2_000_000
    text = "The old man went into the house and shut the door behind him. He did not look back."
    with Scorer(builtin.FOLDER / "nano-tiny" / builtin.GGUF, context=256) as scorer:
        right, noise = (scorer.perplexity(said).mean_nll for said in (text, " ".join(reversed(text.split()))))
    assert right < 0.9 * noise
