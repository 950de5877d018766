"""Twelve faults, planted in small true builds: each is stopped before a specialist is published, and named.

fault                        planted in                              stopped by
1  wrong template            the GGUF of a merged model              merge: its prompts against its folder's
2  lost stop id              that GGUF; a template of the user's     merge: the same; the token that ended answers
3  double BOS                a template; that GGUF                   tune: the rows; merge: prompts as training saw them
4  merge in 4 bits           the base's folder; the load in merge    tune: the base; merge: weights that are not full
5  swapped labels            the test file; the order of scores      prepare: test against training; evaluate
6  truncated context         that GGUF; rows longer than the model   merge: as 1; tune: the rows
7  test rows in training     the training file                       prepare
8  label column shifted      the training file, the test file        prepare: which row's label fits the text
9  tokenizer of another      that GGUF; the base's folder            merge: as 3; tune: what reading the rows costs
10 quantisation too low      the type that is asked for              convert: predictions against the source
11 stale adapter             the base's weights after the training   merge: hashes that the run recorded
12 wrong calibration         the fit; a published record             evaluate: log loss on validation; opening
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import CorruptFile, DataError, EngineError, GateFailed, InputError, LinnetError, StoreError
from linnet.core.events import Event
from linnet.core.records import Decision
from linnet.core.runs import find_run
from linnet.core.store import Step, Store, scan_files
from linnet.core.task import Task, parse_task, read_task
from linnet.engines.base import GGUF
from linnet.formats.builtin import FOLDER
from linnet.formats.gguf_write import text, uint32
from linnet.formats.resolve import resolve_model
from linnet.metrics import calibration
from linnet.pipeline.build import build
from linnet.pipeline.text_data import prepare_texts
from linnet.pipeline.tune import TuneOptions, tune
from linnet.stages.convert import Options, convert
from linnet.stages.evaluate import Entrant, evaluate, evaluations
from linnet.stages.merge import merge
from linnet.stages.prepare import prepare
from linnet.stages.serve import Specialists
from linnet.training import decoder_folder, merging
from tests.engines.conversion.test_culprit import boolean, faulty
from tests.tiny import tiny_engine
from tests.tiny_decoder import tiny_decoder, write_rows
from tests.tiny_encoder import FILLERS, sentences, tiny_encoder, tiny_task
from tests.tiny_encoder import write_rows as write_table

NIGHTLY = os.environ.get("LINNET_NIGHTLY") == "1"
SEEDS = range(20 if NIGHTLY else 3)
LORA = TuneOptions(method="lora", epochs=2, batch=8, rate=0.02, max_length=200)
Keys = Mapping[str, bytes | None]


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


# Decoders: tune, merge, convert


@dataclass(frozen=True)
class Chain:
    """A tuned run in a store, what it was made of, and the GGUF that merging honestly makes of it."""

    base: Path
    store: Store
    run: str
    gguf: Path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    place = tmp_path_factory.mktemp("chain")
    base = tiny_decoder(place / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNET_THREADS", "1")
        store = Store(place / "store")
        run = tune(str(base), write_rows(place / "rows.jsonl", 24), LORA, store=store).step.run.id
        step = merge(store, resolve_model(store, str(base)), find_run(store, run, "tune"))
    assert step.result["gates"], "the clean chain passes every gate"
    return Chain(base, store, run, step.folder / GGUF)


@pytest.fixture
def again(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Merge the run once more in a store of its own, where the conversion writes these settings otherwise."""

    def merged(keys: Keys, run: Path | None = None) -> None:
        def planted(_: Path, target: Path, kind: str) -> None:
            assert kind == "F32"
            faulty(chain.gguf, target, keys)

        monkeypatch.setattr(merging, "hf_to_gguf", planted)
        store = Store(tmp_path / "again")
        source = run or chain.store.path("runs", chain.run)
        shutil.copytree(source, store.path("runs", source.name), dirs_exist_ok=True)
        merge(store, resolve_model(store, str(chain.base)), find_run(store, source.name, "tune"))

    return merged


