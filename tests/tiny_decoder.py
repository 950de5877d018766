"""A Llama of random weights with a tokenizer of its own and a chat template, and rows to tune it on."""

from __future__ import annotations

import json
from pathlib import Path

from linnet.text.conversations import Chat, Turn
from recipes.nano.tokenizer import save, train_tokenizer

COLOURS = ("red", "green", "blue", "white")
ROOMS = ("kitchen", "hall", "attic")


def tiny_decoder(folder: Path, *, dtype: str = "float32") -> Path:
    """`tiny_llama` with the vocabulary of the chats."""
    return tiny_llama(folder, [f"{turn.role} {turn.content}" for chat in chats(24) for turn in chat.turns], dtype)


def tiny_llama(folder: Path, texts: list[str], dtype: str = "float32") -> Path:
    """Random weights: two layers, 64 wide, with tied embeddings, and a tokenizer trained on `texts`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(texts * 3)
    save(tokenizer, folder)
    torch.manual_seed(3)
    config = LlamaConfig(
        hidden_size=64, num_hidden_layers=2, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=256, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def write_rows(path: Path, count: int) -> Path:
    """The chats as JSON lines of prompt and completion."""
    rows = [{"prompt": chat.turns[0].content, "completion": chat.turns[1].content} for chat in chats(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def chats(count: int) -> list[Chat]:
    """Commands of several lengths and their JSON."""
    made = []
    for i in range(count):
        colour, room = COLOURS[i % len(COLOURS)], ROOMS[i % len(ROOMS)]
        said = f"Make it {colour} in the {room}" + ", please" * (i % 5)
        answer = json.dumps({"colour": colour, "room": room} if i % 2 else {"colour": colour})
        made.append(Chat(turns=(Turn(role="user", content=said), Turn(role="assistant", content=answer)), row=i + 1))
    return made
