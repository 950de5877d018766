"""A task of spans for the tiny encoder: each word of a topic is a span of it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.tiny_encoder import FILLERS, TOPICS


def tag_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of text and spans; one in six has none."""
    generator, made = random.Random(seed), []
    for number in range(count):
        parts: list[tuple[str, str]] = [("", word) for word in generator.sample(FILLERS, generator.randint(4, 8))]
        for _ in range(0 if number % 6 == 5 else generator.randint(1, 2)):
            topic = generator.choice(list(TOPICS))
            words = generator.choice(TOPICS[topic])
            parts.insert(2 * generator.randint(0, len(parts) // 2), (topic, words))
        text, spans = "", []
        for topic, words in parts:
            start = len(text) + (1 if text else 0)
            text = f"{text} {words}".strip()
            if topic:
                spans.append({"start": start, "end": start + len(words), "label": topic, "text": words})
        made.append({"text": text, "spans": spans})
    return made


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tag_task(
    folder: Path, encoder: Path, *, methods: str = '["full"]', kinds: str = '["fp32"]', more: str = ""
) -> Path:
    """A folder with task.toml, train.jsonl and test.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.jsonl", tag_rows(300, 1))
    write_rows(folder / "test.jsonl", tag_rows(60, 2))
    (folder / "task.toml").write_text(
        f'[task]\nname = "things"\nkind = "tag"\ninput = "text"\noutput = "spans"\n{more}'
        f'[data]\ntrain = "train.jsonl"\ntest = "test.jsonl"\nleakage = "drop"\nlicence = "cc-by-4.0"\n'
        f'[candidates]\nmodels = ["{encoder}"]\nmethods = {methods}\nquantizations = {kinds}\n'
    )
    return folder
