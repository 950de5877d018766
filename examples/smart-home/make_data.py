"""Write train.jsonl, test.jsonl and tool.schema.json from the hand-written files of this folder; `--check` checks them.

phrasings/*.txt   `command with {slots} => short form with {slots}`; phrasings/slots/*.txt hold the fillers
whole/*.txt       whole training commands, a file per speaker; test/*.txt the same for the test
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import calls
import checks
import spoken

HERE = Path(__file__).parent
SEED, TRAIN_ROWS = 20261122, 3000
SHARE = {"light": 330, "thermo": 250, "play": 290, "timer": 260, "alarm": 260, "remind": 340, "list": 310,
         "cover": 190, "lock": 140, "vac": 170, "scene": 110, "ask": 190, "none": 230}  # fmt: skip
COPIED = {"text", "thing", "fact", "label", "alarm_label", "item", "items", "title", "artist", "playlist"}
ARTICLE = re.compile(r"^(?:a|an|the|some|more|any|my|our) ")
SPOKEN: dict[str, Callable[[Random], tuple[str, str]]] = {
    "percent": spoken.percent, "extreme": spoken.extreme, "volume": spoken.volume, "kelvin": spoken.kelvin,
    "degrees": spoken.degrees, "step": spoken.step, "duration": spoken.duration, "alarm_time": spoken.alarm_time,
    "morning_time": spoken.morning_time, "alarm_days": spoken.alarm_days, "when": spoken.when,
    "when_day": spoken.day, "pct_step": spoken.percent_step,
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One hand-written line: what is said, and the short form of the right call."""

    said: str
    short: str


def lines(path: Path) -> Iterator[Line]:
    for row in path.read_text(encoding="utf-8").splitlines():
        if row.strip() and not row.startswith("#"):
            said, arrow, short = row.partition(" => ")
            if not arrow:
                raise ValueError(f"{path.name}: no ' => ' in {row!r}")
            yield Line(said, short)


@cache
def fillers(kind: str) -> list[tuple[str, str]]:
    """(said, meant) pairs of one slot file; a line without `=>` means what it says."""
    rows = (HERE / "phrasings" / "slots" / f"{kind}.txt").read_text(encoding="utf-8").splitlines()
    return [(said, meant or said) for said, _, meant in (row.partition(" => ") for row in rows)]


def draw(kind: str, rng: Random) -> tuple[str, str]:
    if kind in SPOKEN:
        return SPOKEN[kind](rng)
    if kind != "items" and kind != "item":
        return rng.choice(fillers(kind))
    count = 1 if kind == "item" else rng.choice([1, 1, 2, 2, 2, 3, 3, 4])
    said = [name for name, _ in rng.sample(fillers("item"), count)]
    meant = " | ".join(ARTICLE.sub("", name) for name in said)
    said = [f"some {name}" if name.split()[-1].endswith("s") and rng.random() < 0.05 else name for name in said]
    if count == 1:
        return said[0], meant
    joint = rng.choice([" and ", " and ", ", and " if count > 2 else " and ", ", "])
    return ", ".join(said[:-1]) + joint + said[-1], meant


def fill(line: Line, rng: Random) -> tuple[list[tuple[str, bool]], str]:
    """The command as (piece, may be changed) and the short form, every slot filled; `{room2}` differs from `{room}`."""
    names = dict.fromkeys(re.findall(r"{(\w+)}", line.said))
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        kind = name.rstrip("123")
        taken = {found[other][1] for other in found if other.rstrip("123") == kind}
        found[name] = draw(kind, rng)
        while found[name][1] in taken:
            found[name] = draw(kind, rng)
    pieces = []
    for piece in re.split(r"({\w+})", line.said):
        name = piece.strip("{}")
        pieces.append((found[name][0], name.rstrip("123") not in COPIED) if name in found else (piece, True))
    return pieces, re.sub(r"{(\w+)}", lambda match: found[match[1]][1], line.short)


def mistype(text: str, rng: Random) -> str:
    """One slip of the finger in one word of four letters or more."""
    spots = list(re.finditer(r"[a-z]{4,}", text))
    if not spots:
        return text
    spot = rng.choice(spots)
    word, at = spot[0], rng.randrange(1, len(spot[0]) - 1)
    changed = rng.choice([word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:],
                          word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]])  # fmt: skip
    return text[: spot.start()] + changed + text[spot.end() :]


