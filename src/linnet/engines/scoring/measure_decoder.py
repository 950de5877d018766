"""What a decoder costs on this machine: one question at a time, then as many as there are slots. In its worker."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from linnet.core.errors import EngineError
from linnet.core.records import Footprint
from linnet.engines.planning.hardware import read_energy_uj
from linnet.engines.requests.asking import Decoding, Prediction, Prompting, Source, Unwell, ask_engine, open_engine
from linnet.text.questions import Question

SINGLES, BATCH = 16, 48


def measure_decoder(
    source: Source, questions: Sequence[Question], prompting: Prompting, decoding: Decoding
) -> Footprint:
    """Size, latency of one whole answer, answers per second side by side, memory of the worker, energy.

    Raises EngineError when an answer fails, and what opening raises.
    """
    if source.path is None:
        raise EngineError(f"{source.name} is no file: its cost is not this machine's.")
    engine = open_engine(source, questions, prompting, decoding)
    try:
        engine.start()

        def ask(question: Question) -> Prediction:
            return ask_engine(engine, question, prompting, decoding)

        try:
            ask(questions[0])  # the first one waits for memory to be touched
            singles = [ask(one) for one in questions[:SINGLES]]
            batch = list(questions[:BATCH])
            energy, started = read_energy_uj(), time.perf_counter()
            with ThreadPoolExecutor(engine.slots) as threads:
                list(threads.map(ask, batch))
            seconds, after = time.perf_counter() - started, read_energy_uj()
        except Unwell as error:
            raise EngineError(f"Measuring {source.name} failed: {error}") from error
        waits = sorted(1000 * one.seconds for one in singles)
        memory = max(engine.measured_bytes, source.path.stat().st_size)
    finally:
        engine.close()
    joules = (after - energy) / 1e6 / len(batch) * 1000 if energy is not None and after is not None else None
    return Footprint(
        size_bytes=source.path.stat().st_size,
        latency_ms_p50=round(waits[(len(waits) - 1) // 2], 3),
        latency_ms_p95=round(waits[math.ceil(0.95 * len(waits)) - 1], 3),
        documents_per_second=round(len(batch) / seconds, 2),
        peak_memory_bytes=memory,
        energy_joules_per_1000=joules if joules is None or joules >= 0 else None,
        energy_note="package energy by RAPL" if joules is not None else "this machine reports no energy counter",
        tokens_per_second=round(1000 * sum(one.completion_tokens for one in singles) / max(sum(waits), 1e-3), 2),
    )
