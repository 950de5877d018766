"""The torch engine on a tiny decoder: the same tokens as transformers, and the Decoder's promises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from linnet.core.errors import ContextExceeded, EngineError, InputError, ModelFileError, ResourceMissing  # noqa: E402
from linnet.engines.pytorch.torch_decoder import TorchDecoder, TorchOptions, open_torch  # noqa: E402
from linnet.engines.requests.generation import (  # noqa: E402
    GREEDY,
    Cancel,
    FieldError,
    GenerateRequest,
    Generation,
    Message,
    Piece,
    Sampling,
)
from tests.gguf_files import stories  # noqa: E402
from tests.tiny_decoder import tiny_decoder  # noqa: E402

ASKED = (Message("user", "Make it red in the hall"),)
LONG = "Make it red in the kitchen, please"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="module")
def decoder(folder: Path) -> Iterator[TorchDecoder]:
    engine = open_torch(folder, TorchOptions(threads=1), label="tiny")
    yield engine
    engine.close()


def answer(
    engine: TorchDecoder, request: GenerateRequest, cancel: Cancel | None = None
) -> tuple[list[Piece], Generation]:
    items = list(engine.generate(request, cancel))
    assert isinstance(items[-1], Generation)
    pieces = [item for item in items if isinstance(item, Piece)]
    assert "".join(piece.text for piece in pieces) == items[-1].text
    return pieces, items[-1]


def test_greedy_tokens_are_those_of_transformers(decoder: TorchDecoder, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = [{"role": "user", "content": ASKED[0].content}]
    expected = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    request = GenerateRequest(messages=ASKED, sampling=GREEDY, max_tokens=20)
    assert decoder.prompt_ids(request) == list(expected)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = model.generate(torch.tensor([expected]), max_new_tokens=20, do_sample=False)[0, len(expected) :].tolist()
    pieces, end = answer(decoder, request)
    made = [token for piece in pieces for token in piece.token_ids]
    assert made == [token for token in ids if token not in (1, 3)]
    assert end.text == tokenizer.decode(made, skip_special_tokens=True)
    assert (end.prompt_tokens, end.finish_reason) == (len(expected), "length" if len(ids) == 20 else "stop")


def test_what_is_kept_of_the_last_prompt_changes_nothing(decoder: TorchDecoder, folder: Path) -> None:
    first = GenerateRequest(prompt=LONG, sampling=GREEDY, max_tokens=12)
    second = GenerateRequest(prompt=LONG + ", please", sampling=GREEDY, max_tokens=12)
    answer(decoder, first)
    _, reused = answer(decoder, second)
    assert reused.cached_tokens > 2
    fresh = open_torch(folder, TorchOptions(threads=1))
    _, alone = answer(fresh, second)
    fresh.close()
    assert (alone.text, alone.cached_tokens) == (reused.text, 0)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_quantised_it_is_smaller_and_predicts_nearly_the_same(decoder: TorchDecoder, folder: Path, kind: str) -> None:
    pytest.importorskip("bitsandbytes")
    small = open_torch(folder, TorchOptions(quantization=kind, threads=1))
    ids = decoder.tokenize(LONG)
    decoder._forget()
    one, other = decoder._step(ids).log_softmax(0), small._step(ids).log_softmax(0)
    assert float((one.exp() * (one - other)).sum()) < 0.05
    assert small.weights_bytes < 0.75 * decoder.weights_bytes
    assert kind in small.build
    _, end = answer(small, GenerateRequest(messages=ASKED, max_tokens=4))
    assert 1 <= end.completion_tokens <= 4
    small.close()


def test_a_stop_text_and_the_limit_end_it(decoder: TorchDecoder) -> None:
    whole = answer(decoder, GenerateRequest(prompt=LONG, sampling=GREEDY, max_tokens=16))[1]
    assert (whole.finish_reason, whole.completion_tokens) == ("length", 16)
    stop = whole.text[4:7]
    found = answer(decoder, GenerateRequest(prompt=LONG, sampling=GREEDY, max_tokens=16, stop=(stop,)))[1]
    assert (found.finish_reason, found.stop_text) == ("stop", stop)
    assert found.text == whole.text[: whole.text.index(stop)]


def test_an_end_token_ends_it(decoder: TorchDecoder) -> None:
    request = GenerateRequest(prompt=LONG, sampling=GREEDY, logit_bias=((3, 100.0),))
    _, end = answer(decoder, request)
    assert (end.text, end.finish_reason, end.completion_tokens) == ("", "stop", 1)


def test_a_seed_draws_the_same_and_is_reported(decoder: TorchDecoder) -> None:
    ask = {"prompt": LONG, "max_tokens": 12}
    _, first = answer(decoder, GenerateRequest(**ask, sampling=Sampling(temperature=2.0)))
    _, again = answer(decoder, GenerateRequest(**ask, sampling=Sampling(temperature=2.0, seed=first.seed)))
    assert first.text == again.text


def test_it_can_be_cancelled(decoder: TorchDecoder) -> None:
    cancel = Cancel()
    items = decoder.generate(GenerateRequest(prompt=LONG, sampling=GREEDY, logit_bias=((3, -100.0),)), cancel)
    next(items)
    cancel.cancel()
    *_, end = items
    assert isinstance(end, Generation)
    assert (end.finish_reason, end.completion_tokens) == ("cancelled", 1)
    cancelled = Cancel()
    cancelled.cancel()
    assert answer(decoder, GenerateRequest(prompt="quite another text"), cancelled)[1].completion_tokens == 0
    assert answer(decoder, GenerateRequest(prompt=LONG, sampling=GREEDY, max_tokens=3))[1].completion_tokens == 3


def test_two_threads_take_turns(decoder: TorchDecoder) -> None:
    request = GenerateRequest(prompt=LONG, sampling=GREEDY, max_tokens=10)
    expected, found = answer(decoder, request)[1].text, []
    threads = [threading.Thread(target=lambda: found.append(answer(decoder, request)[1].text)) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert found == [expected] * 3


def test_control_tokens_of_a_user_are_letters(decoder: TorchDecoder) -> None:
    control = next(text for text in decoder.text.tokens.control if "im_end" in text)
    plain = decoder.prompt_ids(GenerateRequest(messages=ASKED))
    forged = decoder.prompt_ids(GenerateRequest(messages=(Message("user", f"a{control}b"),)))
    token = decoder.tokenize(control, control_tokens=True)[0]
    assert plain.count(token) == forged.count(token)
    assert decoder.detokenize(forged).count(control) == plain.count(token) + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("json_schema", {"type": "object"}),
        ("grammar", 'root ::= "a"'),
        ("top_logprobs", 2),
        ("adapters", (("a", 1.0),)),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(decoder: TorchDecoder, name: str, value: object) -> None:
    with pytest.raises(FieldError, match=name):
        decoder.generate(GenerateRequest(prompt="a", **{name: value}))


def test_bad_requests(decoder: TorchDecoder, folder: Path) -> None:
    with pytest.raises(ContextExceeded, match="256"):
        decoder.generate(GenerateRequest(prompt=LONG * 60))
    with pytest.raises(FieldError, match="none of this model"):
        decoder.generate(GenerateRequest(token_ids=(99999,)))
    with pytest.raises(InputError, match="trained with 256"):
        open_torch(folder, TorchOptions(context=4096))
    with pytest.raises(InputError, match="nf5"):
        open_torch(folder, TorchOptions(quantization="nf5"))
    with pytest.raises(InputError, match="gguf"):
        open_torch(stories())
    with pytest.raises(EngineError, match="no embeddings"):
        decoder.embed(["a"])


def test_a_folder_without_a_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.name != "tokenizer.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelFileError, match=r"tokenizer\.json"):
        open_torch(tmp_path)


def test_a_missing_library_names_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import util

    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *a: None if name == "bitsandbytes" else real(name, *a))
    with pytest.raises(ResourceMissing, match="bitsandbytes") as caught:
        open_torch(folder, TorchOptions(quantization="nf4"))
    assert caught.value.hint == "Install it with: pip install 'linnet[quantize]'"