def say(pieces: list[tuple[str, bool]], word: str, rng: Random, openers: list[str], closers: list[str]) -> str:
    """Lay a speaker's habits over a filled phrasing; copied texts stay untouched."""
    if rng.random() < 0.22:
        own = [text.partition(": ")[2] for text in openers if text.startswith(f"{word}: ")]
        plain = [text for text in openers if ": " not in text]
        pieces = [(rng.choice(own if own and rng.random() < 0.5 else plain) + " ", True), *pieces]
    if word != "ask" and rng.random() < 0.12:
        pieces = [*pieces, (rng.choice(closers), True)]
    habit = rng.random()
    if habit < 0.35:
        pieces = [(text.lower() if free else text, free) for text, free in pieces]
    elif habit < 0.65 and pieces[0][1]:
        at = next(index for index, (text, _) in enumerate(pieces) if text)
        if pieces[at][1]:
            pieces[at] = (pieces[at][0][0].upper() + pieces[at][0][1:], True)
    if rng.random() < 0.1:
        at = max(range(len(pieces)), key=lambda index: len(pieces[index][0]) * pieces[index][1])
        pieces[at] = (mistype(pieces[at][0], rng), True)
    if rng.random() < 0.1:
        pieces = [(text.replace("'", "") if free else text, free) for text, free in pieces]
    said = "".join(text for text, _ in pieces).strip()
    if said[-1].isalnum() and rng.random() < 0.2:
        said += "?" if word == "ask" else rng.choice([".", ".", ".", "!"])
    return said


def row(said: str, short: str, speaker: str) -> dict[str, str]:
    return {"command": said, "call": calls.as_text(calls.call(short)), "speaker": speaker}


def whole(folder: str) -> list[dict[str, str]]:
    return [row(line.said, line.short, path.stem) for path in sorted((HERE / folder).glob("*.txt"))
            for line in lines(path)]  # fmt: skip


def made(count: int, near: checks.Near, taken: set[str], rng: Random) -> Iterator[dict[str, str]]:
    """`count` rows from the phrasings, by SHARE; nothing twice and nothing near a row of the test."""
    openers, closers = (
        [
            text
            for text in (HERE / "phrasings" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
            if text[0] != "#"
        ]
        for name in ("openers", "closers")
    )
    total = sum(SHARE.values())
    quota = {word: count * share // total for word, share in SHARE.items()}
    quota["remind"] += count - sum(quota.values())
    for word, wanted in quota.items():
        phrasings, written, at = list(lines(HERE / "phrasings" / f"{word}.txt")), 0, 0
        rng.shuffle(phrasings)
        while written < wanted:
            pieces, short = fill(phrasings[at % len(phrasings)], rng)
            at += 1
            said = say(pieces, word, rng, openers, closers)
            plain = checks.normal(said)
            if plain not in taken and near.score(said) <= checks.NEAR:
                taken.add(plain)
                written += 1
                yield row(said, short, "phrasing")


def write(name: str, rows: list[dict[str, str]]) -> None:
    (HERE / name).write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")


def read(name: str) -> list[dict[str, str]]:
    return [json.loads(one) for one in (HERE / name).read_text(encoding="utf-8").splitlines()]


def make() -> None:
    rng, test, train = Random(SEED), whole("test"), whole("whole")  # noqa: S311 - data, not secrets
    taken = {checks.normal(one["command"]) for one in (*test, *train)}
    train += made(TRAIN_ROWS - len(train), checks.Near(one["command"] for one in test), taken, rng)
    rng.shuffle(train)
    rng.shuffle(test)
    write("train.jsonl", train)
    write("test.jsonl", test)
    (HERE / "tool.schema.json").write_text(json.dumps(calls.schema(), indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="check the written files instead of writing them")
    if not parser.parse_args().check:
        make()
        return 0
    phrasings = {path.stem: len({line.said for line in lines(path)}) for path in (HERE / "phrasings").glob("*.txt")
                 if path.stem in SHARE}  # fmt: skip
    print(f"phrasings: {sum(phrasings.values())} distinct, {dict(sorted(phrasings.items()))}")
    return checks.report(read("train.jsonl"), read("test.jsonl"), calls.schema())


if __name__ == "__main__":
    raise SystemExit(main())