def shuffled_tokens(gguf: Path) -> dict[str, bytes | None]:
    """The vocabulary of another model of the same size: the same texts under other numbers, marks apart."""
    import struct

    from linnet.formats.gguf import read_gguf

    words = read_gguf(gguf).strings("tokenizer.ggml.tokens")
    rest = words[16:]
    random.Random(5).shuffle(rest)
    told = b"".join(struct.pack("<Q", len(word)) + word for word in (*words[:16], *rest))
    return {"tokenizer.ggml.tokens": struct.pack("<IIQ", 9, 8, len(words)) + told}


def test_the_same_chain_without_a_fault_passes(again: Callable[..., None]) -> None:
    again({})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param({"tokenizer.chat_template": text("{{ messages[0].content }}")}, "chat template", id="1-other"),
        pytest.param({"tokenizer.chat_template": None}, "chat template", id="1-none"),
        pytest.param({"tokenizer.ggml.eos_token_id": uint32(7)}, "stop ids", id="2-eos"),
        pytest.param(
            {"tokenizer.ggml.add_bos_token": boolean(True), "tokenizer.ggml.bos_token_id": uint32(1)}, "BOS", id="3-bos"
        ),
        pytest.param({"llama.context_length": uint32(128)}, "context setting", id="6-context"),
    ],
)
def test_a_gguf_with_other_settings_gets_no_name(again: Callable[..., None], keys: Keys, said: str) -> None:
    with pytest.raises(GateFailed, match=f"culprit is (the )?{said}"):
        again(keys)


def test_9_a_gguf_with_the_tokenizer_of_another_model(chain: Chain, again: Callable[..., None]) -> None:
    with pytest.raises(GateFailed, match="culprit is the tokenizer"):
        again(shuffled_tokens(chain.gguf))


def template_of(chain: Chain, tmp_path: Path, change: Callable[[str], str]) -> Path:
    """The base's own template, changed, as a file to tune with."""
    made = tmp_path / "template.jinja"
    made.write_text(change((chain.base / "chat_template.jinja").read_text()))
    return made


def test_2_answers_that_training_ended_with_another_token(
    chain: Chain, again: Callable[..., None], tmp_path: Path
) -> None:
    made = template_of(chain, tmp_path, lambda own: own.replace("<|im_end|>", "<|reserved_3|>"))
    options = TuneOptions(method="lora", epochs=1, batch=8, max_length=200, template=str(made))
    rows = write_rows(tmp_path / "rows.jsonl", 24)
    run = tune(str(chain.base), rows, options, store=Store(tmp_path / "tuned")).step
    with pytest.raises(GateFailed, match=r"culprit is the stop ids.*<\|reserved_3\|>.*it would write on"):
        again({"tokenizer.chat_template": text(made.read_text())}, run.folder)


def test_3_a_template_that_writes_bos_twice(chain: Chain, tmp_path: Path) -> None:
    made = template_of(chain, tmp_path, lambda own: "{{ bos_token }}{{ bos_token }}" + own)
    rows = write_rows(tmp_path / "rows.jsonl", 24)
    with pytest.raises(DataError, match="begins every chat with BOS twice"):
        tune(str(chain.base), rows, TuneOptions(method="lora", template=str(made)), store=Store(tmp_path / "s"))


def four_bits(folder: Path) -> Any:
    import torch

    pytest.importorskip("bitsandbytes")
    from linnet.engines.pytorch.torch_load import load_causal

    return load_causal(folder, "nf4", torch.float32)


def test_4_a_base_that_is_stored_in_four_bits(chain: Chain, tmp_path: Path) -> None:
    base = tmp_path / "small"
    shutil.copytree(chain.base, base)
    (base / "model.safetensors").unlink()
    four_bits(chain.base).save_pretrained(base)
    with pytest.raises(InputError, match=r"stored in 4 bits \(bitsandbytes\)"):
        tune(str(base), write_rows(tmp_path / "rows.jsonl", 24), LORA, store=Store(tmp_path / "s"))


def test_4_a_merge_into_four_bits(again: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_folder, "load", four_bits)
    with pytest.raises(EngineError, match="never merged into nf4"):
        again({})


