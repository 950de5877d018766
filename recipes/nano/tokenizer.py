"""Byte-level BPE with single digits, control tokens and a chat template.

The splitting is that of SmolLM (each digit alone, then GPT-2's pattern), which llama.cpp knows as `smollm`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recipes.nano.shape import CONTEXT, VOCABULARY

PAD, END, START, STOP = "<|pad|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"
PREFIX, MIDDLE, SUFFIX = "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"
CONTROL = (PAD, END, START, STOP, PREFIX, MIDDLE, SUFFIX, *(f"<|reserved_{i}|>" for i in range(9)))
SPACE = "\u0120"  # as byte-level BPE writes it
SPACED_SHARE = 1 / 8  # of the tokens: frequent words with the space before them
PRE_TOKENIZER = "smollm"  # llama.cpp's name
ROLES = ("system", "user", "assistant", "tool")

CHAT_TEMPLATE = (
    "{%- if tools %}{{- '<|im_start|>system\\n' }}"
    "{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] + '\\n' }}{%- endif %}"
    "{{- 'Tools:' }}{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}{{- '<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{%- if not (tools and loop.first and message['role'] == 'system') %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Any:
    """A tokenizers.Tokenizer of so many tokens; the control tokens come first.

    A word has the same tokens with a space before it and without, so that what stands after a space in a text can be
    copied behind a quotation mark. Only the most frequent words have a second token with the space.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    texts = list(texts)
    splitting = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    spaces_alone = pre_tokenizers.Split(Regex(r" (?=\p{L})"), "isolated")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([spaces_alone, *splitting])
    tokenizer.decoder = decoders.ByteLevel()
    spaced = int(vocabulary * SPACED_SHARE)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - spaced,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splitting)
    return _with_spaced_words(tokenizer, texts, spaced)


def _with_spaced_words(tokenizer: Any, texts: list[str], count: int) -> Any:
    """The same tokenizer with a token more for each of the words that most often follow a space: space and word.

    The merges that make them come last, when the word has been put together.
    """
    known = tokenizer.get_vocab()
    seen = Counter(word for text in texts for word in re.findall(r" ([^\W\d_]+)", text))
    plain = [word for word, _ in seen.most_common() if word in known and (len(word) > 1 or word in "aI")]
    held = json.loads(tokenizer.to_str())
    for word in plain[:count]:
        held["model"]["vocab"][SPACE + word] = len(held["model"]["vocab"])
        held["model"]["merges"].append([SPACE, word])
    return type(tokenizer).from_str(json.dumps(held))


def save(tokenizer: Any, folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json and chat_template.jinja, as transformers reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": STOP,
        "pad_token": PAD,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
        "additional_special_tokens": [START, STOP, PREFIX, MIDDLE, SUFFIX],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def render(messages: Iterable[tuple[str, str]]) -> str:
    """Chat messages (role, content) as one text; the same text the chat template gives."""
    return "".join(f"{START}{role}\n{content}{STOP}\n" for role, content in messages)
