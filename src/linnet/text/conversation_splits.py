"""Which chats are held out to see when to stop: the same after edits of other rows, and never one half of a question.

Chats that ask the same thing stay together. A question's rank is the sha256 of seed and its text, and the lowest
ranks are held out.
"""

from __future__ import annotations

from collections.abc import Sequence

from linnet.core.errors import DataError
from linnet.core.files import canonical
from linnet.text.conversations import Chat
from linnet.text.splits import rank

SHARE, MOST = 0.1, 200


def question(chat: Chat) -> str:
    """What is asked: all before the last answer, or the whole of a plain text."""
    if chat.passage:
        return chat.passage
    last = max(index for index, turn in enumerate(chat.turns) if turn.role == "assistant")
    return canonical([[turn.message() for turn in chat.turns[:last]], list(chat.tools)]).decode()


def hold_out_chats(chats: Sequence[Chat], seed: int) -> tuple[list[Chat], list[Chat]]:
    """(training, held-out) rows, each in the order of the file: about a tenth is held out, at most 200, at least one.

    Raises DataError when all rows ask the same.
    """
    asked = [question(chat) for chat in chats]
    counts: dict[str, int] = {}
    for text in asked:
        counts[text] = counts.get(text, 0) + 1
    if len(counts) < 2:
        raise DataError(
            f"All {len(chats):,} rows ask the same; rows are needed to learn from, and others to see when to stop.",
            "Give rows with at least two different questions, or a file of its own with --validation.",
        )
    wanted = min(MOST, max(1, round(len(chats) * SHARE)))
    held: set[str] = set()
    taken = 0
    for text in sorted(counts, key=lambda text: rank(f"{seed}\nvalidation", text)):
        if taken >= wanted or len(held) == len(counts) - 1:
            break
        if taken + counts[text] <= wanted or not held:
            held.add(text)
            taken += counts[text]
    train = [chat for chat, text in zip(chats, asked, strict=True) if text not in held]
    return train, [chat for chat, text in zip(chats, asked, strict=True) if text in held]