def test_6_rows_that_are_longer_than_the_model_reads(chain: Chain, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", 24)
    long = {"prompt": "red " * 2000, "completion": "{}"}
    rows.write_text(rows.read_text() + json.dumps(long) + "\n")
    with pytest.raises(DataError, match=r"1 row \(25\) has more than 256 tokens"):
        tune(str(chain.base), rows, TuneOptions(method="lora"), store=Store(tmp_path / "s"))


def test_9_a_base_with_the_tokenizer_of_another_model(tmp_path: Path) -> None:
    """A trained model, as one of random weights reads every tokenizer alike."""
    base = tmp_path / "nano"
    shutil.copytree(FOLDER / "nano", base)
    state = json.loads((base / "tokenizer.json").read_text())
    vocabulary = state["model"]["vocab"]
    marks = {one["content"] for one in state["added_tokens"]}
    words = [word for word in vocabulary if word not in marks]
    numbers = [vocabulary[word] for word in words]
    random.Random(5).shuffle(numbers)
    vocabulary.update(zip(words, numbers, strict=True))
    (base / "tokenizer.json").write_text(json.dumps(state))
    with pytest.raises(GateFailed, match="culprit is the tokenizer: before training"):
        tune(str(base), write_rows(tmp_path / "rows.jsonl", 24), LORA, store=Store(tmp_path / "s"))


def test_10_a_type_of_too_few_bits(tmp_path: Path) -> None:
    """As ternary weights the built-in model says something else; in four bits it does not."""
    store, source = Store(tmp_path / "s"), str(FOLDER / "nano" / "model-Q8_0.gguf")
    sound = convert(store, source, "Q4_0", Options(requantize=True, out=str(tmp_path / "four.gguf")))
    assert sound.gate.divergence is not None
    with pytest.raises(GateFailed, match="culprit is the quantisation: as TQ1_0"):
        convert(store, source, "TQ1_0", Options(requantize=True, out=str(tmp_path / "low.gguf")))
    assert not (tmp_path / "low.gguf").exists()


def test_11_an_adapter_of_weights_that_changed_since(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    base = tmp_path / "base"
    shutil.copytree(chain.base, base)
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] *= 1.01
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StoreError, match="its files differ"):
        merge(chain.store, resolve_model(chain.store, str(base)), find_run(chain.store, chain.run, "tune"))


# Classifiers: prepare, tune, quantize, evaluate, pack


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


Rows = list[tuple[str, str]]


def planted(tmp_path: Path, encoder: Path, change: Callable[[Rows, Rows], tuple[Rows, Rows]], **more: str) -> Task:
    """The task of the tiny encoder with its training and test rows changed."""
    path = tiny_task(tmp_path / "task", encoder)
    rows = [_read(path.parent / name) for name in ("train.csv", "test.csv")]
    for name, changed in zip(("train.csv", "test.csv"), change(rows[0], rows[1]), strict=True):
        write_table(path.parent / name, changed)
    task = read_task(path)
    return task.model_copy(update={"data": task.data.model_copy(update=more)})


def _read(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as handle:
        return [(row["text"], row["topic"]) for row in csv.DictReader(handle)]


def shifted(rows: Rows, by: int) -> Rows:
    """Rows in a random order, and then the label column moved down by so many rows, its end at the top."""
    rows = random.Random(3).sample(rows, len(rows))
    labels = [label for _, label in rows]
    return [(said, labels[(i - by) % len(rows)]) for i, (said, _) in enumerate(rows)]


def swapped(rows: Rows) -> Rows:
    other = {"fruit": "bird", "bird": "fruit"}
    return [(said, other.get(label, label)) for said, label in rows]


def refused(task: Task, tmp_path: Path) -> LinnetError:
    """What a build of it says, and that nothing was published."""
    store = Store(tmp_path / "store")
    with pytest.raises((InputError, GateFailed)) as stopped:
        build(task, store)
    assert store.names() == []
    assert not list((store.root / "runs").glob("tune-*/record.json")), "it is stopped before a training"
    assert stopped.value.hint
    return stopped.value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda a, b: (a, swapped(b)), "test.csv: the labels 'bird' and 'fruit' are swapped", id="5-swapped"
        ),
        pytest.param(lambda a, b: (a + b[:2], b), "train.csv: 2 rows are also in test.csv", id="7-leak"),
        pytest.param(
            lambda a, b: (a, shifted(b, 1)), "test.csv: the label column is shifted: each label stands 1 row below",
            id="8-test",
        ),
        pytest.param(
            lambda a, b: (shifted(a, -1), b), "train.csv: the label column is shifted: each label stands 1 row above",
            id="8-train",
        ),
    ],
)  # fmt: skip
def test_a_fault_of_the_data_is_named_before_a_training(
    encoder: Path, tmp_path: Path, change: Callable[[Rows, Rows], tuple[Rows, Rows]], said: str
) -> None:
    assert said in refused(planted(tmp_path, encoder, change), tmp_path).message


