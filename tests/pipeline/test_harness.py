"""lm-evaluation-harness on a GGUF: its own `hf` back end finds the same numbers on the same weights."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

pytest.importorskip("lm_eval", reason="lm_eval is not installed: pip install 'linnet[harness]'")

from linnet.core.errors import InputError, ResourceMissing
from linnet.core.store import Store
from linnet.pipeline import harness
from linnet.pipeline.compare import compare
from linnet.pipeline.harness import Harnessed, HarnessOptions, run_harness
from linnet.pipeline.harness_model import HarnessModel
from linnet.stages.convert import Options, convert
from tests import gguf_models
from tests.harness_tasks import CHOICE, TEXT, write_task, write_tasks

NANO = Path(harness.__file__).parents[1] / "builtin" / "nano"
CLOSE = 1e-3  # nats, of a whole answer or text (seen: 1.4e-5)


@pytest.fixture(autouse=True, scope="module")
def _offline() -> Iterator[None]:
    """As the command starts: earlier tests may have imported these libraries with the network on."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "LINNET_THREADS", "TQDM_DISABLE"):
            patch.setenv(name, "1")
        import datasets
        from huggingface_hub import constants

        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


NIGHTLY = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="nightly: converts a model, with proof")


@pytest.fixture(scope="module", params=["written", pytest.param("converted", marks=NIGHTLY)])
def full(request: pytest.FixtureRequest, store: Store) -> Path:
    """Trained weights in 32 bits: the header of our own GGUF with the folder's tensors, or `linnet convert`."""
    path = store.root / f"{request.param}.gguf"
    if request.param == "converted":
        convert(store, str(NANO), "F32", Options(out=str(path)))
        return path
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(NANO, dtype="float32")
    writer = gguf.GGUFWriter(path, "llama")
    for name, field in gguf.GGUFReader(NANO / "model-Q8_0.gguf").fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1])
    for name, value in gguf_models.tensors(model, "llama"):
        writer.add_tensor(name, np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    return write_tasks(tmp_path / "tasks")


def samples(found: Harnessed) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (found.step.folder / "samples.jsonl").read_text().splitlines()]


def by_transformers(names: list[str], options: HarnessOptions) -> dict[str, Any]:
    """What the harness finds through its own back end, in 32 bits."""
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=str(NANO), device="cpu", dtype="float32", batch_size=4)
    found = {}
    for name, loaded in harness._load(names, options).items():
        for task, held in loaded["tasks"].items():
            harness._set_shots(task, held, options, harness.silent)
        found[name] = harness._run(model, name, loaded, options)
    return found


def likelihoods(rows: list[dict[str, Any]]) -> list[float]:
    values = [one[0] for row in rows for one in row["resps"]]
    return [one[0] if isinstance(one, list | tuple) else one for one in values]


@pytest.mark.parametrize(("shots", "chat"), [(2, False), (0, True)])
def test_it_agrees_with_the_harness_on_transformers(
    shots: int, chat: bool, full: Path, tasks: Path, store: Store
) -> None:
    names = ["lamp_choice"] if chat else ["lamp_choice", "lamp_text", "lamp_whole"]
    options = HarnessOptions(include_path=str(tasks), shots=shots, chat=chat)
    theirs = by_transformers(names, options)
    for one in run_harness(str(full), names, options, store=store):
        name = one.evaluation.split
        expected, mine = theirs[name]["samples"][name], samples(one)
        assert [row["arguments"] for row in mine] == json.loads(json.dumps([row["arguments"] for row in expected]))
        for key, value in one.evaluation.metrics.items():
            assert value.value == pytest.approx(theirs[name]["results"][name][f"{key},none"], rel=1e-4), key
        if name == "lamp_text":
            # Trained weights: no near ties, so the texts are equal to the letter.
            assert [row["resps"] for row in mine] == [row["resps"] for row in expected]
            assert any(row["resps"][0][0] for row in mine)
            continue
        found = np.array(likelihoods(mine)) - np.array(likelihoods(expected))
        assert len(found) >= 8
        assert np.abs(found).max() < CLOSE
        if name == "lamp_choice":
            greedy = [[one[0][1] for one in row["resps"]] for row in expected]
            assert [[one[0][1] for one in row["resps"]] for row in mine] == greedy


def test_a_group_has_its_mean_and_runs_are_compared(tasks: Path, store: Store) -> None:
    options = HarnessOptions(include_path=str(tasks))
    (one,) = run_harness("builtin:nano", ["lamp"], options, store=store)
    parts = [one.evaluation.metrics[f"{task}:acc"].value for task in ("lamp_choice", "lamp_second")]
    assert (one.evaluation.primary, one.evaluation.examples) == ("acc", 16)
    assert one.evaluation.metrics["acc"].value == pytest.approx(sum(parts) / 2)
    assert run_harness("builtin:nano", ["lamp"], options, store=store)[0].step.reused
    (other,) = run_harness("builtin:nano:Q8_0", ["lamp"], options, store=store)
    (told,) = compare([one.step.run.id, other.step.run.id], store=store)
    assert told.examples == 16
    (shown,) = run_harness("builtin:nano", ["lamp"], HarnessOptions(include_path=str(tasks), shots=1), store=store)
    with pytest.raises(InputError, match="prompt template differs"):
        compare([one.step.run.id, shown.step.run.id], store=store)


