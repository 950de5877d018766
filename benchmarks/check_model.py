"""How long `check_model` takes for a 4 GB file with a vocabulary of 150,000 tokens, and how much memory.

    python -m benchmarks.check_model

The weights are a hole in a sparse file: the check never reads them. Prints, as JSON, medians in seconds: the imports
and the first call of five fresh processes, then five more calls in one process, and their processor time.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.formats.test_chat_template import LLAMA_3, PHI_TOOLS
from tests.gguf_files import F32, I32, STRING, U32, array, tiny_keys, written

TOKENS, MERGES, BLOCKS, WIDTH, FORWARD = 150_000, 150_000, 20, 2048, 11_008
F16 = 1
REPEATS = 5
CODE = """
import json, resource, sys, time
from pathlib import Path
begun = time.perf_counter()
from linnet.formats.model_check import check_model
loaded = time.perf_counter()
report = check_model(Path(sys.argv[1]))
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([loaded - begun, done - loaded, peak, report.file_bytes]))
"""


def make_large(path: Path) -> Path:
    """A llama of two billion weights in F16 whose data are a hole."""
    words = random.Random(0)
    tokens = ["".join(words.choices("abcdefghij", k=words.randint(1, 12))) for _ in range(TOKENS)]
    keys = tiny_keys(
        llama__block_count=(U32, BLOCKS),
        llama__embedding_length=(U32, WIDTH),
        llama__feed_forward_length=(U32, FORWARD),
        llama__attention__head_count=(U32, 16),
        llama__attention__head_count_kv=(U32, 16),
        general__file_type=(U32, 1),
        tokenizer__ggml__model=(STRING, "gpt2"),
        tokenizer__ggml__tokens=array(STRING, tokens),
        tokenizer__ggml__scores=array(F32, [0.0] * TOKENS),
        tokenizer__ggml__token_type=array(I32, [1] * TOKENS),
        tokenizer__ggml__merges=array(
            STRING, [f"{a} {b}" for a, b in zip(tokens, tokens[1:] + tokens[:1], strict=True)]
        ),
        tokenizer__chat_template=(STRING, PHI_TOOLS + LLAMA_3),
    )
    shapes = [("token_embd.weight", (WIDTH, TOKENS)), ("output_norm.weight", (WIDTH,))]
    for block in range(BLOCKS):
        shapes += [(f"blk.{block}.{name}.weight", (WIDTH,)) for name in ("attn_norm", "ffn_norm")]
        shapes += [(f"blk.{block}.attn_{name}.weight", (WIDTH, WIDTH)) for name in ("q", "k", "v", "output")]
        shapes += [(f"blk.{block}.ffn_{name}.weight", (WIDTH, FORWARD)) for name in ("gate", "up")]
        shapes.append((f"blk.{block}.ffn_down.weight", (FORWARD, WIDTH)))
    tensors, at = [], 0
    for name, shape in shapes:
        tensors.append((name, shape, F16, at))
        size = 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        at += -(-size // 32) * 32
    # written() pads with real zeros; here the header alone is written and the rest is a hole.
    header = written(keys, [(name, shape, kind, offset) for name, shape, kind, offset in tensors], hole=True)
    with path.open("wb") as handle:
        handle.write(header)
        handle.truncate(len(header) + at)
    return path


def main() -> None:
    from linnet.formats.model_check import check_model

    with tempfile.TemporaryDirectory() as folder:
        path = make_large(Path(folder) / "large.gguf")
        first = []
        for _ in range(REPEATS):
            done = subprocess.run(
                [sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, timeout=120, check=True
            )
            first.append(json.loads(done.stdout))
        again, processor = [], []
        for _ in range(REPEATS + 1):
            begun, worked = time.perf_counter(), time.process_time()
            report = check_model(path)
            again.append(time.perf_counter() - begun)
            processor.append(time.process_time() - worked)
    assert report.template is not None
    assert report.template.ok
    print(
        json.dumps(
            {
                "file_bytes": first[0][3],
                "tokens": TOKENS,
                "merges": MERGES,
                "import_seconds": round(statistics.median(run[0] for run in first), 3),
                "first_call_seconds": round(statistics.median(run[1] for run in first), 3),
                "next_call_seconds": round(statistics.median(again[1:]), 3),
                "next_call_processor_seconds": round(statistics.median(processor[1:]), 3),
                "peak_memory_bytes": max(run[2] for run in first),
                "bar_seconds": 0.2,
            }
        )
    )


if __name__ == "__main__":
    main()
