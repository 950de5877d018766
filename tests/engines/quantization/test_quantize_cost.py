"""What a quantisation takes: the larger, the more; and near what the process really holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from linnet.engines.llama.load_plan import read_shape
from linnet.engines.quantization import quantize_cost
from tests.engines.made_llama import make_gguf, needs_stories

CODE = (
    "import json, sys; from pathlib import Path; from linnet.core.store import Store;"
    "from linnet.engines.measure import peak_memory_bytes; from linnet.stages.convert import Options, convert;"
    "convert(Store(Path(sys.argv[1])), sys.argv[2], 'Q8_0', Options(out=sys.argv[3], threads=1));"
    "print(json.dumps(peak_memory_bytes()))"
)


@needs_stories
def test_the_memory_is_near_what_is_taken(tmp_path: Path) -> None:
    source = make_gguf(tmp_path / "f16.gguf", width=512, layers=8, heads=8, kv_heads=4, kind="F16", context=2048)
    command = [sys.executable, "-c", CODE, str(tmp_path / "store"), str(source), str(tmp_path / "q8.gguf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    planned = quantize_cost.memory_bytes(source.stat().st_size, read_shape(tmp_path / "q8.gguf"), folder=False)
    measured = json.loads(done.stdout.splitlines()[-1])
    print(f"planned {planned >> 20} MiB, measured {measured >> 20} MiB")
    assert 0.75 * measured < planned < 1.3 * measured


def test_more_weights_and_fewer_threads_take_longer() -> None:
    few, many = {"Q8_0": 10**7}, {"Q8_0": 10**8}

    def seconds(weights: dict[str, int], threads: int = 2, *, folder: bool = False) -> float:
        return quantize_cost.seconds(weights, 10**7, threads, prefill=1e10, folder=folder)

    assert seconds(few) < seconds(many) < seconds(many, 1)
    assert seconds(few) < seconds(few, folder=True)