def test_what_looks_wrong_and_is_right_can_be_accepted(encoder: Path, tmp_path: Path) -> None:
    task = planted(tmp_path, encoder, lambda a, b: (a, swapped(b)), doubtful="accept")
    step = prepare(Store(tmp_path / "store"), task)
    assert any("are swapped" in warning for warning in step.result["warnings"])


def with_labels(rows: Rows) -> Rows:
    return [(f"{said} {label}", label) for said, label in rows]


def judged(tmp_path: Path, encoder: Path, order: Callable[[list[str]], list[str]] = list) -> Step:
    """Evaluate a model that is always right, whose scores are in this order of the labels."""
    task = planted(tmp_path, encoder, lambda a, b: (with_labels(a), with_labels(b)))
    store = Store(tmp_path / "store")
    prepared = prepare(store, task)
    decision = Decision(labels=list(prepared.result["labels"]))
    tiny_engine(tmp_path / "engine", order(decision.labels))
    files = {name: entry.sha256 for name, entry in scan_files(tmp_path / "engine").items()}
    return evaluate(store, Entrant("tiny", tmp_path / "engine", files), prepared, decision)


def test_a_model_with_its_own_labels_is_judged(tmp_path: Path, encoder: Path) -> None:
    assert evaluations(judged(tmp_path, encoder))["validation"].accuracy.value == 1


def test_5_labels_in_another_order_than_the_model(tmp_path: Path, encoder: Path) -> None:
    with pytest.raises(GateFailed, match="on the validation examples the labels 'bird', 'fruit' and 'tool' are swap"):
        judged(tmp_path, encoder, lambda labels: [*labels[1:], labels[0]])


def test_9_an_encoder_with_the_tokenizer_of_another_model(encoder: Path, tmp_path: Path) -> None:
    for name, words, said in (
        ("foreign", [f"other{i}" for i in range(60)], r"\d+% of the tokens of the training texts are unknown"),
        ("larger", [f"more{i}" for i in range(200)], r"it gives the token \d+, the model has 128"),
    ):
        base = tmp_path / name
        shutil.copytree(encoder, base)
        state = json.loads((base / "tokenizer.json").read_text())
        known = list(state["model"]["vocab"])
        rest = words if name == "foreign" else [*words, *known[4:]]
        state["model"]["vocab"] = {word: i for i, word in enumerate([*known[:4], *rest])}
        (base / "tokenizer.json").write_text(json.dumps(state))
        store = Store(tmp_path / f"{name}-store")
        with pytest.raises(LinnetError, match=said):
            build(tiny_task(tmp_path / f"{name}-task", base), store)
        assert store.names() == []


