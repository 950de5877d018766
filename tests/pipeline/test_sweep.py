"""The ladder: what is on the front, which type is taken and why, where it ends, and that no file is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.core.errors import InputError
from linnet.core.events import Event
from linnet.core.store import Store
from linnet.engines.quantization.quantize_file import Wish, from_gguf
from linnet.engines.scoring.ruler import Cost, Measured, TextLoss
from linnet.formats.builtin import our_model
from linnet.metrics.divergence import Divergence
from linnet.metrics.likelihood import Perplexity
from linnet.pipeline.sweep import Rung, Sweep, SweepOptions, choose, sweep, with_front
from linnet.pipeline.sweep_page import render, summary
from tests.gguf_files import stories

TEXT = "Once upon a time there was a little girl called Lily. She liked to play in the park with her dog. " * 4
PERPLEXITY = Perplexity(
    tokens=9, bytes=40, words=9, mean_nll=1.0, perplexity=2.7, standard_error=0.1, bits_per_byte=0.3, bits_per_word=1.4
)  # fmt: skip


def measured(name: str, size: int, loss: float | None, speed: float = 10.0, spread: float = 0.0) -> Measured:
    found = loss is not None and Divergence(
        tokens=9, mean=loss, standard_error=0.001, median=loss, p99=3 * loss, max=4 * loss, same_top_share=0.9
    )
    cost = Cost(
        engine="e", threads=1, repeats=3, load_s=0.1, prefill_tokens_per_s=50.0, decode_tokens_per_s=speed,
        decode_spread=spread, peak_memory_bytes=10 * size,
    )  # fmt: skip
    text = TextLoss(tokens=9, text_tokens=9, perplexity=PERPLEXITY, divergence=found or None)
    return Measured(
        name=name, size_bytes=size, parameters=100, bits_per_weight=size / 100, types={"F32": size},
        texts={"a <b> text": text}, cost=cost,
    )  # fmt: skip


def rungs(*rows: tuple[str, int, float]) -> list[Rung]:
    made = [Rung(type=n, measured=measured(n, size, loss, 20.0), within_bound=loss <= 0.05) for n, size, loss in rows]
    return with_front(made)


ROWS = (("A", 800, 0.001), ("B", 600, 0.01), ("C", 620, 0.02), ("D", 400, 0.04), ("E", 300, 0.2))
REFERENCE = measured("src", 1000, None)


def test_the_front_has_no_type_that_another_beats_in_both() -> None:
    assert [rung.type for rung in rungs(*ROWS) if rung.on_front] == ["A", "B", "D", "E"]
    equal = rungs(("A", 500, 0.1), ("B", 500, 0.1))
    assert all(rung.on_front for rung in equal)


def test_the_smallest_within_the_bound_is_taken_with_its_reason() -> None:
    take, why = choose(REFERENCE, rungs(*ROWS), 0.05)
    assert take == "D"
    for part in ("0.05 nats", "0.04 ± 0.002", "40% of the source's size", "2.00 times its decoding speed",
                 "E would save another 25%, and lose 0.2"):  # fmt: skip
        assert part in why


def test_speeds_that_differ_among_themselves_are_not_compared() -> None:
    noisy = measured("src", 1000, None, spread=0.9)
    assert "quiet machine" in choose(noisy, rungs(*ROWS), 0.05)[1]


def test_none_within_the_bound_is_said() -> None:
    take, why = choose(REFERENCE, rungs(("A", 800, 0.3), ("B", 500, 0.4)), 0.05)
    assert take == ""
    assert "the nearest, A, loses 0.3" in why
    assert choose(REFERENCE, [], 0.05) == ("", "No type could be made.")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, Store, list[Event]]:
    """The stories model down a short ladder with a bound that every type but the first breaks."""
    place = tmp_path_factory.mktemp("sweep")
    source = place / "source.gguf"
    from_gguf(stories(), source, Wish("F32", requantize=True))
    store, events = Store(place / "store"), list[Event]()
    left = store.path("scratch")
    left.mkdir(parents=True)
    options = SweepOptions(("q8_0", "Q5_0", "Q4_0", "Q2_K"), {"lily": TEXT}, bound=1e-3, threads=1)
    return sweep(store, str(source), options, events.append), store, events


def test_a_real_ladder_ends_early_and_leaves_no_file(swept: tuple[Sweep, Store, list[Event]]) -> None:
    found, store, events = swept
    assert [rung.type for rung in found.rungs] == ["Q8_0", "Q5_0", "Q4_0"]
    losses = [rung.measured.loss.divergence.mean for rung in found.rungs if rung.measured.loss.divergence]
    assert losses == sorted(losses)
    assert found.take == "Q8_0"
    assert "Q2_K not tried" in found.stopped
    assert found.reference.loss.divergence is None
    assert [event.message.partition(":")[0] for event in events if event.kind == "done"] == ["Q8_0", "Q5_0", "Q4_0"]
    assert not list(store.path("scratch").iterdir())
    assert Sweep.model_validate_json(found.model_dump_json()) == found


def test_a_type_that_fails_its_gate_is_skipped_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.engines.quantization import quantize_gate

    monkeypatch.setitem(quantize_gate.BOUNDS, "F16", -1.0)
    source = tmp_path / "source.gguf"
    from_gguf(stories(), source, Wish("F32", requantize=True))
    options = SweepOptions(("F16", "Q4_1"), {"lily": TEXT[:120]}, threads=1)
    found = sweep(Store(tmp_path / "store"), str(source), options)
    assert [rung.type for rung in found.rungs] == ["Q4_1"]
    assert "predicts otherwise" in found.skipped["F16"]


def test_a_source_that_is_quantised_already_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="quantised already"):
        sweep(Store(tmp_path), "builtin:nano:Q8_0", SweepOptions(("Q4_0",), {"a": TEXT[:120]}, threads=1))


def test_its_page_stands_alone(swept: tuple[Sweep, Store, list[Event]]) -> None:
    page = render(swept[0])
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count('<svg class="plot"') == 4
    assert page.count("Q8_0 (take)") == 4
    assert "not tried" in page


def test_names_are_escaped() -> None:
    found = Sweep(
        source="<script>x", reference=REFERENCE, rungs=tuple(rungs(*ROWS)), bound=0.05, take="D", why="w & y",
        skipped={"Z": "a <i>reason</i>"},
    )  # fmt: skip
    page = render(found)
    assert "<script" not in page
    assert "<i>" not in page
    assert "w &amp; y" in page
    rows = summary(found)
    assert [row[""] for row in rows] == ["", "front", "front", "", "take", "front"]
    assert len({tuple(row) for row in rows}) == 1


def test_bad_input(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(InputError, match="Q4_Z"):
        sweep(store, str(stories()), SweepOptions(types=("Q4_Z",)))
    with pytest.raises(InputError, match="bound"):
        sweep(store, str(stories()), SweepOptions(bound=0))
    with pytest.raises(InputError, match="encoder"):
        sweep(store, "builtin:minilm", SweepOptions(types=("Q8_0",)))


def test_a_task_is_answered_by_every_type_and_compared_with_the_source(tmp_path: Path) -> None:
    said = [(f"Set a timer for {i} minutes", f"PT{i}M") for i in range(1, 7)]
    rows = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": right}]}
        for asked, right in said
    ]
    questions = tmp_path / "test.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = tmp_path / "nano.gguf"
    from_gguf(Path(our_model("builtin:nano:Q8_0").path), source, Wish("F16", requantize=True))
    options = SweepOptions(("Q8_0",), {"a": TEXT[:120]}, threads=1, data=questions, metric="exact_match")
    found = sweep(Store(tmp_path / "store"), str(source), options)
    (rung,) = found.rungs
    assert rung.task is not None
    assert (rung.task.metric, rung.task.examples) == ("exact_match", 6)
    assert rung.task.difference.low <= rung.task.difference.value <= rung.task.difference.high
    assert "Its exact_match on your questions is" in found.why
    with pytest.raises(InputError, match="go together"):
        sweep(Store(tmp_path / "store"), str(source), SweepOptions(metric="exact_match"))
