"""Perplexity and KL divergence beside `llama-perplexity` of $LINNET_PEERS/bin: `python -m benchmarks.perplexity`.

builtin:nano (begins texts with no token of its own) and stories260K (with BOS), as F32 and in smaller types, on the
first chunks of 512 tokens of wikitext2's test split. llama-perplexity cuts a text into chunks and scores the second
half of each; here that is the sum over a whole chunk less that over its first half. It keeps the probabilities of the
source in 16 bits on disk, which is where the last digits of a divergence go. Keys and values are in F32 on both sides.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from math import exp
from pathlib import Path

from benchmarks.classify import keep
from benchmarks.data import shared_data
from linnet.core.store import Store
from linnet.engines.scoring.scorer import Scorer
from linnet.stages.convert import Options, convert

OUT = Path(os.environ.get("LINNET_BENCH", ".bench")) / "perplexity"
PEER = Path(os.environ.get("LINNET_PEERS", "")) / "bin" / "llama-perplexity"
CHUNK, CHUNKS, TYPES, BAR = 512, 24, ("Q8_0", "Q4_0", "Q3_K_M", "Q2_K"), 1e-3
THREADS = len(os.sched_getaffinity(0))
NUMBER = r"\s*[:=]\s*([-+.\d]+)"


def sources(store: Store) -> dict[str, Path]:
    nano = OUT / "nano-F32.gguf"
    if not nano.is_file():
        convert(store, "builtin:nano", "F32", Options(out=str(nano)))
    return {"nano": nano, "stories": shared_data("stories260k") / "stories260K.gguf"}


def asked(path: Path, text: Path, *more: str) -> str:
    command = [str(PEER), "-m", str(path), "-f", str(text), "-c", str(CHUNK), "--chunks", str(CHUNKS)]
    command += ["-t", str(THREADS), "-ctk", "f32", "-ctv", "f32", "-fa", "off", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"llama-perplexity failed: {done.stderr[-800:]}")
    return done.stdout + done.stderr


def number(name: str, said: str) -> float:
    found = re.search(re.escape(name) + NUMBER, said)
    if not found:
        sys.exit(f"llama-perplexity did not say {name}:\n{said[-800:]}")
    return float(found.group(1))


def chunks(scorer: Scorer, text: str) -> list[tuple[list[int], list[int]]]:
    """Each chunk, and its start up to the first token that is not scored; without the BOS, which both put in front."""
    bos = [scorer.bos] if scorer.tokenize("a") != scorer.tokenize("a", bos=False) else []
    ids = bos + scorer.tokenize(text, bos=False)
    whole = [ids[at : at + CHUNK][len(bos) :] for at in range(0, CHUNK * CHUNKS, CHUNK)]
    return [(one, one[: CHUNK // 2 + 1 - len(bos)]) for one in whole]


def ours(source: Scorer, other: Scorer, text: str) -> tuple[float, float]:
    """Mean negative log-probability of `other` and its mean divergence from `source`, over the second halves."""
    nll, away, count = 0.0, 0.0, 0
    for whole, start in chunks(source, text):
        for part, sign in ((whole, 1), (start, -1)):
            likely = other.perplexity(part, window=CHUNK)
            nll += sign * likely.mean_nll * likely.tokens
            away += sign * source.kl_divergence(other, part, window=CHUNK).mean * likely.tokens
            count += sign * likely.tokens
    return nll / count, away / count


def compare(store: Store, name: str, source: Path, text: Path) -> list[float]:
    """One row for each type. The errors, as shares of what llama-perplexity says."""
    base, errors = OUT / f"{name}.logits", []
    words = text.read_text()
    for kind in ("F32", *TYPES):
        path = source if kind == "F32" else OUT / f"{name}-{kind}.gguf"
        if not path.is_file():
            convert(store, str(source), kind, Options(out=str(path)))
        if kind == "F32":
            said = asked(path, text, "--kl-divergence-base", str(base))
            theirs = {"perplexity": number("Final estimate: PPL", said), "kl": 0.0}
        else:
            said = asked(path, text, "--kl-divergence-base", str(base), "--kl-divergence")
            theirs = {"perplexity": number("Mean PPL(Q)", said), "kl": number("Mean    KLD", said)}
        with Scorer(source, context=CHUNK, threads=THREADS) as one, Scorer(path, context=CHUNK) as other:
            nll, away = ours(one, other, words)
        found = {"perplexity": exp(nll), "kl": away}
        for what, value in found.items():
            if kind != "F32" or what != "kl":
                errors.append(abs(value / theirs[what] - 1))
                print(f"| {name} {kind} | {what} | {theirs[what]:.6g} | {value:.6g} | {errors[-1]:.1e} |", flush=True)
    base.unlink()
    return errors


def main() -> None:
    if not PEER.is_file():
        sys.exit("no llama-perplexity at $LINNET_PEERS/bin")
    OUT.mkdir(parents=True, exist_ok=True)
    store, text = Store(OUT / "store"), next(shared_data("wikitext2").glob("*test*"))
    print("| model | what | llama-perplexity | ours | relative difference |\n|---|---|---|---|---|")
    errors = [error for name, path in sources(store).items() for error in compare(store, name, path, text)]
    keep("perplexity", {"rows": len(errors), "largest": max(errors), "bar": BAR, "met": max(errors) <= BAR})


if __name__ == "__main__":
    main()
