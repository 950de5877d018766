"""Makes train.jsonl and test.jsonl from phrasings/, or checks them: `python make_data.py [--check]`."""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

import check_data
import compose
import marks

HERE = Path(__file__).resolve().parent
SEED = 20261122
N_TRAIN = 1600


def train_rows() -> list[marks.Row]:
    """All hand-written messages, then composed ones, as many of each issue, until `N_TRAIN`; shuffled."""
    rng = random.Random(SEED)  # noqa: S311
    rows = marks.read_messages(HERE / "phrasings" / "train_messages.txt")
    seen = {" ".join(check_data.words(row["message"])) for row in rows}
    lines = compose.read_lines(HERE / "phrasings" / "sentences.txt")
    composer = compose.Composer(lines, compose.read_slots(HERE / "phrasings" / "slots.txt"), rng)
    while len(rows) < N_TRAIN:
        row = composer.message(list(compose.WANTS)[len(rows) % len(compose.WANTS)])
        key = " ".join(check_data.words(row["message"]))
        if key not in seen:
            seen.add(key)
            rows.append(row)
    rng.shuffle(rows)
    return rows


def write(name: str, rows: list[marks.Row]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / name).write_text(text, encoding="utf-8", newline="\n")
    print(f"{name}: {len(rows)} rows")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="check the two files instead of writing them")
    if parser.parse_args().check:
        return check_data.check(HERE)
    test = marks.read_messages(HERE / "phrasings" / "test_messages.txt")
    random.Random(SEED).shuffle(test)  # noqa: S311
    write("train.jsonl", train_rows())
    write("test.jsonl", test)
    return 0


if __name__ == "__main__":
    sys.exit(main())
