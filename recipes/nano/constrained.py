"""Score a tuned decoder as it is served: GGUF in the engine, greedy, its answer held to the task's JSON schema.

    python -m recipes.nano.finetune ... --to .tuned
    python -m recipes.nano.constrained --model .tuned --test examples/smart-home/test.jsonl --input command \
        --output call --schema examples/smart-home/tool.schema.json --json out.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from linnet.engines.conversion.convert import hf_to_gguf
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.requests.asking import enforceable
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation, Message
from linnet.text.conversations import Chat, Columns, read_chats
from recipes.nano.finetune import instruction, judged

SLOTS, CONTEXT, MOST_TOKENS = 8, 1024, 300


def answer(engine: LlamaEngine, chat: Chat, schema: Any) -> Generation:
    request = GenerateRequest(
        messages=tuple(Message(turn.role, turn.content) for turn in chat.turns[:-1]),
        sampling=GREEDY, max_tokens=MOST_TOKENS, json_schema=schema,
    )  # fmt: skip
    last: Generation | None = None
    for piece in engine.generate(request):
        if isinstance(piece, Generation):
            last = piece
    assert last is not None
    return last


def evaluate(engine: LlamaEngine, test: Sequence[Chat], schema: Any) -> dict[str, Any]:
    started = time.monotonic()
    with ThreadPoolExecutor(SLOTS) as threads:
        said = list(threads.map(lambda chat: answer(engine, chat, schema), test))
    seconds = time.monotonic() - started
    return {
        **judged([one.text for one in said], test, listed=20),
        "not_ended": sum(one.finish_reason != "stop" for one in said),
        "requests_per_second": round(len(said) / seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "test", "schema"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--input", required=True, help="the column of the question, or a template of columns")
    parser.add_argument("--output", required=True, help="the column of the answer")
    parser.add_argument("--task", type=Path, help="a task.toml, for its instruction")
    parser.add_argument("--test-rows", type=int, default=0, help="how many rows are answered (0: all)")
    parser.add_argument("--free", action="store_true", help="do not hold the answer to the schema")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    test = read_chats(given.test, Columns(given.input, given.output, instruction(given.task)))[
        : given.test_rows or None
    ]
    schema = None if given.free else enforceable(json.loads(given.schema.read_text()))[0]
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "model.gguf"
        hf_to_gguf(given.model, target, "F32")
        trained = json.loads((given.model / "config.json").read_text())["max_position_embeddings"]
        engine = open_llama(target, LoadOptions(context=min(CONTEXT, trained), slots=SLOTS))
        try:
            found = evaluate(engine, test, schema)
        finally:
            engine.close()
    if given.json:
        given.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({k: v for k, v in found.items() if k != "first_wrong"}, indent=1))


if __name__ == "__main__":
    main()
