"""Prints samples: `python -m recipes.nano.practice --skill copy --count 3`."""

from __future__ import annotations

import argparse
import random
import sys

from . import SENTENCES, SKILLS, Sample, stream


def show(sample: Sample) -> str:
    lines = [f"=== {sample.skill}"]
    lines += [f"[{message.role}] {message.content}" for message in sample.messages]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Print practice samples.")
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--skill", choices=sorted(SKILLS))
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.skill:
        rng = random.Random(args.seed)
        samples = (SKILLS[args.skill](rng, args.split, SENTENCES) for _ in range(args.count))
    else:
        endless = stream(args.seed, args.split, SENTENCES)
        samples = (next(endless) for _ in range(args.count))
    for sample in samples:
        sys.stdout.write(show(sample) + "\n\n")


if __name__ == "__main__":
    main()
