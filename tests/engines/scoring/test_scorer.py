"""Scores of many continuations are those of each alone; perplexity, divergence and embeddings are plain arithmetic."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from linnet.core.errors import EngineError, InputError, LinnetError
from linnet.engines.scoring import scorer as scoring
from linnet.engines.scoring.scorer import Scorer
from tests import gguf_models
from tests.gguf_models import BOS, CONTEXT, VOCABULARY

CLOSE = 1e-4
TEXT = "The quick brown fox jumps over the lazy dog, and then the dog thinks about it for a while. " * 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scoring")
    gguf_models.made(folder, "llama")
    gguf_models.made(folder, "qwen3", seed=1)
    gguf_models.write(gguf_models.build("llama"), "llama", folder / "half.gguf", dtype=np.float16)
    gguf_models.write(gguf_models.build("llama"), "llama", folder / "no-bos.gguf", bos=False)
    return folder


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def scorer(request: pytest.FixtureRequest, folder: Path) -> Iterator[Scorer]:
    with Scorer(folder / f"{request.param}.gguf", threads=1) as opened:
        yield opened


@pytest.fixture
def llama(folder: Path) -> Iterator[Scorer]:
    with Scorer(folder / "llama.gguf", threads=1) as opened:
        yield opened


def log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True)))


def alone(scorer: Scorer, prompt: list[int], ids: list[int]) -> NDArray[np.float64]:
    """The definition: all in one pass, nothing shared."""
    rows = log_softmax(scorer.logits([*prompt, *ids]))
    return np.array([rows[len(prompt) - 1 + place, token] for place, token in enumerate(ids)])


def ids_of(count: int, seed: int) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(0, 256, count)]


def continuations(count: int, seed: int) -> list[list[int]]:
    """Of one to eight tokens, some of which start alike."""
    made = [ids_of(1 + place % 8, seed + place) for place in range(count)]
    return [*made, *([*ids[:-1], 7, 9] for ids in made[: count // 3])]


# Tokens


def test_text_survives_tokens(scorer: Scorer) -> None:
    text = "The héllo 世界 \U0001f426 <s> and\tthe\n"
    ids = scorer.tokenize(text)
    assert ids[0] == BOS
    assert scorer.tokenize(text, bos=False) == ids[1:]
    assert BOS not in ids[1:]
    assert scorer.detokenize(ids) == text
    assert scorer.tokenize("<s>", special=True, bos=False) == [BOS]
    assert scorer.detokenize([BOS, 65], special=True).startswith("<s>")


def test_a_token_that_does_not_exist_is_refused(scorer: Scorer) -> None:
    for call in (scorer.logits, scorer.next_logits, scorer.detokenize, scorer.perplexity):
        with pytest.raises(InputError, match=f"token 1 is {VOCABULARY}; the vocabulary has 0 to {VOCABULARY - 1}"):
            call([1, VOCABULARY])
    with pytest.raises(InputError, match="token 0 is -1"):
        scorer.score([1], [[-1]])


# Scores


def test_scores_are_those_of_each_alone(scorer: Scorer) -> None:
    prompt, many = ids_of(60, 1), continuations(30, 2)
    found = scorer.score(prompt, many)
    assert [len(values) for values in found] == [len(ids) for ids in many]
    for ids, values in zip(many, found, strict=True):
        np.testing.assert_allclose(values, alone(scorer, prompt, ids), atol=CLOSE)
        np.testing.assert_allclose(values, scorer.score(prompt, [ids])[0], atol=CLOSE)


def test_more_continuations_than_sequences(scorer: Scorer) -> None:
    prompt, many = ids_of(20, 3), continuations(150, 4)
    found = scorer.score(prompt, many)
    for place in range(0, len(many), 13):
        np.testing.assert_allclose(found[place], alone(scorer, prompt, many[place]), atol=CLOSE)


def test_a_long_continuation_next_to_short_ones(scorer: Scorer) -> None:
    prompt, many = ids_of(50, 5), [ids_of(200, 6), ids_of(1, 7), ids_of(206, 8)]
    for ids, values in zip(many, scorer.score(prompt, many), strict=True):
        np.testing.assert_allclose(values, alone(scorer, prompt, ids), atol=CLOSE)


@pytest.mark.parametrize("labels", [4, 90])
def test_many_prompts_share_their_beginning(scorer: Scorer, labels: int) -> None:
    instruction, many = ids_of(40, 9), continuations(labels, 10)
    prompts = [instruction + ids_of(1 + place, 11 + place) for place in range(30)]
    found = scorer.score_many(prompts, many)
    for prompt, values in list(zip(prompts, found, strict=True))[::7]:
        for ids, one in list(zip(many, values, strict=True))[::3]:
            np.testing.assert_allclose(one, alone(scorer, prompt, ids), atol=CLOSE)


def test_prompts_that_share_nothing_or_all(scorer: Scorer) -> None:
    one, many = ids_of(12, 20), continuations(3, 21)
    for prompts in ([one, ids_of(5, 22), [3]], [one, one], [one, one[:6]], [one]):
        for prompt, values in zip(prompts, scorer.score_many(prompts, many), strict=True):
            for ids, got in zip(many, values, strict=True):
                np.testing.assert_allclose(got, alone(scorer, prompt, ids), atol=CLOSE)


def test_a_kept_prefix_is_not_computed_again(llama: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    context = llama._context
    assert context is not None
    decoded: list[int] = []
    real = context._decode

    def counted(run: Any, start: int, stop: int, wanted: Any) -> Any:
        decoded.append(stop - start)
        return real(run, start, stop, wanted)

    monkeypatch.setattr(context, "_decode", counted)
    prompt = ids_of(100, 30)
    first = llama.score(prompt, [[1], [2, 3]])
    assert sum(decoded) == 100 + 1
    decoded.clear()
    assert np.allclose([v for s in llama.score(prompt, [[1], [2, 3]]) for v in s], [v for s in first for v in s])
    assert sum(decoded) == 1 + 1
    decoded.clear()
    llama.score([*prompt[:90], 5, 6], [[1]])
    assert sum(decoded) == 2
    decoded.clear()
    llama.score_many([[*prompt[:90], 5, 6], [*prompt[:90], 7]], [[1], [2]])
    assert sum(decoded) == 3
    decoded.clear()
    llama.next_logits([*prompt[:90], 8])
    assert sum(decoded) == 1


def test_calls_of_every_kind_follow_each_other(scorer: Scorer) -> None:
    prompt, many = ids_of(30, 40), continuations(5, 41)
    before, logits = scorer.score(prompt, many), scorer.logits(prompt)
    scorer.perplexity(TEXT)
    scorer.embed(["a", "b"])
    np.testing.assert_allclose(scorer.next_logits(prompt), logits[-1], atol=CLOSE)
    with pytest.raises(InputError):
        scorer.score(prompt, [[]])
    for one, other in zip(before, scorer.score(prompt, many), strict=True):
        np.testing.assert_allclose(one, other, atol=CLOSE)
    reading = scorer._context.read(ids_of(200, 42), 0, 50) if scorer._context else iter(())
    next(reading)  # and nobody reads on: what the cache holds is unknown now
    for one, other in zip(before, scorer.score(prompt, many), strict=True):
        np.testing.assert_allclose(one, other, atol=CLOSE)


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(llama: Scorer) -> None:
    assert llama.context == CONTEXT
    with pytest.raises(InputError, match=f"take {CONTEXT + 1} tokens; the context holds {CONTEXT}"):
        llama.score(ids_of(CONTEXT - 1, 50), [[1, 2]])
    with pytest.raises(InputError, match=f"take {CONTEXT + 1} tokens; the context holds {CONTEXT}"):
        llama.logits(ids_of(CONTEXT + 1, 50))
    assert len(llama.score(ids_of(CONTEXT - 2, 50), [[1, 2]])[0]) == 2
    with pytest.raises(InputError, match="text 1 take"):
        llama.embed(["fine", "x" * 2 * CONTEXT])


def test_what_cannot_be_scored_is_refused(scorer: Scorer) -> None:
    with pytest.raises(InputError, match="prompt 0 has no tokens"):
        scorer.score([], [[1]])
    with pytest.raises(InputError, match="continuation 1 has no tokens"):
        scorer.score([1], [[1], []])
    assert scorer.score([1], []) == []
    assert scorer.score_many([], [[1]]) == []


def test_a_cache_of_16_bits_is_near(folder: Path, llama: Scorer) -> None:
    prompt, many = ids_of(60, 1), continuations(10, 2)
    with Scorer(folder / "llama.gguf", cache="f16", threads=1) as small:
        for one, other in zip(llama.score(prompt, many), small.score(prompt, many), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-2)


# Labels


def test_label_probabilities_are_the_models_own_over_the_labels(scorer: Scorer) -> None:
    prompts = [f"Text: {text}\nLabel:" for text in ("the pump leaks", "where is my parcel", "thanks")]
    labels = [" repair", " delivery", " praise", " th"]
    found = scorer.label_scores(prompts, labels)
    sums = np.array(
        [[alone(scorer, scorer.tokenize(p), scorer.tokenize(y, bos=False)).sum() for y in labels] for p in prompts]
    )
    np.testing.assert_allclose(found, np.exp(log_softmax(sums)), atol=CLOSE)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    tokens = np.array([len(scorer.tokenize(y, bos=False)) for y in labels])
    assert tokens[-1] == 2  # the merge
    by_token = scorer.label_scores(prompts, labels, normalization="tokens")
    np.testing.assert_allclose(by_token, np.exp(log_softmax(sums / tokens)), atol=CLOSE)
    by_byte = scorer.label_scores(prompts, labels, normalization="bytes")
    np.testing.assert_allclose(by_byte, np.exp(log_softmax(sums / [len(y) for y in labels])), atol=CLOSE)


def test_a_token_across_the_border_counts_to_the_label(scorer: Scorer) -> None:
    """The tokenizer joins t and h: scoring "h" after "t" would ask for what the model never sees."""
    head, tails = scorer._split("a t", ["hing", "op"], special=False)
    assert head == scorer.tokenize("a ")
    assert tails == tuple(tuple(scorer.tokenize(text, bos=False)) for text in ("thing", "top"))


def test_prompts_that_end_differently_keep_their_own_borders(scorer: Scorer) -> None:
    prompts = ["say a t", "say: a t", "so: a", "a b t", "a t", "b"]
    found = scorer.label_scores(prompts, ["hing", "op", "h"])
    for prompt, row in zip(prompts, found, strict=True):
        np.testing.assert_allclose(row, scorer.label_scores([prompt], ["hing", "op", "h"])[0], atol=CLOSE)


@pytest.mark.parametrize("labels", [[], ["a", "a"], ["a", ""]])
def test_labels_that_are_none_or_alike_are_refused(scorer: Scorer, labels: list[str]) -> None:
    with pytest.raises(InputError, match="labels must be different and not empty"):
        scorer.label_scores(["a"], labels)


# Perplexity


@pytest.mark.parametrize(("window", "stride"), [(None, None), (64, 32), (64, 64), (50, 7)])
@pytest.mark.parametrize("bos", [True, False])
def test_perplexity_is_the_definition(folder: Path, bos: bool, window: int | None, stride: int | None) -> None:
    with Scorer(folder / ("llama.gguf" if bos else "no-bos.gguf"), threads=1) as scorer:
        found = scorer.perplexity(TEXT, window=window, stride=stride)
        ids = scorer.tokenize(TEXT)
        size, step = window or CONTEXT, stride or (window or CONTEXT) // 2
        nll: list[float] = []
        while len(nll) < len(ids) - 1:
            end = min(len(nll) + (step if nll else size), len(ids) - 1)
            begin = max(0, end - size)
            part = [BOS, *ids[begin + 1 : end]] if bos else ids[begin:end]
            rows = log_softmax(scorer.logits(part))
            nll += [-float(rows[place - begin, ids[place + 1]]) for place in range(len(nll), end)]
    assert found.tokens == len(nll) == len(ids) - 1
    assert found.mean_nll == pytest.approx(np.mean(nll), abs=1e-5)
    assert found.perplexity == pytest.approx(math.exp(np.mean(nll)), rel=1e-5)
    error = np.std(nll, ddof=1) / math.sqrt(len(nll))
    assert found.standard_error == pytest.approx(found.perplexity * error, rel=1e-4)
    assert found.bytes == len(TEXT) - (not bos)
    assert found.bits_per_byte == pytest.approx(sum(nll) / math.log(2) / found.bytes, rel=1e-5)
    assert found.bits_per_word == pytest.approx(sum(nll) / math.log(2) / len(TEXT.split()), rel=1e-5)


def test_perplexity_of_ids_and_of_next_to_nothing(llama: Scorer, folder: Path) -> None:
    assert llama.perplexity(llama.tokenize(TEXT, bos=False)) == llama.perplexity(TEXT)
    assert llama.perplexity("a").tokens == 1
    assert llama.perplexity("a").standard_error == 0
    with pytest.raises(InputError, match="a text of 0 tokens"):
        llama.perplexity("")
    with Scorer(folder / "no-bos.gguf", threads=1) as plain, pytest.raises(InputError, match="a text of 1 tokens"):
        plain.perplexity("a")


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (CONTEXT + 1, 1), (64, 0), (64, 65)])
def test_windows_that_make_no_sense_are_refused(llama: Scorer, window: int, stride: int) -> None:
    with pytest.raises(InputError, match=f"window {window} and stride {stride}"):
        llama.perplexity(TEXT, window=window, stride=stride)


# Divergence


def test_divergence_is_the_definition(folder: Path) -> None:
    with Scorer(folder / "llama.gguf", threads=1) as one, Scorer(folder / "half.gguf", threads=1) as two:
        found, equal = one.kl_divergence(two, TEXT[:200]), one.kl_divergence(one, TEXT[:200])
        ids = one.tokenize(TEXT[:200])[:-1]
        p, q = log_softmax(one.logits(ids)), log_softmax(two.logits(ids))
    each = (np.exp(p) * (p - q)).sum(axis=1)
    assert found.tokens == len(ids)
    assert found.mean == pytest.approx(each.mean(), rel=1e-3)
    assert found.median == pytest.approx(np.median(each), rel=1e-3)
    assert found.p99 == pytest.approx(np.percentile(each, 99), rel=1e-3)
    assert found.max == pytest.approx(each.max(), rel=1e-3)
    assert found.standard_error == pytest.approx(each.std(ddof=1) / math.sqrt(len(each)), rel=1e-3)
    assert found.same_top_share == pytest.approx(np.mean(p.argmax(axis=1) == q.argmax(axis=1)))
    assert 0 < found.mean < 1e-3
    assert (equal.max, equal.same_top_share) == (0, 1)


def test_models_of_other_vocabularies_are_not_compared(folder: Path, tmp_path: Path) -> None:
    other = gguf_models.write(gguf_models.build("llama"), "llama", tmp_path / "other.gguf")
    other.write_bytes(other.read_bytes().replace(b"<pad>", b"<PAD>"))
    with (
        Scorer(folder / "llama.gguf", threads=1) as one,
        Scorer(other, threads=1) as two,
        pytest.raises(InputError, match=r"different vocabularies: token 259 differs"),
    ):
        one.kl_divergence(two, TEXT)


# Adapters, embeddings, faults


def write_adapter(path: Path, down: NDArray[Any], up: NDArray[Any], alpha: float) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    writer.add_tensor("blk.0.attn_v.weight.lora_a", down)
    writer.add_tensor("blk.0.attn_v.weight.lora_b", up)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_adapter_is_applied(folder: Path, tmp_path: Path) -> None:
    model, noise = gguf_models.build("llama"), np.random.default_rng(5)
    target = model.model.layers[0].self_attn.v_proj.weight
    down = noise.normal(size=(4, target.shape[1])).astype(np.float32)
    up = noise.normal(size=(target.shape[0], 4)).astype(np.float32)
    adapter = write_adapter(tmp_path / "adapter.gguf", down, up, alpha=2.0)
    with torch.inference_mode():
        target += torch.from_numpy(up @ down) * (2.0 / 4)
        expected = model(torch.tensor([ids_of(40, 60)])).logits[0].numpy()
    with Scorer(folder / "llama.gguf", adapter=adapter, threads=1) as scorer:
        np.testing.assert_allclose(scorer.logits(ids_of(40, 60)), expected, atol=CLOSE)
    with pytest.raises(LinnetError):
        Scorer(folder / "qwen3.gguf", adapter=adapter)


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
def test_embeddings_are_the_last_states(folder: Path, pooling: Any) -> None:
    model, texts = gguf_models.build("llama"), ["the fox", "a much longer text about the dog" * 5]
    with Scorer(folder / "llama.gguf", threads=1) as scorer:
        found = scorer.embed(texts, pooling, normalize=False)
        unit = scorer.embed(texts, pooling)
        for text, row in zip(texts, found, strict=True):
            with torch.inference_mode():
                states = model.model(torch.tensor([scorer.tokenize(text)])).last_hidden_state[0].numpy()
            expected = {"mean": states.mean(axis=0), "last": states[-1], "first": states[0]}[pooling]
            np.testing.assert_allclose(row, expected, atol=CLOSE)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
    assert found.shape == (2, 64)


def test_a_recurrent_model_is_scored_the_plain_way(tmp_path: Path) -> None:
    model = gguf_models.mamba(tmp_path / "mamba.gguf")
    ids, many = ids_of(40, 90), continuations(6, 91)
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    with Scorer(tmp_path / "mamba.gguf", threads=1) as scorer:
        np.testing.assert_allclose(scorer.logits(ids), expected, atol=CLOSE)
        for values, continuation in zip(scorer.score(ids, many), many, strict=True):
            np.testing.assert_allclose(values, alone(scorer, ids, continuation), atol=CLOSE)
        for count in (30, 35, 20, 20):  # further, and back to where no state is kept
            np.testing.assert_allclose(scorer.next_logits(ids[:count]), expected[count - 1], atol=CLOSE)


def test_an_encoder_embeds_in_one_piece_and_predicts_nothing(tmp_path: Path) -> None:
    model = gguf_models.bert(tmp_path / "bert.gguf")
    with Scorer(tmp_path / "bert.gguf", threads=1) as scorer:
        for text in ("the fox", "the quick brown fox " * 38):  # the second takes more than one batch of a decoder
            ids = scorer._model.tokenize(text, add_special=True, parse_special=False)
            with torch.inference_mode():
                expected = model(torch.tensor([ids])).last_hidden_state[0].numpy().mean(axis=0)
            np.testing.assert_allclose(scorer.embed([text], normalize=False)[0], expected, atol=5e-3)  # GELU's table
        for call in (lambda: scorer.logits([5, 6]), lambda: scorer.score([5], [[6]])):
            with pytest.raises(EngineError, match=r"bert\.gguf is an encoder"):
                call()


def test_logits_that_are_not_finite_are_named(tmp_path: Path) -> None:
    model = gguf_models.build("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[99] = float("nan")
    path = gguf_models.write(model, "llama", tmp_path / "nan.gguf")
    with Scorer(path, threads=1) as scorer:
        good = scorer.score([1, 2, 3], [[4, 5]])
        with pytest.raises(
            EngineError,
            match=r"nan\.gguf: the logits of 4 of 4 tokens, the first at position 0, are not finite \(nan\)",
        ):
            scorer.logits([1, 2, 99, 3])
        assert scorer.score([1, 2, 3], [[4, 5]]) == good  # nothing of it stays in the cache
        with pytest.raises(EngineError, match="not finite"):
            scorer.score([1, 99], [[4, 5]])
        assert scorer.score([1, 2, 3], [[4, 5]]) == good


def test_a_closed_scorer_says_so(folder: Path) -> None:
    scorer = Scorer(folder / "llama.gguf", threads=1)
    scorer.close()
    scorer.close()
    for call in (lambda: scorer.logits([1]), lambda: scorer.tokenize("a"), lambda: scorer.embed(["a"])):
        with pytest.raises(EngineError, match=r"llama\.gguf: this scorer is closed"):
            call()


def test_a_context_beyond_training_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=f"a context of 999 tokens was asked for; .* trained with {CONTEXT}"):
        Scorer(folder / "llama.gguf", context=999)
    with Scorer(folder / "llama.gguf", context=32, threads=1) as small:
        assert small.logits(ids_of(32, 70)).shape == (32, VOCABULARY)


def test_the_file_is_checked_before_native_code_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(path: Path) -> None:
        raise AssertionError("native code saw the file")

    monkeypatch.setattr(scoring, "Model", never)
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + b"\xff" * 100)
    with pytest.raises(LinnetError):
        Scorer(path)
    with pytest.raises(LinnetError):
        Scorer(tmp_path / "absent.gguf")


def test_threads_take_turns(llama: Scorer) -> None:
    prompts = [ids_of(20 + place, 80 + place) for place in range(4)]
    expected = [llama.score(prompt, [[1, 2], [3]]) for prompt in prompts]
    found: dict[int, list[Any]] = {}

    def work(place: int) -> None:
        found[place] = [llama.score(prompts[place], [[1, 2], [3]]) for _ in range(5)]

    workers = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for place, values in found.items():
        for one in values:
            for got, wanted in zip(one, expected[place], strict=True):
                np.testing.assert_allclose(got, wanted, atol=CLOSE)