def test_12_a_temperature_that_was_fitted_on_other_labels(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = calibration.fit_temperature
    monkeypatch.setattr(calibration, "fit_temperature", lambda logits, true: honest(logits, (true + 1) % 3))
    with pytest.raises(GateFailed, match="culprit is the calibration: at temperature 20"):
        judged(tmp_path, encoder)


def test_12_a_published_temperature_that_was_changed(encoder: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    folder = build(tiny_task(tmp_path / "task", encoder, rows=90), store).folder
    assert Specialists(store).classify("topics", ["a hammer"]).answers
    record = json.loads((folder / "record.json").read_text())
    record["decision"]["temperature"] = 9.0
    (folder / "record.json").write_text(json.dumps(record))
    with pytest.raises(CorruptFile, match="topics: its labels, calibration or instruction are not those"):
        Specialists(store).classify("topics", ["a hammer"])


# Tasks that write text


def extract(folder: Path, rows: list[dict[str, str]], test: list[dict[str, str]] | None = None) -> Task:
    data = {"train": "train.jsonl"} | ({"test": "test.jsonl"} if test else {})
    for name, some in (("train", rows), ("test", test or [])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    part = {"name": "lamp", "kind": "generate", "input": "said", "output": "call"}
    return parse_task({"task": part, "data": data}, folder)


def orders(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows whose answer repeats some of what is said, as records and summaries do."""
    generator = random.Random(seed)
    made = []
    for _ in range(count):
        item, place = generator.choice(FILLERS), generator.choice(FILLERS)
        said = f"Please bring {generator.randint(2, 99)} boxes of {item} to {place}"
        made.append({"said": said, "call": json.dumps({"item": item, "place": place})})
    return made


def test_7_and_8_of_a_task_that_writes_text(tmp_path: Path) -> None:
    rows = orders(60)
    moved = [{**row, "call": rows[i - 1]["call"]} for i, row in enumerate(rows)]
    for name, train, test, said in (
        ("shifted", moved, None, "train.jsonl: the answer column is shifted: each answer stands 1 row below its text"),
        ("shifted-test", orders(60, 1), moved, "test.jsonl: the answer column is shifted"),
        ("leaked", [*orders(60, 1), rows[0]], rows, "a question that is in the test too"),
    ):
        (tmp_path / name).mkdir()
        with pytest.raises(DataError, match=said):
            build(extract(tmp_path / name, train, test), store := Store(tmp_path / "store"))
        assert store.names() == []


# No false alarm


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clean_build_is_published(encoder: Path, tmp_path: Path, seed: int) -> None:
    """Other rows, sizes and orders each time, some labels rare, some rows mislabelled, and texts of every kind."""
    generator = random.Random(seed)
    path = tiny_task(tmp_path / "task", encoder, rows=90)
    rows = sentences(generator.randint(100, 180), seed=1000 + seed)
    rows = [row for row in rows if row[1] != "bird" or generator.random() < 0.5]
    if seed % 2:
        generator.shuffle(rows)
    if seed % 3 == 1:
        rows.sort(key=lambda row: row[1])
    test = set(generator.sample(range(len(rows)), len(rows) // 4))
    noisy = {i for i in range(len(rows)) if generator.random() < 0.05}
    told = [(said, "tool" if i in noisy else label) for i, (said, label) in enumerate(rows)]
    write_table(path.parent / "train.csv", [row for i, row in enumerate(told) if i not in test])
    write_table(path.parent / "test.csv", [row for i, row in enumerate(told) if i in test])
    found = build(path, Store(tmp_path / "store"))
    assert found.specialist.full_name == "topics:1"
    write_step = prepare_texts(Store(tmp_path / "texts"), extract(tmp_path, orders(40 + 10 * seed, seed)))
    assert not any("shifted" in warning for warning in write_step.result["warnings"])


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_that_nobody_can_learn_are_no_fault_of_the_file(encoder: Path, tmp_path: Path, seed: int) -> None:
    """Where nothing can be learned, chance must not look like a pattern."""
    generator = random.Random(seed)

    def change(train: Rows, test: Rows) -> tuple[Rows, Rows]:
        drawn = [(said, generator.choice(("fruit", "tool", "bird"))) for said, _ in (*train, *test)]
        return drawn[: len(train)], drawn[len(train) :]

    step = prepare(Store(tmp_path / "store"), planted(tmp_path, encoder, change))
    assert step.result["counts"]["test"] == 60


@pytest.mark.skipif(not NIGHTLY, reason="tunes and converts again and again: LINNET_NIGHTLY=1 runs it")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_clean_decoder_is_merged_and_converted(tmp_path: Path, seed: int) -> None:
    base = tiny_decoder(tmp_path / "base", dtype=("float32", "bfloat16", "float16")[seed % 3])
    store, events = Store(tmp_path / "store"), list[Event]()
    options = TuneOptions(method=("lora", "full")[seed % 2], epochs=2, batch=8, rate=0.01, max_length=200, seed=seed)
    run = tune(str(base), write_rows(tmp_path / "rows.jsonl", 20 + seed), options, store=store).step.run.id
    step = merge(store, resolve_model(store, str(base)), find_run(store, run, "tune"), events.append)
    assert all(gate["passed"] for gate in step.result["gates"])
    for kind in ("Q8_0", "Q4_K_M", "Q2_K"):
        convert(store, str(step.folder / GGUF), kind, Options(out=str(tmp_path / f"{kind}.gguf")))