def test_other_data_are_another_run(tasks: Path, store: Store) -> None:
    options, file = HarnessOptions(limit=4), str(tasks / "lamp_choice.yaml")
    (one,) = run_harness("builtin:nano", [file], options, store=store)
    assert (one.evaluation.split, one.evaluation.examples) == ("lamp_choice", 4)
    rows = (tasks / "test.jsonl").read_text()
    (tasks / "test.jsonl").write_text(rows.replace("hall", "attic"))
    (two,) = run_harness("builtin:nano", [file], options, store=store)
    assert not two.step.reused
    assert "attic" in samples(two)[0]["arguments"][0][0]


def test_a_long_prompt_loses_its_start_and_that_is_told(
    tasks: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINNET_CONTEXT", "24")
    rows = [json.loads(line) for line in (tasks / "test.jsonl").read_text().splitlines()]
    rows[0]["question"] = "Once upon a time " * 100 + rows[0]["question"]
    (tasks / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = HarnessOptions(include_path=str(tasks), limit=2)
    choice, text, whole = run_harness("builtin:nano", ["lamp_choice", "lamp_text", "lamp_whole"], options, store=store)
    assert choice.evaluation.problems == {harness.CUT: 4}  # one prompt, four answers
    assert text.evaluation.problems == {harness.CUT: 1}
    assert whole.evaluation.problems == {}  # read in windows: every token counts
    assert all(value < 0 for value in likelihoods(samples(whole)))


def test_windows_of_a_long_text_count_every_token_once(
    full: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.api.instance import Instance

    from linnet.pipeline.gguf import as_source

    monkeypatch.setenv("LINNET_CONTEXT", "32")
    lm = HarnessModel(as_source(store, str(full))[0])
    try:
        text = "The lamp in the hall is red and the lamp in the attic is blue. " * 5
        (found,) = lm.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0)])
        ids, width = lm.tok_encode(text), lm.max_length
        expected = 0.0
        for start in range(0, len(ids), width):
            stop = min(start + width, len(ids))
            before = [lm.prefix_token_id] if not start else ids[stop - width - 1 : start]
            expected += sum(lm.scorer().score(before, [ids[start:stop]])[0])
        assert len(ids) > 2 * width
        assert found == pytest.approx(expected, abs=CLOSE)
    finally:
        lm.close()


def _sampling(tasks: Path) -> str:
    return write_task(tasks, "draws", TEXT.replace("do_sample: false", "do_sample: true\n  temperature: 0.7")).stem


def _no_choice(tasks: Path) -> str:
    rows = [json.loads(line) for line in (tasks / "test.jsonl").read_text().splitlines()]
    rows[1]["choices"][2] = ""
    (tasks / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return write_task(tasks, "empty", CHOICE + 'target_delimiter: ""\n').stem


def _broken(tasks: Path) -> str:
    (tasks / "broken.yaml").write_text("task: [broken\n")
    return str(tasks / "broken.yaml")


def _no_column(tasks: Path) -> str:
    return write_task(tasks, "absent", TEXT.replace("{{answer}}", "{{absent.deep}}")).stem


def _remote(tasks: Path) -> str:
    body = "task: remote\ndataset_path: nobody/no-such-set\ntest_split: test\n" + TEXT
    (tasks / "remote.yaml").write_text(body)
    return "remote"


def _gone(tasks: Path) -> str:
    (tasks / "test.jsonl").unlink()
    return "lamp_text"


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (_sampling, InputError, "draws draws its answers"),
        (_no_choice, InputError, "empty failed|no tokens"),
        (_broken, InputError, "cannot be read"),
        (_no_column, InputError, "absent"),
        (_remote, ResourceMissing, "data of task remote are not on this machine"),
        (_gone, ResourceMissing, "data of task lamp_text are not on this machine"),
    ],
)
def test_what_cannot_be_run_is_named(make: Any, kind: type[Exception], words: str, tasks: Path, store: Store) -> None:
    name = make(tasks)
    with pytest.raises(kind, match=words):
        run_harness("builtin:nano", [name], HarnessOptions(include_path=str(tasks)), store=store)


def test_the_environment_is_given_back(tasks: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_DATASETS_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    options = HarnessOptions(include_path=str(tasks), limit=1)
    run_harness("builtin:nano", ["lamp_choice"], options, store=store)
    assert "HF_HUB_OFFLINE" not in harness.os.environ
    monkeypatch.setenv("LINNET_OFFLINE", "1")
    with pytest.raises(InputError, match="--online was asked for"):
        run_harness("builtin:nano", ["lamp_choice"], HarnessOptions(online=True), store=store)
